"""How far a run is, for listeners.

Owns: the rate of late, the guess at the time left, the pause that is being waited for.
Does not know: terminals.
"""

from collections import deque
from typing import Final

from bulklink.core.engine import Engine
from bulklink.core.ledger import Ledger
from bulklink.driving import Clock
from bulklink.listener import Progress
from bulklink.vocabulary import Outcome

#: Seconds over which the rate is taken.
WINDOW_S: Final = 20.0


class ProgressMeter:
    """Reads the books of a run that goes on."""

    def __init__(self, ledger: Ledger, engine: Engine, clock: Clock) -> None:
        self._ledger = ledger
        self._engine = engine
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def progress(self) -> Progress:
        """How far the run is now."""
        now_s = self._clock.monotonic()
        done, total = self._ledger.settled, len(self._ledger.outcomes)
        self._seen.append((now_s, done))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        rate = (done - before) / (now_s - since_s) if now_s > since_s else 0.0
        waiting = self._engine.waiting(now_s)
        counts = self._ledger.counts()
        return Progress(
            rows_total=total,
            rows_done=done,
            outcomes={outcome.word: n for outcome, n in counts.items() if outcome is not Outcome.NONE},
            rate=rate,
            in_flight=self._engine.in_flight,
            waiting_until=self._clock.wall() + waiting[0] - now_s if waiting else None,
            why=waiting[1] if waiting else "",
            seconds_left=(total - done) / rate if rate > 0 else None,
        )
