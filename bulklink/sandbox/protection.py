"""Service protection limits: who has used up what, and how long he must wait.

Owns: the sliding windows of requests and of execution time, the count of concurrent requests, the words of the three
refusals, the headers that tell what is left.
Does not know: HTTP servers, clocks; the moment is passed in as `now_s`.
Source: protocol 4.1 to 4.4.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Self

from bulklink.sandbox.errors import SandboxUsageError, nearest

REQUESTS_CODE: Final = "0x80072322"
TIME_CODE: Final = "0x80072321"
CONCURRENCY_CODE: Final = "0x80072326"


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers, per user and virtual web server. 0 switches a limit off.

    early_send_penalty_s: what every request sent while blocked adds to the wait; wait_max_s: to no more than this.
    dop_hint: the recommended degree of parallelism in ``x-ms-dop-hint``; 0 leaves the header out.
    """

    requests: int = 6_000
    execution_s: float = 1_200.0
    concurrency: int = 52
    window_s: float = 300.0
    servers: int = 1
    dop_hint: int = 4
    concurrency_wait_s: float = 2.0
    early_send_penalty_s: float = 1.0
    wait_max_s: float = 450.0  # the longest wait measured by others was 7 min 7 s

    @classmethod
    def parse(cls, settings: Mapping[str, str]) -> Self:
        """Read limits by name; SandboxUsageError for an unknown name or a number that is none."""
        known = {f.name: f.type for f in fields(cls)}
        chosen: dict[str, float] = {}
        for name, text in settings.items():
            if name not in known:
                raise SandboxUsageError(f"There is no limit '{name}'.{nearest(name, known)}")
            chosen[name] = _number(name, text, whole=known[name] is int)
        limits = cls(**chosen)  # type: ignore[arg-type]  # each number has the type of its field by now
        if limits.servers < 1 or limits.window_s <= 0:
            raise SandboxUsageError("The limits 'servers' and 'window_s' must be above 0.")
        return limits

    @classmethod
    def off(cls) -> Self:
        """No limits at all."""
        return cls(requests=0, execution_s=0.0, concurrency=0)


def _number(name: str, text: str, *, whole: bool) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = -1
    if not 0 <= number < math.inf:
        raise SandboxUsageError(f"The limit '{name}' wants a number from 0 up, not '{text}'.")
    return number


@dataclass(frozen=True, slots=True)
class Throttled:
    """A refusal by service protection."""

    code: str
    message: str
    retry_after_s: int


@dataclass(slots=True)
class _Account:
    """One user on one virtual web server."""

    arrived_s: deque[float] = field(default_factory=deque)
    executed: deque[tuple[float, float]] = field(default_factory=deque)  # (when it ended, how long it took)
    executed_s: float = 0.0
    in_flight: int = 0
    blocked_until_s: float = 0.0
    blocked_by: Throttled | None = None

    def forget_before(self, moment_s: float) -> None:
        while self.arrived_s and self.arrived_s[0] <= moment_s:
            self.arrived_s.popleft()
        while self.executed and self.executed[0][0] <= moment_s:
            self.executed_s -= self.executed.popleft()[1]
        if not self.executed:
            self.executed_s = 0.0  # no rounding errors are carried along


@dataclass(slots=True)
class Admission:
    """A request that was let in. Hand it back with `Protection.leave`."""

    account: _Account


class Protection:
    """The books of all users."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._accounts: dict[tuple[str, int], _Account] = {}

    def arrive(self, user: str, server: int, now_s: float) -> Admission | Throttled:
        """Let a request in, or say why not. A refused request that came too early lengthens the wait."""
        account = self._account(user, server)
        account.forget_before(now_s - self.limits.window_s)
        if account.blocked_by and now_s < account.blocked_until_s:
            longest_s = now_s + self.limits.wait_max_s
            account.blocked_until_s = min(account.blocked_until_s + self.limits.early_send_penalty_s, longest_s)
            return _after(account.blocked_by, account.blocked_until_s - now_s)
        throttled = self._over_limit(account, now_s)
        if throttled:
            return throttled
        account.blocked_by = None
        account.arrived_s.append(now_s)
        account.in_flight += 1
        return Admission(account)

    def leave(self, admission: Admission, now_s: float, execution_s: float) -> None:
        """Count what the request has cost."""
        account = admission.account
        account.in_flight -= 1
        account.executed.append((now_s, execution_s))
        account.executed_s += execution_s

    def headers(self, user: str, server: int) -> list[tuple[str, str]]:
        """What the service tells about the room that is left, thousands separator and all."""
        account = self._account(user, server)
        left = max(0, self.limits.requests - len(account.arrived_s))
        left_s = max(0.0, self.limits.execution_s - account.executed_s)
        found = []
        if self.limits.requests:
            found.append(("x-ms-ratelimit-burst-remaining-xrm-requests", str(left)))
        if self.limits.execution_s:
            found.append(("x-ms-ratelimit-time-remaining-xrm-requests", f"{left_s:,.2f}"))
        if self.limits.dop_hint:
            found.append(("x-ms-dop-hint", str(self.limits.dop_hint)))
        return found

    def _account(self, user: str, server: int) -> _Account:
        return self._accounts.setdefault((user, server), _Account())

    def _over_limit(self, account: _Account, now_s: float) -> Throttled | None:
        limits = self.limits
        if limits.concurrency and account.in_flight >= limits.concurrency:
            # A short wait, and no block: as soon as one request ends there is room.
            return _after(concurrency_exceeded(limits.concurrency), limits.concurrency_wait_s)
        room_at_s, exceeded = self._room(account)
        if exceeded is None:
            return None
        account.blocked_until_s = max(room_at_s, now_s)
        account.blocked_by = exceeded
        return _after(exceeded, account.blocked_until_s - now_s)

    def _room(self, account: _Account) -> tuple[float, Throttled | None]:
        """(when there is room again, which limit is used up)."""
        limits = self.limits
        if limits.requests and len(account.arrived_s) >= limits.requests:
            return account.arrived_s[0] + limits.window_s, requests_exceeded(limits.requests, limits.window_s)
        if limits.execution_s and account.executed_s >= limits.execution_s:
            over_s = account.executed_s - limits.execution_s
            for ended_s, took_s in account.executed:
                over_s -= took_s
                if over_s < 0:
                    return ended_s + limits.window_s, time_exceeded(limits.execution_s, limits.window_s)
        return 0.0, None


def requests_exceeded(requests: int, window_s: float) -> Throttled:
    """The 429 of too many requests."""
    return Throttled(
        REQUESTS_CODE,
        f"Number of requests exceeded the limit of {requests} over time window of {window_s:g} seconds.",
        0,
    )


def time_exceeded(execution_s: float, window_s: float) -> Throttled:
    """The 429 of too much execution time."""
    return Throttled(
        TIME_CODE,
        f"Combined execution time of incoming requests exceeded limit of {execution_s * 1000:,.0f} milliseconds over "
        f"time window of {window_s:g} seconds. Decrease number of concurrent requests or reduce the duration of "
        "requests and try again later.",
        0,
    )


def concurrency_exceeded(concurrency: int) -> Throttled:
    """The 429 of too many requests at once."""
    return Throttled(CONCURRENCY_CODE, f"Number of concurrent requests exceeded the limit of {concurrency}.", 0)


def _after(throttled: Throttled, wait_s: float) -> Throttled:
    return Throttled(throttled.code, throttled.message, max(1, math.ceil(wait_s)))
