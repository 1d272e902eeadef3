"""What a body of a create or update asks for.

Owns: reading properties, binds, nulls and nested records of a JSON payload against the table, with the library's
refusals.
Does not know: how any of it is stored.
Source: Microsoft Learn, "Create a table row", "Update and delete table rows"; recorded refusals; the protocol's point
U7.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import ODataError, bad_payload, not_supported, undeclared_property
from bulklink.sandbox.model import CollectionNavigation, LinkNavigation, LookupNavigation, Navigation, Table
from bulklink.sandbox.storage import to_storage

_BIND = "odata.bind"
Collection = CollectionNavigation | LinkNavigation


@dataclass(slots=True)
class Wish:
    """A payload understood: column values, lookups to set, clear or create, collections to bind or create."""

    values: dict[str, Any] = field(default_factory=dict)
    lookups: list[tuple[LookupNavigation, tuple[Table, str]]] = field(default_factory=list)
    cleared: list[LookupNavigation] = field(default_factory=list)
    new_lookups: list[tuple[LookupNavigation, dict[str, Any]]] = field(default_factory=list)
    bound: list[tuple[Collection, tuple[Table, str]]] = field(default_factory=list)
    new_members: list[tuple[Collection, list[dict[str, Any]]]] = field(default_factory=list)


def read(context: Context, operation: Operation, table: Table, payload: Mapping[str, Any]) -> Wish:
    """Understand a payload; ODataError for what the table does not have or a value that does not fit."""
    wish = Wish()
    navigations = context.organisation.model.navigations[table.name]
    properties = context.organisation.model.properties[table.name]
    for member, value in payload.items():
        name, _, annotation = member.partition("@")
        if not name:
            continue
        navigation = navigations.get(name)
        if annotation == _BIND:
            if navigation is None and name in context.organisation.model.unserved.get(table.name, ()):
                raise not_supported(f"the navigation property '{name}' of '{table.name}'")
            if navigation is None:
                raise undeclared_property(table.entity_set, name)
            _read_bind(context, operation, table, (navigation, value), wish)
        elif annotation:
            if name not in payload and name not in properties and navigation is None:
                raise undeclared_property(table.entity_set, name)
        elif navigation is not None and (name not in properties or isinstance(value, (dict, list))):
            _read_navigation(table, navigation, value, wish)
        elif name in properties:
            _read_property(table, properties[name], value, wish)
        elif name in context.organisation.model.unserved.get(table.name, ()):
            raise not_supported(f"the navigation property '{name}' of '{table.name}'")
        else:
            raise _invalid_property(table, name)
    return wish


def _invalid_property(table: Table, name: str) -> ODataError:
    return bad_payload(
        table.entity_set,
        f"Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{table.name}'. ---> "
        f"Microsoft.OData.ODataException: The property '{name}' does not exist on type "
        f"'Microsoft.Dynamics.CRM.{table.name}'. Make sure to only use property names that are defined by the type.",
    )


def _read_property(table: Table, column: Any, value: Any, wish: Wish) -> None:
    if column.is_lookup:
        raise bad_payload(
            table.entity_set,
            "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead.",
        )
    if column.name == "versionnumber":
        return
    try:
        stored = to_storage(column, value)
    except ValueError as error:
        raise bad_payload(table.entity_set, str(error)) from error
    if column.length_max and isinstance(stored, str) and len(stored) > column.length_max:
        raise ODataError(
            400,
            "0x80044331",
            f"A validation error occurred. The length of the '{column.name}' attribute of the '{table.name}' entity "
            f"exceeded the maximum allowed length of '{column.length_max}'.",
        )
    if column.options and stored is not None and stored not in dict(column.options):
        raise ODataError(
            400,
            "0x80048408",
            f"A validation error occurred.  The value {stored} of '{column.name}' on record of type '{table.name}' is "
            "outside the valid range.",
        )
    wish.values[column.name] = stored


def _read_bind(context: Context, operation: Operation, table: Table, asked: tuple[Navigation, Any], wish: Wish) -> None:
    navigation, value = asked
    if value is None:
        _read_null_bind(context, table, navigation, wish)
    elif isinstance(navigation, LookupNavigation):
        if not isinstance(value, str):
            raise bad_payload(table.entity_set, f"The bind of '{navigation.name}' must have a single string value.")
        wish.lookups.append((navigation, _target(context, operation, table, navigation, value)))
    else:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise bad_payload(
                table.entity_set, f"The bind of the collection '{navigation.name}' must be an array of strings."
            )
        wish.bound += [(navigation, _target(context, operation, table, navigation, item)) for item in value]


def _read_null_bind(context: Context, table: Table, navigation: Navigation, wish: Wish) -> None:
    if context.toggles.bind_null == "reject":
        raise bad_payload(
            table.entity_set,
            "The 'odata.bind' instance or property annotation has a null value. In OData, the 'odata.bind' instance or "
            "property annotation must have a non-null string value.",
        )
    if context.toggles.bind_null == "clear" and isinstance(navigation, LookupNavigation):
        wish.cleared.append(navigation)


def _target(
    context: Context, operation: Operation, table: Table, navigation: Navigation, text: str
) -> tuple[Table, str]:
    target = context.bound(operation, text)
    fitting = navigation.targets if isinstance(navigation, LookupNavigation) else (navigation.other,)
    if target[0].name not in fitting:
        raise bad_payload(
            table.entity_set,
            f"A resource of type 'Microsoft.Dynamics.CRM.{target[0].name}' was found where the navigation property "
            f"'{navigation.name}' expects 'Microsoft.Dynamics.CRM.{' or '.join(fitting)}'.",
        )
    context.require_association(navigation, target[0].name)
    return target


def _read_navigation(table: Table, navigation: Navigation, value: Any, wish: Wish) -> None:
    if isinstance(navigation, LookupNavigation) and value is None:
        wish.cleared.append(navigation)
    elif isinstance(navigation, LookupNavigation) and isinstance(value, dict):
        wish.new_lookups.append((navigation, value))
    elif (
        not isinstance(navigation, LookupNavigation)
        and isinstance(value, list)
        and all(isinstance(item, dict) for item in value)
    ):
        wish.new_members.append((navigation, value))
    else:
        raise bad_payload(
            table.entity_set, f"The value of the navigation property '{navigation.name}' does not fit its type."
        )
