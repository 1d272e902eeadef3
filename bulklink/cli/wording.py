"""Numbers, durations and lines of progress as people read them.

Owns: the one wording that the live line, the plain lines and the closing block share.
Does not know: terminals.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bulklink.listener import Progress


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 row``, ``8,715 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """``9 s``, ``2 min 10 s``, ``1 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock_time(unix_s: float) -> str:
    """A moment of today as this machine's clock shows it."""
    return datetime.fromtimestamp(unix_s).astimezone().strftime("%H:%M:%S")


def outcome_counts(outcomes: Mapping[str, int]) -> str:
    """``associated 4,200, rejected 3``: what there is of each, most first."""
    most_first = sorted(outcomes.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{word} {rows:,}" for word, rows in most_first if rows)


def progress_line(progress: Progress) -> str:
    """Rows done, rate, in flight, outcomes so far, time left; or what is waited for, and until when."""
    parts = [f"{progress.rows_done:,} of {count(progress.rows_total, 'row')}"]
    if progress.waiting_until is not None:
        why = f" ({progress.why})" if progress.why else ""
        parts.append(f"waiting until {clock_time(progress.waiting_until)}{why}")
    else:
        parts.append(f"{progress.rate:,.0f} rows/s")
    parts.append(f"{progress.in_flight} in flight")
    if counts := outcome_counts(progress.outcomes):
        parts.append(counts)
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return " · ".join(parts)


def columns(rows: Sequence[Sequence[str]], width_max: int = 60) -> list[str]:
    """Rows of cells as lines with aligned columns. A cell wider than `width_max` pushes only its own line."""
    widths = [min(width_max, max(map(len, cells))) for cells in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
