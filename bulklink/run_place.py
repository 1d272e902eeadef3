"""Which run this is: a new one, one that goes on, or one that sends the failed rows of another again.

Owns: the choice of the run directory, and what is refused because it belongs to other work.
Does not know: the service, rows.
Source: the public contract (README, "Running again").
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bulklink.errors import JobError, JournalMismatch
from bulklink.files.about_run import RunState
from bulklink.files.journal import Journal
from bulklink.files.run_directory import (
    JOURNAL,
    LINKS,
    LOG,
    PastRun,
    check_newest_readable,
    chosen_run_directory,
    links_in,
    new_run_directory,
    past_runs,
    read_run,
    run_to_resume,
    run_to_retry,
    runs_to_supersede,
)
from bulklink.job import RunOptions

#: The journal's fact that says how far a run came; before "sending" nothing was sent.
PHASE: Final = "phase"
SENDING: Final = "sending"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a run the same work as another."""

    organisation: str
    job: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run writes, and what it goes on from.

    resumes: the journal is there and has rows open. is_over: the run of --run-dir has ended; nothing is sent.
    retry_of: the finished run whose failed rows are sent again. superseded: runs that this one takes the place of.
    """

    directory: Path
    resumes: bool = False
    is_over: bool = False
    retry_of: PastRun | None = None
    superseded: list[PastRun] = field(default_factory=list)


def fingerprint_of(*parts: str) -> str:
    """One hash over what makes two runs the same work."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def choose_place(base: Path, identity: Identity, options: RunOptions, now_s: float, resume_within_s: float) -> RunPlace:
    """Choose the run directory. Raises JournalMismatch (exit 2) if --run-dir belongs to other work."""
    if options.run_dir is not None and not options.fresh and not options.retry_failed:
        place = _chosen(options.run_dir, identity)
        if place is not None:
            return place
    if not options.fresh and options.run_dir is None:
        check_newest_readable(base, identity.job)
    runs = past_runs(base, identity.job)
    retry_of = None
    if options.retry_failed:
        if options.retries:
            retry_of = read_run(options.retries)
        else:
            retry_of = run_to_retry(runs, identity.organisation, identity.job, identity.fingerprint)
        if retry_of is None:
            raise JobError("There is no finished run of this job and input whose failed rows could be sent again.")
    resumable = None
    if not options.fresh and not options.retry_failed and options.run_dir is None:
        found = run_to_resume(runs, identity.organisation, identity.job, identity.fingerprint, now_s, resume_within_s)
        resumable = found if found and _has_begun_to_send(found.directory) else None
    elsewhere = [read_run(directory) for directory in options.closes]
    superseded = runs_to_supersede([*runs, *elsewhere], identity.organisation, identity.job, resumable)
    if resumable:
        return RunPlace(resumable.directory, resumes=True, superseded=superseded)
    return RunPlace(_fresh_directory(base, identity, options, now_s), retry_of=retry_of, superseded=superseded)


def _chosen(directory: Path, identity: Identity) -> RunPlace | None:
    """The run that is in the directory of --run-dir; None if nothing was sent from there yet."""
    if links_in(directory) is not None:
        raise JournalMismatch(f"{directory} holds runs of several links, those of another job.")
    if not (directory / JOURNAL).exists():
        return None
    run = read_run(directory)
    known = (run.about.organisation, run.about.job, run.about.fingerprint)
    if known != (identity.organisation, identity.job, identity.fingerprint):
        raise JournalMismatch(f"{directory} holds a run of another input, job or environment.")
    if run.end.state is not RunState.UNFINISHED:
        return RunPlace(directory, is_over=True)
    return RunPlace(directory, resumes=True) if _has_begun_to_send(directory) else None


def _has_begun_to_send(directory: Path) -> bool:
    with Journal.open(directory / JOURNAL, checked=False) as journal:
        return journal.meta(PHASE) == SENDING


def _fresh_directory(base: Path, identity: Identity, options: RunOptions, now_s: float) -> Path:
    if options.run_dir is None:
        return new_run_directory(base, identity.job, now_s)
    directory = chosen_run_directory(options.run_dir)
    for name in (LINKS, JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", LOG):
        (directory / name).unlink(missing_ok=True)
    return directory
