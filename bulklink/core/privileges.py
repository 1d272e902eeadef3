"""What a user must be allowed to do for a link job, and what of it is missing.

Owns: which rights on which tables a relationship needs, and the reading of the service's privileges.
Does not know: how they were fetched.
Source: Microsoft Learn, "Security roles and privileges" (Append, Append To), "Associate message privileges",
"RetrieveUserPrivileges function", "SecurityPrivilegeMetadata".
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from bulklink.core.relationships import Cardinality, Relationship

#: How far a privilege reaches, narrowest first. Basic: records that the user owns.
DEPTHS: Final = ("Basic", "Local", "Deep", "Global")


@dataclass(frozen=True, slots=True)
class Need:
    """A right on a table. certain: without it the service refuses; otherwise the pages of Microsoft disagree."""

    table: str
    right: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Lack:
    """A need that is not met, or not for all records. depth: how far the privilege reaches; "" if it is missing."""

    need: Need
    privilege: str
    depth: str = ""


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege of a table: its id, by which users hold it, and its name."""

    id: str
    name: str


#: Table -> right (``Append``) -> privilege.
TablePrivileges = Mapping[str, Mapping[str, Privilege]]


def link_needs(relationship: Relationship) -> list[Need]:
    """What linking and unlinking takes. Reading: the run looks before it sends."""
    from_table, to_table = relationship.from_table.logical_name, relationship.to_table.logical_name
    reads = [Need(from_table, "Read"), Need(to_table, "Read")]
    if relationship.cardinality is Cardinality.MANY_TO_MANY:
        # One page wants Append on both tables, another Append on one, Write too, and AppendTo on the other.
        certain = [Need(from_table, "Append"), Need(to_table, "AppendTo")]
        doubtful = [Need(from_table, "Write", certain=False), Need(to_table, "Append", certain=False)]
        return list(dict.fromkeys([*reads, *certain, *doubtful]))
    holder, target = relationship.holder_table.logical_name, relationship.target_table.logical_name
    return list(dict.fromkeys([*reads, Need(holder, "Write"), Need(holder, "Append"), Need(target, "AppendTo")]))


def record_needs(table: str, right: str, bound: Iterable[str]) -> list[Need]:
    """What creating or updating records takes. right: Create or Write. bound: the tables that they point at."""
    targets = [table_bound for table_bound in dict.fromkeys(bound) if table_bound]
    own = [Need(table, right), *([Need(table, "Append")] if targets else [])]
    return [*own, *(Need(target, one) for target in targets for one in ("Read", "AppendTo"))]


def lacks(needs: Iterable[Need], privileges: TablePrivileges, held: Mapping[str, str]) -> list[Lack]:
    """The needs that are not met for all records. held: privilege id -> depth.

    A table without privileges of its own (its rights come from another table) is passed over.
    """
    found = []
    for need in needs:
        privilege = privileges.get(need.table, {}).get(need.right)
        if privilege is None:
            continue
        depth = held.get(privilege.id, "")
        if depth != DEPTHS[-1]:
            found.append(Lack(need, privilege.name, depth))
    return found


def read_table_privileges(body: bytes) -> dict[str, Privilege]:
    """Right -> privilege, of one table's definition. Raises ValueError or KeyError if it is none."""
    return {
        record["PrivilegeType"]: Privilege(str(record["PrivilegeId"]).lower(), record["Name"])
        for record in json.loads(body).get("Privileges") or ()
    }


def read_user_privileges(body: bytes) -> dict[str, str]:
    """Privilege id -> depth; the widest where several roles give it. Raises ValueError or KeyError if it is none."""
    held: dict[str, str] = {}
    for record in json.loads(body)["RolePrivileges"]:
        depth = _depth(record.get("Depth"))
        before = held.get(str(record["PrivilegeId"]).lower())
        if before is None or DEPTHS.index(depth) > DEPTHS.index(before):
            held[str(record["PrivilegeId"]).lower()] = depth
    return held


def _depth(value: object) -> str:
    """As a name; the enumeration's numbers are 0 to 3. What is unknown counts as narrow, never as wide."""
    if isinstance(value, int) and 0 <= value < len(DEPTHS):
        return DEPTHS[value]
    return str(value) if value in DEPTHS else DEPTHS[0]
