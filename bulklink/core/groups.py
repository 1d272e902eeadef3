"""Rows that succeed or fail together on purpose.

Owns: when a group is complete and may go (every open row of it ready), and which row brought it down.
Does not know: batches, answers, outcomes of rows outside groups.
Source: the public contract, isolation `group`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.packing import Draw, GroupPool, Locks
from bulklink.core.wishes import before_sending
from bulklink.vocabulary import AS_ASKED, Outcome

Rows = NDArray[np.int64]

_BAD: Final = np.array(
    [outcome for outcome in Outcome if outcome not in {Outcome.NONE, Outcome.DUPLICATE, *AS_ASKED}], np.uint8
)


def joined(group_of: NDArray[np.int32], riders: Mapping[int, Sequence[int]]) -> NDArray[np.int32]:
    """Make one group of those that share an operation: a move has one fate, so have the groups of its rows."""
    leader = np.arange(int(group_of.max(initial=-1)) + 1, dtype=np.int32)

    def lead(group: int) -> int:
        while leader[group] != group:
            group = int(leader[group])
        return group

    for row, others in riders.items():
        for other in others:
            leader[lead(int(group_of[other]))] = lead(int(group_of[row]))
    leads = np.array([lead(group) for group in range(len(leader))], np.int32)
    together: NDArray[np.int32] = leads[group_of]
    return together


def kept_back(group_of: NDArray[np.int32], ledger: Ledger, name_row: Callable[[int], str]) -> OutcomeBlock:
    """The open rows whose group has a row that is bad before anything was sent: none of such a group is sent."""
    bad = np.flatnonzero(np.isin(ledger.outcomes, _BAD))
    groups, firsts = np.unique(group_of[bad], return_index=True)
    rows = np.flatnonzero((ledger.outcomes == Outcome.NONE) & np.isin(group_of, groups))
    culprits = bad[firsts[np.searchsorted(groups, group_of[rows])]] if len(rows) else rows
    messages = [f"{name_row(culprit)} of its group failed" for culprit in culprits.tolist()]
    return before_sending(rows, Outcome.GROUP_FAILED, message=messages)


class Groups:
    """A barrier per group: rows arrive one by one, the group leaves whole."""

    def __init__(self, group_of: NDArray[np.int32], buckets: NDArray[np.uint16]) -> None:
        """group_of: (rows,) the number of each row's group."""
        self._group_of = group_of
        self._open: dict[int, set[int]] = {}
        self._arrived: dict[int, list[int]] = {}
        self._failed: dict[int, int | None] = {}
        self._pool = GroupPool(buckets)

    def begin(self, rows: Rows) -> None:
        """Take note of the rows that are still to be settled, those that only share an operation left out."""
        for row in rows.tolist():
            self._open.setdefault(int(self._group_of[row]), set()).add(row)

    def in_order(self, rows: Rows) -> Rows:
        """The rows, group by group, groups in the order of their first row."""
        groups = self._group_of[rows]
        _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
        ordered: Rows = rows[np.argsort(firsts[inverse], kind="stable")]
        return ordered

    @property
    def left(self) -> int:
        """Rows in groups that are complete."""
        return self._pool.left

    def arrive(self, rows: Iterable[int]) -> list[tuple[int, int | None]]:
        """These rows are ready to be sent. Returns (row, culprit) for those whose group has failed meanwhile."""
        fallen: list[tuple[int, int | None]] = []
        for row in rows:
            group = int(self._group_of[row])
            if group in self._failed:
                fallen.append((row, self._failed[group]))
                continue
            self._arrived.setdefault(group, []).append(row)
            self._leave_if_complete(group)
        return fallen

    def settled(self, row: int) -> None:
        """The row is out of its group, as asked."""
        group = int(self._group_of[row])
        self._open.get(group, set()).discard(row)
        self._leave_if_complete(group)

    def fail(self, row: int, culprit: int | None) -> list[int]:
        """The group of `row` falls. Returns its rows that are waiting; the others fall when they arrive."""
        group = int(self._group_of[row])
        self._failed.setdefault(group, culprit)
        return self._arrived.pop(group, [])

    def draw(self, rows_max: int, locks: Locks) -> Draw:
        """Complete groups for one batch."""
        return self._pool.draw(rows_max, locks)

    def _leave_if_complete(self, group: int) -> None:
        arrived = self._arrived.get(group)
        if arrived and len(arrived) == len(self._open.get(group, ())):
            self._pool.put_group(sorted(self._arrived.pop(group)))
