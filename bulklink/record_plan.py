"""A record job fitted to its input and its environment: which cell goes into which part of which record.

Owns: the columns, lookups, collections and nested records of a job, with types and navigation properties checked.
Does not know: the values of any row.
Source: the public contract (README, "Job file"); Microsoft Learn, "Web API navigation properties".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bulklink.core.facts import Column, ColumnKind
from bulklink.core.record_shape import BIND, RecordShape, Shown
from bulklink.core.record_values import check_writable
from bulklink.core.relationships import Cardinality, Relationship
from bulklink.errors import RelationshipError, nearest
from bulklink.files.readers.model import InputTable
from bulklink.first_pass import RowSide, row_side
from bulklink.job import Child, Job, Record, Side
from bulklink.service.metadata import Metadata
from bulklink.vocabulary import Action, Isolation


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell that becomes one column of the record."""

    column: Column
    position: int
    header: str


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """Cells that name the record a lookup points at.

    emptying: the navigation properties of its column. One that may point at several tables has as many, and each lets
    go of its own table's records only.
    """

    relationship: Relationship
    side: RowSide
    emptying: tuple[str, ...]

    @property
    def navigation(self) -> str:
        """The single-valued navigation property."""
        return self.relationship.navigation_property

    @property
    def entity_set(self) -> str:
        """Of the record it points at."""
        return self.relationship.to_table.entity_set


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """One cell that names several records."""

    navigation: str
    entity_set: str
    side: RowSide
    separator: str


@dataclass(frozen=True, slots=True)
class PartPlan:
    """Cells that make one record or one nested record. navigation: of a nested one, "" for the record itself."""

    navigation: str
    cells: tuple[CellPlan, ...]
    lookups: tuple[LookupPlan, ...]
    collections: tuple[CollectionPlan, ...] = ()

    @property
    def columns(self) -> tuple[int, ...]:
        """The input's columns that the part reads."""
        named = [column for side in self.sides for column in side.columns]
        return tuple(dict.fromkeys([*(cell.position for cell in self.cells), *named]))

    @property
    def sides(self) -> list[RowSide]:
        """The other records that the part names."""
        return [*(one.side for one in self.lookups), *(one.side for one in self.collections)]


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """A record job that fits.

    key: update, how the record is found. id_columns: create, whose cells make the record's id. id_names: what that id
    is made of besides. parts_column: the rows of one value are one record. group_column: isolation `group`.
    """

    shape: RecordShape
    own: PartPlan
    children: tuple[PartPlan, ...]
    key: RowSide | None
    id_columns: tuple[int, ...]
    id_names: tuple[str, ...]
    etag_column: int | None
    clear_marker: str
    parts_column: int | None
    group_column: int | None

    @property
    def sides(self) -> dict[str, RowSide]:
        """Every record that a row names, each under a name of its own."""
        found = {"record": self.key} if self.key else {}
        for part in (self.own, *self.children):
            found |= {side.name: side for side in part.sides}
        return found


def headers_used(job: Job, record: Record) -> list[str]:
    """The headers that the input must have."""
    found = [*record.match.values(), *record.columns.values(), *record.id_from]
    for side in (*record.lookups.values(), *record.collections.values()):
        found += side.headers
    for child in record.children.values():
        found += [*child.columns.values(), *(header for side in child.lookups.values() for header in side.headers)]
    found += [record.if_match] if record.if_match else []
    return list(dict.fromkeys([*found, *([job.send.group_by] if job.send.group_by else [])]))


async def plan_record(
    job: Job, record: Record, table: InputTable, metadata: Metadata, organisation_id: str
) -> RecordPlan:
    """Fit a record job. Raises errors with exit code 2, with the nearest name where a name is wrong."""
    planner = _Planner(table, metadata)
    found = await metadata.table(record.table)
    own = await planner.part("", record.table, record.columns, record.lookups, "lookups")
    collections = [await planner.collection(record.table, name, side) for name, side in record.collections.items()]
    own = PartPlan("", own.cells, own.lookups, tuple(collections))
    children = tuple([await planner.child(record.table, name, child) for name, child in record.children.items()])
    action = Action.CREATE if record.action == "create" else Action.UPDATE
    grouped = job.send.isolation is Isolation.GROUP
    group = table.column_index(job.send.group_by) if job.send.group_by else None
    parts_column = group if children and not grouped else None
    key = None
    if action is Action.UPDATE:
        side = Side(table=record.table, match=record.match)
        key = await row_side("record", "record", side, table, metadata)
    return RecordPlan(
        shape=RecordShape(found, action, _shown(own), tuple(child.navigation for child in children)),
        own=own,
        children=children,
        key=key,
        id_columns=_id_columns(record, table, own, children, parts_column),
        id_names=(organisation_id, job.name, record.table),
        etag_column=table.column_index(record.if_match) if record.if_match else None,
        clear_marker=record.clear_marker if action is Action.UPDATE else "",
        parts_column=parts_column,
        group_column=group if grouped else None,
    )


