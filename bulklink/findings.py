"""What a check finds: one line each, and all of them together.

Owns: how bad a finding is, and which exit code follows from all.
Does not know: what is looked at, how it is shown.
Source: the public contract (README, "Exit codes").
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from bulklink.core.hygiene import HygieneWarning
from bulklink.errors import BulklinkError, ExitCode


class Level(StrEnum):
    """How bad a finding is."""

    FINE = "fine"
    WARNING = "warning"
    STOPS = "stops"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the screen. exit_code, hint: of what stops the run."""

    topic: str
    text: str
    level: Level = Level.FINE
    exit_code: ExitCode | None = None
    hint: str = ""


@dataclass(slots=True)
class Checked:
    """All that was found, in the order in which a run would meet it.

    outcomes: of the rows that would not be sent. to_send: the rows that would. hygiene: what keys look like.
    """

    job: str
    findings: list[Finding] = field(default_factory=list)
    rows: int | None = None
    to_send: int | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    hygiene: list[HygieneWarning] = field(default_factory=list)

    @property
    def first_stop(self) -> Finding | None:
        """What a run would end with."""
        return next((one for one in self.findings if one.level is Level.STOPS), None)

    @property
    def exit_code(self) -> ExitCode:
        """The code that a run would end with, as far as one can know before it; 0 if nothing stops it."""
        stop = self.first_stop
        return (stop.exit_code or ExitCode.BUG) if stop else ExitCode.AS_ASKED

    def add(self, topic: str, text: str, level: Level = Level.FINE) -> None:
        """One more line."""
        self.findings.append(Finding(topic, text, level))

    def stop(self, topic: str, error: BulklinkError) -> None:
        """What would end the run."""
        self.findings.append(Finding(topic, str(error), Level.STOPS, error.exit_code, error.hint))

    def facts(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "job": self.job,
            "exit_code": int(self.exit_code),
            "rows": self.rows,
            "to_send": self.to_send,
            "outcomes": self.outcomes,
            "findings": [asdict(one) for one in self.findings],
            "hygiene": [asdict(one) for one in self.hygiene],
        }


def together(name: str, parts: Sequence[Checked]) -> Checked:
    """Several links as one."""
    outcomes: Counter[str] = Counter()
    for part in parts:
        outcomes.update(part.outcomes)
    return Checked(
        name,
        [one for k, part in enumerate(parts, 1) for one in (Finding("link", str(k)), *part.findings)],
        sum(part.rows or 0 for part in parts),
        sum(part.to_send or 0 for part in parts),
        dict(outcomes),
        [one for part in parts for one in part.hygiene],
    )
