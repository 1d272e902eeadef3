"""What a journal says about its run as a whole: which run it is, of what, by what settings, and how it ended.

Owns: these facts, and their spelling in the journal's table of facts.
Does not know: rows, outcomes, directories.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from bulklink.errors import JournalError


class RunState(StrEnum):
    """Whether a run may go on."""

    UNFINISHED = "unfinished"
    FINISHED = "finished"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class InputFacts:
    """One file or sheet of the input. modified: ISO 8601, UTC."""

    file: str
    rows: int
    sha256: str = ""
    modified: str = ""
    sheet: str = ""
    format: str = ""
    delimiter: str = ""
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class AboutRun:
    """What is known of a run before anything is sent; never changed afterwards.

    started: ISO 8601, UTC. fingerprint: equal for runs that are the same work. task: what was asked for, label ->
    words, in the order in which people should read it. settings: setting -> value. environment: label -> words.
    key_headers: the columns of the input that tell its rows apart. command: what to type to run it again.
    retry_command: what to type to send the rows not as asked again, once this run is finished. "": a program ran it.
    chosen: the directory was given with --run-dir. retry_of: the run whose rows not as asked this one sends again.
    """

    run_id: str
    job: str
    organisation: str
    relationship: str
    fingerprint: str
    started: str
    inputs: tuple[InputFacts, ...] = ()
    task: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    key_headers: tuple[str, ...] = ()
    command: str = ""
    retry_command: str = ""
    chosen: bool = False
    retry_of: str = ""

    def to_meta(self) -> dict[str, str]:
        """The facts as the journal keeps them: JSON, one entry each; the state is `UNFINISHED`."""
        entries = {f"about.{name}": json.dumps(value, default=str) for name, value in asdict(self).items()}
        return entries | RunEnd().to_meta()

    @classmethod
    def from_meta(cls, meta: Mapping[str, str]) -> Self:
        """Raises JournalError if a fact is missing or unreadable."""
        try:
            values = {one.name: json.loads(meta[f"about.{one.name}"]) for one in fields(cls)}
            values["inputs"] = tuple(InputFacts(**one) for one in values["inputs"])
            values["key_headers"] = tuple(values["key_headers"])
        except (KeyError, ValueError, TypeError) as error:
            raise JournalError(f"the journal does not say what its run is about ({error})") from error
        return cls(**values)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run stands or ended.

    exit_code: None while it goes on, and after a kill. why, hint: of the error that ended it, if one did.
    """

    state: RunState = RunState.UNFINISHED
    exit_code: int | None = None
    ended: str = ""
    why: str = ""
    hint: str = ""

    def to_meta(self) -> dict[str, str]:
        """The facts as the journal keeps them."""
        return {f"end.{name}": json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def from_meta(cls, meta: Mapping[str, str]) -> Self:
        """Raises JournalError if a fact is missing or unreadable."""
        try:
            values = {one.name: json.loads(meta[f"end.{one.name}"]) for one in fields(cls)}
            return cls(**values | {"state": RunState(values["state"])})
        except (KeyError, ValueError, TypeError) as error:
            raise JournalError(f"the journal does not say how its run stands ({error})") from error


_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"


def iso(at: float) -> str:
    """A moment (seconds since 1970 UTC) as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).strftime(_ISO)


def from_iso(text: str) -> float:
    """The moment that `iso` wrote."""
    return datetime.strptime(text, _ISO).replace(tzinfo=UTC).timestamp()
