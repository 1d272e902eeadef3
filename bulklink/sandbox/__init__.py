"""A local Dataverse-like Web API server for rehearsals, the demo and tests.

Imports nothing of `core` or `service`: it is their independent check.
"""
