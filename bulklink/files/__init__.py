"""Talks to the disk and decides nothing: readers, spool, journal, outcomes files, report."""
