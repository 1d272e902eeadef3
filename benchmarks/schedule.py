"""How much of the best possible schedule does `Pace` reach under the service protection limits?

A model of the service on a virtual clock: sliding windows of 300 s with 6,000 requests and 1,200 s of execution,
charged at the start of a request; 52 requests at a time; a refused request counts too, and each one sent while blocked
lengthens the block by 5 s. A request takes 10 ms and its operations 10, 30 or 100 ms each, times a log-normal jitter
of sigma 0.2 around 1; the round trip takes 50 ms. 4.5 windows of work: a client that is not at its limit when a
window opens loses there what it gains elsewhere.

The ideal executes 1,200 s in each of the five windows that begin, in batches of 1,000. Strictly: the model lets no
request in that does not fit into what is left of the window, so that nobody can do better.

    python -m benchmarks.schedule [--seeds 20] [--policy pace|fixed-4|lone-sleepers]
"""

import argparse
import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bulklink.core.pace import Pace, PaceSettings, ReplyFacts

WINDOW_S = 300.0
WINDOWS = 4.5
REQUESTS = 6_000
EXECUTION_S = 1_200.0
CONCURRENT = 52
REQUEST_S = 0.010
ROUND_TRIP_S = 0.050
SIGMA = 0.2
EARLY_SEND_S = 5.0
OPERATION_S = (0.010, 0.030, 0.100)
BATCH_MAX = 1_000


@dataclass
class Limiter:
    """The service's side."""

    window: deque[tuple[float, float]] = field(default_factory=deque)  # (start, execution), 0 for refused requests
    execution_s: float = 0.0
    ends: list[float] = field(default_factory=list)
    blocked_until_s: float = -math.inf
    blocked_by: str = ""
    sent_while_blocked: int = 0
    concurrent_max: int = 0

    def arrive(self, now_s: float, execution_s: float) -> tuple[str, float] | None:
        """None lets the request in; else the code of the refusal and its Retry-After."""
        while self.window and self.window[0][0] <= now_s - WINDOW_S:
            self.execution_s -= self.window.popleft()[1]
        while self.ends and self.ends[0] <= now_s:
            heapq.heappop(self.ends)
        self.window.append((now_s, 0.0))
        if now_s < self.blocked_until_s:
            self.sent_while_blocked += 1
            self.blocked_until_s += EARLY_SEND_S
            return self._refuse(self.blocked_by, now_s)
        if len(self.window) > REQUESTS:
            self.blocked_until_s = self.window[len(self.window) - REQUESTS][0] + WINDOW_S
            return self._refuse("0x80072322", now_s)
        if self.execution_s + execution_s > EXECUTION_S:
            self.blocked_until_s = self._room_at(execution_s)
            return self._refuse("0x80072321", now_s)
        if len(self.ends) >= CONCURRENT:
            return "0x80072326", 1.0
        self.window[-1] = (now_s, execution_s)
        self.execution_s += execution_s
        heapq.heappush(self.ends, now_s + execution_s)
        self.concurrent_max = max(self.concurrent_max, len(self.ends))
        return None

    def _room_at(self, execution_s: float) -> float:
        left_s = self.execution_s + execution_s - EXECUTION_S
        for start_s, charged_s in self.window:
            left_s -= charged_s
            if left_s <= 0:
                return start_s + WINDOW_S
        return self.window[-1][0] + WINDOW_S

    def _refuse(self, code: str, now_s: float) -> tuple[str, float]:
        self.blocked_by = code
        return code, float(max(1, math.ceil(self.blocked_until_s - now_s)))


class Gate(Protocol):
    """What a policy has to answer; `Pace` does."""

    @property
    def batch_size(self) -> int: ...
    def may_send(self, now_s: float) -> bool: ...
    def wait_until(self, now_s: float) -> tuple[float, str] | None: ...
    def sent(self, number: int, operations: int, now_s: float) -> None: ...
    def replied(self, facts: ReplyFacts) -> None: ...


@dataclass
class Result:
    """What came of one simulated run."""

    operations: int
    sent_against_orders: int
    refused: int
    in_flight_max: int
    concurrent_max: int
    sent_while_blocked: int


