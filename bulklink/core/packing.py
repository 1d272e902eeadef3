"""Rows -> batches, so that no two batches in flight touch one busy record.

Owns: which rows go next, hub by hub, in a stable order; the locks of the records in flight.
Does not know: what a row asks for, how a batch is written, time.
Method: rows are dealt into buckets by their record on the busier side; a bucket is locked while a batch of it is in
flight. The fullest free bucket goes first: the longest queue is the one that decides when the run ends.
Source: Microsoft Learn, "Send parallel requests"; architecture notes in README, "How it works".
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.wishes import Ids, mix_ids

Rows = NDArray[np.int64]

BUCKETS_MAX: Final = 1 << 14
ROWS_PER_BUCKET: Final = 8  # about; few enough that two hubs rarely meet in one bucket
SKETCH: Final = 1 << 14


class BusySide:
    """Finds the side on which records repeat more, in flat memory."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, SKETCH), np.int64)

    def add(self, from_ids: Ids, to_ids: Ids) -> None:
        """Count some resolved pairs."""
        for side, ids in enumerate((from_ids, to_ids)):
            places = (mix_ids(ids) % np.uint64(SKETCH)).astype(np.int64)
            self._counts[side] += np.bincount(places, minlength=SKETCH)

    @property
    def is_to(self) -> bool:
        """Whether the to records are the busier ones (by the sum of squared counts, an estimate of repetition)."""
        squares = (self._counts.astype(np.float64) ** 2).sum(axis=1)
        return bool(squares[1] > squares[0])


