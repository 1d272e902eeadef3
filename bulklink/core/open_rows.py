"""The rows that are known one by one: read before, coming back after a fault, or in doubt.

Owns: where such a row is at present, its pauses and its counts.
Does not know: what an answer means, or what a row's outcome is.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.doubts import Doubts
from bulklink.core.groups import Groups
from bulklink.core.packing import Draw, Locks, Pool
from bulklink.core.reply import Answer
from bulklink.core.verdict import ATTEMPTS_MAX, backoff_s
from bulklink.core.work import Found, Rows, Work

#: From a row's first passing fault on; then it is `exhausted`.
ROW_TIME_MAX_S: Final = 3600.0
ATTEMPTS_SHOWN_MAX: Final = 255  # what one byte holds


class Delayed(NamedTuple):
    """A row that may be sent again from `due_s` on."""

    due_s: float
    row: int
    alone: bool


class OpenRows:
    """Rows whose way is not the straight one."""

    def __init__(self, work: Work, rows: int, groups: Groups | None) -> None:
        self.attempts: NDArray[np.uint8] = np.zeros(rows, np.uint8)
        self.found: dict[int, Found] = {}
        self.doubts = Doubts()
        #: Rows that were ever sent without an understood answer -> from when on "not there" means "not done".
        self.doubted: dict[int, float] = {}
        #: The refusal of rows whose standing is being read.
        self.refused: dict[int, Answer] = {}
        #: Rows whose batch was refused as such: that is no fault of theirs, however often it is halved.
        self.halved: set[int] = set()
        self.retried = 0
        self._groups = groups
        self._pool = Pool(work.buckets)
        self._delayed: list[Delayed] = []
        self._faults: dict[int, tuple[int, float]] = {}

    @property
    def sendable(self) -> int:
        """Rows that could be sent now."""
        return self._pool.left + (self._groups.left if self._groups else 0)

    @property
    def waiting(self) -> int:
        """Rows that wait for a moment: after a fault, or in doubt."""
        return len(self._delayed) + len(self.doubts)

    def next_due_s(self) -> float | None:
        """The next moment at which a waiting row can move."""
        moments = [self._delayed[0].due_s if self._delayed else None, self.doubts.next_due_s()]
        return min((moment for moment in moments if moment is not None), default=None)

    def draw(self, rows_max: int, change_set_size: int, locks: Locks) -> Draw:
        """Ready rows for one batch."""
        if self._groups is not None:
            return self._groups.draw(rows_max, locks)
        return self._pool.draw(rows_max, change_set_size, locks)

    def count_attempt(self, rows: Rows) -> NDArray[np.uint8]:
        """These rows are being sent once more. Returns how often each has been sent now."""
        self.attempts[rows] = np.minimum(self.attempts[rows], ATTEMPTS_SHOWN_MAX - 1) + 1
        counts: NDArray[np.uint8] = self.attempts[rows]
        return counts

    def ready(self, rows: Sequence[int], *, alone: bool = False) -> list[tuple[int, int | None]]:
        """These rows can be sent; `alone`: each in a change set of its own.

        Returns (row, culprit) for the rows whose group has failed meanwhile.
        """
        if self._groups is not None:
            return self._groups.arrive(rows)
        self._pool.put(rows, alone=alone)
        return []

    def put_back(self, rows: Iterable[int], due_s: float, *, alone: bool) -> None:
        """These rows go again, not before `due_s`."""
        for row in rows:
            heapq.heappush(self._delayed, Delayed(due_s, row, alone))

    def wake(self, now_s: float) -> dict[bool, list[int]]:
        """The rows whose pause is over: those that go alone under True, the others under False."""
        due: dict[bool, list[int]] = {True: [], False: []}
        while self._delayed and self._delayed[0].due_s <= now_s:
            one = heapq.heappop(self._delayed)
            due[one.alone].append(one.row)
        return due

    def fault(self, row: int, now_s: float, limit: int = ATTEMPTS_MAX) -> float | None:
        """One more passing fault of a row. Returns the moment of its next try, None if it has had its share."""
        count, first_s = self._faults.get(row, (0, now_s))
        self._faults[row] = (count + 1, first_s)
        if count + 1 >= limit or now_s - first_s >= ROW_TIME_MAX_S:
            return None
        self.retried += 1
        return now_s + backoff_s(count + 1, _jitter(row, count))

    def throttled(self, row: int, now_s: float) -> bool:
        """The row met a limit of the service, however often: whether it may go on waiting for its turn."""
        _, first_s = self._faults.setdefault(row, (0, now_s))
        if now_s - first_s >= ROW_TIME_MAX_S:
            return False
        self.retried += 1
        return True

    def faults(self, row: int) -> int:
        """How many passing faults the row has met."""
        return self._faults.get(row, (0, 0.0))[0]

    def doubt(self, row: int, now_s: float, conclusive_s: float) -> None:
        """The row was sent and not answered: it is read, and "not there" counts from `conclusive_s` on."""
        self.doubted[row] = max(conclusive_s, self.doubted.get(row, 0.0))
        self.doubts.add([row], now_s, self.doubted[row])

    def forget(self, rows: Sequence[int]) -> None:
        """The rows are settled."""
        for known in (self.found, self.doubted, self.refused, self._faults):
            if known:
                for row in rows:
                    known.pop(row, None)
        if self.halved:
            self.halved.difference_update(rows)
        if len(self.doubts):
            for row in rows:
                self.doubts.remove(row)


def _jitter(row: int, count: int) -> float:
    """A number in [0, 1) that spreads rows evenly and needs no source of chance (Knuth's multiplicative hash)."""
    return ((row * 2654435761 + count * 40503) & 0xFFFF) / 0x10000
