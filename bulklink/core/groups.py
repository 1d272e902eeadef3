"""Rows that succeed or fail together on purpose.

Owns: when a group is complete and may go (every open row of it ready), and which row brought it down.
Does not know: batches, answers, outcomes of rows outside groups.
Source: the public contract, isolation `group`.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bulklink.core.packing import Draw, GroupPool, Locks

Rows = NDArray[np.int64]


class Groups:
    """A barrier per group: rows arrive one by one, the group leaves whole."""

    def __init__(self, group_of: NDArray[np.int32], buckets: NDArray[np.uint16]) -> None:
        """group_of: (rows,) the number of each row's group."""
        self._group_of = group_of
        self._open: dict[int, set[int]] = {}
        self._arrived: dict[int, list[int]] = {}
        self._failed: dict[int, int | None] = {}
        self._pool = GroupPool(buckets)

    def begin(self, open_rows: Rows, _known: list[int]) -> None:
        """Take note of the rows that are still to be settled."""
        for row in open_rows.tolist():
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
