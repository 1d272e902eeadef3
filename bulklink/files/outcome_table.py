"""The outcomes as a table for people: the input's own cells and, behind them, what happened.

Owns: the columns of the outcomes files, their names and words.
Does not know: CSV, workbooks, the journal.
Source: the public contract (README, "Files of a run").
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bulklink.core.keys import guid_texts
from bulklink.files.row_outcomes import OutcomeColumns, RowOutcomes, spans
from bulklink.files.spool import Spool
from bulklink.vocabulary import OUTCOME_COLUMNS, Before, Outcome

#: The spool's fact that its rows have records whose ids people want to know.
RECORD_IDS: Final = "record ids"
_RECORD_ID: Final = "record_id"

_OUTCOME_WORDS: Final = pa.array([outcome.word for outcome in Outcome], pa.string())
_BEFORE_WORDS: Final = pa.array(["unknown", "absent", "present", ""], pa.string())
#: How the outcome of the row that a message names is put.
_TENSE: Final = {Outcome.IN_DOUBT: "is", Outcome.UNCHANGED: "is"}


class OutcomeTable:
    """The rows of an input with their outcomes, span by span."""

    def __init__(self, spool: Spool, outcomes: RowOutcomes) -> None:
        self._spool = spool
        self._outcomes = outcomes
        front = ["row", "file", "sheet"] if spool.parts else ["row"]
        taken = set(spool.header)
        self.front = [own_name(name, taken) for name in front]
        self._has_record_ids = RECORD_IDS in spool.metadata
        back = [*OUTCOME_COLUMNS, *([_RECORD_ID] if self._has_record_ids else [])]
        self.back = [own_name(name, taken) for name in back]
        self._part_names = [f"{file}, sheet {sheet}" if sheet else file for file, sheet in spool.parts]
        # The parts follow one another in the spool, so that halving finds where each begins.
        every = range(spool.n_rows)
        self._part_starts = [bisect_left(every, part, key=self._part_of) for part in range(len(spool.parts))]

    @property
    def header(self) -> list[str]:
        """The names of all columns."""
        return [*self.front, *self._spool.header, *self.back]

    @property
    def input_header(self) -> list[str]:
        """The names of the input's own columns."""
        return list(self._spool.header)

    def chunks(self) -> Iterator[tuple[pa.Table, NDArray[np.bool_]]]:
        """The table in pieces of consecutive rows, each with a mark on the rows that are not as asked."""
        for start, stop in spans(self._spool.n_rows):
            yield self._chunk(start, stop), self._outcomes.not_as_asked(start, stop)

    def troubles(self) -> Iterator[pa.Table]:
        """The rows that are not as asked, in pieces that are never empty."""
        for start, stop in spans(self._spool.n_rows):
            mask = self._outcomes.not_as_asked(start, stop)
            if mask.any():
                yield self._chunk(start, stop).filter(pa.array(mask))

    def input_cells(self, chunk: pa.Table) -> pa.Table:
        """The input's own columns of a chunk."""
        first = len(self.front)
        return chunk.select(range(first, first + len(self.input_header)))

    def _chunk(self, start: int, stop: int) -> pa.Table:
        front = [pa.array(self._spool.row_numbers(start, stop)), *self._spool.places(start, stop).columns]
        cells = self._spool.cells(start, stop).columns
        columns = self._outcomes.columns(start, stop)
        back = [
            _OUTCOME_WORDS.take(pa.array(columns.outcome)),
            _before_texts(columns),
            columns.code,
            self._messages(columns),
            pa.array(columns.http_status, mask=columns.http_status == 0),
            columns.request_id,
            pa.array(columns.attempts),
        ]
        if self._has_record_ids:
            back.append(self._record_ids(start, stop))
        return pa.Table.from_arrays([*front, *cells, *back], self.header)

    def _record_ids(self, start: int, stop: int) -> pa.Array:
        """The ids of the records of the rows that are as asked; of the others there may be none."""
        rows = np.arange(start, stop)
        ids = [guid.decode() for guid in guid_texts(self._spool.from_ids(rows))]
        known = self._spool.has_from_id(rows) & ~self._outcomes.not_as_asked(start, stop)
        return pc.if_else(pa.array(known), pa.array(ids, pa.string()), "")

    def _messages(self, columns: OutcomeColumns) -> pa.Array:
        """The messages, with the rows they refer to by name."""
        mask = columns.refers_to >= 0
        if not mask.any():
            return columns.message
        targets = columns.refers_to[mask]
        own = columns.message.filter(pa.array(mask)).to_pylist()
        found = self._outcomes.outcome[targets].tolist()
        abouts = zip(columns.outcome[mask].tolist(), self.row_names(targets), found, own, strict=True)
        texts = pa.array([_about(*about) for about in abouts], pa.string())
        return pc.replace_with_mask(columns.message, pa.array(mask), texts)

    def row_names(self, positions: NDArray[np.int64]) -> list[str]:
        """The rows at these positions as people know them."""
        names = [f"row {number}" for number in self._spool.row_numbers_at(positions).tolist()]
        if not self._spool.parts:
            return names
        parts = np.searchsorted(self._part_starts, positions, "right") - 1
        return [f"{name} of {self._part_names[part]}" for name, part in zip(names, parts.tolist(), strict=True)]

    def _part_of(self, position: int) -> int:
        file, sheet = self._spool.places(position, position + 1).to_pylist()[0].values()
        return self._spool.parts.index((file, sheet))


def _about(outcome: int, name: str, found: int, message: str) -> str:
    """What is told about a row whose fate hangs on the row called `name`."""
    fate = f"{_TENSE.get(Outcome(found), 'was')} {Outcome(found).word}"
    text = f"same as {name}, which {fate}" if outcome == Outcome.DUPLICATE else f"{name} {fate}"
    return f"{text}: {message}" if message else text


def own_name(name: str, taken: set[str]) -> str:
    """A name for a column of ours that no column of the input has."""
    while name in taken:
        name = f"bulklink_{name}"
    return name


def _before_texts(columns: OutcomeColumns) -> pa.Array:
    """absent, present, the id that a lookup held; unknown also where nobody looked."""
    texts = _BEFORE_WORDS.take(pa.array(columns.before))
    if not len(columns.before_ids):
        return texts
    ids = [guid.decode() for guid in guid_texts(columns.before_ids)]
    return pc.replace_with_mask(texts, pa.array(columns.before == Before.POINTS_AT), pa.array(ids, pa.string()))
