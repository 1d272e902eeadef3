"""What an environment's metadata says, as plain values.

Owns: tables, columns, alternate keys, relationships and navigation properties as the service defines them.
Does not know: how the facts were fetched, what a job wants from them.
Source: Microsoft Learn, "Query schema definitions using the Web API"; EntityMetadata, AttributeMetadata,
ManyToManyRelationshipMetadata, OneToManyRelationshipMetadata, EntityKeyMetadata; CSDL (`$metadata`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

#: The abstract table that owner lookups point at (definitions call it owner, the CSDL principal), and the tables that
#: its records are in.
OWNER_TABLES = frozenset({"owner", "principal"})
OWNER_KINDS = ("systemuser", "team")
#: Every owner lookup has this name, in every table; a custom one cannot be made.
OWNER_COLUMN = "ownerid"


@dataclass(frozen=True, slots=True)
class Table:
    """A table and how the Web API addresses it."""

    logical_name: str
    entity_set: str
    primary_id: str
    primary_name: str = ""


class ColumnKind(StrEnum):
    """What a column holds, as far as comparing its values goes."""

    TEXT = "text"
    MEMO = "memo"
    WHOLE = "whole"
    BIG = "big"
    DECIMAL = "decimal"
    MONEY = "money"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DATETIME = "datetime"
    GUID = "guid"
    LOOKUP = "lookup"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    targets: tables that a lookup can point at.
    choices: label -> value, for choice and boolean columns whose options were fetched.
    date_only: the column holds a day without a time.
    """

    logical_name: str
    kind: ColumnKind
    targets: tuple[str, ...] = ()
    choices: Mapping[str, int] = field(default_factory=dict)
    date_only: bool = False

    @property
    def property_name(self) -> str:
        """The name that queries use: a lookup column is read as ``_name_value``."""
        return f"_{self.logical_name}_value" if self.kind is ColumnKind.LOOKUP else self.logical_name


@dataclass(frozen=True, slots=True)
class AlternateKey:
    """An alternate key; usable once its index is active."""

    schema_name: str
    columns: tuple[str, ...]
    is_active: bool


@dataclass(frozen=True, slots=True)
class ManyToMany:
    """An N:N relationship as defined: two sides and the intersect table between them."""

    schema_name: str
    intersect_table: str
    table1: str
    attribute1: str
    navigation1: str
    table2: str
    attribute2: str
    navigation2: str


@dataclass(frozen=True, slots=True)
class OneToMany:
    """A 1:N relationship as defined: the lookup column stands on the referencing table."""

    schema_name: str
    referenced_table: str
    referenced_navigation: str
    referencing_table: str
    referencing_attribute: str
    referencing_navigation: str


Definition = ManyToMany | OneToMany


@dataclass(frozen=True, slots=True)
class Navigation:
    """A navigation property as the CSDL declares it."""

    name: str
    target: str
    is_collection: bool
    partner: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of an environment: as much as a job needs, not all of it.

    tables: by logical name; also the intersect tables that may be needed.
    table_names: every table's logical name, where they were fetched; for near misses only.
    lookup_targets: (table, lookup column) -> the tables it can point at.
    navigations: table -> name -> navigation property, where the CSDL was read.
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    many_to_many: tuple[ManyToMany, ...] = ()
    one_to_many: tuple[OneToMany, ...] = ()
    table_names: tuple[str, ...] = ()
    lookup_targets: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    navigations: Mapping[str, Mapping[str, Navigation]] = field(default_factory=dict)

    def targets_of(self, table: str, column: str) -> frozenset[str]:
        """The tables that a lookup column can point at, as far as the facts tell."""
        defined = {
            fact.referenced_table
            for fact in self.one_to_many
            if (fact.referencing_table, fact.referencing_attribute) == (table, column)
        }
        return frozenset(defined.union(self.lookup_targets.get((table, column), ())))

    def definitions(self) -> Iterator[Definition]:
        """Every relationship, N:N first."""
        yield from self.many_to_many
        yield from self.one_to_many


def merged(*parts: Facts) -> Facts:
    """The facts of several answers as one; a relationship that several tables report counts once."""
    return Facts(
        tables=_united(part.tables for part in parts),
        many_to_many=tuple(dict.fromkeys(fact for part in parts for fact in part.many_to_many)),
        one_to_many=tuple(dict.fromkeys(fact for part in parts for fact in part.one_to_many)),
        table_names=tuple(dict.fromkeys(name for part in parts for name in part.table_names)),
        lookup_targets=_united(part.lookup_targets for part in parts),
        navigations=_united(part.navigations for part in parts),
    )


_K = TypeVar("_K")
_V = TypeVar("_V")


def _united(mappings: Iterable[Mapping[_K, _V]]) -> dict[_K, _V]:
    united: dict[_K, _V] = {}
    for mapping in mappings:
        united.update(mapping)
    return united
