"""How a run is followed: what it tells while it goes on.

Owns: the facts that a listener is told.
Does not know: terminals, files, the engine. A listener must return at once; the run waits for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known when a run begins to send."""

    job: str
    run_id: str
    run_dir: Path | None
    organisation: str
    rows: int
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    outcomes: outcome word -> rows, settled ones only. rate: rows settled a second, lately.
    waiting_until: unix time until which nothing is sent, None if sending; `why` says why in a few words.
    seconds_left: None where no guess is possible yet.
    """

    rows_total: int
    rows_done: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rate: float = 0.0
    in_flight: int = 0
    waiting_until: float | None = None
    why: str = ""
    seconds_left: float | None = None


class Listener:
    """Follows a run. Every method may be left as it is: it does nothing."""

    def started(self, facts: RunFacts) -> None:
        """Checking is over; sending begins."""

    def progress(self, progress: Progress) -> None:
        """How far the run is. Called a few times a second at most."""

    def waiting(self, until_s: float, why: str) -> None:
        """Nothing is sent until then (unix time)."""

    def note(self, text: str) -> None:
        """One sentence that the person should read: what was detected, turned, resumed, superseded."""

    def ended(self, summary: Mapping[str, object]) -> None:
        """The run is over; `summary` is what summary.json holds."""
