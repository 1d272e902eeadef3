"""References: ``$ref`` in all its forms.

Owns: adding to and removing from a collection, setting and clearing a lookup, and what happens where a link is there
already, is not there, or points elsewhere.
Does not know: batches, HTTP.
Source: Microsoft's page "Associate and disassociate entities using the Web API"; the protocol's points U1, U2, U3,
U8, U18.
"""

import sqlite3
from urllib.parse import parse_qsl

from bulklink.sandbox import hierarchy
from bulklink.sandbox.addresses import Address, Key
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import (
    ODataError,
    bad_payload,
    bad_syntax,
    does_not_exist,
    duplicate_record,
    method_not_allowed,
    no_segment,
    not_supported,
    ref_after_column,
)
from bulklink.sandbox.messages import Response, no_content
from bulklink.sandbox.model import TARGET_SUFFIX, CollectionNavigation, Kind, LinkNavigation, LookupNavigation, Table

_DUPLICATE_TEXTS = {
    "insert": "Cannot insert duplicate key.",
    "matching": "A record with matching key values already exists.",
}
#: Intersects whose links are made by messages, and what the service calls them; XrmToolBox#308.
_MESSAGES_ONLY = {"listmember": "ListMember"}


def answer(context: Context, operation: Operation, address: Address) -> Response:
    """Answer POST, PUT or DELETE on ``…/$ref``."""
    if address.column is not None:
        raise ref_after_column(address.column.property_name)
    navigation, key = address.navigation, address.key
    if navigation is None or key is None:
        raise no_segment("$ref")
    if isinstance(navigation, CollectionNavigation) and navigation.other not in context.organisation.model.tables:
        raise not_supported(f"references through '{navigation.name}', whose type '{navigation.other}' is abstract")
    if isinstance(navigation, LinkNavigation) and navigation.intersect in _MESSAGES_ONLY:
        verb = "Disassociate" if operation.request.method == "DELETE" else "Associate"
        raise ODataError(400, "0x80040800", f"{verb} is not supported for {_MESSAGES_ONLY[navigation.intersect]}.")
    if operation.request.method == "DELETE":
        return _remove(context, operation, address)
    wanted = "PUT" if isinstance(navigation, LookupNavigation) else "POST"
    if operation.request.method != wanted or address.navigation_key is not None:
        raise method_not_allowed(operation.request.method)
    payload = operation.request.payload()
    table, target_key = context.referenced(operation, address.table.entity_set, payload.get("@odata.id"))
    _check_type(context, navigation, address.table, table)
    own_id = context.addresses.record_id(address.table, key)
    other_id = context.addresses.record_id(table, target_key)
    context.check_version(operation, address.table, own_id)
    context.require_association(navigation, table.name)
    _add(context, navigation, (address.table, own_id), (table, other_id))
    return no_content()


def _check_type(
    context: Context, navigation: LinkNavigation | CollectionNavigation | LookupNavigation, own: Table, other: Table
) -> None:
    fitting: tuple[str, ...]
    if isinstance(navigation, LookupNavigation):
        fitting = navigation.targets
        if own.columns[navigation.column].kind is Kind.OWNER:
            # Its declared type is `principal`; the service has refused users and teams here since 2019.
            raise bad_payload(
                own.entity_set, f"The type '{other.name}' does not fit the navigation '{navigation.name}'."
            )
    else:
        fitting = (navigation.other,)
    if other.name not in fitting:
        raise bad_payload(
            own.entity_set,
            f"A resource of type 'Microsoft.Dynamics.CRM.{other.name}' was found where the navigation property "
            f"'{navigation.name}' expects 'Microsoft.Dynamics.CRM.{' or '.join(fitting)}'.",
        )


def _add(
    context: Context,
    navigation: LinkNavigation | CollectionNavigation | LookupNavigation,
    own: tuple[Table, str],
    other: tuple[Table, str],
) -> None:
    if isinstance(navigation, LinkNavigation):
        add_link(context, navigation, own, other)
        return
    if not context.organisation.exists(*own):
        raise does_not_exist(own[0].name, own[1])
    if not context.organisation.exists(*other):
        raise does_not_exist(other[0].name, other[1])
    if isinstance(navigation, LookupNavigation):
        set_lookup(context, own, navigation.column, other)
    else:
        set_lookup(context, other, navigation.column, own)


