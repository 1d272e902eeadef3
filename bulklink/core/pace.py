"""Decide when the next request may be sent, how many at a time, and how large: one gate for the signed-in user.

Owns: the pauses of the service protection limits, the degree of parallelism, the batch size.
Does not know: what a request holds, reads or writes; sockets; it never sleeps and asks no clock.
Source: Microsoft Learn, "Service protection API limits" (6,000 requests and 1,200 s of execution in 300 s, 52
concurrent; 429 with Retry-After, lengthened for who goes on sending) and "Send parallel requests" (x-ms-dop-hint).

Pauses. The limits are the user's: after a 429 nobody sends before the longest Retry-After is over. Then requests start
one by one, further apart than a refusal takes to arrive: a limit that still holds is met by one request, not by all.
Parallelism. Starts at the hint and doubles per clean round (as many answers as are allowed in flight), each time on
trial: what does not raise the rate is taken back, for a queue at the service sends no 429. When answers take much
longer than they did, fewer are tried on the same terms. After a limit on requests or on execution time it stays:
the best schedule spends the window as a burst and waits. The limit on concurrency and lost answers lower it.
Batch size. Starts small and doubles per round until an answer takes as long as it should; shrinks when it takes too
long, when the database timed out, when an answer was lost.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from bulklink.core.fault_codes import FAULT_CODES
from bulklink.core.request import OPERATIONS_MAX

#: Requests in flight at most. Source: "Service protection API limits".
CONCURRENT_MAX: Final = 52
WINDOW_S: Final = 300.0
WINDOW_REQUESTS: Final = 6_000
WINDOW_EXECUTION_S: Final = 1_200.0
#: Requests in flight at first where the service gives no hint. Source: the value most often recorded.
START_LIMIT: Final = 4
#: Operations in the first batch. Source: "Service protection API limits", "start with 10".
START_BATCH_SIZE: Final = 10
#: Server time per batch: what is aimed at, and what is left alone. A lost answer leaves that much in doubt.
BATCH_S: Final = 5.0
BATCH_S_MIN: Final = 2.0
BATCH_S_MAX: Final = 10.0
#: Pauses where a 429 names none: 2 s, 4 s, 8 s ... Source: protocol 4.2.
PAUSE_S_MAX: Final = 300.0
#: Between the first requests after a pause; longer where refusals take longer to arrive.
RESUME_GAP_S: Final = 0.1
RESUME_GAP_S_MAX: Final = 1.0
#: A trial keeps its limit if it gains this share of what a service without queues would give.
GAIN_SHARE_MIN: Final = 0.25
#: Answers that take this much longer than before hint at a queue.
SLOWDOWN: Final = 1.5
#: How long a refuted trial is not repeated.
TRIAL_PAUSE_S: Final = 60.0
#: Fewer answers than this do not judge a round.
ROUND_REPLIES_MIN: Final = 4

_CONCURRENCY_CODE: Final = "0x80072326"
_LOST_STATUSES: Final = frozenset({408, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class PaceSettings:
    """None finds the best by itself. share: of the service protection window, (0, 1]; start: in flight at first."""

    concurrency: int | None = None
    batch_size: int | None = None
    share: float = 1.0
    start: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What became of one request. status 0: no answer; lost: it may have been executed nevertheless.

    throttled_code: of a 429, "" if it was none or had no code. smaller: the database timed out.
    """

    number: int
    operations: int
    sent_s: float
    received_s: float
    status: int
    throttled_code: str = ""
    retry_after_s: float | None = None
    dop_hint: int | None = None
    lost: bool = False
    smaller: bool = False
    is_read: bool = False


class _Round:
    """The answers since the last decision."""

    def __init__(self) -> None:
        self.replies = 0
        self.operations = 0
        self.latency_s = 0.0
        self.in_flight_max = 0

    def add(self, operations: int, latency_s: float, in_flight: int) -> None:
        self.replies += 1
        self.operations += operations
        self.latency_s += latency_s
        self.in_flight_max = max(self.in_flight_max, in_flight)

    @property
    def operation_s(self) -> float:
        """How long one operation takes, seen from here."""
        return max(self.latency_s, 1e-6) / max(self.operations, 1)


