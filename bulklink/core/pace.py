"""Decide when the next request may be sent, how many at a time, and how large: one gate for the signed-in user.

Owns: the pauses of the service protection limits, the batch size, when the degree of parallelism changes.
Does not know: what a request holds, reads or writes; sockets; it never sleeps and asks no clock.
Source: Microsoft Learn, "Service protection API limits" (6,000 requests and 1,200 s of execution in 300 s, 52
concurrent; 429 with Retry-After, lengthened for who goes on sending) and "Send parallel requests" (x-ms-dop-hint).

Pauses. The limits are the user's: after a 429 nobody sends before the longest Retry-After is over. Then requests start
one by one, further apart than a refusal takes to arrive: a limit that still holds is met by one request, not by all.
Parallelism. Starts at the hint and doubles per clean round (as many answers as are allowed in flight), each time on
trial (`parallelism`): a queue at the service sends no 429. After a limit on requests or on execution time it stays: the
best schedule spends the window as a burst and waits. The limit on concurrency and lost answers lower it.
Batch size. Starts small and doubles per round until an answer takes as long as it should; shrinks when it takes too
long, when the database timed out, when an answer was lost.
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

from bulklink.core.fault_codes import FAULT_CODES
from bulklink.core.parallelism import TRIAL_PAUSE_S, Parallelism, Round
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
#: Each gap is shorter than the one before, so that quick requests are not held up for long.
RESUME_GAP_SHRINK: Final = 0.97
#: How long batches do not grow after one was too much.
SHRUNK_S: Final = 60.0

#: Of so many answers of late (fading), such a share may be lost before fewer and smaller requests are tried.
LOSS_REPLIES: Final = 10
LOSS_SHARE_MAX: Final = 0.25
#: After that, growth is tried again.
LOSS_PAUSE_S: Final = 2.0

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


class Pace:
    """The gate. Ask `may_send`; tell it `sent` and `replied`."""

    def __init__(self, settings: PaceSettings) -> None:
        self._settings = settings
        limit_max = settings.concurrency or max(1, int(CONCURRENT_MAX * settings.share))
        self._parallelism = Parallelism(settings.concurrency or settings.start or START_LIMIT, limit_max)
        self._batch_size_max = min(settings.batch_size or OPERATIONS_MAX, OPERATIONS_MAX)
        self.batch_size = settings.batch_size or min(START_BATCH_SIZE, self._batch_size_max)
        self.throttled = 0
        self.waited_s = 0.0
        self._flying: dict[int, int] = {}
        self._not_before_s = -inf
        self._why = ""
        self._pauses = 0
        self._resume_gap_s = RESUME_GAP_S
        self._is_resuming = False
        self._next_slot_s = -inf
        self._cut_s = -inf
        self._takes_hint = settings.concurrency is None and settings.start is None
        self._round = Round(-inf)
        self._no_growth_before_s = -inf
        self._loss_share = 0.0
        self._window: deque[tuple[float, float]] = deque()
        self._window_s = 0.0
        self._shares = settings.share < 1

    # -- the gate ----------------------------------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """Requests allowed in flight."""
        return self._parallelism.limit

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
        if self._is_resuming and now_s < self._next_slot_s:
            return self._next_slot_s, "starting again after the pause, one request after the other"
        return self._wait_for_share(now_s) if self._shares else None

    def sent(self, number: int, operations: int, now_s: float) -> None:
        """A request leaves. Its number comes back with the answer."""
        self._flying[number] = operations
        if self._is_resuming:
            self._next_slot_s = now_s + self._resume_gap_s
            self._resume_gap_s *= RESUME_GAP_SHRINK
            self._is_resuming = self.in_flight < self.limit

    def replied(self, facts: ReplyFacts) -> None:
        """Learn from what became of a request."""
        in_flight = self.in_flight
        self._flying.pop(facts.number, None)
        latency_s = max(0.0, facts.received_s - facts.sent_s)
        if self._shares:
            self._window.append((facts.received_s, latency_s))
            self._window_s += latency_s
        is_lost = facts.lost or facts.status in _LOST_STATUSES
        self._loss_share += (is_lost - self._loss_share) / LOSS_REPLIES
        if facts.status == 429 or facts.throttled_code:
            self._throttle(facts, latency_s)
        elif is_lost:
            self._lose(facts, latency_s)
        elif facts.status:
            self._take_hint(facts)
            if facts.smaller:
                self._shrink(facts)
            if facts.sent_s >= self._not_before_s:
                self._pauses = 0
            if not facts.is_read and facts.status < 300:
                self._round.add(facts.operations, facts.sent_s, facts.received_s, in_flight)
                self._judge(facts.received_s)

    def batch_size_refused(self, maximum: int, *, is_for_good: bool = True) -> None:
        """A batch was refused as such. is_for_good: for its size; else something in it, which is soon found alone."""
        if is_for_good:
            self._batch_size_max = max(1, min(self._batch_size_max, maximum))
        self.batch_size = max(1, min(self.batch_size, maximum))

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
            self._cut(facts, 0.75, TRIAL_PAUSE_S, was_good=False)

    def _pause(self, now_s: float, until_s: float, why: str) -> None:
        if until_s <= self._not_before_s:
            return
        self.waited_s += until_s - max(now_s, self._not_before_s)
        self._not_before_s, self._why = until_s, why
        self._is_resuming = True
        self._next_slot_s = until_s

    def _lose(self, facts: ReplyFacts, latency_s: float) -> None:
        if facts.retry_after_s is not None:
            until_s = facts.received_s + facts.retry_after_s
            self._pause(facts.received_s, until_s, f"the service is not available (status {facts.status})")
        # A line that drops an answer now and then is no sign of load; fewer requests would only make the night longer.
        if self._loss_share >= LOSS_SHARE_MAX or latency_s > BATCH_S_MAX:
            self._cut(facts, 0.5, LOSS_PAUSE_S, was_good=True)
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

    def _take_hint(self, facts: ReplyFacts) -> None:
        if self._takes_hint and facts.dop_hint is not None:
            self._parallelism.limit = max(1, min(facts.dop_hint, self._parallelism.limit_max))
            self._takes_hint = False
            self._round = Round(facts.received_s, settles=True)

    def _cut(self, facts: ReplyFacts, factor: float, pause_s: float, *, was_good: bool) -> None:
        """Fewer at a time; once for all requests that left before the last cut."""
        self._takes_hint = False
        if facts.sent_s >= self._cut_s:
            self._cut_s = facts.received_s
            self._parallelism.cut(factor, facts.received_s, pause_s, was_good=was_good)
            self._round = Round(facts.received_s, settles=True)

    def _judge(self, now_s: float) -> None:
        """At the end of a round, one thing changes: the limit, or else the batch size."""
        one = self._round
        if not one.is_over(self.limit):
            return
        self._takes_hint = False
        has_changed = self._parallelism.learn(one.operation_s, now_s, was_used=one.in_flight_max >= self.limit)
        if not has_changed:
            self._fit_batch_size(one.operation_s, now_s)
        self._round = Round(now_s, settles=has_changed)

    # -- batch size --------------------------------------------------------------------------------------------------

    def _fit_batch_size(self, operation_s: float, now_s: float) -> None:
        batch_s = self.batch_size * operation_s
        fitting = int(BATCH_S / operation_s) if self._settings.batch_size is None else self._batch_size_max
        if batch_s > BATCH_S_MAX or (batch_s < BATCH_S_MIN and now_s >= self._no_growth_before_s):
            self.batch_size = max(1, min(fitting, 2 * self.batch_size, self._batch_size_max))

    def _shrink(self, facts: ReplyFacts) -> None:
        """A batch of so many operations was too much; one much smaller than usual did not fail for its size."""
        if facts.is_read or 2 * facts.operations < self.batch_size:
            return
        self.batch_size = max(1, min(self.batch_size, facts.operations // 2))
        self._no_growth_before_s = facts.received_s + SHRUNK_S
