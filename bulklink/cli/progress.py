"""Show how a run goes: a live line on a terminal, plain lines every ten seconds elsewhere, or JSON lines.

Owns: when something is shown, and where: always stderr, so that stdout holds the summary alone.
Does not know: the run.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Self, TextIO

from bulklink.cli.session import Session
from bulklink.cli.wording import clock_time, count, progress_line
from bulklink.listener import Listener, Progress, RunFacts

PLAIN_EVERY_S: Final = 10.0


class ShownListener(Listener, AbstractContextManager["ShownListener"]):
    """A listener that holds the terminal while the run goes on. This one shows nothing: `--quiet`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class PlainListener(ShownListener):
    """One line every ten seconds, for logs of schedulers. now_s: a monotonic clock."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now_s = now_s
        self._next_s = 0.0
        self._waiting = ""

    def started(self, facts: RunFacts) -> None:
        """Say what begins."""
        self._say(started_line(facts))
        self._next_s = self._now_s() + PLAIN_EVERY_S

    def progress(self, progress: Progress) -> None:
        """Say how far it is, if the last line is old enough."""
        if self._now_s() >= self._next_s:
            self._next_s = self._now_s() + PLAIN_EVERY_S
            self._say(progress_line(progress))

    def waiting(self, until_s: float, why: str) -> None:
        """Say it once for each pause."""
        line = waiting_line(until_s, why)
        if line != self._waiting:
            self._waiting = line
            self._say(line)

    def note(self, text: str) -> None:
        """Say it at once."""
        self._say(text)

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class JsonListener(ShownListener):
    """One JSON object a line, for programs. now_s: a monotonic clock."""

    def __init__(self, stream: TextIO, now_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now_s = now_s
        self._next_s = 0.0

    def started(self, facts: RunFacts) -> None:
        """What begins."""
        words = {"job": facts.job, "run_id": facts.run_id, "run_dir": str(facts.run_dir or "")}
        self._say("started", **words, organisation=facts.organisation, rows=facts.rows, resumed=facts.resumed)

    def progress(self, progress: Progress) -> None:
        """How far it is, if the last line is old enough."""
        if self._now_s() < self._next_s:
            return
        self._next_s = self._now_s() + PLAIN_EVERY_S
        self._say(
            "progress",
            rows_total=progress.rows_total,
            rows_done=progress.rows_done,
            outcomes=dict(progress.outcomes),
            rows_per_s=round(progress.rate, 1),
            in_flight=progress.in_flight,
            waiting_until=progress.waiting_until,
            why=progress.why,
            seconds_left=progress.seconds_left,
        )

    def waiting(self, until_s: float, why: str) -> None:
        """Nothing is sent until then."""
        self._say("waiting", until=until_s, why=why)

    def note(self, text: str) -> None:
        """A sentence."""
        self._say("note", text=text)

    def ended(self, summary: Mapping[str, object]) -> None:
        """The end; the summary itself goes elsewhere."""
        self._say("ended", exit_code=summary.get("exit_code"))

    def _say(self, event: str, **words: object) -> None:
        print(json.dumps({"event": event, **words}, ensure_ascii=False), file=self._stream, flush=True)


class LiveListener(ShownListener):
    """A bar and one line that is rewritten in place, for people."""

    def __init__(self, stream: TextIO, *, color: bool | None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, no_color=color is False or None, highlight=False)
        self._live = Live(console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, facts: RunFacts) -> None:
        """Say what begins, above the line."""
        self._console.print(started_line(facts), markup=False)

    def progress(self, progress: Progress) -> None:
        """Rewrite the line."""
        self._live.update(self._drawn(progress))

    def waiting(self, until_s: float, why: str) -> None:
        """Put it into the line: before the first progress nothing else stands there."""
        self._live.update(waiting_line(until_s, why))

    def note(self, text: str) -> None:
        """Say it above the line."""
        self._console.print(text, markup=False)

    def _drawn(self, progress: Progress) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        style = "yellow" if progress.waiting_until is not None else ""
        bar = ProgressBar(total=max(1, progress.rows_total), completed=progress.rows_done, width=20)
        grid.add_row(bar, Text(progress_line(progress), style=style, overflow="ellipsis", no_wrap=True))
        return grid


def waiting_line(until_s: float, why: str) -> str:
    """Until when nothing is sent, and why."""
    return f"waiting until {clock_time(until_s)}: {why}"


def started_line(facts: RunFacts) -> str:
    """What begins, in one line."""
    how = "resumes" if facts.resumed else "begins"
    where = f", {facts.run_dir}" if facts.run_dir else ""
    return f"{facts.job} {how}: {count(facts.rows, 'row')}, {facts.organisation}{where}"


def listener_for(session: Session, stream: TextIO | None = None) -> ShownListener:
    """The listener that fits what was asked for and where the output goes."""
    stream = stream or sys.stderr
    if session.log_format == "json":
        return JsonListener(stream)
    if session.quiet:
        return ShownListener()
    if stream.isatty() and not session.verbose:
        return LiveListener(stream, color=session.color)
    return PlainListener(stream)
