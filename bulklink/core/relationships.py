"""Which relationship a name means, read on the from record.

Owns: the choice of one relationship by any of its names and from any side, and the listing of a table's relationships.
Does not know: wire forms, how the facts were fetched.
Source: the public contract (README, "[link]"); Microsoft Learn, "Web API navigation properties".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bulklink.core import misnaming
from bulklink.core.directions import Cardinality, Direction, directions
from bulklink.core.facts import OWNER_TABLES, Facts, ManyToMany, Table
from bulklink.errors import RelationshipError

__all__ = ["Cardinality", "Intersect", "Listed", "Relationship", "Table", "choose_relationship", "list_relationships"]


@dataclass(frozen=True, slots=True)
class Intersect:
    """The table that holds the links of an N:N relationship, and which of its columns is whose.

    from_attribute, to_attribute: as queries name them; where such a column is a lookup, that is ``_name_value``.
    """

    entity_set: str
    primary_id: str
    from_attribute: str
    to_attribute: str


@dataclass(frozen=True, slots=True)
class Relationship:
    """A relationship as read on the from record, after turning.

    navigation_property stands on the from record, partner on the to record ("" if there is none).
    turned: the job named the two tables the other way round.
    lookup_attribute: the lookup column's logical name; "" for N:N.
    """

    schema_name: str
    cardinality: Cardinality
    from_table: Table
    to_table: Table
    navigation_property: str
    partner: str
    turned: bool
    intersect: Intersect | None
    lookup_attribute: str = ""
    polymorphic: bool = False

    @property
    def holder(self) -> Literal["from", "to"]:
        """Which record holds the lookup column; for N:N neither does, and the from record stands in."""
        return "to" if self.cardinality is Cardinality.COLLECTION else "from"

    @property
    def holder_table(self) -> Table:
        """The table that holds the lookup column."""
        return self.to_table if self.holder == "to" else self.from_table

    @property
    def target_table(self) -> Table:
        """The table that the lookup column points at."""
        return self.from_table if self.holder == "to" else self.to_table

    @property
    def lookup_navigation_property(self) -> str:
        """The single-valued navigation property on the record that holds the lookup column."""
        return self.partner if self.cardinality is Cardinality.COLLECTION else self.navigation_property


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a table's relationships."""

    name: str
    kind: str
    other_table: str
    navigation_property: str
    other_navigation_property: str
    via: str


def choose_relationship(facts: Facts, name: str, from_table: str, to_table: str = "") -> Relationship:
    """Find the one relationship that a name means between two tables.

    name: schema name, intersect table or navigation property name.
    to_table: "" where a job needs none (clear); then only lookups of the from record are looked at.
    Raises RelationshipError with what is near, or with the candidates, if there is not exactly one.
    """
    for table in (from_table, to_table):
        if table and table not in facts.tables:
            raise misnaming.unknown_table(table, facts.table_names or facts.tables)
    known = [direction for direction in directions(facts) if direction.from_table == from_table]
    if from_table == to_table:
        return _read(_choose_reflexive(known, name, from_table), facts, turned=False)
    if to_table:
        fitting = [direction for direction in known if direction.to_table == to_table]
    else:
        fitting = _one_per_relationship(d for d in known if d.cardinality is Cardinality.LOOKUP)
    for named in _NAMED:
        hits = [direction for direction in fitting if named(direction, name)]
        if len(hits) > 1:
            raise misnaming.ambiguous(name, hits)
        if hits:
            direction = hits[0]
            return _read(direction, facts, turned=bool(to_table) and _is_turned(direction, name))
    raise misnaming.unknown(facts, name, from_table, to_table)


