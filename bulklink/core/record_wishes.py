"""What the rows of record and parties jobs wish for, judged over the whole input.

Owns: which rows speak of one record, which of them repeat or contradict each other, which share an operation.
Does not know: files, the service, what a body means.
Source: the public contract (README, "Outcomes").
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.wishes import Ids, Judgement, Rows, before_sending, mix_ids
from bulklink.vocabulary import Outcome


class RecordBook:
    """Finds the rows that speak of one record. Memory: 8 bytes a row."""

    def __init__(self, rows: int) -> None:
        self._marks: NDArray[np.uint64] = np.zeros(rows, np.uint64)
        self._present: NDArray[np.bool_] = np.zeros(rows, np.bool_)

    def add(self, rows: Rows, ids: Ids) -> None:
        """Take note of some rows and the ids of their records."""
        self._marks[rows] = mix_ids(ids)
        self._present[rows] = True

    def shared(self, read_ids: Callable[[Rows], Ids]) -> Iterator[list[int]]:
        """The rows of each record that has several, ascending."""
        rows = np.flatnonzero(self._present)
        order = rows[np.argsort(self._marks[rows], kind="stable")]
        marks = self._marks[order]
        starts = np.flatnonzero(np.r_[True, marks[1:] != marks[:-1]]) if len(order) else rows
        ends = np.r_[starts[1:], len(order)]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if end - start > 1:
                yield from _of_one_record(order[start:end], read_ids)


def _of_one_record(rows: Rows, read_ids: Callable[[Rows], Ids]) -> Iterator[list[int]]:
    blob = read_ids(rows).tobytes()
    by_id: dict[bytes, list[int]] = {}
    for k, row in enumerate(rows.tolist()):
        by_id.setdefault(blob[16 * k : 16 * k + 16], []).append(row)
    yield from (group for group in by_id.values() if len(group) > 1)


class Wish(NamedTuple):
    """One row's part in its record: rows of one key repeat each other."""

    row: int
    key: Hashable


def judge_repeats(wishes: Sequence[Wish], judgement: Judgement, name_row: Callable[[int], str], why: str) -> None:
    """Rows of one record that must all say the same: repeats are duplicates, anything else is a contradiction."""
    keys = {wish.key for wish in wishes}
    if len(keys) == 1:
        _note_duplicates([(wish.row, wishes[0].row) for wish in wishes[1:]], judgement)
        return
    messages = []
    for wish in wishes:
        against = next(other.row for other in wishes if other.key != wish.key)
        messages.append(f"contradicts {name_row(against)}: {why}")
    rows = np.array([wish.row for wish in wishes], np.int64)
    judgement.settled.append(before_sending(rows, Outcome.CONFLICTING, message=messages))


def judge_parts(wishes: Sequence[Wish], judgement: Judgement) -> None:
    """Rows of one record that each add a part to it: repeats are duplicates, the others go with the first."""
    firsts: dict[Hashable, int] = {}
    repeats = []
    for wish in wishes:
        first = firsts.setdefault(wish.key, wish.row)
        if first != wish.row:
            repeats.append((wish.row, first))
    _note_duplicates(repeats, judgement)
    primary, *riders = firsts.values()
    if riders:
        judgement.riders[primary] = riders


def _note_duplicates(repeats: Sequence[tuple[int, int]], judgement: Judgement) -> None:
    if repeats:
        block = before_sending(np.array([row for row, _ in repeats], np.int64), Outcome.DUPLICATE)
        block.refers_to = np.array([first for _, first in repeats], np.int64)
        judgement.settled.append(block)