def simulate(gate: Gate, operation_s: float, seed: int, end_s: float = WINDOWS * WINDOW_S) -> Result:
    """Run a client with endless work against the limiter until `end_s`; what is answered by then counts."""
    rng = random.Random(seed)
    limiter = Limiter()
    result = Result(0, 0, 0, 0, 0, 0)
    events: list[tuple[float, int, str, ReplyFacts]] = []
    now_s, number, in_flight, not_before_s = 0.0, 0, 0, -math.inf
    while now_s < end_s:
        while gate.may_send(now_s):
            result.sent_against_orders += now_s < not_before_s
            number, in_flight = number + 1, in_flight + 1
            result.in_flight_max = max(result.in_flight_max, in_flight)
            facts = ReplyFacts(number, gate.batch_size, now_s, 0.0, 200)
            gate.sent(number, facts.operations, now_s)
            heapq.heappush(events, (now_s + ROUND_TRIP_S / 2, number, "arrives", facts))
        waiting = gate.wait_until(now_s)
        until_s = min(events[0][0] if events else math.inf, waiting[0] if waiting else math.inf)
        if not events or until_s < events[0][0]:
            now_s = max(until_s, math.nextafter(now_s, math.inf))
            continue
        now_s, _, what, facts = heapq.heappop(events)
        if what == "arrives":
            jitter = math.exp(rng.gauss(-SIGMA * SIGMA / 2, SIGMA))
            execution_s = (REQUEST_S + facts.operations * operation_s) * jitter
            refusal = limiter.arrive(now_s, execution_s)
            back_s = now_s + ROUND_TRIP_S / 2 + (0.0 if refusal else execution_s)
            code, retry_s = refusal or ("", None)
            answer = ReplyFacts(
                facts.number, facts.operations, facts.sent_s, back_s, 429 if refusal else 200, code, retry_s
            )
            heapq.heappush(events, (back_s, facts.number, "answered", answer))
            continue
        in_flight -= 1
        if facts.status == 429:
            result.refused += 1
            not_before_s = max(not_before_s, now_s + (facts.retry_after_s or 0.0))
        elif now_s <= end_s:
            result.operations += facts.operations
        gate.replied(facts)
    result.concurrent_max, result.sent_while_blocked = limiter.concurrent_max, limiter.sent_while_blocked
    return result


def ideal_operations(operation_s: float) -> float:
    """The most that any client can get done in the time."""
    return math.ceil(WINDOWS) * EXECUTION_S / (operation_s + REQUEST_S / BATCH_MAX)


class FixedParallelism:
    """For comparison: so many at a time, ten operations each, everybody waits for Retry-After."""

    def __init__(self, limit: int = 4, batch_size: int = 10) -> None:
        self.batch_size = batch_size
        self._limit = limit
        self._in_flight = 0
        self._not_before_s = -math.inf

    def may_send(self, now_s: float) -> bool:
        return self._in_flight < self._limit and now_s >= self._not_before_s

    def wait_until(self, now_s: float) -> tuple[float, str] | None:
        return (self._not_before_s, "") if now_s < self._not_before_s else None

    def sent(self, number: int, operations: int, now_s: float) -> None:
        self._in_flight += 1

    def replied(self, facts: ReplyFacts) -> None:
        self._in_flight -= 1
        self._not_before_s = max(self._not_before_s, facts.received_s + (facts.retry_after_s or 0.0))


class LoneSleepers(FixedParallelism):
    """For comparison: 52 workers, 100 operations each; only the one that was refused sleeps."""

    def __init__(self) -> None:
        super().__init__(limit=52, batch_size=100)
        self._asleep: list[float] = []

    def may_send(self, now_s: float) -> bool:
        self._asleep = [until_s for until_s in self._asleep if until_s > now_s]
        return self._in_flight + len(self._asleep) < self._limit

    def wait_until(self, now_s: float) -> tuple[float, str] | None:
        return (min(self._asleep), "") if self._asleep else None

    def replied(self, facts: ReplyFacts) -> None:
        self._in_flight -= 1
        if facts.retry_after_s:
            self._asleep.append(facts.received_s + facts.retry_after_s)


POLICIES: dict[str, Callable[[], Gate]] = {
    "pace": lambda: Pace(PaceSettings()),
    "fixed-4": FixedParallelism,
    "lone-sleepers": LoneSleepers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--policy", choices=POLICIES, action="append")
    arguments = parser.parse_args()
    print("policy         operation    mean   worst  refused  against orders  in flight  arrived while blocked")
    for policy in arguments.policy or POLICIES:
        for operation_s in OPERATION_S:
            runs = [simulate(POLICIES[policy](), operation_s, seed) for seed in range(1, arguments.seeds + 1)]
            print(f"{policy:14} {operation_s * 1000:6.0f} ms  {summary(runs, ideal_operations(operation_s))}")


def summary(runs: Sequence[Result], ideal: float) -> str:
    shares = [run.operations / ideal for run in runs]
    refused = statistics.mean(run.refused for run in runs)
    against_orders = max(run.sent_against_orders for run in runs)
    in_flight = max(run.in_flight_max for run in runs)
    blocked = statistics.mean(run.sent_while_blocked for run in runs)
    return (
        f"{statistics.mean(shares):6.1%}  {min(shares):6.1%}  {refused:7.1f}  {against_orders:14}"
        f"  {in_flight:9}  {blocked:21.1f}"
    )


if __name__ == "__main__":
    main()
