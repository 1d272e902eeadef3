"""What the sandbox has done so far, for people to look at.

Owns: the counts of requests, operations, faults and refusals by service protection.
Does not know: what the counts mean.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

#: How many of the latest refusals are kept in full.
_LATEST: Final = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """One 429: who, where, why, and for how long."""

    at_s: float
    user: str
    server: int
    code: str
    why: str
    retry_after_s: int


@dataclass(slots=True)
class Tally:
    """Counts since the start or the last reset."""

    requests: int = 0
    batches: int = 0
    operations: int = 0
    change_sets: int = 0
    in_flight: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    latest_refused: deque[Refused] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def refuse(self, refused: Refused) -> None:
        """Count a 429."""
        self.throttled[refused.code] += 1
        self.latest_refused.append(refused)

    def as_json(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "requests": self.requests,
            "batches": self.batches,
            "operations": self.operations,
            "in_flight": self.in_flight,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "faults": dict(sorted(self.faults.items())),
            "throttled": {
                "by_code": dict(sorted(self.throttled.items())),
                "latest": [
                    {
                        "at_s": round(refused.at_s, 3),
                        "user": refused.user,
                        "server": refused.server,
                        "code": refused.code,
                        "why": refused.why,
                        "retry_after_s": refused.retry_after_s,
                    }
                    for refused in self.latest_refused
                ],
            },
        }
