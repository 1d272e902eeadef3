"""Records: create, deep insert, update and upsert.

Owns: the order in which a payload's parts are stored, the conditions of ``If-Match`` and ``If-None-Match``, key
violations.
Does not know: references, deletes, HTTP.
Source: Microsoft Learn, "Create a table row", "Update and delete table rows", "Upsert a table row".
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from bulklink.sandbox import hierarchy, parties, payloads, queries
from bulklink.sandbox.addresses import Address, Key
from bulklink.sandbox.context import CONCURRENCY_ANY, Context, Operation
from bulklink.sandbox.errors import (
    ODataError,
    bad_payload,
    does_not_exist,
    duplicate_alternate_key,
    duplicate_record,
    method_not_allowed,
    not_supported,
)
from bulklink.sandbox.messages import Response, json_answer, no_content, written
from bulklink.sandbox.model import (
    TARGET_SUFFIX,
    CollectionNavigation,
    Kind,
    LinkNavigation,
    LookupNavigation,
    Table,
)
from bulklink.sandbox.references import add_link, clear_through, set_lookup

_DEPTH_MAX = 20
#: Tables whose records come only with another record.
_NOT_CREATED = frozenset({"activityparty"})


def post(context: Context, operation: Operation, address: Address) -> Response:
    """Create a record in an entity set."""
    if address.navigation is not None:
        raise not_supported("creating a record through a navigation property")
    if address.key or address.tail:
        raise method_not_allowed("POST")
    record_id = create(context, operation, address.table, operation.request.payload())
    return _created(context, operation, address.table, record_id)


def _created(context: Context, operation: Operation, table: Table, record_id: str) -> Response:
    url = context.url(operation, table, record_id)
    operation.created(url)
    if operation.request.wants_representation:
        shown = queries.one(context, operation, table, record_id)
        return json_answer(shown, 201, applied="return=representation")
    return written(url)


def create(
    context: Context, operation: Operation, table: Table, payload: Mapping[str, Any], depth: int = 0,
    values: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """Store a new record with everything its payload binds and nests; its id.

    values: storage values that come from elsewhere, e.g. the parent of a nested record or the key in the URL.
    """
    if table.is_intersect or (table.name in _NOT_CREATED and values is None):
        raise ODataError(
            400,
            "0x80040800",
            f"'Create' method does not support entities of type '{table.name}'. MessageProcessorCache returned "
            "MessageProcessor.Empty.",
        )
    if depth > _DEPTH_MAX:
        raise bad_payload(table.entity_set, "The payload is nested too deeply.")
    context.require("Create", table.name)
    wish = payloads.read(context, operation, table, payload)
    row = {**wish.values, **(values or {})}
    for navigation, nested in wish.new_lookups:
        target = _lookup_target(context, navigation)
        row |= _pointing(table, navigation.column, target, create(context, operation, target, nested, depth + 1))
    for navigation, (target, target_id) in wish.lookups:
        row |= _pointing(table, navigation.column, target, target_id)
    _add_owner(context, table, row)
    record_id = _insert(context, table, row)
    _check_loops(context, table, record_id, row)
    own = (table, record_id)
    for member, other in wish.bound:
        if isinstance(member, LinkNavigation):
            add_link(context, member, own, other)
        else:
            set_lookup(context, other, member.column, own)
    for member, nested_rows in wish.new_members:
        for nested in nested_rows:
            add_member(context, operation, own, member, nested, depth + 1)
    return record_id


def add_member(
    context: Context, operation: Operation, own: tuple[Table, str], member: payloads.Collection, nested: dict[str, Any],
    depth: int = 0,
) -> None:  # fmt: skip
    """Create a record inside a collection of another."""
    other = context.organisation.model.tables.get(member.other)
    if other is None:
        raise not_supported(f"nested records of the abstract type '{member.other}'")
    if isinstance(member, CollectionNavigation):
        create(context, operation, other, nested, depth, _pointing(other, member.column, *own))
        return
    add_link(context, member, own, (other, create(context, operation, other, nested, depth)))


def _lookup_target(context: Context, navigation: LookupNavigation) -> Table:
    if len(navigation.targets) != 1:
        raise not_supported(f"a nested record for '{navigation.name}', which may point at several tables")
    return context.organisation.model.tables[navigation.targets[0]]


def _pointing(holder: Table, column: str, target: Table, target_id: str) -> dict[str, Any]:
    values = {column: target_id}
    if holder.columns[column].is_polymorphic:
        values[column + TARGET_SUFFIX] = target.name
    return values


def _add_owner(context: Context, table: Table, row: dict[str, Any]) -> None:
    """A record of an owned table belongs to its creator unless the payload says otherwise."""
    owner = table.columns.get("ownerid")
    user = context.organisation.model.tables.get("systemuser")
    if owner is None or user is None or owner.kind is not Kind.OWNER or row.get("ownerid"):
        return
    if context.organisation.exists(user, context.organisation.user_id):
        row |= _pointing(table, "ownerid", user, context.organisation.user_id)


def _check_loops(context: Context, table: Table, record_id: str, row: Mapping[str, Any]) -> None:
    for column, value in row.items():
        known = table.columns.get(column)
        if value is not None and known is not None and known.is_lookup and table.name in known.targets:
            target = row.get(column + TARGET_SUFFIX, table.name)
            hierarchy.check(context.organisation, table, record_id, column, target, value)


def _insert(context: Context, table: Table, row: dict[str, Any]) -> str:
    try:
        return context.organisation.insert(table, row)
    except sqlite3.IntegrityError as error:
        raise _key_violation(table, error) from None


def _key_violation(table: Table, error: sqlite3.IntegrityError) -> ODataError:
    for key in table.keys:
        if f"key {table.name} {key.name}'" in str(error):
            return duplicate_alternate_key(key.name, ", ".join(key.columns))
    return duplicate_record()


# ---------------------------------------------------------------------- update and upsert


def patch(context: Context, operation: Operation, address: Address) -> Response:
    """Update a record, or create it where the conditions allow."""
    if address.navigation is not None:
        raise not_supported("updating a record through a navigation property")
    if address.key is None or address.column is not None:
        raise method_not_allowed("PATCH")
    table, request = address.table, operation.request
    record_id = context.addresses.find(table, address.key)
    exists = record_id is not None and context.organisation.exists(table, record_id)
    if exists and request.headers.get("if-none-match") == CONCURRENCY_ANY:
        raise duplicate_record()
    if exists:
        assert record_id is not None
        context.check_version(operation, table, record_id)
        update(context, operation, table, record_id, request.payload())
        url = context.url(operation, table, record_id)
        if request.wants_representation:
            shown = queries.one(context, operation, table, record_id)
            return json_answer(shown, applied="return=representation")
        return written(url)
    if "if-match" in request.headers:
        raise does_not_exist(table.name, context.addresses.record_id(table, address.key))
    return _created(context, operation, table, upsert(context, operation, table, address.key, request.payload()))


def upsert(context: Context, operation: Operation, table: Table, key: Key, payload: Mapping[str, Any]) -> str:
    """Create the record that a key names, as an update of a missing record does; its id."""
    values = {table.primary_id: key.id} if key.id else dict(key.values)
    if any(isinstance(value, (dict, list)) for value in payload.values()):
        raise _no_deep_update(table)
    return create(context, operation, table, payload, values=values)


def _no_deep_update(table: Table) -> ODataError:
    return bad_payload(
        table.entity_set, "Deep insert is not supported on update: nested records can be given on create only."
    )


def update(context: Context, operation: Operation, table: Table, record_id: str, payload: Mapping[str, Any]) -> None:
    """Change an existing record as its payload says."""
    if table.is_intersect:
        raise ODataError(400, "0x8004830f", f"The specified entity '{table.name}' is an intersect entity.")
    context.require("Write", table.name)
    wish = payloads.read(context, operation, table, payload)
    if wish.bound:
        raise bad_payload(
            table.entity_set, "Binding a collection-valued navigation property is supported on create only."
        )
    members = [item for item in wish.new_members if not parties.is_party(item[0])]
    if wish.new_lookups or members:
        raise _no_deep_update(table)
    if wish.values.pop(table.primary_id, record_id) != record_id:
        raise bad_payload(table.entity_set, f"The value of '{table.primary_id}' differs from the key of the record.")
    for navigation, (target, target_id) in wish.lookups:
        set_lookup(context, (table, record_id), navigation.column, (target, target_id))
    for navigation in wish.cleared:
        clear_through(context, (table, record_id), navigation)
    try:
        context.organisation.update(table, record_id, wish.values)
    except sqlite3.IntegrityError as error:
        raise _key_violation(table, error) from None
    for member, nested in wish.new_members:
        _write_parties(context, operation, (table, record_id), member, nested)


def _write_parties(
    context: Context, operation: Operation, own: tuple[Table, str], member: payloads.Collection, rows: list[Any]
) -> None:
    parties.make_room(context, operation, own, rows)
    for row in rows:
        add_member(context, operation, own, member, row)


def put(context: Context, operation: Operation, address: Address) -> Response:
    """Set a single property, or the activity parties of a record."""
    if address.key is None:
        raise method_not_allowed("PUT")
    record_id = context.addresses.existing_id(address.table, address.key)
    if address.column is not None:
        value = operation.request.payload().get("value")
        update(context, operation, address.table, record_id, {address.column.property_name: value})
        return no_content()
    navigation = address.navigation
    if navigation is None or isinstance(navigation, LookupNavigation) or not parties.is_party(navigation):
        raise method_not_allowed("PUT")
    rows = operation.request.payload().get("value")
    if not isinstance(rows, list):
        raise bad_payload(address.table.entity_set, "A collection is expected in 'value'.")
    _write_parties(context, operation, (address.table, record_id), navigation, rows)
    return no_content()
