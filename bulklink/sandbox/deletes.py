"""Deleting: a record with its links, what is behind a navigation property, a property's value.

Owns: cascades and restrictions.
Does not know: references (``$ref``), HTTP.
Source: Microsoft Learn, "Update and delete table rows", "Table relationship behavior".
"""

from bulklink.sandbox import queries, records
from bulklink.sandbox.addresses import Address
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import ODataError, does_not_exist, method_not_allowed
from bulklink.sandbox.messages import Response, no_content
from bulklink.sandbox.model import TARGET_SUFFIX, OneToMany, Table
from bulklink.sandbox.storage import quoted


def delete(context: Context, operation: Operation, address: Address) -> Response:
    """Delete what the URL addresses: a record, the record behind a navigation property, or a property's value."""
    if address.key is None:
        raise method_not_allowed("DELETE")
    if address.column is not None:
        record_id = context.addresses.existing_id(address.table, address.key)
        records.update(context, operation, address.table, record_id, {address.column.property_name: None})
        return no_content()
    table, record_id = address.table, context.addresses.existing_id(address.table, address.key)
    if address.navigation is not None:
        # Without /$ref the URL addresses the related record itself, and that is what goes.
        table, record_id = queries.related(context, operation, address, record_id)
    context.check_version(operation, table, record_id)
    remove(context, table, record_id)
    return no_content()


def remove(context: Context, table: Table, record_id: str) -> None:
    """Delete a record with its links, as the relationships' cascades say."""
    organisation = context.organisation
    if table.is_intersect:
        raise ODataError(400, "0x8004830f", f"The specified entity '{table.name}' is an intersect entity.")
    context.require("Delete", table.name)
    lookups = organisation.model.lookups_to(table.name)
    # Restrictions first: a refused delete changes nothing.
    for relationship in sorted(lookups, key=lambda r: r.on_delete != "Restrict"):
        _cascade(context, table, record_id, relationship)
    for pairing in organisation.model.links_of(table.name):
        sides = ((pairing.table1, pairing.attribute1), (pairing.table2, pairing.attribute2))
        for attribute in (a for name, a in sides if name == table.name):
            sql = f"DELETE FROM {quoted(pairing.intersect)} WHERE {quoted(attribute)} = ?"
            organisation.connection.execute(sql, (record_id,))
    if not organisation.delete(table, record_id):
        raise does_not_exist(table.name, record_id)


def _cascade(context: Context, table: Table, record_id: str, relationship: OneToMany) -> None:
    organisation = context.organisation
    many = organisation.model.tables[relationship.many]
    column = many.columns[relationship.column]
    children = organisation.children(many, column, table.name, record_id)
    for child_id in children:
        if relationship.on_delete == "Restrict":
            raise ODataError(
                405,
                "0x80040227",
                "The object you tried to delete is associated with another object and cannot be deleted.",
            )
        if relationship.on_delete == "Cascade":
            remove(context, many, child_id)
        elif relationship.on_delete == "RemoveLink":
            empty = {column.name: None} | ({column.name + TARGET_SUFFIX: None} if column.is_polymorphic else {})
            organisation.update(many, child_id, empty)
