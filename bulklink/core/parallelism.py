"""Find how many requests at a time the service really works on.

Owns: trials of a higher or lower limit, and what they are judged by.
Does not know: pauses, batch sizes, clocks, what a request holds.
Source: own model, ``benchmarks/schedule.py`` and ``tests/simulation/test_schedule.py``.

A service with room answers twice as many requests in the same time; one that queues takes twice as long for each. So
the limit is doubled on trial, and kept if the rate (limit through time per operation) grows by a quarter of that. When
answers take much longer than they did, three quarters of the limit are tried on the same terms.
"""

from math import inf
from typing import Final

#: A trial keeps its limit if it gains this share of what a service without queues would give.
GAIN_SHARE_MIN: Final = 0.25
#: Answers that take this much longer than before hint at a queue.
SLOWDOWN: Final = 1.5
#: How long a refuted trial is not repeated; each refutation doubles it.
TRIAL_PAUSE_S: Final = 60.0
TRIAL_PAUSE_S_MAX: Final = 480.0
#: Fewer answers than this do not judge a round.
ROUND_REPLIES_MIN: Final = 4


class Round:
    """The answers to requests that left since the last decision; earlier ones tell of the state before it.

    settles: another limit shows its effect only when the first request sent under it has come back.
    """

    def __init__(self, since_s: float, *, settles: bool = False) -> None:
        self._since_s = since_s
        self._settles = settles
        self._replies = 0
        self._operations = 0
        self._latency_s = 0.0
        self.in_flight_max = 0

    def add(self, operations: int, sent_s: float, received_s: float, in_flight: int) -> None:
        """Count an answer in, if it belongs to the round."""
        if sent_s < self._since_s:
            return
        if self._settles:
            self._since_s, self._settles = received_s, False
            return
        self._replies += 1
        self._operations += operations
        self._latency_s += max(0.0, received_s - sent_s)
        self.in_flight_max = max(self.in_flight_max, in_flight)

    def is_over(self, limit: int) -> bool:
        """Are there as many answers as requests are allowed in flight?"""
        return self._replies >= max(limit, ROUND_REPLIES_MIN)

    @property
    def operation_s(self) -> float:
        """How long one operation takes, seen from here."""
        return max(self._latency_s, 1e-6) / max(self._operations, 1)


class Parallelism:
    """The limit on requests in flight, between 1 and `limit_max`."""

    def __init__(self, limit: int, limit_max: int) -> None:
        self.limit_max = limit_max
        self.limit = min(limit, limit_max)
        self._trial: tuple[int, float] | None = None  # the limit before, and its rate
        self._not_before_s = -inf
        self._pause_s = TRIAL_PAUSE_S
        self._usual_operation_s = inf
        self._was_good = 0  # up to here it needs no trial

    def cut(self, factor: float, now_s: float, pause_s: float, *, was_good: bool) -> None:
        """Something went wrong that fewer requests may avoid. pause_s: before more are tried again.

        was_good: an outage, not the limit, is to blame: when it is over, the limit comes back without trials.
        """
        self._was_good = max(self.limit, self._was_good) if was_good else 0
        self.limit = max(1, int(self.limit * factor))
        self._trial = None
        self._not_before_s = now_s + pause_s

    def learn(self, operation_s: float, now_s: float, *, was_used: bool) -> bool:
        """A round is over. was_used: the limit was reached in it. Returns whether the limit has changed."""
        if not was_used:
            return False
        rate = self.limit / operation_s
        if self._trial:
            before, rate_before = self._trial
            self._trial = None
            if rate < rate_before * (1 + GAIN_SHARE_MIN * (self.limit / before - 1)):
                self._take_back(before, rate_before, now_s)
                return True
            self._pause_s = TRIAL_PAUSE_S
        self._usual_operation_s = min(self._usual_operation_s, operation_s)
        if now_s < self._not_before_s:
            return False
        if self.limit < self._was_good:
            self.limit = min(2 * self.limit, self._was_good)
            return True
        is_slow = operation_s > SLOWDOWN * self._usual_operation_s
        limit = max(1, self.limit * 3 // 4) if is_slow else min(2 * self.limit, self.limit_max)
        if limit == self.limit:
            return False
        self._trial = (self.limit, rate)
        self.limit = limit
        return True

    def _take_back(self, limit: int, rate: float, now_s: float) -> None:
        self.limit = limit
        # What operations take now is what they take: not a queue of our making.
        self._usual_operation_s = limit / rate
        self._not_before_s = now_s + self._pause_s
        self._pause_s = min(TRIAL_PAUSE_S_MAX, 2 * self._pause_s)
