"""Faults and slowness by a seeded script.

Owns: the kinds of fault, which rule of a script strikes where, how long the service takes.
Does not know: sockets, clocks, files; the same script, seed and facts always give the same decision.
Source: protocol 3.3, 4.1, 9 and 11.2; style of the kinds: what is known to happen to real runs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from statistics import NormalDist
from typing import Final

Records = frozenset[tuple[str, str]]


class Level(IntEnum):
    """What a decision is about. Each level has ordinals of its own, from 1."""

    REQUEST = 0
    OPERATION = 1
    CHANGE_SET = 2


class When(StrEnum):
    """Is the work done although the client does not learn it?"""

    BEFORE = "before"  # nothing was executed
    AFTER = "after"  # everything was executed and committed


class Kind(StrEnum):
    """What can go wrong."""

    SLOW = "slow"
    THROTTLE = "throttle"
    UNAVAILABLE = "unavailable"
    BAD_GATEWAY = "bad-gateway"
    GATEWAY_TIMEOUT = "gateway-timeout"
    RESET = "reset"
    TRUNCATE = "truncate"
    HANG = "hang"
    LATE_COMMIT = "late-commit"
    EXPIRE_TOKEN = "expire-token"  # noqa: S105  # a kind of fault, no password
    TOO_LARGE = "too-large"
    TOO_MANY_OPERATIONS = "too-many-operations"
    DEADLOCK = "deadlock"
    SQL_TIMEOUT = "sql-timeout"
    LOCK_TIMEOUT = "lock-timeout"
    PLUGIN_ERROR = "plugin-error"
    PLUGIN_CRASH = "plugin-crash"
    PRIVILEGE = "privilege"
    THROTTLE_PART = "throttle-part"
    ERROR = "error"
    UNBLAMED = "unblamed"


@dataclass(frozen=True, slots=True)
class Fault:
    """One blow. Which of the numbers matter depends on the kind (weather_file.py lists them)."""

    kind: Kind
    when: When = When.BEFORE
    status: int = 0
    code: str = ""
    message: str = ""
    retry_after_s: int = 0
    delay_s: float = 0.0
    keep: float = 0.5
    maximum: int = 0
    answer: str = ""
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at. records: (table, id) pairs touched; now_s: since the weather began."""

    level: Level
    method: str = "POST"
    is_batch: bool = False
    operations: int = 1
    body_bytes: int = 0
    records: Records = frozenset()
    contended: bool = False
    now_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a script: the blow, and where it falls. Everything that is set must hold."""

    fault: Fault
    level: Level
    probability: float | None = None
    ordinals: frozenset[int] = frozenset()
    every: int = 0
    table: str = ""
    record: str = ""
    share_of_records: float | None = None
    method: str = ""
    batches_only: bool = False
    contended: bool = False
    over_bytes: int = 0
    from_s: float = 0.0
    until_s: float = math.inf

    @property
    def looks_at_records(self) -> bool:
        """Must the records of the operation be known?"""
        return bool(self.table or self.record or self.contended or self.share_of_records is not None)

    def strikes(self, number: int, seed: int, ordinal: int, facts: Facts) -> bool:
        """Does it fall here? number: of the rule in its script."""
        return (
            facts.level == self.level
            and self._fits(facts)
            and (not self.ordinals or ordinal in self.ordinals)
            and (not self.every or ordinal % self.every == 0)
            and (self.share_of_records is None or self._marked(number, seed, facts.records, self.share_of_records))
            and (self.probability is None or uniform(seed, number, ordinal) < self.probability)
        )

    def _fits(self, facts: Facts) -> bool:
        return (
            self.from_s <= facts.now_s < self.until_s
            and (not self.method or facts.method == self.method)
            and (not self.batches_only or facts.is_batch)
            and (not self.contended or facts.contended)
            and facts.body_bytes >= self.over_bytes
            and (not self.fault.maximum or facts.operations > self.fault.maximum)
            and (not self.table or any(table == self.table for table, _ in facts.records))
            and (not self.record or any(record == self.record for _, record in facts.records))
        )

    def _marked(self, number: int, seed: int, records: Records, share: float) -> bool:
        """A share of the records carries the fault for good: the same ones at every attempt."""
        return any(
            uniform(seed, number, int(record.replace("-", "") or "0", 16)) < share
            for table, record in records
            if not self.table or table == self.table
        )


@dataclass(frozen=True, slots=True)
class Latency:
    """Service time: `request_s` plus `operation_s` for each operation; with a `sigma` that is the median."""

    request_s: float = 0.0
    operation_s: float = 0.0
    sigma: float = 0.0

    def service_time_s(self, chance: float, operations: int) -> float:
        """chance: uniform between 0 and 1."""
        median_s = self.request_s + self.operation_s * operations
        if not self.sigma or not median_s:
            return median_s
        return median_s * math.exp(self.sigma * NormalDist().inv_cdf(min(max(chance, 1e-9), 1 - 1e-9)))


@dataclass(frozen=True, slots=True)
class Weather:
    """A script. The first rule that strikes decides."""

    rules: tuple[Rule, ...] = ()
    latency: Latency = Latency()
    seed: int = 0
    _levels: Mapping[Level, tuple[tuple[int, Rule], ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbered = tuple(enumerate(self.rules, start=1))
        levels = {level: tuple((n, rule) for n, rule in numbered if rule.level == level) for level in Level}
        object.__setattr__(self, "_levels", levels)

    def decide(self, ordinal: int, facts: Facts) -> Fault | None:
        """What befalls the request, operation or change set with this ordinal."""
        for number, rule in self._levels[facts.level]:
            if rule.strikes(number, self.seed, ordinal, facts):
                return rule.fault
        return None

    def has(self, level: Level) -> bool:
        """Is there any rule for this level?"""
        return bool(self._levels[level])

    def looks_at_records(self, level: Level) -> bool:
        """Must the records be known to decide at this level?"""
        return any(rule.looks_at_records for _, rule in self._levels[level])

    @property
    def looks_at_contention(self) -> bool:
        """Must it be known which records other requests in flight touch?"""
        return any(rule.contended for rule in self.rules)

    def service_time_s(self, ordinal: int, operations: int) -> float:
        """How long the service takes over this request."""
        return self.latency.service_time_s(uniform(self.seed, 0, ordinal), operations)


_MASK: Final = (1 << 64) - 1


def uniform(seed: int, stream: int, number: int) -> float:
    """A number from 0 up to 1 that depends on nothing but its arguments (splitmix64, folded over long numbers)."""
    mixed = _mix(seed ^ (stream * 0x9E3779B97F4A7C15))
    while True:
        mixed = _mix(mixed ^ (number & _MASK))
        number >>= 64
        if not number:
            return mixed / (1 << 64)


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
