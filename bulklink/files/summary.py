"""summary.json: the run in one object, for other programs.

Owns: its keys and how each is taken from the journal.
Does not know: rows one by one.
Source: the public contract (README, "Files of a run"). Keys beyond the contract's: `as_asked`, `not_as_asked`,
`organisation`, `relationship`, `state`, `inputs` (each file or sheet by itself), `why` and `hint` (of the error that
ended the run, "" if none did), `notes`, `version` (of bulklink).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bulklink
from bulklink.files.about_run import AboutRun, InputFacts, RunEnd, from_iso, iso
from bulklink.files.journal import EventKind, Journal
from bulklink.files.row_outcomes import Books
from bulklink.files.writing import replaced
from bulklink.vocabulary import Outcome


def summarise(
    journal: Journal, books: Books, *, removals: Mapping[str, int] | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """What summary.json holds, from the journal as it is now. notes: what people should know about the files."""
    meta = journal.all_meta()
    about, end = AboutRun.from_meta(meta), RunEnd.from_meta(meta)
    totals = journal.totals()
    sessions, active_s, told = _activity(journal)
    last_at = max(from_iso(about.started), journal.last_moment())
    return {
        "job": about.job,
        "run_id": about.run_id,
        "started": about.started,
        "ended": end.ended or iso(last_at),
        "exit_code": int(books.exit_code()) if end.exit_code is None else end.exit_code,
        "input": _input(about.inputs),
        "rows": books.rows,
        "outcomes": {outcome.word: books.counts[outcome] for outcome in Outcome if books.counts.get(outcome)},
        "removals": dict(removals or {}),
        "operations_sent": totals.operations,
        "batches_sent": totals.batches,
        "change_sets_rolled_back": totals.rolled_back,
        "throttled": totals.throttled,
        "retried": totals.retried,
        "waited_s": round(totals.waited_s, 3),
        "rows_per_s": round((books.rows - books.unfinished) / active_s, 3) if active_s > 0 else 0.0,
        "resumed": sessions > 1,
        "retry_of": about.retry_of or None,
        "settings": dict(about.settings),
        "as_asked": books.as_asked,
        "not_as_asked": books.not_as_asked,
        "organisation": about.organisation,
        "relationship": about.relationship,
        "state": end.state.value,
        "inputs": [_one_input(one) for one in about.inputs],
        "why": end.why,
        "hint": end.hint,
        "notes": [*told, *notes],
        "version": bulklink.__version__,
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json in place of the old one."""
    with replaced(path) as file:
        file.write(json.dumps(summary, indent=2, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")


def _activity(journal: Journal) -> tuple[int, float, list[str]]:
    """How many processes worked on the run, for how many seconds, and the notes they left."""
    sessions, active_s, last_at = 0, 0.0, None
    notes: list[str] = []
    for event in journal.events():
        if event.kind is EventKind.NOTE and event.why not in notes:
            notes.append(event.why)
        sessions += event.kind is EventKind.SESSION
        if last_at is not None and event.kind is not EventKind.SESSION:  # between sessions nobody worked
            active_s += max(0.0, event.at - last_at)
        last_at = event.at
    return max(1, sessions), active_s, notes


def _input(inputs: Sequence[InputFacts]) -> dict[str, Any]:
    """The input as one: several files by their names, newest moment, and a hash over their hashes."""
    files = list(dict.fromkeys((one.file, one.modified, one.sha256) for one in inputs))
    hashes = [sha256 for _, _, sha256 in files]
    joined = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return {
        "file": ", ".join(file for file, _, _ in files),
        "modified": max((modified for _, modified, _ in files), default=""),
        "sha256": hashes[0] if len(hashes) == 1 else joined if hashes else "",
        "rows": sum(one.rows for one in inputs),
    }


def _one_input(one: InputFacts) -> dict[str, Any]:
    names = ("file", "sheet", "format", "delimiter", "encoding", "modified", "sha256", "rows")
    return {name: getattr(one, name) for name in names}
