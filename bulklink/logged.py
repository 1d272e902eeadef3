"""A listener that also writes log.jsonl, and notes into the journal.

Owns: which of the things a listener is told are worth a line, and which belong into summary and report.
Does not know: the run.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bulklink.files.entries import Event, EventKind
from bulklink.files.journal import Journal
from bulklink.files.log import EventLog
from bulklink.listener import Listener, Progress, RunFacts

#: Every so many progress reports one line.
PROGRESS_EVERY: Final = 10


class LoggedListener(Listener):
    """Hands everything on and writes it down. wall_s: seconds since 1970."""

    def __init__(self, inner: Listener, log: EventLog, journal: Journal, wall_s: Callable[[], float]) -> None:
        self._inner = inner
        self._log = log
        self._journal = journal
        self._wall_s = wall_s
        self._told = 0

    def started(self, facts: RunFacts) -> None:
        """Sending begins."""
        self._log.write("sending", run_id=facts.run_id, rows=facts.rows, resumed=facts.resumed)
        self._inner.started(facts)

    def progress(self, progress: Progress) -> None:
        """How far the run is."""
        if self._told % PROGRESS_EVERY == 0:
            self._log.write("progress", rows=progress.rows_total, done=progress.rows_done, outcomes=progress.outcomes)
        self._told += 1
        self._inner.progress(progress)

    def waiting(self, until_s: float, why: str) -> None:
        """Nothing is sent until then."""
        self._log.write("waiting", until=until_s, why=why)
        self._inner.waiting(until_s, why)

    def note(self, text: str) -> None:
        """One sentence for the person."""
        self._log.write("note", text=text)
        self._journal.record(events=[Event(self._wall_s(), EventKind.NOTE, why=text)])
        self._inner.note(text)

    def ended(self, summary: Mapping[str, object]) -> None:
        """The run is over."""
        self._inner.ended(summary)
