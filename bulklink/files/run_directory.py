"""The directories of runs: where a new one goes, which old one goes on, which ones may go.

Owns: runs/<job name>/<UTC time>/, the names of the files in it, `keep`.
Does not know: what is in the files but the facts about the run.
Source: the public contract (README, "Files of a run").
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bulklink.errors import BulklinkError, JournalError
from bulklink.files.about_run import AboutRun, RunEnd, RunState, from_iso
from bulklink.files.journal import Journal
from bulklink.files.writing import DIRECTORY_MODE, make_private_directory, words_for_disk_trouble

JOURNAL: Final = "journal.sqlite"
DAMAGED_JOURNAL: Final = "journal.damaged.sqlite"
SPOOL: Final = "input.arrow"
SUMMARY: Final = "summary.json"
REPORT: Final = "report.html"
LOG: Final = "log.jsonl"
REMOVALS: Final = "removals.csv"
#: Says of a directory that it holds one run for each link of a job.
LINKS: Final = "links.json"

_STAMP: Final = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
#: What no system minds in the name of a directory.
_NOT_PLAIN: Final = re.compile(r"[^\w.-]+")
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_NAME_CHARACTERS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run found on disk. last_at: when its journal was last written to, seconds since 1970 UTC."""

    directory: Path
    about: AboutRun
    end: RunEnd
    last_at: float


def job_directory(base: Path, job: str) -> Path:
    """Where the runs of a job are. A name that is no plain file name gets a plain one of its own."""
    plain = _NOT_PLAIN.sub("-", job).strip(".-")[:_NAME_CHARACTERS_MAX]
    if not plain or plain != job or _RESERVED.fullmatch(plain):
        plain = f"{plain}-{hashlib.sha256(job.encode()).hexdigest()[:8]}".lstrip("-")
    return base / plain


def new_run_directory(base: Path, job: str, now_s: float) -> Path:
    """Make an empty directory for a run that begins now; two runs of one second get two."""
    parent = job_directory(base, job)
    stamp = run_id_of(now_s)
    with words_for_disk_trouble(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                path.mkdir(mode=DIRECTORY_MODE)
            except FileExistsError:
                continue
            return path
    raise BulklinkError(f"{parent} holds ten thousand runs of one second")


def chosen_run_directory(path: Path) -> Path:
    """Make the directory that --run-dir names, if it is not there."""
    make_private_directory(path)
    return path


def run_id_of(now_s: float) -> str:
    """The name of a run that begins now, such as 20261123T124500Z."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def read_run(directory: Path) -> PastRun:
    """The run in this directory. Raises JournalError if there is none."""
    with Journal.open(directory / JOURNAL, checked=False) as journal:
        meta = journal.all_meta()
        about, end = AboutRun.from_meta(meta), RunEnd.from_meta(meta)
        if end.state is RunState.FINISHED and end.exit_code is None:
            # It broke off while its files were written: they are still to be written.
            end = replace(end, state=RunState.UNFINISHED)
        return PastRun(directory, about, end, max(from_iso(about.started), journal.last_moment()))


def past_runs(base: Path, job: str) -> list[PastRun]:
    """The runs of a job that can be read, newest first."""
    found = []
    for directory in _stamped(job_directory(base, job)):
        try:
            found.append(read_run(directory))
        except JournalError:
            continue  # a run that broke off before its journal was there, or one of another version
    return found


def newest(
    runs: Iterable[PastRun], organisation: str, job: str, *states: RunState, fingerprint: str | None = None
) -> PastRun | None:
    """Of runs that are newest first, the first one of this organisation and job in one of these states.

    fingerprint: only runs with this one; None: whatever it is.
    """
    return next(
        (
            run
            for run in runs
            if (run.about.organisation, run.about.job) == (organisation, job)
            and run.end.state in states
            and fingerprint in (None, run.about.fingerprint)
        ),
        None,
    )


def run_to_resume(
    runs: Iterable[PastRun], organisation: str, job: str, fingerprint: str, now_s: float, resume_within_s: float
) -> PastRun | None:
    """The newest unfinished run of the same work, unless nothing was written to it for `resume_within_s`.

    An older one is not looked for: what it left open, the newer one knew.
    """
    run = newest(runs, organisation, job, RunState.UNFINISHED, fingerprint=fingerprint)
    return run if run and now_s - run.last_at <= resume_within_s else None


def set_aside(directory: Path) -> None:
    """Give a journal that nobody can read another name, so that its run is passed over from now on."""
    with words_for_disk_trouble(directory):
        for suffix in ("-wal", "-shm", ""):
            damaged = directory / f"{JOURNAL}{suffix}"
            if damaged.exists():
                damaged.replace(directory / f"{DAMAGED_JOURNAL}{suffix}")


def check_newest_readable(base: Path, job: str) -> None:
    """Raise JournalError if the newest run of a job has a journal that nobody can read: it may be unfinished."""
    for directory in _stamped(job_directory(base, job))[:1]:
        if (directory / JOURNAL).exists():
            read_run(directory)


def run_to_retry(runs: Iterable[PastRun], organisation: str, job: str, fingerprint: str) -> PastRun | None:
    """The newest finished run of the same work."""
    return newest(runs, organisation, job, RunState.FINISHED, fingerprint=fingerprint)


def runs_to_supersede(
    runs: Iterable[PastRun], organisation: str, job: str, keeping: PastRun | None = None
) -> list[PastRun]:
    """The unfinished runs that a new run of the job takes the place of, newest first."""
    return [
        run
        for run in runs
        if run.end.state is RunState.UNFINISHED
        and (run.about.organisation, run.about.job) == (organisation, job)
        and (keeping is None or run.directory != keeping.directory)
    ]


def prune(base: Path, job: str, keep: int) -> list[Path]:
    """Delete the oldest runs of a job beyond `keep`; returns what was deleted.

    Never an unfinished run, one with rows in doubt, a --run-dir, or a directory that is not known to be a run.
    """
    deleted = []
    for directory in _stamped(job_directory(base, job))[keep:]:
        if _may_go(directory):
            with words_for_disk_trouble(directory):
                shutil.rmtree(directory)
            deleted.append(directory)
    return deleted


def _may_go(directory: Path) -> bool:
    known = links_in(directory)
    if known is not None:
        runs = [directory / name for name in known["runs"] if (directory / name / JOURNAL).exists()]
        return known["state"] != RunState.UNFINISHED and not known.get("chosen") and all(map(_is_settled, runs))
    try:
        return not read_run(directory).about.chosen and _is_settled(directory)
    except JournalError:
        return False


def _is_settled(directory: Path) -> bool:
    try:
        if read_run(directory).end.state is RunState.UNFINISHED:
            return False
        with Journal.open(directory / JOURNAL, checked=False) as journal:
            return not journal.unsettled_batches()
    except JournalError:
        return False


def links_in(directory: Path) -> dict[str, Any] | None:
    """What is known of the runs of several links in this directory; None if it is of another kind."""
    try:
        found = json.loads((directory / LINKS).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"runs", "state", "organisation"} <= found.keys() else None


def stamped_directories(base: Path, job: str) -> list[Path]:
    """The directories of a job that are named like runs, newest first, whatever is in them."""
    return _stamped(job_directory(base, job))


def _stamped(parent: Path) -> list[Path]:
    """The directories that are named like runs, newest first."""
    if not parent.is_dir():
        return []
    found = [
        path for path in parent.iterdir() if _STAMP.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, key=_age, reverse=True)


def _age(path: Path) -> tuple[str, int]:
    stamp, _, number = path.name.partition("-")
    return stamp, int(number or 1)
