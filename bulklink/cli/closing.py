"""The last thing a run says: verdict, counts, where the files are, what to do next.

Owns: the verdict of each exit code in one sentence.
Does not know: how the run went; the summary says it.
Source: the public contract (README, "Exit codes", "Files of a run").
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bulklink.cli.wording import count, duration
from bulklink.errors import ExitCode
from bulklink.explanations import EXIT_CODES
from bulklink.vocabulary import Outcome

_FILES: Final = ("outcomes.csv", "outcomes.xlsx", "outcomes.parquet", "troubles.csv", "removals.csv", "report.html")
_AFTER_DRY_RUN: Final = "Correct the rows that are not as asked, or run it without --dry-run: the others are sent"
_ORDER: Final = tuple(outcome.word for outcome in Outcome if outcome is not Outcome.NONE)


def closing_block(
    summary: Mapping[str, Any], run_dir: Path | None, *, dry_run: bool = False, advise: bool = True
) -> str:
    """The block for people, without a newline at its end.

    summary: what summary.json holds. advise: say what to do next, if there is something to do.
    """
    exit_code = ExitCode(int(summary["exit_code"]))
    outcomes: Mapping[str, int] = summary.get("outcomes") or {}
    lines = [f"{summary['job']}: {verdict(summary, dry_run=dry_run)}"]
    lines += _counts(outcomes, summary.get("examples") or {})
    if removals := summary.get("removals"):
        lines += ["  links removed that had no row:", *_counts(removals)]
    lines += _effort(summary)
    lines += [f"  {name:<20} {run_dir / name}" for name in _FILES if run_dir and (run_dir / name).exists()]
    if advise and exit_code is not ExitCode.AS_ASKED:
        advice = _AFTER_DRY_RUN if dry_run else EXIT_CODES[exit_code].next
        lines.append(f"Next: {advice}. (exit code {int(exit_code)})")
    return "\n".join(lines)


def verdict(summary: Mapping[str, Any], *, dry_run: bool = False) -> str:
    """One sentence."""
    outcomes: Mapping[str, int] = summary.get("outcomes") or {}
    rows = int(summary.get("rows", sum(outcomes.values())))
    exit_code = ExitCode(int(summary["exit_code"]))
    if dry_run:
        return f"a dry run over {count(rows, 'row')}; nothing was sent."
    if exit_code is ExitCode.AS_ASKED:
        return f"{count(rows, 'row')}, everything is as asked."
    if exit_code is not ExitCode.TROUBLES:
        return f"{EXIT_CODES[exit_code].meaning}."
    return f"{summary['not_as_asked']:,} of {count(rows, 'row')} not as asked."


def _counts(outcomes: Mapping[str, int], examples: Mapping[str, Sequence[str]] | None = None) -> Iterator[str]:
    for word in _ORDER:
        if outcomes.get(word):
            yield f"  {word:<20} {outcomes[word]:>12,}"
            shown = (examples or {}).get(word, ())
            yield from (f"    {line}" for line in shown)
            if shown and len(shown) < outcomes[word]:
                yield "    …"


def _effort(summary: Mapping[str, Any]) -> Iterator[str]:
    """How the service was used; nothing if nothing was sent."""
    if not summary.get("operations_sent"):
        return
    batches = count(summary.get("batches_sent", 0), "batch", "batches")
    parts = [f"{count(summary['operations_sent'], 'operation')} in {batches}"]
    if rate := summary.get("rows_per_s"):
        parts.append(f"{rate:,.0f} rows/s")
    if throttled := summary.get("throttled"):
        parts.append(f"throttled {throttled:,} times, waited {duration(summary.get('waited_s', 0))}")
    if retried := summary.get("retried"):
        parts.append(f"{retried:,} sent again")
    yield f"  {', '.join(parts)}"
