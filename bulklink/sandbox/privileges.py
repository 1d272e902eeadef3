"""Privileges: their names and ids, and the refusal of a caller who lacks one.

Owns: how a right on a table is named, and that a name always has the same id.
Does not know: which operation needs which right.
Source: Microsoft Learn, "Security roles and privileges"; recorded refusals.
"""

import hashlib

from bulklink.sandbox.errors import ODataError
from bulklink.sandbox.model import Table

#: What a privilege may allow on a table.
RIGHTS = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")


def privilege_name(right: str, table: Table) -> str:
    """For example ``prvAppendToAccount``."""
    return f"prv{right}{table.schema_name or table.name}"


def privilege_id(name: str) -> str:
    """The id of a privilege: always the same for a name."""
    digest = hashlib.md5(name.lower().encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def privilege_denied(right: str, table: Table, user_id: str, business_unit_id: str) -> ODataError:
    """PrivilegeDenied."""
    name = privilege_name(right, table)
    return ODataError(
        403,
        "0x80040220",
        f"Principal user (Id={user_id}, type=8, roleCount=1, privilegeCount=100, accessMode='4 Non-interactive', "
        f"businessUnitId={business_unit_id}) is missing {name} privilege (Id={privilege_id(name)}) on "
        f"OTC={table.type_code} for entity '{table.name}'.",
    )