def list_relationships(facts: Facts, table: str, with_table: str = "") -> list[Listed]:
    """A table's relationships by kind and name; those with one other table only if `with_table` is given."""
    listed = {
        Listed(d.schema_name, d.cardinality.value, d.to_table, d.navigation, d.partner, misnaming.via(d))
        for d in directions(facts)
        # Records have owners among users and teams; the table that the relationship names holds none.
        if d.from_table == table and with_table in ("", d.to_table) and d.to_table not in OWNER_TABLES
    }
    order = [
        cardinality.value for cardinality in (Cardinality.MANY_TO_MANY, Cardinality.COLLECTION, Cardinality.LOOKUP)
    ]
    return sorted(
        listed,
        key=lambda line: (order.index(line.kind), line.name.casefold(), line.other_table, line.navigation_property),
    )


def _exactly(direction: Direction, name: str) -> bool:
    return bool(name) and name in {*direction.names, direction.navigation, direction.partner}


def _but_for_case(direction: Direction, name: str) -> bool:
    return name.casefold() in {known.casefold() for known in direction.names}


#: Best first: a name that is exact means nothing else, whatever is like it but for case.
_NAMED: Sequence[Callable[[Direction, str], bool]] = (_exactly, _but_for_case)


def _is_turned(direction: Direction, name: str) -> bool:
    """Only the to record knows the name: the pair was given the wrong way round."""
    return name == direction.partner and name != direction.navigation and name not in direction.names


def _choose_reflexive(known: Iterable[Direction], name: str, table: str) -> Direction:
    """A table related to itself: only a navigation property says which record is which. Never turned."""
    own = [direction for direction in known if direction.to_table == table]
    hits = [direction for direction in own if name and direction.navigation == name]
    if len({hit.schema_name for hit in hits}) > 1:
        raise misnaming.ambiguous(name, hits)
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise misnaming.sides_alike(name, hits[0])
    meant = [direction for direction in own if _but_for_case(direction, name)]
    if meant:
        raise misnaming.needs_navigation_property(name, meant)
    raise misnaming.unknown_reflexive(name, own, table)


def _one_per_relationship(known: Iterable[Direction]) -> list[Direction]:
    """Owner lookups are readable as pointing at several tables; without a to table one reading is enough."""
    first: dict[str, Direction] = {}
    for direction in known:
        first.setdefault(direction.schema_name, direction)
    return list(first.values())


def _read(direction: Direction, facts: Facts, *, turned: bool) -> Relationship:
    if turned:
        direction = direction.reversed()
    targets = _targets(direction, facts)
    return Relationship(
        schema_name=direction.schema_name,
        cardinality=direction.cardinality,
        from_table=_table(facts, direction.from_table),
        to_table=_table(facts, direction.to_table),
        navigation_property=direction.navigation,
        partner=direction.partner,
        turned=turned,
        intersect=_intersect(direction, facts),
        lookup_attribute=direction.lookup_attribute,
        polymorphic=len(targets) > 1 or not targets.isdisjoint(OWNER_TABLES),
    )


def _targets(direction: Direction, facts: Facts) -> frozenset[str]:
    if direction.cardinality is Cardinality.MANY_TO_MANY:
        return frozenset()
    holder = direction.from_table if direction.cardinality is Cardinality.LOOKUP else direction.to_table
    return facts.targets_of(holder, direction.lookup_attribute)


def _table(facts: Facts, name: str) -> Table:
    return facts.tables.get(name) or Table(name, "", "")


def _intersect(direction: Direction, facts: Facts) -> Intersect | None:
    if not isinstance(direction.definition, ManyToMany):
        return None
    name = direction.definition.intersect_table
    if name not in facts.tables:
        raise RelationshipError(
            f"{direction.schema_name}: the service does not describe its intersect table {name!r}.",
            hint="The signed-in user needs the right to read the definition of this table.",
        )
    table = facts.tables[name]
    from_attribute, to_attribute = (
        f"_{attribute}_value" if (name, attribute) in facts.lookup_targets else attribute
        for attribute in (direction.from_attribute, direction.to_attribute)
    )
    return Intersect(table.entity_set, table.primary_id, from_attribute, to_attribute)
