"""The reading of a link job's input: every row is checked, spooled, and given the two records that it names.

Owns: which rows get their outcome by themselves or by their keys, each exactly once.
Does not know: relationships, how keys are asked for, sending.
Source: the public contract (README, "Job file", "Outcomes").
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bulklink.core.keys import GuidArray
from bulklink.core.ledger import OutcomeBlock
from bulklink.core.resolving import KeyBook, KeyState
from bulklink.core.row_keys import RowKeys, ScopedRowKeys
from bulklink.core.table import LinkColumns, check_links
from bulklink.core.wishes import before_sending
from bulklink.files.readers.model import InputTable, RawChunk
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.first_pass import STATE_OUTCOMES, Rows, RowSide, chunks_of, spans
from bulklink.vocabulary import Outcome


class LinkIntake:
    """Reads the input once, spools it, and settles what needs no service."""

    def __init__(
        self, sides: Sequence[RowSide], columns: LinkColumns, table: InputTable, directory: Path, scoped: str = ""
    ) -> None:
        """scoped: the side whose keys are looked for in the scope of the other side's record; "" for none."""
        self._columns = columns
        self._table = table
        self._path = directory / "input.arrow"
        self._sides = [side.name for side in sides]
        self._keys = _keys_of(sides, scoped)
        self._draft = directory / "input.draft.arrow" if self._keys else self._path
        self._fallen: list[Rows] = []
        self.books: Mapping[str, KeyBook] = {name: keys.book for name, keys in self._keys.items()}

    def read(self) -> Iterator[OutcomeBlock]:
        """Spool every row. Yields the rows that are wrong by themselves."""
        # Opened inside, so that a file that breaks off in the middle leaves no spool behind.
        parts = [(found.file, found.sheet) for found in self._table.found]
        with SpoolWriter(self._draft, self._table.header, parts=parts) as writer:
            for chunk in self._table.chunks():
                yield from self._take(chunk, writer)

    def _take(self, chunk: RawChunk, writer: SpoolWriter) -> Iterator[OutcomeBlock]:
        checked = check_links(chunk.table, self._columns)
        for name, found in zip(self._sides, (checked.from_side, checked.to_side), strict=False):
            if found is not None and name in self._keys:
                self._keys[name].add(found.keys)
        no_side = np.zeros((len(chunk.rows), 16), np.uint8)
        to_ids = checked.to_side.ids if checked.to_side else no_side
        writer.write(chunk, from_ids=checked.from_side.ids, to_ids=to_ids, actions=checked.actions)
        if checked.reasons:
            rows = np.array(list(checked.reasons), np.int64) + chunk.start
            self._fallen.append(rows)
            yield before_sending(rows, Outcome.INVALID, message=list(checked.reasons.values()))

    # -- business keys ---------------------------------------------------------------------------------------------

    def resolve(self) -> Iterator[OutcomeBlock]:
        """Write the spool again with the ids that the keys mean. Yields the rows whose keys mean no one record."""
        if not self._keys:
            return
        for keys in self._keys.values():
            keys.settle()
        draft = Spool.open(self._draft)
        fallen = np.zeros(draft.n_rows, np.bool_)
        for rows in self._fallen:
            fallen[rows] = True
        with SpoolWriter(self._path, draft.header, parts=draft.parts) as writer:
            for rows in spans(draft.n_rows):
                yield from self._falling(rows[~fallen[rows]])
                from_ids = self._ids("from", rows, draft.from_ids(rows))
                to_ids = self._ids("to", rows, draft.to_ids(rows))
                actions = draft.actions(rows)
                for chunk, within in chunks_of(draft, rows):
                    writer.write(chunk, from_ids=from_ids[within], to_ids=to_ids[within], actions=actions[within])
        draft.close()
        self._draft.unlink(missing_ok=True)

    def _ids(self, name: str, rows: Rows, spooled: GuidArray) -> GuidArray:
        return self._keys[name].ids(rows) if name in self._keys else spooled

    def _falling(self, rows: Rows) -> Iterator[OutcomeBlock]:
        """The rows of which a side means no one record: once each, with what is wrong on either side."""
        states = [(keys, keys.states(rows)) for keys in (self._keys[n] for n in self._sides if n in self._keys)]
        left = np.ones(len(rows), np.bool_)
        for state, outcome in STATE_OUTCOMES.items():
            hit = left & np.logical_or.reduce([one == state for _, one in states])
            left &= ~hit
            if hit.any():
                reasons = [
                    "; ".join(keys.reason(int(rows[k])) for keys, one in states if one[k] != KeyState.RESOLVED)
                    for k in np.flatnonzero(hit).tolist()
                ]
                yield before_sending(rows[hit], outcome, message=reasons)

    def spool(self) -> Spool:
        """The finished spool."""
        return Spool.open(self._path)


def _keys_of(sides: Sequence[RowSide], scoped: str) -> dict[str, RowKeys]:
    """The sides that are named by keys; a scoped one stands last, as it needs the other."""
    keys = {
        side.name: RowKeys(side.told, side.match)
        for side in sides
        if not side.match.is_primary_key and side.name != scoped
    }
    for side in sides:
        if side.name == scoped:
            (other,) = keys.values()
            keys[side.name] = ScopedRowKeys(side.told, side.match, other)
    return keys
