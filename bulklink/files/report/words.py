"""Numbers, times and verdicts as the report words them.

Owns: these words.
Does not know: HTML.
"""

from typing import Final

from bulklink.errors import ExitCode
from bulklink.files.about_run import RunEnd, RunState
from bulklink.files.row_outcomes import Books
from bulklink.vocabulary import Outcome

_SIZES: Final = ("bytes", "KB", "MB", "GB")
_STOPPED: Final = {
    ExitCode.BUG: "The run ended in an error of bulklink itself.",
    ExitCode.UNUSABLE: "The run could not begin.",
    ExitCode.STOPPED_EARLY: "The run stopped early.",
    ExitCode.GUARDED: "A guard rail stopped the run before anything was sent.",
    ExitCode.REFUSED: "Sign-in or permission was refused.",
    ExitCode.SIGINT: "The run was interrupted.",
    ExitCode.SIGTERM: "The run was interrupted.",
}


def duration(seconds: float) -> str:
    """``0.4 s``, ``9 s``, ``2 min 10 s``, ``1 h 05 min``, ``2 d 3 h``."""
    whole = round(seconds)
    if 0 < seconds < 9.95 and seconds != whole:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min" if whole % 3600 // 60 else f"{whole // 3600} h"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int) -> str:
    """``512 bytes``, ``1.4 MB``."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_SIZES[unit]}" if unit else f"{count} {_SIZES[0]}"


def moment(iso: str) -> str:
    """``2026-11-23 12:45:00 UTC`` of an ISO 8601 moment."""
    return iso.replace("T", " ").replace("Z", " UTC")


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 row``, ``8,715 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def verdict(books: Books, end: RunEnd) -> tuple[str, str]:
    """The run in one sentence or two, and its tone: good, open or bad."""
    rows = count(books.rows, "row")
    if end.exit_code in _STOPPED and end.exit_code is not None:
        return f"{_STOPPED[ExitCode(end.exit_code)]} {_progress(books)}", "bad" if end.exit_code == 1 else "open"
    if books.unfinished:
        state = "superseded by a later run" if end.state is RunState.SUPERSEDED else "unfinished"
        return f"The run is {state}. {_progress(books)}", "open"
    if not books.rows:
        return "The input holds no rows; there was nothing to do.", "good"
    if not books.not_as_asked:
        return (f"All {rows} are as asked." if books.rows > 1 else "The one row is as asked."), "good"
    if not books.as_asked:
        return (f"None of the {rows} is as asked." if books.rows > 1 else "The one row is not as asked."), "bad"
    are = "is" if books.not_as_asked == 1 else "are"
    return f"{books.as_asked:,} of {rows} are as asked; {books.not_as_asked:,} {are} not.", "open"


def _progress(books: Books) -> str:
    doubt, open_rows = (books.counts.get(kind, 0) for kind in (Outcome.IN_DOUBT, Outcome.NOT_ATTEMPTED))
    parts = [f"{books.rows - books.unfinished:,} of {count(books.rows, 'row')} have their outcome"]
    if doubt:
        parts.append(f"{doubt:,} {'is' if doubt == 1 else 'are'} in doubt")
    if open_rows:
        parts.append(f"{open_rows:,} {'was' if open_rows == 1 else 'were'} not attempted")
    return f"{', '.join(parts)}."
