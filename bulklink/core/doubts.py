"""Rows that were sent and whose answer nobody understood.

Owns: when such a row is read again, and from when on "not found" means "not done".
Does not know: what the read finds, or what is done about it.
Source: the public contract, `settle_after`; OData says nothing of lost answers, and a client's time-out does not stop
the server: a link that is missing now may still appear.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LOOK_AGAIN_S: Final = 1.0
LOOK_AGAIN_S_MAX: Final = 60.0
#: So many readings one after the other that brought nothing are enough, once a reading would be conclusive.
FAILED_LOOKS_MAX: Final = 8
DUE_ROWS_MAX: Final = 500


@dataclass(slots=True)
class Doubt:
    """One row's doubt. conclusive_s: from this moment on, a link that is not there was not made."""

    conclusive_s: float
    pause_s: float = LOOK_AGAIN_S
    failed_looks: int = 0


class Doubts:
    """The rows in doubt and their next looks."""

    def __init__(self) -> None:
        self._doubts: dict[int, Doubt] = {}
        self._agenda: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._doubts)

    def __contains__(self, row: int) -> bool:
        return row in self._doubts

    def rows(self) -> list[int]:
        """Every row in doubt, in order."""
        return sorted(self._doubts)

    def add(self, rows: Iterable[int], now_s: float, conclusive_s: float) -> None:
        """These rows are in doubt; an earlier doubt of the same row never ends sooner than it would have."""
        for row in rows:
            known = self._doubts.get(row)
            self._doubts[row] = Doubt(max(conclusive_s, known.conclusive_s) if known else conclusive_s)
            heapq.heappush(self._agenda, (now_s, row))

    def remove(self, row: int) -> None:
        """The row is known again."""
        self._doubts.pop(row, None)

    def is_conclusive(self, row: int, asked_s: float) -> bool:
        """Whether a read that was *sent* at `asked_s` and found nothing proves that nothing happened."""
        return asked_s >= self._doubts[row].conclusive_s

    def look_later(self, row: int, now_s: float) -> None:
        """The read proved nothing: read again after a pause that grows, and at the conclusive moment at the latest."""
        doubt = self._doubts[row]
        due_s = min(now_s + doubt.pause_s, max(doubt.conclusive_s, now_s + LOOK_AGAIN_S))
        doubt.pause_s = min(LOOK_AGAIN_S_MAX, doubt.pause_s * 2)
        doubt.failed_looks = 0
        heapq.heappush(self._agenda, (due_s, row))

    def could_not_look(self, row: int, now_s: float) -> bool:
        """The read failed: read again after a pause that grows. Returns whether that has happened too often."""
        doubt = self._doubts.get(row)
        if doubt is None:
            return False
        heapq.heappush(self._agenda, (now_s + doubt.pause_s, row))
        doubt.pause_s = min(LOOK_AGAIN_S_MAX, doubt.pause_s * 2)
        doubt.failed_looks += 1
        return doubt.failed_looks >= FAILED_LOOKS_MAX and now_s >= doubt.conclusive_s

    def due(self, now_s: float) -> list[int]:
        """Rows to read now, at most `DUE_ROWS_MAX`; each is on the agenda again only after `look_later`."""
        rows: dict[int, None] = {}
        while self._agenda and self._agenda[0][0] <= now_s and len(rows) < DUE_ROWS_MAX:
            _, row = heapq.heappop(self._agenda)
            if row in self._doubts:
                rows[row] = None
        return list(rows)

    def next_due_s(self) -> float | None:
        """The moment of the next look, if any."""
        while self._agenda and self._agenda[0][1] not in self._doubts:
            heapq.heappop(self._agenda)
        return self._agenda[0][0] if self._agenda else None
