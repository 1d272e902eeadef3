"""What a job needs to know of an environment, in few requests.

Owns: which definitions are fetched for a relationship, a listing or a side's key columns, and in which order.
Does not know: the JSON (definitions), the choice among relationships (core), HTTP.
Source: Microsoft Learn, "Query schema definitions using the Web API".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from bulklink.core import misnaming
from bulklink.core.answer import Answer
from bulklink.core.directions import doubtful_tables
from bulklink.core.facts import AlternateKey, Column, ColumnKind, Facts, Table, merged
from bulklink.core.key_values import Comparing
from bulklink.core.looking import get_request
from bulklink.core.relationships import Listed, Relationship, choose_relationship, list_relationships
from bulklink.core.resolving import Match
from bulklink.errors import BulklinkError, JobError, RelationshipError, StoppedEarly, nearest
from bulklink.service import definitions
from bulklink.service.reading import Reader, checked, refusal
from bulklink.service.sides import with_checked_sides

_Read = TypeVar("_Read")
#: Answers that say "there is no such thing here", not "you may not" or "not now".
_NOT_THERE: Final = frozenset({400, 404, 501})


class Metadata:
    """Facts of one environment, each fetched once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._facts = Facts()
        self._related: set[str] = set()
        self._columns: dict[str, dict[str, tuple[Column, str]]] = {}

    async def relationship(self, name: str, from_table: str, to_table: str = "") -> Relationship:
        """The relationship that a name means between two tables. Raises RelationshipError.

        One to three HTTP requests: definitions of both tables, the intersect table; `$metadata` only in doubt. Two
        more for a table related to itself by N:N.
        """
        await self._fetch_related([from_table, *([to_table] if to_table else [])])
        await self._fetch_intersects(from_table, to_table)
        await self._fetch_csdl(from_table, to_table)
        try:
            chosen = choose_relationship(self._facts, name, from_table, to_table)
        except RelationshipError:
            # Known elsewhere? Then the message can say which tables take part in it, and owners' collections are found.
            await self._fetch_named(name)
            chosen = choose_relationship(self._facts, name, from_table, to_table)
        return await with_checked_sides(chosen, self._reader)

    async def listing(self, table: str, with_table: str = "") -> list[Listed]:
        """A table's relationships, as `bulklink relationships` shows them."""
        await self._fetch_related([table, *([with_table] if with_table else [])])
        await self._fetch_csdl(table, with_table or table)
        return list_relationships(self._facts, table, with_table)

    async def table(self, name: str) -> Table:
        """One table. Raises RelationshipError with near misses if there is none of this name."""
        return (await self.tables([name]))[0]

    async def tables(self, names: Sequence[str]) -> list[Table]:
        """Several tables, in the order of their names."""
        missing = [name for name in dict.fromkeys(names) if name not in self._facts.tables]
        answers = await self._ask([definitions.table_url(name) for name in missing])
        await self._take_tables(missing, answers)
        return [self._facts.tables[name] for name in names]

    async def match(
        self, table: str, columns: Sequence[str], where: str = "", comparing: Comparing | None = None
    ) -> Match:
        """By which columns one side's records are found, with types, labels and what else their values need."""
        found = await self.table(table)
        typed = [await self._key_column(found, name) for name in columns]
        return Match(found, tuple(typed), where, comparing or Comparing())

    async def column(self, table: str, name: str) -> Column:
        """One column with what its values need. Raises JobError with near misses if there is none of this name."""
        known = await self._columns_of(table)
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {' or '.join(near)}?" if near else "Columns go by their logical name."
            raise JobError(f"Table {table} has no column {name!r}.", hint=hint)
        column, kind = known[name]
        if kind in definitions.LABELLED and not column.choices:
            (answer,) = await self._ask([definitions.labels_url(table, name, kind)])
            column = replace(column, choices=_if_there(answer, definitions.read_labels, {}))
        if column.kind is ColumnKind.DATETIME:
            (answer,) = await self._ask([definitions.days_url(table)])
            days: frozenset[str] = _if_there(answer, definitions.read_days, frozenset())
            column = replace(column, date_only=name in days)
        if column.kind is ColumnKind.LOOKUP:
            (answer,) = await self._ask([definitions.targets_url(table)])
            facts = _if_there(answer, partial(definitions.read_targets, table=table), Facts())
            column = replace(column, targets=facts.lookup_targets.get((table, name), ()))
        known[name] = (column, kind)
        return column

    async def _key_column(self, table: Table, name: str) -> Column:
        if name == table.primary_id:
            # Most jobs name records by their ids alone: nothing to ask.
            return Column(name, ColumnKind.GUID)
        return await self.column(table.logical_name, name)

    async def alternate_keys(self, table: str) -> list[AlternateKey]:
        """A table's alternate keys, also those that are not usable yet."""
        (answer,) = await self._ask([definitions.keys_url(table)])
        return _understood(answer, definitions.read_keys, f"the keys of {table}")

    async def record_count(self, table: str) -> int | None:
        """About how many records a table has (the service counts once a day); None if it does not say."""
        (answer,) = await self._ask([definitions.record_count_url(table)])
        return _if_there(answer, definitions.read_record_count, None)

    async def offers(self, message: str, table: str) -> bool:
        """Whether a message such as UpdateMultiple can be sent for a table."""
        (answer,) = await self._ask([definitions.message_url(message, table)])
        return _if_there(answer, definitions.has_records, False)

    async def organisation_id(self) -> str:
        """The environment's own id, which no change of its address changes."""
        answer = await self._reader.get("WhoAmI")
        return str(_understood(answer, definitions.read_who_am_i, "WhoAmI"))

    # -- fetching

    async def _fetch_related(self, tables: Iterable[str]) -> None:
        """The tables and every relationship that they take part in."""
        missing = [table for table in dict.fromkeys(tables) if table not in self._related]
        urls = [
            url(table)
            for table in missing
            for url in (
                definitions.table_url,
                definitions.many_to_many_url,
                definitions.collections_url,
                definitions.lookups_url,
            )
        ]
        answers = await self._ask(urls)
        await self._take_tables(missing, answers[0::4])
        for position, answer in enumerate(answers):
            if position % 4:
                self._learn(_understood(answer, definitions.read_relationships, urls[position]))
        self._related.update(missing)

    async def _fetch_intersects(self, from_table: str, to_table: str) -> None:
        pair = {from_table, to_table}
        needed = {f.intersect_table for f in self._facts.many_to_many if {f.table1, f.table2} == pair}
        missing = sorted(needed - self._facts.tables.keys())
        # A few intersect tables (campaignitem, listmember) have lookups for columns, which queries name otherwise.
        urls = [url(name) for name in missing for url in (definitions.table_url, definitions.targets_url)]
        answers = await self._ask(urls)
        for name, table, targets in zip(missing, answers[0::2], answers[1::2], strict=True):
            self._learn(_if_there(table, definitions.read_table, Facts()))
            self._learn(_if_there(targets, partial(definitions.read_targets, table=name), Facts()))

    async def _fetch_csdl(self, from_table: str, to_table: str) -> None:
        doubtful = doubtful_tables(self._facts, from_table, to_table)
        if doubtful:
            answer = await self._reader.get("$metadata", {"Accept": "application/xml"})
            read = _understood(answer, partial(definitions.read_navigations, tables=doubtful), "$metadata")
            self._learn(read)

    async def _fetch_named(self, name: str) -> None:
        for answer in await self._ask(list(definitions.named_urls(name))):
            self._learn(_if_there(answer, definitions.read_relationships, Facts()))

    async def _take_tables(self, names: Sequence[str], answers: Sequence[Answer]) -> None:
        for name, answer in zip(names, answers, strict=True):
            if answer.status in _NOT_THERE:
                raise await self._not_described(name, answer)
            self._learn(_understood(answer, definitions.read_table, f"the definition of {name}"))

    async def _not_described(self, name: str, refused: Answer) -> BulklinkError:
        """Why a table has no definition: most likely its name is wrong."""
        (answer,) = await self._ask([definitions.all_tables_url()])
        names = _if_there(answer, definitions.read_table_names, Facts()).table_names
        if name in names:
            return refusal(refused, f"the definition of {name}")
        return misnaming.unknown_table(name, names)

    async def _columns_of(self, table: str) -> dict[str, tuple[Column, str]]:
        if table not in self._columns:
            (answer,) = await self._ask([definitions.columns_url(table)])
            self._columns[table] = _understood(answer, definitions.read_columns, f"the columns of {table}")
        return self._columns[table]

    async def _ask(self, urls: Sequence[str]) -> list[Answer]:
        return await self._reader.ask([get_request(f"{self._reader.api_path}/{url}") for url in urls])

    def _learn(self, facts: Facts) -> None:
        self._facts = merged(self._facts, facts)


def _understood(answer: Answer, read: Callable[[bytes], _Read], what: str) -> _Read:
    """The answer as facts. Raises what a refusal means, or StoppedEarly if it is no such answer."""
    body = checked(answer, what).body
    try:
        return read(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoppedEarly(f"The service's answer to {what} is not understood: {error!r}") from error


def _if_there(answer: Answer, read: Callable[[bytes], _Read], otherwise: _Read) -> _Read:
    """The answer as facts; what is not there, or not offered, is no error here."""
    if answer.status in _NOT_THERE:
        return otherwise
    return _understood(answer, read, "a definition")