class Pace:
    """The gate. Ask `may_send`; tell it `sent` and `replied`."""

    def __init__(self, settings: PaceSettings) -> None:
        self._settings = settings
        self._limit_max = settings.concurrency or max(1, int(CONCURRENT_MAX * settings.share))
        self.limit = settings.concurrency or min(settings.start or START_LIMIT, self._limit_max)
        self._batch_size_max = min(settings.batch_size or OPERATIONS_MAX, OPERATIONS_MAX)
        self.batch_size = settings.batch_size or min(START_BATCH_SIZE, self._batch_size_max)
        self.throttled = 0
        self.waited_s = 0.0
        self._flying: dict[int, int] = {}
        self._not_before_s = -inf
        self._why = ""
        self._pauses = 0
        self._resume_gap_s = RESUME_GAP_S
        self._resuming = 0
        self._next_slot_s = -inf
        self._cut_s = -inf
        self._takes_hint = settings.concurrency is None and settings.start is None
        self._round = _Round()
        self._trial: tuple[int, float] | None = None
        self._no_trial_before_s = -inf
        self._no_growth_before_s = -inf
        self._usual_operation_s = inf
        self._window: deque[tuple[float, float]] = deque()
        self._window_s = 0.0
        self._shares = settings.share < 1

    # -- the gate ----------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests whose answers are awaited."""
        return len(self._flying)

    def may_send(self, now_s: float) -> bool:
        """May one more request leave now?"""
        return self.in_flight < self.limit and self.wait_until(now_s) is None

    def wait_until(self, now_s: float) -> tuple[float, str] | None:
        """Until when nothing is sent, and why, in words for people; None if only an answer is waited for, if at all."""
        if now_s < self._not_before_s:
            return self._not_before_s, self._why
        if self._resuming and now_s < self._next_slot_s:
            return self._next_slot_s, "starting again after the pause, one request after the other"
        return self._wait_for_share(now_s) if self._shares else None

    def sent(self, number: int, operations: int, now_s: float) -> None:
        """A request leaves. Its number comes back with the answer."""
        self._flying[number] = operations
        if self._resuming:
            self._resuming -= 1
            self._next_slot_s = now_s + self._resume_gap_s

    def replied(self, facts: ReplyFacts) -> None:
        """Learn from what became of a request."""
        in_flight = self.in_flight
        self._flying.pop(facts.number, None)
        latency_s = max(0.0, facts.received_s - facts.sent_s)
        if self._shares:
            self._window.append((facts.received_s, latency_s))
            self._window_s += latency_s
        if facts.status == 429 or facts.throttled_code:
            self._throttle(facts, latency_s)
        elif facts.lost or facts.status in _LOST_STATUSES:
            self._lose(facts)
        elif facts.status:
            self._take_hint(facts.dop_hint)
            if facts.smaller:
                self._shrink(facts)
            if facts.sent_s >= self._not_before_s:
                self._pauses = 0
            if not facts.is_read and facts.status < 300:
                self._round.add(facts.operations, latency_s, in_flight)
                self._judge(facts.received_s)

    def batch_size_refused(self, maximum: int) -> None:
        """The service named the most operations that it takes in one batch, or a batch was too large."""
        self._batch_size_max = max(1, min(self._batch_size_max, maximum))
        self.batch_size = min(self.batch_size, self._batch_size_max)

    # -- pauses ------------------------------------------------------------------------------------------------------

    def _throttle(self, facts: ReplyFacts, latency_s: float) -> None:
        now_s = facts.received_s
        self.throttled += 1
        is_first = facts.sent_s >= self._not_before_s
        self._resume_gap_s = min(RESUME_GAP_S_MAX, max(RESUME_GAP_S, 1.5 * latency_s))
        pause_s = facts.retry_after_s
        if pause_s is None:
            # Requests that left before the pause began tell nothing new about it.
            self._pauses += is_first
            pause_s = min(PAUSE_S_MAX, 2.0 ** min(max(self._pauses, 1), 10))
        meaning = FAULT_CODES.get(facts.throttled_code)
        self._pause(now_s, now_s + pause_s, f"service protection limit: {meaning.words if meaning else 'status 429'}")
        if facts.throttled_code == _CONCURRENCY_CODE:
            self._cut(facts, 0.75)

    def _pause(self, now_s: float, until_s: float, why: str) -> None:
        if until_s <= self._not_before_s:
            return
        self.waited_s += until_s - max(now_s, self._not_before_s)
        self._not_before_s, self._why = until_s, why
        self._resuming = self.limit
        self._next_slot_s = until_s

    def _lose(self, facts: ReplyFacts) -> None:
        if facts.retry_after_s is not None:
            until_s = facts.received_s + facts.retry_after_s
            self._pause(facts.received_s, until_s, f"the service is not available (status {facts.status})")
        self._cut(facts, 0.5)
        self._shrink(facts)

    def _wait_for_share(self, now_s: float) -> tuple[float, str] | None:
        """Keep to a part of the window, by the time that answers took."""
        window = self._window
        while window and window[0][0] <= now_s - WINDOW_S:
            self._window_s -= window.popleft()[1]
        share = self._settings.share
        in_flight_s = self.in_flight * (self._window_s / len(window) if window else 0.0)
        if self._window_s + in_flight_s < share * WINDOW_EXECUTION_S and len(window) < share * WINDOW_REQUESTS:
            return None
        return (window[0][0] + WINDOW_S if window else now_s), f"share: leaving {1 - share:.0%} of the window to others"

    # -- parallelism -------------------------------------------------------------------------------------------------

    def _take_hint(self, hint: int | None) -> None:
        if self._takes_hint and hint is not None:
            self.limit = max(1, min(hint, self._limit_max))
            self._takes_hint = False
            self._round = _Round()

    def _cut(self, facts: ReplyFacts, factor: float) -> None:
        """Fewer at a time; once for all requests that left before the last cut."""
        self._takes_hint = False
        if facts.sent_s < self._cut_s:
            return
        self._cut_s = facts.received_s
        self.limit = max(1, int(self.limit * factor))
        self._end_trial(facts.received_s)

    def _judge(self, now_s: float) -> None:
        """At the end of a round, one thing changes: the limit, or else the batch size."""
        if self._round.replies < max(self.limit, ROUND_REPLIES_MIN):
            return
        one, self._round = self._round, _Round()
        self._takes_hint = False
        if self._may_vary_limit() and one.in_flight_max >= self.limit and self._vary_limit(one.operation_s, now_s):
            return
        self._usual_operation_s = min(self._usual_operation_s, one.operation_s)
        self._fit_batch_size(one.operation_s, now_s)

    def _may_vary_limit(self) -> bool:
        return self._settings.concurrency is None or self.limit < self._settings.concurrency

    def _vary_limit(self, operation_s: float, now_s: float) -> bool:
        """Decide about a trial, or begin one. Returns whether the limit changed or is on trial."""
        rate = self.limit / operation_s
        if self._trial:
            before, rate_before = self._trial
            worth = 1 + GAIN_SHARE_MIN * (self.limit / before - 1)
            self._trial = None
            if rate < rate_before * worth:
                self.limit = before
                self._usual_operation_s = before / rate_before
                self._no_trial_before_s = now_s + TRIAL_PAUSE_S
                return True
        self._usual_operation_s = min(self._usual_operation_s, operation_s)
        if now_s < self._no_trial_before_s:
            return False
        if operation_s > SLOWDOWN * self._usual_operation_s and self.limit > 1:
            limit = max(1, self.limit * 3 // 4)
        else:
            limit = min(2 * self.limit, self._limit_max)
        if limit == self.limit:
            return False
        self._trial = (self.limit, rate)
        self.limit = limit
        return True

    def _end_trial(self, now_s: float) -> None:
        self._trial = None
        self._round = _Round()
        self._no_trial_before_s = now_s + TRIAL_PAUSE_S

    # -- batch size --------------------------------------------------------------------------------------------------

    def _fit_batch_size(self, operation_s: float, now_s: float) -> None:
        batch_s = self.batch_size * operation_s
        fitting = int(BATCH_S / operation_s) if self._settings.batch_size is None else self._batch_size_max
        if batch_s > BATCH_S_MAX or (batch_s < BATCH_S_MIN and now_s >= self._no_growth_before_s):
            self.batch_size = max(1, min(fitting, 2 * self.batch_size, self._batch_size_max))

    def _shrink(self, facts: ReplyFacts) -> None:
        """A batch of so many operations was too much."""
        self.batch_size = max(1, min(self.batch_size, facts.operations // 2))
        self._no_growth_before_s = facts.received_s + TRIAL_PAUSE_S
