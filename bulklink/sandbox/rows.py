"""Stored rows as the JSON of the Web API.

Owns: which columns a ``$select`` asks for, the shape of a record (etag, lookups, annotations), one level of
``$expand``.
Does not know: which rows.
Source: Microsoft Learn, "Select columns", "Retrieve data about lookup properties", "Join tables".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from bulklink.sandbox.context import etag
from bulklink.sandbox.errors import bad_syntax, no_property
from bulklink.sandbox.model import OPTIONS, TARGET_SUFFIX, Column, Kind, LookupNavigation, Model, Navigation, Table
from bulklink.sandbox.storage import quoted

_FORMATTED = "OData.Community.Display.V1.FormattedValue"
_LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
_LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"


@dataclass(slots=True)
class Selection:
    """The columns to read and how to show them.

    names: the ``$select`` as given. navigations: (lookup, target table) -> navigation property.
    """

    table: Table
    columns: list[Column]
    names: str
    annotations: frozenset[str]
    navigations: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def sql(self, alias: str) -> str:
        """What stands behind SELECT: version, the columns, and the targets of polymorphic lookups."""
        parts = [f"{alias}.rowid", f"{alias}.versionnumber"]
        parts += [f"{alias}.{quoted(c.name)}" for c in self.columns]
        parts += [f"{alias}.{quoted(c.name + TARGET_SUFFIX)}" for c in self.columns if c.is_polymorphic]
        return ", ".join(parts)

    def shown(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """One row as a JSON object."""
        record: dict[str, Any] = {"@odata.etag": etag(row[1])}
        for column, value in zip(self.columns, row[2:], strict=False):
            record[column.property_name] = bool(value) if column.kind is Kind.BOOLEAN and value is not None else value
        if self.annotations:
            self._annotate(record, row)
        return record

    def target(self, row: tuple[Any, ...], column: Column) -> str:
        """The table that a lookup of the row points at."""
        if not column.is_polymorphic:
            return column.targets[0] if column.targets else ""
        position = [c.name for c in self.columns if c.is_polymorphic].index(column.name)
        found: str | None = row[2 + len(self.columns) + position]
        return found or ""

    def _annotate(self, record: dict[str, Any], row: tuple[Any, ...]) -> None:
        for column in self.columns:
            name = column.property_name
            value = record[name]
            if value is None:
                continue
            if column.is_lookup:
                target = self.target(row, column)
                notes = {_LOOKUP_TABLE: target, _LOOKUP_NAVIGATION: self.navigations.get((column.name, target), "")}
            else:
                notes = {_FORMATTED: _formatted(column, value)}
            for term, text in notes.items():
                if text and any(fnmatchcase(term, wanted) for wanted in self.annotations):
                    record[f"{name}@{term}"] = text


def _formatted(column: Column, value: Any) -> str:
    if column.kind is Kind.BOOLEAN:
        return "Yes" if value else "No"
    if column.kind in OPTIONS:
        return dict(column.options).get(value, "")
    return ""


def selection(model: Model, table: Table, select: str, annotations: frozenset[str]) -> Selection:
    """What to show of a table's rows; the primary key comes with every selection."""
    navigations: dict[tuple[str, str], str] = {}
    if annotations:
        for navigation in model.navigations[table.name].values():
            if isinstance(navigation, LookupNavigation):
                navigations |= {(navigation.column, target): navigation.name for target in navigation.targets}
    if not select.strip() or select.strip() == "*":
        return Selection(table, list(table.columns.values()), "", annotations, navigations)
    names = list(dict.fromkeys(name.strip() for name in select.split(",")))
    columns = [_selected(model, table, name) for name in names]
    found = {c.name: c for c in columns}
    found.setdefault(table.primary_id, table.columns[table.primary_id])
    return Selection(table, list(found.values()), ",".join(names), annotations, navigations)


def _selected(model: Model, table: Table, name: str) -> Column:
    column = model.properties[table.name].get(name)
    if column is not None:
        return column
    navigation: Navigation | None = model.navigations[table.name].get(name)
    if isinstance(navigation, LookupNavigation):
        # The service takes the lookup's own name for its value.
        return table.columns[navigation.column]
    if navigation is not None:
        raise bad_syntax(f"The navigation property '{name}' cannot be selected; use $expand.")
    raise no_property(name, table.name)
