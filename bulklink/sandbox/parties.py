"""Activity parties: who takes part in an activity.

Owns: what writing the whole collection does to those who are there already, where the service's behaviour is a toggle.
Does not know: how a record is created.
Source: Microsoft's page of 2018 (PUT on the collection; withdrawn in 2022); the protocol's point U27.
"""

from typing import Any

from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import bad_payload, method_not_allowed
from bulklink.sandbox.model import CollectionNavigation, LinkNavigation, Table
from bulklink.sandbox.storage import quoted


def is_party(navigation: CollectionNavigation | LinkNavigation) -> bool:
    """Is it the collection of an activity's parties?"""
    return navigation.other == "activityparty" and getattr(navigation, "column", "") == "activityid"


def make_room(context: Context, operation: Operation, activity: tuple[Table, str], rows: list[Any]) -> None:
    """Before parties are written: refuse, keep those that are there, or remove them, as the toggle says."""
    refused = {"405": ("PUT", "PATCH"), "put-405": ("PUT",)}.get(context.toggles.parties, ())
    if operation.request.method in refused:
        raise method_not_allowed(operation.request.method)
    if not all(isinstance(row, dict) for row in rows):
        raise bad_payload(activity[0].entity_set, "An activity party must be a JSON object.")
    if context.toggles.parties != "append":
        sql = f"DELETE FROM {quoted('activityparty')} WHERE activityid = ?"
        context.organisation.connection.execute(sql, (activity[1],))