def add_link(context: Context, navigation: LinkNavigation, own: tuple[Table, str], other: tuple[Table, str]) -> None:
    """Insert one row of an intersect; ODataError for a missing record or a pair that is there."""
    try:
        if context.organisation.add_link(navigation, own[1], other[1]):
            return
    except sqlite3.IntegrityError:
        raise duplicate_record(_DUPLICATE_TEXTS[context.toggles.duplicate_text]) from None
    missing = other if context.organisation.exists(*own) else own
    raise does_not_exist(missing[0].name, missing[1])


def set_lookup(context: Context, holder: tuple[Table, str], column: str, target: tuple[Table, str]) -> None:
    """Point a lookup at a record; a polymorphic one forgets what it pointed at."""
    table, record_id = holder
    hierarchy.check(context.organisation, table, record_id, column, target[0].name, target[1])
    values = {column: target[1]}
    if table.columns[column].is_polymorphic:
        values[column + TARGET_SUFFIX] = target[0].name
    context.organisation.update(table, record_id, values)


def clear_lookup(context: Context, holder: tuple[Table, str], column: str) -> None:
    """Empty a lookup; ODataError for the owner, which every record has."""
    table, record_id = holder
    if table.columns[column].kind is Kind.OWNER:
        raise ODataError(400, "0x80040203", f"The attribute '{column}' is system required and cannot be set to null.")
    values: dict[str, None] = {column: None}
    if table.columns[column].is_polymorphic:
        values[column + TARGET_SUFFIX] = None
    context.organisation.update(table, record_id, values)


def _remove(context: Context, operation: Operation, address: Address) -> Response:
    navigation, key = address.navigation, address.key
    assert navigation is not None
    assert key is not None
    own = (address.table, context.addresses.existing_id(address.table, key))
    context.check_version(operation, *own)
    if isinstance(navigation, LookupNavigation):
        if address.navigation_key is not None:
            raise bad_syntax(f"The navigation property '{navigation.name}' is single-valued and takes no key.")
        context.require_association(navigation, navigation.targets[0])
        clear_through(context, own, navigation)
        return no_content()
    table = context.organisation.model.tables[navigation.other]
    found = (table, address.navigation_key) if address.navigation_key else _key_in_query(context, operation, table)
    context.require_association(navigation, table.name)
    other = (table, context.addresses.record_id(*found))
    if isinstance(navigation, LinkNavigation):
        _remove_link(context, navigation, own, other)
    else:
        _remove_child(context, navigation, own, other)
    return no_content()


def _key_in_query(context: Context, operation: Operation, table: Table) -> tuple[Table, Key]:
    """The record named by ``$id``."""
    parameters = dict(parse_qsl(operation.request.query, keep_blank_values=True))
    if "$id" not in parameters:
        raise bad_syntax("The request must name the record to remove, by its key or by $id.")
    found, key = context.referenced(operation, table.entity_set, parameters["$id"])
    if found.name != table.name:
        raise bad_payload(
            table.entity_set, f"A resource of type '{found.name}' was found where '{table.name}' is expected."
        )
    return found, key


def _remove_link(
    context: Context, navigation: LinkNavigation, own: tuple[Table, str], other: tuple[Table, str]
) -> None:
    if context.organisation.remove_link(navigation, own[1], other[1]):
        return
    if not context.organisation.exists(*other) or context.toggles.disassociate_missing == "404":
        raise does_not_exist(other[0].name, other[1])


def _remove_child(
    context: Context, navigation: CollectionNavigation, own: tuple[Table, str], child: tuple[Table, str]
) -> None:
    record = context.organisation.read(*child)
    if record is None:
        raise does_not_exist(child[0].name, child[1])
    points_here = record[navigation.column] == own[1]
    if not points_here and context.toggles.disassociate_other_parent == "404":
        raise does_not_exist(child[0].name, child[1])
    if points_here or context.toggles.disassociate_other_parent == "clear":
        clear_lookup(context, child, navigation.column)


def clear_through(context: Context, holder: tuple[Table, str], navigation: LookupNavigation) -> None:
    """Empty a lookup by one of its navigations; pointing at another table than that one's is a toggle's case."""
    table, record_id = holder
    record = context.organisation.read(table, record_id)
    if record is None:
        raise does_not_exist(table.name, record_id)
    if record[navigation.column] is None:
        return
    target = record.get(navigation.column + TARGET_SUFFIX)
    fits = target is None or target in navigation.targets
    if not fits and context.toggles.wrong_target_clear == "404":
        raise does_not_exist(navigation.targets[0], record[navigation.column])
    if fits or context.toggles.wrong_target_clear == "clear":
        clear_lookup(context, holder, navigation.column)
