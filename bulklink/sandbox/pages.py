"""Pages of rows: what a read finds, filtered, sorted, counted, expanded by one level.

Owns: `Source` (rows before any filter), the SQL of a page, `$expand`.
Does not know: the grammar of filters, the shape of a record, which resource was asked for.
Source: Microsoft Learn, "Query data using the Web API", "Page results", "Join tables".
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from bulklink.sandbox import filters, rows
from bulklink.sandbox.errors import bad_syntax, no_property, not_supported
from bulklink.sandbox.model import (
    TARGET_SUFFIX,
    CollectionNavigation,
    LinkNavigation,
    LookupNavigation,
    Navigation,
    Table,
)
from bulklink.sandbox.options import PAGE_MAX, Options
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.storage import comparable, quoted

_EXPAND_MAX = 15
#: A place behind every row: the page after the last.
_BEYOND = 1 << 62
_EXPANSION = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of a table (as ``t``) under a condition."""

    table: Table
    condition: str = "1"
    parameters: tuple[Any, ...] = ()


@dataclass(slots=True)
class Page:
    """Rows as JSON, and the place of each in its table."""

    records: list[dict[str, Any]]
    places: list[int]


@dataclass(slots=True)
class Pages:
    """Reads pages of one organisation for a service at `api_url`."""

    organisation: Organisation
    api_url: str

    def one(self, table: Table, record_id: str) -> Source:
        """One record."""
        return Source(table, f"t.{quoted(table.primary_id)} = ?", (record_id,))

    def members(self, navigation: CollectionNavigation | LinkNavigation, record_id: str) -> Source:
        """The records that a collection-valued navigation property leads to."""
        table = self.organisation.model.tables.get(navigation.other)
        if table is None:
            raise not_supported(f"reading through '{navigation.name}', whose type '{navigation.other}' is abstract")
        if isinstance(navigation, LinkNavigation):
            return Source(
                table,
                f"t.{quoted(table.primary_id)} IN (SELECT {quoted(navigation.other_attribute)} "
                f"FROM {quoted(navigation.intersect)} WHERE {quoted(navigation.own_attribute)} = ?)",
                (record_id,),
            )
        column = table.columns[navigation.column]
        self.organisation.index(table, column)
        condition = f"t.{quoted(column.name)} = ?"
        if not column.is_polymorphic:
            return Source(table, condition, (record_id,))
        target = quoted(column.name + TARGET_SUFFIX)
        return Source(table, f"{condition} AND t.{target} = ?", (record_id, navigation.table))

    def target(self, navigation: LookupNavigation, record_id: str) -> tuple[Table, str] | None:
        """The record that a lookup of a record points at, if it points there by this navigation."""
        table = self.organisation.model.tables[navigation.table]
        record = self.organisation.read(table, record_id) or {}
        target = record.get(navigation.column + TARGET_SUFFIX) or next(iter(navigation.targets), "")
        if record.get(navigation.column) is None or target not in navigation.targets:
            return None
        return self.organisation.model.tables[target], record[navigation.column]

    def filtered(self, source: Source, options: Options) -> Source:
        """The rows that ``$filter`` leaves."""
        text = options.given.get("$filter")
        if not text:
            return source
        condition = filters.compile_filter(self.organisation, source.table, text, "t")
        return replace(
            source,
            condition=f"{source.condition} AND {condition.sql}",
            parameters=source.parameters + condition.parameters,
        )

    def count(self, source: Source) -> int:
        """How many rows."""
        sql = f"SELECT count(*) FROM {quoted(source.table.name)} t WHERE {source.condition}"
        (count,) = self.organisation.connection.execute(sql, source.parameters).fetchone()
        return int(count)

    def has(self, source: Source, record_id: str) -> bool:
        """Is the record among the rows?"""
        key = quoted(source.table.primary_id)
        return self.count(replace(source, condition=f"{source.condition} AND t.{key} = ?",
                                  parameters=(*source.parameters, record_id))) > 0  # fmt: skip

    def ids(self, source: Source) -> list[str]:
        """The ids of the rows of the first page."""
        name = quoted(source.table.primary_id)
        sql = f"SELECT t.{name} FROM {quoted(source.table.name)} t WHERE {source.condition} ORDER BY t.rowid LIMIT ?"
        return [row[0] for row in self.organisation.connection.execute(sql, (*source.parameters, PAGE_MAX))]

    def page(self, source: Source, options: Options, limit: int) -> Page:
        """Up to `limit` rows from where the paging cookie says."""
        selected = rows.selection(self.organisation.model, source.table, options.select, options.annotations)
        condition, parameters, offset = source.condition, source.parameters, 0
        order = self._order(source.table, options.order)
        number, place = options.cookie
        if number > 1 and order:
            offset = place
        elif number > 1:
            condition, parameters = f"{condition} AND t.rowid > ?", (*parameters, place)
        sql = (
            f"SELECT {selected.sql('t')} FROM {quoted(source.table.name)} t WHERE {condition} "
            f"ORDER BY {order}t.rowid LIMIT ? OFFSET ?"
        )
        found = self.organisation.connection.execute(sql, (*parameters, limit, offset)).fetchall()
        page = Page([selected.shown(row) for row in found], [row[0] for row in found])
        if options.given.get("$expand"):
            ids = [row[2 + selected.columns.index(source.table.columns[source.table.primary_id])] for row in found]
            self._expand(source.table, options.given["$expand"], zip(page.records, ids, strict=True))
        return page

    def _order(self, table: Table, text: str) -> str:
        parts = []
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, direction = item.partition(" ")
            column = self.organisation.model.properties[table.name].get(name)
            if column is None:
                raise no_property(name, table.name)
            if direction.strip() not in ("", "asc", "desc"):
                raise bad_syntax(f"Syntax error in $orderby '{text}'.")
            parts.append(f"{comparable(column, 't')} {direction}, ")
        return "".join(parts)

    # ------------------------------------------------------------------ $expand

    def _expand(self, table: Table, text: str, records: Any) -> None:
        expansions = self._expansions(table, text)
        for record, record_id in records:
            for navigation, options in expansions:
                if isinstance(navigation, LookupNavigation):
                    record[navigation.name] = self._single(navigation, options, record_id)
                else:
                    self._collection(navigation, options, record, record_id)

    def _expansions(self, table: Table, text: str) -> list[tuple[Navigation, Options]]:
        found, position = [], 0
        while position < len(text):
            match = _EXPANSION.match(text, position)
            if match is None or match.end() == position:
                raise bad_syntax(f"Syntax error in $expand '{text}'.")
            navigation = self.organisation.model.navigations[table.name].get(match[1])
            if navigation is None:
                raise no_property(match[1], table.name)
            given = dict(part.strip().split("=", 1) for part in (match[2] or "").split(";") if "=" in part)
            if "$expand" in given:
                raise not_supported("$expand inside $expand")
            found.append((navigation, Options(given)))
            position = match.end()
        if len(found) > _EXPAND_MAX:
            raise bad_syntax(f"The number of $expand options exceeds the maximum of {_EXPAND_MAX}.")
        return found

    def _single(self, navigation: LookupNavigation, options: Options, record_id: str) -> dict[str, Any] | None:
        target = self.target(navigation, record_id)
        found = self.page(self.one(*target), options, 1).records if target else []
        return found[0] if found else None

    def _collection(
        self,
        navigation: CollectionNavigation | LinkNavigation,
        options: Options,
        record: dict[str, Any],
        record_id: str,
    ) -> None:
        source = self.filtered(self.members(navigation, record_id), options)
        top = options.top()
        size = PAGE_MAX if top is None else min(top, PAGE_MAX)
        page = self.page(source, options, size)
        record[navigation.name] = page.records
        # The service gives this link even when nothing follows.
        place = page.places[-1] if len(page.places) == size and not options.order else _BEYOND
        table = self.organisation.model.tables[navigation.table]
        url = f"{self.api_url}/{table.entity_set}({record_id})/{navigation.name}"
        record[f"{navigation.name}@odata.nextLink"] = f"{url}?{options.query_for(2, place)}"