def bucket_count(rows: int) -> int:
    """How many buckets serve this many rows: a power of two from 256 to 16,384."""
    return min(BUCKETS_MAX, max(256, 1 << max(0, (rows // ROWS_PER_BUCKET).bit_length())))


def bucket_of(ids: Ids, buckets: int) -> NDArray[np.uint16]:
    """(n, 16) ids -> (n,) bucket numbers."""
    return (mix_ids(ids) % np.uint64(buckets)).astype(np.uint16)


class Draw(NamedTuple):
    """What goes into one batch: rows in order, and how many of them share each change set."""

    rows: Rows
    sizes: list[int]


class Locks:
    """How many batches in flight touch each bucket; full at `hub_parallelism`."""

    def __init__(self, hub_parallelism: int) -> None:
        self._most = hub_parallelism
        self._held: Counter[int] = Counter()

    def is_free(self, bucket: int) -> bool:
        """Whether one more batch may touch the bucket."""
        return self._held[bucket] < self._most

    def take(self, buckets: Iterable[int]) -> None:
        """A batch that touches these buckets is sent."""
        self._held.update(buckets)

    def give_back(self, buckets: Iterable[int]) -> None:
        """A batch that touched these buckets was answered or lost."""
        for bucket in buckets:
            self._held[bucket] -= 1
            if not self._held[bucket]:
                del self._held[bucket]


class Supply:
    """The rows that were not drawn yet, bucket by bucket, 4 bytes a row."""

    def __init__(self, buckets: NDArray[np.uint16], rows: Rows) -> None:
        dealt = buckets[rows]
        order = np.argsort(dealt, kind="stable")
        self._order = rows.astype(np.uint32 if len(buckets) < 1 << 32 else np.int64)[order]
        counts = np.bincount(dealt)
        numbers, ends = np.flatnonzero(counts), np.cumsum(counts)
        self._span = {
            bucket: [end - count, end]
            for bucket, end, count in zip(
                numbers.tolist(), ends[numbers].tolist(), counts[numbers].tolist(), strict=True
            )
        }
        self._heap = [(start - end, bucket) for bucket, (start, end) in self._span.items()]
        heapq.heapify(self._heap)
        self.left = len(order)

    def draw(self, rows_max: int, locks: Locks) -> Rows:
        """Up to `rows_max` rows of free buckets, the fullest bucket first; empty if none is free."""
        pieces, drawn, locked = [], 0, []
        while self._heap and drawn < rows_max:
            item = heapq.heappop(self._heap)
            bucket = item[1]
            if not locks.is_free(bucket):
                locked.append(item)
                continue
            span = self._span[bucket]
            start, end = span[0], min(span[1], span[0] + rows_max - drawn)
            pieces.append(self._order[start:end])
            drawn += end - start
            span[0] = end
            if end < span[1]:
                locked.append((end - span[1], bucket))
        for item in locked:
            heapq.heappush(self._heap, item)
        self.left -= drawn
        return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)


class Line:
    """The rows that were not drawn yet, in a given order: for groups, which must stay together."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._next = 0

    @property
    def left(self) -> int:
        """Rows not drawn yet."""
        return len(self._rows) - self._next

    def draw(self, rows_max: int, _locks: Locks) -> Rows:
        """The next `rows_max` rows; a complete group is checked against the locks later."""
        drawn = self._rows[self._next : self._next + rows_max]
        self._next += len(drawn)
        return drawn


class Pool:
    """Rows ready to be sent that are known one by one: read before, or sent before and coming back."""

    def __init__(self, buckets: NDArray[np.uint16]) -> None:
        self._bucket_of = buckets
        self._waiting: dict[int, deque[int]] = {}
        self._alone: set[int] = set()
        self.left = 0

    def put(self, rows: Iterable[int], *, alone: bool = False) -> None:
        """Take rows in; `alone`: each goes in a change set of its own."""
        for row in rows:
            self._waiting.setdefault(int(self._bucket_of[row]), deque()).append(int(row))
            self.left += 1
            if alone:
                self._alone.add(int(row))

    def draw(self, rows_max: int, change_set_size: int, locks: Locks) -> Draw:
        """Up to `rows_max` rows of free buckets, those that go alone last."""
        together: list[int] = []
        alone: list[int] = []
        for bucket in list(self._waiting):
            if len(together) + len(alone) >= rows_max:
                break
            if not locks.is_free(bucket):
                continue
            queue = self._waiting[bucket]
            while queue and len(together) + len(alone) < rows_max:
                row = queue.popleft()
                (alone if row in self._alone else together).append(row)
            if not queue:
                del self._waiting[bucket]
        self._alone.difference_update(alone)
        self.left -= len(together) + len(alone)
        sizes = [*set_sizes(len(together), change_set_size), *[1] * len(alone)]
        return Draw(np.array(together + alone, np.int64), sizes)


class GroupPool:
    """Groups that succeed or fail together: each is one change set, sent whole or not at all."""

    def __init__(self, buckets: NDArray[np.uint16]) -> None:
        self._bucket_of = buckets
        self._waiting: deque[list[int]] = deque()
        self.left = 0

    def put_group(self, rows: list[int]) -> None:
        """Take a group in, its rows in input order."""
        self._waiting.append(rows)
        self.left += len(rows)

    def draw(self, rows_max: int, locks: Locks) -> Draw:
        """Whole groups of free buckets up to `rows_max` rows; a larger group goes by itself."""
        rows: list[int] = []
        sizes: list[int] = []
        kept: deque[list[int]] = deque()
        mine: set[int] = set()
        while self._waiting and len(kept) < 256:
            group = self._waiting.popleft()
            buckets = {int(self._bucket_of[row]) for row in group}
            fits = not rows or len(rows) + len(group) <= rows_max
            if not fits or not all(bucket in mine or locks.is_free(bucket) for bucket in buckets):
                kept.append(group)
                if not fits:
                    break
                continue
            mine |= buckets
            rows += group
            sizes.append(len(group))
        self._waiting.extendleft(reversed(kept))
        self.left -= len(rows)
        return Draw(np.array(rows, np.int64), sizes)


def set_sizes(rows: int, change_set_size: int) -> list[int]:
    """How `rows` rows share change sets of at most `change_set_size`."""
    whole, rest = divmod(rows, change_set_size)
    return [change_set_size] * whole + ([rest] if rest else [])
