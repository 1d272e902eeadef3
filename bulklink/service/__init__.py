"""Talks HTTP to Dataverse and to the sign-in authority and decides nothing."""
