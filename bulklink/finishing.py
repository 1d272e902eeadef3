"""The end of a run: its files, its books, its exit code.

Owns: which files are written, in which order, and the exit code that the books give.
Does not know: the service.
Source: the public contract (README, "Files of a run", "Exit codes").
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bulklink.core.verdict import explain
from bulklink.errors import BooksError, BulklinkError, ExitCode
from bulklink.explanations import OUTCOMES
from bulklink.files.about_run import RunEnd, RunState, iso
from bulklink.files.entries import Event, EventKind
from bulklink.files.journal import Journal
from bulklink.files.outcomes import write_outcomes
from bulklink.files.row_outcomes import Books
from bulklink.files.run_directory import REPORT, SUMMARY
from bulklink.files.spool import Spool
from bulklink.files.summary import summarise, write_summary
from bulklink.summary import Summary


def finish(
    directory: Path, spool: Spool, journal: Journal, error: BulklinkError | None, formats: Sequence[str], *, html: bool
) -> Summary:
    """Close the books of a run that ended by itself or by `error`, and write its files."""
    # A guard rail ends a run; whatever else stopped it, the next call goes on with it.
    is_over = error is None or error.exit_code is ExitCode.GUARDED
    state = RunState.FINISHED if is_over else RunState.UNFINISHED
    why, hint = (str(error), error.hint) if error else ("", "")
    now_s = time.time()
    journal.record(events=[Event(now_s, EventKind.END, why=why)])
    journal.set_meta(**RunEnd(state, None, iso(now_s), why, hint).to_meta())
    return write_files(directory, spool, journal, formats, html=html, error=error)


def write_files(
    directory: Path,
    spool: Spool,
    journal: Journal,
    formats: Sequence[str],
    *,
    html: bool,
    error: BulklinkError | None = None,
) -> Summary:
    """Write outcomes, troubles, summary and report of a run as its journal has it."""
    written = write_outcomes(directory, spool, journal, formats)
    exit_code = _exit_code(journal, written.books, error)
    end = RunEnd.from_meta(journal.all_meta())
    journal.set_meta(**RunEnd(end.state, int(exit_code), end.ended, end.why, end.hint).to_meta())
    facts: dict[str, Any] = summarise(journal, written.books, notes=written.notes)
    write_summary(directory / SUMMARY, facts)
    if html:
        from bulklink.files.report import gather, write_report

        write_report(directory / REPORT, gather(directory, spool, journal, facts, _explain))
    return Summary(facts, directory, exit_code, error)


def _exit_code(journal: Journal, books: Books, error: BulklinkError | None) -> ExitCode:
    """The error's own, else what an earlier process of the run recorded, else what the books say."""
    if error is not None:
        return error.exit_code
    end = RunEnd.from_meta(journal.all_meta())
    if end.exit_code is not None:
        return ExitCode(end.exit_code)
    if end.state is RunState.FINISHED and books.unfinished:
        raise BooksError(f"the run is over, but {books.unfinished} rows have no outcome for good")
    return books.exit_code()


def _explain(code: str) -> tuple[str, str] | None:
    """What a service code or an outcome means and what to do, in plain words."""
    meaning = explain(code)
    return (meaning.words, meaning.advice) if meaning else _BY_WORD.get(code)


_BY_WORD: Final = {outcome.word: (words.meaning, words.next) for outcome, words in OUTCOMES.items()}