def _shown(own: PartPlan) -> tuple[Shown, ...]:
    cells = [Shown((cell.column.logical_name,), cell.column.property_name, cell.column.kind) for cell in own.cells]
    lookups = [
        Shown((one.navigation + BIND, *one.emptying), f"_{one.relationship.lookup_attribute}_value", ColumnKind.LOOKUP)
        for one in own.lookups
    ]
    return (*cells, *lookups)


def _id_columns(
    record: Record, table: InputTable, own: PartPlan, children: tuple[PartPlan, ...], parts_column: int | None
) -> tuple[int, ...]:
    """The columns whose cells make a record the same one when the job runs again."""
    if record.id_from:
        return tuple(table.column_index(header) for header in record.id_from)
    if parts_column is not None:
        return tuple(dict.fromkeys([parts_column, *own.columns]))
    return tuple(dict.fromkeys(column for part in (own, *children) for column in part.columns))


class _Planner:
    """Asks the metadata for each part of a job."""

    def __init__(self, table: InputTable, metadata: Metadata) -> None:
        self._table = table
        self._metadata = metadata

    async def part(
        self, navigation: str, table: str, columns: Mapping[str, str], lookups: Mapping[str, Side], told: str
    ) -> PartPlan:
        """The columns and lookups of one record."""
        cells = [await self._cell(table, name, header) for name, header in columns.items()]
        planned = [await self._lookup(table, name, side, f"{told}.{name}") for name, side in lookups.items()]
        return PartPlan(navigation, tuple(cells), tuple(planned))

    async def collection(self, table: str, name: str, side: Side) -> CollectionPlan:
        """Records to bind to a collection-valued navigation property."""
        relationship = await self._metadata.relationship(name, table, side.table)
        if relationship.cardinality is Cardinality.LOOKUP:
            raise RelationshipError(f"collections.{name}: {name} is a lookup of {table}.", hint="Give it in lookups.")
        told = f"collections.{name}"
        planned = await row_side(told, told, side, self._table, self._metadata)
        separator = getattr(side, "separator", ";")
        return CollectionPlan(relationship.navigation_property, relationship.to_table.entity_set, planned, separator)

    async def child(self, table: str, name: str, child: Child) -> PartPlan:
        """Records to create inside this one."""
        listed = [line for line in await self._metadata.listing(table) if line.kind != Cardinality.LOOKUP.value]
        hit = next((line for line in listed if line.navigation_property == name), None)
        if hit is None:
            near = nearest(name, [line.navigation_property for line in listed if line.navigation_property])
            raise RelationshipError(
                f"children.{name}: {table} has no collection-valued navigation property of this name.",
                hint=f"Did you mean {' or '.join(near)}?" if near else f"`bulklink relationships {table}` lists them.",
            )
        return await self.part(name, hit.other_table, child.columns, child.lookups, f"children.{name}.lookups")

    async def _cell(self, table: str, name: str, header: str) -> CellPlan:
        column = await self._metadata.column(table, name)
        check_writable(table, column)
        return CellPlan(column, self._table.column_index(header), header)

    async def _lookup(self, table: str, name: str, side: Side, told: str) -> LookupPlan:
        relationship = await self._metadata.relationship(name, table, side.table)
        if relationship.cardinality is not Cardinality.LOOKUP:
            raise RelationshipError(
                f"{told}: {name} is no lookup of {table}.", hint=f"`bulklink relationships {table}` lists its lookups."
            )
        emptying: tuple[str, ...] = (relationship.navigation_property,)
        if relationship.polymorphic:
            via = f"{table}.{relationship.lookup_attribute}"
            lookups = [line for line in await self._metadata.listing(table) if line.kind == Cardinality.LOOKUP.value]
            names = [line.navigation_property for line in lookups if line.via == via and line.navigation_property]
            emptying = tuple(dict.fromkeys(names))
        return LookupPlan(relationship, await row_side(told, told, side, self._table, self._metadata), emptying)
