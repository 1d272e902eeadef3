"""Tables, columns, alternate keys and relationships of an organisation, and how a navigation property finds its way.

Owns: the metadata as values, and `Model`, which answers "what is this entity set, this property, this navigation?".
Does not know: records, JSON, CSDL.
Source: Microsoft Learn, "Query table definitions using the Web API"; real `$metadata` documents for names and shapes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Kind(StrEnum):
    """The service's AttributeType words."""

    STRING = "String"
    MEMO = "Memo"
    INTEGER = "Integer"
    BIGINT = "BigInt"
    DECIMAL = "Decimal"
    DOUBLE = "Double"
    MONEY = "Money"
    BOOLEAN = "Boolean"
    DATETIME = "DateTime"
    PICKLIST = "Picklist"
    STATE = "State"
    STATUS = "Status"
    UNIQUEIDENTIFIER = "Uniqueidentifier"
    LOOKUP = "Lookup"
    CUSTOMER = "Customer"
    OWNER = "Owner"
    VIRTUAL = "Virtual"


LOOKUPS = frozenset({Kind.LOOKUP, Kind.CUSTOMER, Kind.OWNER})
OPTIONS = frozenset({Kind.PICKLIST, Kind.STATE, Kind.STATUS})
TEXTS = frozenset({Kind.STRING, Kind.MEMO})
WHOLE_NUMBERS = frozenset({Kind.INTEGER, Kind.BIGINT}) | OPTIONS
NUMBERS = frozenset({Kind.DECIMAL, Kind.DOUBLE, Kind.MONEY})

#: The suffix of the storage column that holds the target table of a polymorphic lookup. No real column has a blank.
TARGET_SUFFIX = " target"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    targets: the tables that a lookup may point at. options: the values and labels of a choice, or of yes/no where they
    are not called so. translations: (value, language, label) of further languages. date_only: a day without time.
    """

    name: str
    kind: Kind
    schema_name: str = ""
    length_max: int = 0
    targets: tuple[str, ...] = ()
    options: tuple[tuple[int, str], ...] = ()
    translations: tuple[tuple[int, int, str], ...] = ()
    date_only: bool = False

    @property
    def is_lookup(self) -> bool:
        """Does the column hold a reference?"""
        return self.kind in LOOKUPS

    @property
    def is_polymorphic(self) -> bool:
        """May the reference point at more than one table?"""
        return len(self.targets) > 1

    @property
    def property_name(self) -> str:
        """The name in JSON: lookups are read as ``_name_value``."""
        return f"_{self.name}_value" if self.is_lookup else self.name


@dataclass(frozen=True, slots=True)
class AlternateKey:
    """Columns that together name one record."""

    name: str
    columns: tuple[str, ...]
    status: str = "Active"


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `columns` by logical name. `base` is the abstract type that it derives from, if any."""

    name: str
    entity_set: str
    primary_id: str
    columns: Mapping[str, Column]
    primary_name: str = ""
    schema_name: str = ""
    keys: tuple[AlternateKey, ...] = ()
    is_intersect: bool = False
    is_custom: bool = False
    type_code: int = 0
    base: str = ""


@dataclass(frozen=True, slots=True)
class OneToMany:
    """`many.column` points at `one`. An empty navigation property means that this side has none."""

    name: str
    one: str
    many: str
    column: str
    collection_navigation: str
    lookup_navigation: str
    on_delete: str = "RemoveLink"
    is_hierarchical: bool = False


@dataclass(frozen=True, slots=True)
class ManyToMany:
    """Rows of `intersect` pair a record of `table1` with one of `table2`; `navigation1` is found on `table1`."""

    name: str
    table1: str
    attribute1: str
    navigation1: str
    table2: str
    attribute2: str
    navigation2: str
    intersect: str

    @property
    def is_reflexive(self) -> bool:
        """Does it pair a table with itself?"""
        return self.table1 == self.table2


@dataclass(frozen=True, slots=True)
class LookupNavigation:
    """Single-valued: `table.column` -> one of `targets`."""

    name: str
    table: str
    column: str
    targets: tuple[str, ...]
    relationship: OneToMany


