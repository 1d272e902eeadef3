"""CreateMultiple, UpdateMultiple, UpsertMultiple.

Owns: the form of their targets; each is all or nothing.
Does not know: how one record is written.
Source: Microsoft Learn, "Use bulk operation messages"; the protocol's point U26.
"""

from typing import Any

from bulklink.sandbox import records
from bulklink.sandbox.addresses import Address, Key
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import NAMESPACE, ODataError, bad_payload, does_not_exist, unparsed_url
from bulklink.sandbox.messages import Response, json_answer, no_content
from bulklink.sandbox.model import LookupNavigation, Table


def create_multiple(context: Context, operation: Operation, address: Address) -> Response:
    """Create every target; the ids in order."""
    targets = _targets(operation, address.table)
    ids = [records.create(context, operation, address.table, target) for target in targets]
    kind = f"{operation.request.api_url}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
    return json_answer({"@odata.context": kind, "Ids": ids})


def update_multiple(context: Context, operation: Operation, address: Address) -> Response:
    """Update every target, each named by its primary key."""
    table = address.table
    for target in _targets(operation, table):
        record_id = target.get(table.primary_id)
        if not isinstance(record_id, str):
            raise bad_payload(table.entity_set, f"Each target must have a value for '{table.primary_id}'.")
        key = context.addresses.key(table, record_id)
        if not context.organisation.exists(table, key.id):
            raise does_not_exist(table.name, key.id)
        _refuse_nulls(context, table, target)
        records.update(context, operation, table, key.id, target)
    return no_content()


def _refuse_nulls(context: Context, table: Table, target: dict[str, Any]) -> None:
    if context.toggles.update_multiple_null == "clear":
        return
    navigations = context.organisation.model.navigations[table.name]
    for name, value in target.items():
        if value is None and isinstance(navigations.get(name), LookupNavigation):
            raise bad_payload(table.entity_set, f"The navigation property '{name}' has a null value.")


def upsert_multiple(context: Context, operation: Operation, address: Address) -> Response:
    """Update every target that is there and create the others."""
    table = address.table
    for target in _targets(operation, table):
        key = _upsert_key(context, table, target)
        found = context.addresses.find(table, key)
        if found is not None and context.organisation.exists(table, found):
            records.update(context, operation, table, found, target)
        else:
            records.upsert(context, operation, table, key, target)
    return no_content()


def _upsert_key(context: Context, table: Table, target: dict[str, Any]) -> Key:
    named = target.get("@odata.id")
    if named is None:
        record_id = target.get(table.primary_id)
        if not isinstance(record_id, str):
            raise bad_payload(
                table.entity_set, f"Each target must have '@odata.id' or a value for '{table.primary_id}'."
            )
        return context.addresses.key(table, record_id)
    # The reverse of the rule for $ref: an absolute URL is refused here.
    if not isinstance(named, str) or "://" in named:
        raise bad_payload(table.entity_set, f"The '@odata.id' of a target must be relative, not '{named}'.")
    entity = context.addresses.entity(named)
    if entity is None or entity[0].name != table.name:
        raise unparsed_url()
    return entity[1]


def _targets(operation: Operation, table: Table) -> list[dict[str, Any]]:
    targets = operation.request.payload().get("Targets")
    if not isinstance(targets, list) or not targets or not all(isinstance(target, dict) for target in targets):
        raise ODataError(400, "0x80040203", "The parameter 'Targets' must hold at least one record.")
    for target in targets:
        kind = str(target.get("@odata.type", "")).lstrip("#")
        if kind != f"{NAMESPACE}.{table.name}":
            raise bad_payload(
                table.entity_set,
                f"Each target must have '@odata.type' with the value '{NAMESPACE}.{table.name}', not '{kind}'.",
            )
    return targets
