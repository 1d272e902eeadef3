"""A job for a spreadsheet that nobody has described: what it most likely means, probed against the environment.

Owns: the order in which hints are gathered, the probing of keys, and when a choice is left to people.
Does not know: terminals, TOML.
Source: the public contract (README, "Commands": init).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from bulklink.connecting import Connection
from bulklink.core.facts import AlternateKey, Table
from bulklink.core.proposing import (
    MOSTLY,
    SAMPLE_ROWS,
    ColumnWords,
    Look,
    TableWords,
    look_at,
    rank_columns,
    rank_relationships,
    rank_tables,
    words,
)
from bulklink.core.relationships import Listed
from bulklink.core.resolving import KeyBook, KeyState, Match
from bulklink.errors import BulklinkError, JobError
from bulklink.files.readers import InputTable
from bulklink.service.describing import describe_columns, describe_tables
from bulklink.service.key_resolution import resolve_keys

#: Tables that a column without a telling header is probed in.
GUESSES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """What is known already. A side: (table, column or "" for the best one, header)."""

    relationship: str = ""
    from_side: tuple[str, str, str] | None = None
    to_side: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """How a header names a record. found, tried: distinct sample values that are exactly one record, and all."""

    header: str
    table: str
    column: str
    found: int
    tried: int
    is_alternate_key: bool = False
    is_primary_key: bool = False

    @property
    def share(self) -> float:
        """How many of the sample were found."""
        return self.found / self.tried if self.tried else 0.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A job that would run: the relationship as it is to be named, read on the from record."""

    relationship: str
    kind: str
    navigation_property: str
    from_key: Key
    to_key: Key
    action_header: str = ""
    score: float = 0.0


@dataclass(slots=True)
class Proposals:
    """What the input may mean, best first. is_clear: the first one is so much better that nobody need be asked."""

    candidates: list[Proposal] = field(default_factory=list)

    @property
    def is_clear(self) -> bool:
        """One candidate, or one that is better than all others."""
        scores = [one.score for one in self.candidates]
        return bool(scores) and (len(scores) == 1 or scores[0] > scores[1])