@dataclass(frozen=True, slots=True)
class CollectionNavigation:
    """Collection-valued, 1:N: the records of `other` whose `column` points here."""

    name: str
    table: str
    other: str
    column: str
    relationship: OneToMany


@dataclass(frozen=True, slots=True)
class LinkNavigation:
    """Collection-valued, N:N, with the two columns of the intersect as seen from here."""

    name: str
    table: str
    other: str
    intersect: str
    own_attribute: str
    other_attribute: str
    relationship: ManyToMany


Navigation = LookupNavigation | CollectionNavigation | LinkNavigation


@dataclass(slots=True)
class Model:
    """Everything that is known about an organisation's tables.

    abstract: type -> the tables derived from it. unserved: table -> navigation properties that are declared but lead to
    nothing that is served, such as the records of an abstract type; under "" the entity sets of such types.
    """

    tables: dict[str, Table]
    one_to_many: dict[str, OneToMany]
    many_to_many: dict[str, ManyToMany]
    abstract: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unserved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    entity_sets: dict[str, Table] = field(init=False)
    navigations: dict[str, dict[str, Navigation]] = field(init=False)
    properties: dict[str, dict[str, Column]] = field(init=False)

    def __post_init__(self) -> None:
        self.tables = _with_targets(self)
        self.entity_sets = {t.entity_set: t for t in self.tables.values() if t.entity_set}
        self.properties = {t.name: {c.property_name: c for c in t.columns.values()} for t in self.tables.values()}
        self.navigations = {name: {} for name in self.tables}
        for relationship in self.one_to_many.values():
            self._add_one_to_many(relationship)
        for pairing in self.many_to_many.values():
            self._add_many_to_many(pairing)

    def concrete(self, table: str) -> tuple[str, ...]:
        """The real tables behind a name: itself, or those derived from an abstract type, or none."""
        return (table,) if table in self.tables else self.abstract.get(table, ())

    def lookups_to(self, table: str) -> list[OneToMany]:
        """The relationships in which records of `table` can be pointed at."""
        return [r for r in self.one_to_many.values() if table in self.concrete(r.one) and r.many in self.tables]

    def links_of(self, table: str) -> list[ManyToMany]:
        """The N:N relationships that `table` takes part in."""
        return [r for r in self.many_to_many.values() if table in (r.table1, r.table2)]

    def _add_one_to_many(self, r: OneToMany) -> None:
        if r.lookup_navigation and r.many in self.tables:
            targets = self.concrete(r.one)
            self.navigations[r.many][r.lookup_navigation] = LookupNavigation(
                r.lookup_navigation, r.many, r.column, targets, r
            )
        if r.collection_navigation:
            for one in self.concrete(r.one):
                self.navigations[one][r.collection_navigation] = CollectionNavigation(
                    r.collection_navigation, one, r.many, r.column, r
                )

    def _add_many_to_many(self, r: ManyToMany) -> None:
        sides = (
            (r.navigation1, r.table1, r.table2, r.attribute1, r.attribute2),
            (r.navigation2, r.table2, r.table1, r.attribute2, r.attribute1),
        )
        for name, table, other, own, others in sides:
            if name and table in self.tables:
                self.navigations[table][name] = LinkNavigation(name, table, other, r.intersect, own, others, r)


def _with_targets(model: Model) -> dict[str, Table]:
    """Add to every lookup column the tables that its relationships name; create columns that only they name."""
    targets: dict[tuple[str, str], dict[str, None]] = {}
    for r in model.one_to_many.values():
        if r.many in model.tables:
            targets.setdefault((r.many, r.column), {}).update(dict.fromkeys(model.concrete(r.one)))
    by_table: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for (table, column), found in targets.items():
        by_table.setdefault(table, []).append((column, tuple(found)))
    return {
        name: replace(table, columns=_lookups_added(table.columns, by_table.get(name, ())))
        for name, table in model.tables.items()
    }


def _lookups_added(
    columns: Mapping[str, Column], lookups: Iterable[tuple[str, tuple[str, ...]]]
) -> Mapping[str, Column]:
    result = dict(columns)
    for name, targets in lookups:
        known = result.get(name, Column(name, Kind.LOOKUP))
        kind = known.kind if known.is_lookup else Kind.LOOKUP
        result[name] = replace(known, kind=kind, targets=targets)
    return result
