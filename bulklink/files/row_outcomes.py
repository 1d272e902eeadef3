"""How every row ended, in input order: the journal's blocks turned round.

Owns: one outcome code and one place per row (5 bytes); which block is right for a row; the books.
Does not know: cells, files for people.
Method: most blocks have one value per column for all their rows; of these a row needs only the block's number. The rows
of the other blocks are sorted into pieces of `CHUNK_ROWS` consecutive positions, in a temporary file if they are many.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bulklink.core.ledger import OutcomeBlock, Texts
from bulklink.errors import BooksError, ExitCode
from bulklink.files.block_sorting import CHUNK_ROWS, SortedPieces, joined, listed, selected
from bulklink.files.entries import SentBatch
from bulklink.files.journal import Journal
from bulklink.files.writing import words_for_disk_trouble
from bulklink.vocabulary import AS_ASKED, UNFINISHED, Before, Outcome

_NOTHING, _RARE = 0, 1  # places that stand for no block, and for the sorted pieces
_IS_ASKED: Final = np.array([outcome in AS_ASKED for outcome in Outcome], np.bool_)
_IS_OPEN: Final = np.array([outcome in {Outcome.NONE, *UNFINISHED} for outcome in Outcome], np.bool_)
IN_DOUBT_MESSAGE: Final = "sent, and no answer is known yet; running again settles it"


@dataclass(frozen=True, slots=True)
class Books:
    """The rows of a run by outcome. `as_asked` counts a duplicate as the row that it repeats."""

    rows: int
    counts: Mapping[Outcome, int]
    as_asked: int
    not_as_asked: int

    def check(self) -> None:
        """Raise BooksError unless every row has exactly one outcome."""
        total = sum(self.counts.values())
        if total != self.rows or self.as_asked + self.not_as_asked != self.rows or self.counts.get(Outcome.NONE):
            raise BooksError(
                f"the books do not balance: {self.rows} rows, {total} outcomes, "
                f"{self.as_asked} as asked and {self.not_as_asked} not as asked"
            )

    @property
    def unfinished(self) -> int:
        """Rows in doubt or not attempted."""
        return sum(self.counts.get(outcome, 0) for outcome in UNFINISHED)

    def exit_code(self) -> ExitCode:
        """0, 3, or 4 if rows are in doubt or were not attempted."""
        if self.unfinished:
            return ExitCode.STOPPED_EARLY
        return ExitCode.TROUBLES if self.not_as_asked else ExitCode.AS_ASKED


class _Common(NamedTuple):
    before: int
    http_status: int
    attempts: int
    code: str
    message: str
    request_id: str


@dataclass(slots=True)
class OutcomeColumns:
    """The outcomes of consecutive rows. Texts are arrow strings, the rest is numpy; n rows.

    before_ids: (k, 16) for the k rows whose `before` is `POINTS_AT`, in order. refers_to: (n,) -1 = none.
    """

    outcome: NDArray[np.uint8]
    before: NDArray[np.uint8]
    before_ids: NDArray[np.uint8]
    code: pa.Array
    message: pa.Array
    http_status: NDArray[np.uint16]
    request_id: pa.Array
    attempts: NDArray[np.uint8]
    refers_to: NDArray[np.int64]

    def overlay(self, block: OutcomeBlock, at: NDArray[np.int64]) -> None:
        """Put the rows of a block, which are ascending, at these places."""
        for mine, others in (
            (self.before, block.before),
            (self.http_status, block.http_status),
            (self.attempts, block.attempts),
        ):
            mine[at] = others
        mask = np.zeros(len(self.outcome), np.bool_)
        mask[at] = True
        self.code = _replaced(self.code, mask, block.code)
        self.message = _replaced(self.message, mask, block.message)
        self.request_id = _replaced(self.request_id, mask, block.request_id)
        if block.refers_to is not None:
            self.refers_to[at] = block.refers_to
        ids = np.zeros((len(at), 16), np.uint8) if block.before_ids is None else block.before_ids
        self.before_ids = ids[block.before == Before.POINTS_AT]


class _CommonFacts:
    """What the rows of a block have in common: one line per block."""

    def __init__(self) -> None:
        self._lines: list[_Common] = []

    def add(self, common: _Common) -> int:
        """The place of a new line."""
        self._lines.append(common)
        return len(self._lines) - 1

    def close_intake(self) -> None:
        """Turn the lines into columns; after this `columns` may be called."""
        before, http_status, attempts, code, message, request_id = zip(*self._lines, strict=True)
        self._before = np.array(before, np.uint8)
        self._http_status = np.array(http_status, np.uint16)
        self._attempts = np.array(attempts, np.uint8)
        self._texts = [pa.array(texts, pa.string()) for texts in (code, message, request_id)]

    def columns(self, place: NDArray[np.int32], outcome: NDArray[np.uint8]) -> OutcomeColumns:
        """One row per place."""
        indices = pa.array(place)
        code, message, request_id = (texts.take(indices) for texts in self._texts)
        return OutcomeColumns(
            outcome,
            self._before[place],
            np.zeros((0, 16), np.uint8),
            code,
            message,
            self._http_status[place],
            request_id,
            self._attempts[place],
            np.full(len(place), -1, np.int64),
        )


class RowOutcomes:
    """The outcomes of `rows` rows as the journal has them at this moment.

    Rows that were sent and have no outcome are `IN_DOUBT`, other rows without one `NOT_ATTEMPTED`.
    Raises BooksError if the journal speaks of rows that do not exist or settles a row twice.
    """

    def __init__(self, journal: Journal, rows: int) -> None:
        self.rows = rows
        self.outcome: NDArray[np.uint8] = np.zeros(rows, np.uint8)
        self._place: NDArray[np.int32] = np.full(rows, _NOTHING, np.int32)
        self._facts = _CommonFacts()
        self._rare = SortedPieces(journal.path.parent)
        self._repeats = _Repeats()
        self._said = 0
        for _ in (_NOTHING, _RARE):
            self._facts.add(_Common(Before.UNKNOWN, 0, 0, "", "", ""))
        with words_for_disk_trouble(journal.path.parent):
            for block in journal.blocks():
                self._take(block)
            for batch in journal.unsettled_batches():
                self._doubt(batch)
            self._rare.close_intake()
        self._facts.close_intake()
        if self._said != np.count_nonzero(~_IS_OPEN[self.outcome]):
            raise BooksError("the journal settles a row twice")
        self.outcome[self.outcome == Outcome.NONE] = Outcome.NOT_ATTEMPTED
        self._failed_repeats = self._repeats.not_as_asked(self.outcome)

    def books(self) -> Books:
        """The counts, taken from one outcome per row."""
        found = np.bincount(self.outcome, minlength=len(Outcome))
        not_as_asked = sum(
            int(mask.sum()) for mask in (self.not_as_asked(start, stop) for start, stop in spans(self.rows))
        )
        as_asked = int(found[_IS_ASKED].sum()) + int(found[Outcome.DUPLICATE]) - len(self._failed_repeats)
        counts = {outcome: int(found[outcome]) for outcome in Outcome if found[outcome]}
        return Books(self.rows, counts, as_asked, not_as_asked)

    def not_as_asked(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Marks the rows from `start` to `stop` that are not as asked."""
        outcome = self.outcome[start:stop]
        mask: NDArray[np.bool_] = ~_IS_ASKED[outcome] & (outcome != Outcome.DUPLICATE)
        first, last = np.searchsorted(self._failed_repeats, (start, stop))
        mask[self._failed_repeats[first:last] - start] = True
        return mask

    def columns(self, start: int, stop: int) -> OutcomeColumns:
        """The outcomes of the rows from `start` to `stop`, which lie in one span of `spans`."""
        place = self._place[start:stop]
        columns = self._facts.columns(place, self.outcome[start:stop])
        rare = _last_of_each_row(self._rare.pieces(start // CHUNK_ROWS), start, place == _RARE)
        if rare is not None:
            columns.overlay(rare, rare.rows - start)
        return columns

    def _take(self, block: OutcomeBlock) -> None:
        if not len(block):
            return
        if int(block.rows.max()) >= self.rows or int(block.rows.min()) < 0:
            raise BooksError(f"the journal speaks of row {int(block.rows.max()) + 1} of {self.rows}")
        self.outcome[block.rows] = block.outcome
        self._said += int(np.count_nonzero(~_IS_OPEN[block.outcome]))
        common = _common_facts(block)
        if common is None:
            self._place[block.rows] = _RARE
            self._rare.add(block)
        else:
            self._place[block.rows] = self._facts.add(common)
        self._repeats.add(block)

    def _doubt(self, batch: SentBatch) -> None:
        had = self.outcome[batch.rows]
        unsaid = batch.select(had != Outcome.IN_DOUBT)
        count = len(unsaid.rows)
        doubt = np.full(count, Outcome.IN_DOUBT, np.uint8)
        self._take(
            OutcomeBlock(
                unsaid.rows,
                doubt,
                unsaid.before,
                unsaid.before_ids,
                attempts=unsaid.attempts,
                message=IN_DOUBT_MESSAGE,
            )
        )


def spans(rows: int) -> Iterator[tuple[int, int]]:
    """The spans of positions in which rows are put together."""
    return ((start, min(start + CHUNK_ROWS, rows)) for start in range(0, rows, CHUNK_ROWS))


class _Repeats:
    """Which row each duplicate repeats."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._targets: list[NDArray[np.int64]] = []

    def add(self, block: OutcomeBlock) -> None:
        repeats = block.outcome == Outcome.DUPLICATE
        if not repeats.any():
            return
        if block.refers_to is None or bool((block.refers_to[repeats] < 0).any()):
            raise BooksError("a duplicate does not say which row it repeats")
        self._rows.append(block.rows[repeats])
        self._targets.append(block.refers_to[repeats])

    def not_as_asked(self, outcome: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Positions of the duplicates whose row is not as asked, ascending."""
        if not self._rows:
            return np.zeros(0, np.int64)
        rows, targets = np.concatenate(self._rows), np.concatenate(self._targets)
        if bool((targets >= rows).any()):
            raise BooksError("a duplicate repeats a later row")
        order = np.argsort(rows)
        rows, targets = rows[order], targets[order]
        # An earlier row that is a duplicate itself stands for the row that it repeats; each step leads further back.
        while bool((again := outcome[targets] == Outcome.DUPLICATE).any()):
            targets[again] = targets[np.searchsorted(rows, targets[again])]
        return rows[~_IS_ASKED[outcome[targets]]]


def _common_facts(block: OutcomeBlock) -> _Common | None:
    """What all rows of the block share, None if they differ in anything."""
    if bool((block.before == Before.POINTS_AT).any()):
        return None
    if block.refers_to is not None and bool((block.refers_to >= 0).any()):
        return None
    texts = (block.code, block.message, block.request_id)
    if any(isinstance(text, list) and text.count(text[0]) != len(text) for text in texts):
        return None
    if any(bool((values != values[0]).any()) for values in (block.before, block.http_status, block.attempts)):
        return None
    code, message, request_id = (text if isinstance(text, str) else text[0] for text in texts)
    return _Common(int(block.before[0]), int(block.http_status[0]), int(block.attempts[0]), code, message, request_id)


def _replaced(texts: pa.Array, mask: NDArray[np.bool_], replacements: Texts) -> pa.Array:
    """The texts with the marked ones replaced, in order."""
    others = pa.array(listed(replacements, int(mask.sum())), pa.string())
    return pc.replace_with_mask(texts, pa.array(mask), others)


def _last_of_each_row(pieces: Iterable[OutcomeBlock], start: int, rare: NDArray[np.bool_]) -> OutcomeBlock | None:
    """The pieces as one block in order of rows: of each row marked in `rare` its last entry. None if there is none."""
    blocks = list(pieces)
    if not blocks:
        return None
    block = joined(blocks)
    inside = (block.rows >= start) & (block.rows < start + len(rare))
    chosen = np.flatnonzero(inside)
    chosen = chosen[rare[block.rows[chosen] - start]]
    backwards = chosen[::-1]
    _, last = np.unique(block.rows[backwards], return_index=True)
    return selected(block, backwards[last]) if len(chosen) else None