class Proposer:
    """Looks at one input and one environment. Sends nothing that writes."""

    def __init__(self, table: InputTable, connection: Connection, wish: Wish) -> None:
        self._input = table
        self._connection = connection
        self._wish = wish
        self._columns: dict[str, tuple[list[ColumnWords], list[AlternateKey]]] = {}
        self._probed: dict[tuple[str, str, str], Key] = {}
        self._listings: dict[str, list[Listed]] = {}

    async def propose(self) -> Proposals:
        """All that it may mean. Raises JobError if it means nothing."""
        looks = self._looks()
        action = next((look.header for look in looks if look.holds_actions), "")
        looks = [look for look in looks if look.header != action]
        tables = await describe_tables(self._connection.reader)
        keys = await self._keys(looks, tables)
        found = await (self._named(keys, action) if self._wish.relationship else self._related(keys, action))
        found.sort(key=lambda one: -one.score)
        if not found:
            raise JobError(
                _nothing_found(keys), hint="Say more: --from, --to, --relationship; see the examples in --help."
            )
        return Proposals(found)

    def _looks(self) -> list[Look]:
        chunk = next(self._input.chunks(SAMPLE_ROWS), None)
        if chunk is None:
            raise JobError("The input has no rows to look at.", hint="Give a file with some rows.")
        headers = [header for header in self._input.header if header.strip()]
        return [
            look_at(header, chunk.table.column(self._input.column_index(header)).to_pylist())
            for header in headers
            if self._input.header.count(header) == 1
        ]

    # -- which record a column may name --------------------------------------------------------------------------------

    async def _keys(self, looks: Sequence[Look], tables: Sequence[TableWords]) -> dict[str, list[Key]]:
        """Header -> the keys that it may be, best first; as given, where it was given."""
        by_name = {one.table.logical_name: one.table for one in tables}
        given = [side for side in (self._wish.from_side, self._wish.to_side) if side]
        for name, _, _ in given:
            if name not in by_name:
                await self._connection.metadata.table(name)  # says what is near
        told = {
            look.header: [table for _, table in rank_tables(look, tables)]
            for look in looks
            if look.header not in {header for _, _, header in given}
        }
        keys = {header: await self._given(looks, name, column, header) for name, column, header in given}
        known = {table.logical_name for found in told.values() for table in found} | {name for name, _, _ in given}
        for look in looks:
            if look.header in told:
                candidates = told[look.header] or await self._guesses(look, known, by_name)
                keys[look.header] = await self._best_keys(look, candidates)
        return {header: found for header, found in keys.items() if found}

    async def _given(self, looks: Sequence[Look], table: str, column: str, header: str) -> list[Key]:
        self._input.column_index(header)
        look = next((one for one in looks if one.header.strip() == header.strip()), Look(header, ()))
        found = await self._connection.metadata.table(table)
        if column:
            return [await self._probe(look, found, column)]
        return await self._best_keys(look, [found]) or [Key(header, table, found.primary_id, 0, len(look.values))]

    async def _guesses(self, look: Look, known: set[str], by_name: Mapping[str, Table]) -> list[Table]:
        """The tables related to those that other headers speak of: for ``E-mail`` or ``Id`` alone."""
        if not (look.holds_guids or look.e_mails >= MOSTLY):
            return []
        names = [one.other_table for table in sorted(known) for one in await self._listing(table) if one.kind == "N:N"]
        names += [one.other_table for table in sorted(known) for one in await self._listing(table)]
        return [by_name[name] for name in dict.fromkeys(names) if name in by_name][:GUESSES_MAX]

    async def _best_keys(self, look: Look, tables: Sequence[Table]) -> list[Key]:
        """For each table the column in which most of the sample is found; tables where none is found last."""
        best = []
        for table in tables:
            columns, keys = await self._described(table)
            probed = [
                await self._probe(look, table, one.column.logical_name)
                for one in rank_columns(look, table, columns, keys)
            ]
            if probed:
                best.append(max(probed, key=lambda key: (key.share, key.is_alternate_key)))
        # A stable sort: where the sample says nothing, the header's words do.
        return sorted(best, key=lambda key: -key.share)

    async def _described(self, table: Table) -> tuple[list[ColumnWords], list[AlternateKey]]:
        name = table.logical_name
        if name not in self._columns:
            columns = await describe_columns(self._connection.reader, name)
            self._columns[name] = columns, await self._connection.metadata.alternate_keys(name)
        return self._columns[name]

    async def _probe(self, look: Look, table: Table, column: str) -> Key:
        """Look for the sample in one column of one table."""
        place = (look.header, table.logical_name, column)
        if place not in self._probed:
            match: Match = await self._connection.metadata.match(table.logical_name, [column])
            book = KeyBook(match)
            numbers = np.unique(book.add([pa.array(look.values, pa.string())])) if look.values else np.zeros(0, int)
            resolution = await resolve_keys(self._connection.reader, self._connection.metadata, book)
            found = int((resolution.states[numbers] == KeyState.RESOLVED).sum())
            _, keys = await self._described(table)
            is_key = any(key.is_active and key.columns == (column,) for key in keys)
            self._probed[place] = Key(
                look.header, table.logical_name, column, found, len(numbers), is_key, column == table.primary_id
            )
        return self._probed[place]

    # -- which relationship ------------------------------------------------------------------------------------------

    async def _listing(self, table: str) -> list[Listed]:
        if table not in self._listings:
            self._listings[table] = await self._connection.metadata.listing(table)
        return self._listings[table]

    def _pairs(self, keys: Mapping[str, list[Key]]) -> Iterator[tuple[Key, Key]]:
        """Two different columns each; as given, where sides were given."""
        wish = self._wish
        for one, other in itertools.permutations(keys, 2):
            if one in (wish.from_side or (one,))[-1:] and other in (wish.to_side or (other,))[-1:]:
                yield from itertools.product(keys[one], keys[other])

    async def _named(self, keys: Mapping[str, list[Key]], action: str) -> list[Proposal]:
        """The pairs between which the relationship of this name runs."""
        name, found, errors = self._wish.relationship, list[Proposal](), list[BulklinkError]()
        for from_key, to_key in self._pairs(keys):
            if not self._is_meant(from_key, to_key):
                continue
            try:
                meant = await self._connection.metadata.relationship(name, from_key.table, to_key.table)
            except BulklinkError as error:
                errors.append(error)
                continue
            mirrored = any((one.from_key, one.to_key) == (to_key, from_key) for one in found)
            if not meant.turned and (not mirrored or from_key.table == to_key.table):
                weight = 10 * (from_key.share + to_key.share)
                kind, navigation = meant.cardinality.value, meant.navigation_property
                found.append(Proposal(name, kind, navigation, from_key, to_key, action, weight))
        if not found and errors:
            raise errors[0]
        return found

    async def _related(self, keys: Mapping[str, list[Key]], action: str) -> list[Proposal]:
        """All relationships between the tables that two columns may name; each once, unless it is a table's own."""
        hints = [word for found in self._input.found for word in words(Path(found.file).stem.replace("_", " "))]
        hints += [word for header in self._input.header for word in words(header)]
        proposals: list[Proposal] = []
        seen: set[tuple[str, frozenset[Key]]] = set()
        for from_key, to_key in self._pairs(keys):
            if not self._is_meant(from_key, to_key):
                continue
            listed = [(from_key.table, one) for one in await self._listing(from_key.table)]
            for score, _, one in rank_relationships(listed, [(from_key.table, to_key.table)], hints):
                is_own = from_key.table == to_key.table
                if not is_own and (one.name, frozenset((from_key, to_key))) in seen:
                    continue
                seen.add((one.name, frozenset((from_key, to_key))))
                name = one.navigation_property if is_own else one.name
                weight = score + 10 * (from_key.share + to_key.share)
                proposals.append(Proposal(name, one.kind, one.navigation_property, from_key, to_key, action, weight))
        return proposals

    def _is_meant(self, from_key: Key, to_key: Key) -> bool:
        """Of both sides something was found in the sample, or both were given."""
        return bool(self._wish.from_side and self._wish.to_side) or (from_key.share > 0 and to_key.share > 0)


def _nothing_found(keys: Mapping[str, list[Key]]) -> str:
    told = "; ".join(
        f"{header}: {', '.join(f'{key.table}.{key.column} ({key.found} of {key.tried} found)' for key in found)}"
        for header, found in keys.items()
    )
    return f"No two columns of the input name records of related tables. {told}".strip()
