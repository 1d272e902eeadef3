"""Loops in hierarchies are refused.

Owns: which lookups form a hierarchy, and the codes.
Does not know: which operation sets a lookup.
Source: Microsoft Learn, "Web service error codes" (AccountLoopBeingCreated, ContactLoopExists).
"""

from bulklink.sandbox.errors import ODataError
from bulklink.sandbox.model import TARGET_SUFFIX, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.storage import quoted

_LOOPS = {
    ("account", "parentaccountid"): (
        "0x80040507",
        "Creating this parental association would create a loop in Accounts hierarchy.",
    ),
    ("contact", "parentcustomerid"): ("0x80040509", "Loop exists in the contacts hierarchy."),
}


def check(organisation: Organisation, table: Table, record_id: str, column: str, target: str, target_id: str) -> None:
    """Refuse to make a record its own ancestor."""
    loop = _LOOPS.get((table.name, column))
    if loop is None or target != table.name:
        return
    condition = (
        f" AND {quoted(column + TARGET_SUFFIX)} = '{table.name}'" if table.columns[column].is_polymorphic else ""
    )
    sql = f"SELECT {quoted(column)} FROM {quoted(table.name)} WHERE {quoted(table.primary_id)} = ?{condition}"
    ancestor: str | None = target_id
    while ancestor is not None:
        if ancestor == record_id:
            raise ODataError(400, *loop)
        row = organisation.connection.execute(sql, (ancestor,)).fetchone()
        ancestor = row[0] if row else None
