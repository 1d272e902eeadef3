"""Errors that stop a run. Rows never raise: what happened to a row is an outcome.

Owns: the exit codes and the hint that goes with each error.
Does not know: how an error is shown.
Source: the public contract (README, "Exit codes").
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes by what to do next."""

    AS_ASKED = 0
    BUG = 1
    UNUSABLE = 2
    TROUBLES = 3
    STOPPED_EARLY = 4
    GUARDED = 5
    REFUSED = 6
    LOCKED = 7
    SIGINT = 130
    SIGTERM = 143


class BulklinkError(Exception):
    """The run cannot go on. `exit_code` says what to do next, `hint` says it in words."""

    exit_code: ExitCode = ExitCode.BUG
    hint: str = "This is a bug in bulklink. Please report it with the run directory."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class BooksError(BulklinkError):
    """Outcomes and input rows do not add up."""


class UsageError(BulklinkError):
    """The command line cannot be used."""

    exit_code = ExitCode.UNUSABLE
    hint = "See `bulklink --help`."


class JobError(BulklinkError):
    """The job file cannot be used."""

    exit_code = ExitCode.UNUSABLE
    hint = "Correct the job file; `bulklink schema` prints what it may hold."


class InputError(BulklinkError):
    """The input cannot be read as a table with the columns that the job names."""

    exit_code = ExitCode.UNUSABLE
    hint = "Correct the file or the names in the job."


class RelationshipError(BulklinkError):
    """No such relationship, table or navigation property, or more than one."""

    exit_code = ExitCode.UNUSABLE
    hint = "`bulklink relationships TABLE` lists what there is."


class FormError(BulklinkError):
    """The named wire form does not fit the relationship or the action."""

    exit_code = ExitCode.UNUSABLE
    hint = 'Leave `form = "auto"`.'


class JournalError(BulklinkError):
    """The journal cannot be read or written, or belongs to something else."""

    exit_code = ExitCode.UNUSABLE
    hint = "Start over in a new run directory with --fresh."


class JournalMismatch(JournalError):
    """The journal was written for another input file, job or environment."""

    hint = "Give the original input, or start over with --fresh."


class RunDirectoryError(BulklinkError):
    """The run directory cannot be written. Nothing was sent that could not be recorded."""

    exit_code = ExitCode.STOPPED_EARLY
    hint = "Free some space or give another --run-dir, then run the same command again: it resumes."


class StoppedEarly(BulklinkError):
    """The run stopped before its end: service unreachable, deadline, too many failures, rows in doubt."""

    exit_code = ExitCode.STOPPED_EARLY
    hint = "Run the same command again: it resumes."


class GuardStop(BulklinkError):
    """A guard rail stopped the run before anything was sent."""

    exit_code = ExitCode.GUARDED
    hint = "Check the file, or raise the limit in [guard]."


class SignInError(BulklinkError):
    """Sign-in or permission was refused."""

    exit_code = ExitCode.REFUSED
    hint = "Correct the credentials or the privileges, then run the same command again: it resumes."


class LockHeld(BulklinkError):
    """Another run on this relationship is going on."""

    exit_code = ExitCode.LOCKED
    hint = "Wait until it has ended."


class Interrupted(BulklinkError):
    """A signal ended the run; the journal is closed cleanly."""

    exit_code = ExitCode.SIGINT
    hint = "Run the same command again: it resumes."

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__("interrupted")
        self.exit_code = exit_code


def nearest(name: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The valid names most like `name`, best first; upper and lower case count as alike."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    return [by_folded[hit] for hit in difflib.get_close_matches(name.casefold(), by_folded, n=count, cutoff=0.5)]
