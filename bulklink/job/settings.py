"""The sections that every kind of job has: where, from what, how fast, how safe, what to write.

Owns: their keys, types, defaults and descriptions, and what must hold within one section.
Does not know: TOML, files, environment variables, sign-in. Attribute names are the TOML keys, durations are
seconds, ``"auto"`` stays the word.
Source: the public contract (README, "Job file").
"""

import ipaddress
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from bulklink.job.values import (
    AutoBatchSize,
    AutoConcurrency,
    Count,
    Deadline,
    Flag,
    MaybeSeconds,
    MaybeTexts,
    PositiveCount,
    RowLimit,
    Seconds,
    Share,
    Texts,
    as_written,
)
from bulklink.vocabulary import Isolation

Auth = Literal[
    "client-secret", "certificate", "managed-identity", "workload-identity", "device-code", "interactive", "token"
]
_REFERENCE_PATTERN = r"^(\$\{[^}]*\})?$"
API_PATH = "/api/data/v9.2"
#: It stands in the URL of every operation.
TAG_CHARACTERS_MAX = 200
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Section(BaseModel):
    """What all sections share: nothing changes, nothing unknown gets in, no value gets into a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def is_loopback(host: str) -> bool:
    """True if `host` is this machine: ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def environment_url(text: object) -> str:
    """The environment's address without a path, host in lower case. Raises ValueError with what is wrong."""
    if not isinstance(text, str):
        raise ValueError("must be text in quotes")
    parts = urlsplit(text.strip())
    if parts.scheme not in ("https", "http") or not parts.hostname:
        host = text.strip().split("/")[0].rpartition("@")[2]
        raise ValueError(f'must begin with https://, such as "https://{host or "HOST"}"')
    host = parts.netloc.rpartition("@")[2].lower()
    if "@" in parts.netloc or parts.query or parts.fragment or parts.path.rstrip("/") not in ("", API_PATH):
        raise ValueError(f'must be the address of the environment alone: "{parts.scheme}://{host}"')
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http:// is accepted for loopback hosts only; use https://")
    return f"{parts.scheme}://{host}"


def _object_id(text: object) -> object:
    if isinstance(text, str) and text and not _GUID.fullmatch(text.strip()):
        raise ValueError('must be the object id of a user, such as "e39c5d16-675b-48d1-8e67-667427e9c084"')
    return text.strip() if isinstance(text, str) else text


def _tag(text: object) -> object:
    if isinstance(text, str) and (not text.isprintable() or len(text) > TAG_CHARACTERS_MAX):
        raise ValueError(f"must be one line of at most {TAG_CHARACTERS_MAX} characters")
    return text


class Dataverse(Section):
    """Which environment, and who signs in."""

    url: Annotated[str, BeforeValidator(environment_url)] = Field(
        description="Address of the environment, such as https://contoso.crm4.dynamics.com."
    )
    auth: Auth | None = Field(
        default=None,
        description="How to sign in. Not given: BULKLINK_TOKEN or BULKLINK_TOKEN_FILE, else client_id and "
        "client_secret, or BULKLINK_TENANT_ID, BULKLINK_CLIENT_ID and BULKLINK_CLIENT_SECRET, "
        "else what `bulklink login` cached.",
    )
    tenant_id: str = Field(default="", description="Entra tenant. Not given: asked of the environment.")
    client_id: str = Field(
        default="", description="Application (client) id, or that of a user-assigned managed identity."
    )
    client_secret: SecretStr | None = Field(
        json_schema_extra={"pattern": _REFERENCE_PATTERN},
        default=None,
        description="Only as ${VARIABLE}, ${file:PATH} or ${keyring:SERVICE/NAME}; a literal is refused.",
    )
    certificate_file: str = Field(default="", description="PEM or PFX file with certificate and private key.")
    certificate_password: SecretStr | None = Field(
        json_schema_extra={"pattern": _REFERENCE_PATTERN},
        default=None,
        description="Password of certificate_file, written like client_secret.",
    )
    authority: str = Field(
        default="", description="Address of the sign-in authority. Not given: asked of the environment."
    )
    caller_object_id: Annotated[str, BeforeValidator(_object_id)] = Field(
        default="", description="Impersonation: Entra object id of the user in whose name to act."
    )
    bypass: tuple[Literal["custom-sync", "custom-async", "flows"], ...] = Field(
        default=(), description="Custom logic to go round: needs privileges; named in summary and report."
    )
    duplicate_detection: Flag = Field(
        default=False,
        description="Let the environment's duplicate detection rules refuse records that look like others.",
    )
    tag: Annotated[str, BeforeValidator(_tag)] = Field(
        default="", description="Text that reaches the environment's plug-ins as the shared variable tag."
    )
    ca_file: str = Field(default="", description="PEM file of certification authorities to trust besides the system's.")

    @property
    def api_url(self) -> str:
        """Address of the Web API, without a slash at the end."""
        return f"{self.url}{API_PATH}"


def _delimiter(text: object) -> object:
    if isinstance(text, str) and text != "auto" and len(text) != 1:
        raise ValueError('must be "auto" or one character such as ";"')
    return text


class Input(Section):
    """The spreadsheet."""

    file: Texts = Field(
        description="A file, a list of files, or a glob (its newest match, unchanged for 5 s): "
        ".csv .tsv .xlsx .xls .ods .parquet. Relative to the job file."
    )
    sheet: MaybeTexts = Field(
        default=(), description="Name of the sheet, or a list. Not given: the first visible sheet."
    )
    delimiter: Annotated[str, BeforeValidator(_delimiter)] = Field(
        default="auto",
        description='"auto", or the character between the cells of a text file; what was found is printed.',
    )
    encoding: str = Field(default="auto", description='"auto", or the encoding of a text file, such as "cp1252".')


class Guard(Section):
    """What stops a run before anything is sent (exit code 5)."""

    max_removals: Count = Field(
        default=200, description="sync: links that may be removed; a lookup pointed elsewhere counts."
    )
    max_removals_percent: Annotated[float, Field(ge=0, le=100, strict=True)] = Field(
        default=5, description="sync: the same as a part of the existing links in scope; whichever is smaller."
    )
    min_rows: Count | None = Field(
        default=None, description="Fewest rows of the input. Not given: 1 for sync, 0 otherwise."
    )
    max_unresolved: Count | None = Field(
        default=None, description="Most unresolved and ambiguous rows. Not given: 100 for sync, no limit otherwise."
    )
    max_input_age: MaybeSeconds = Field(
        default=as_written(""), description='Oldest input file, such as "20h". Empty: any age.'
    )

    def fewest_rows(self, *, is_sync: bool) -> int:
        """Fewest rows that the input must have."""
        return self.min_rows if self.min_rows is not None else int(is_sync)

    def most_unresolved(self, *, is_sync: bool) -> int | None:
        """Most rows that may be unresolved or ambiguous; None: no limit."""
        return self.max_unresolved if self.max_unresolved is not None or not is_sync else 100


class Send(Section):
    """How operations travel.

    Worst-case memory of what is in flight is
    ``concurrency * batch_size * (request_bytes + answer_bytes)`` for one operation, with about 450 bytes for the
    request of a link and 350 for its answer: 52 * 1000 * 800 bytes = 42 MB. Rows that are not in flight are on disk,
    so the number of input rows does not enter it. Records and parties are as large as their cells.
    """

    isolation: Isolation = Field(
        default=Isolation.CHANGE_SET,
        description="row | change-set | group: which rows share a change set, and who falls with whom.",
    )
    group_by: str = Field(
        default="", description="Header: the rows of one value succeed or fail together (isolation group)."
    )
    change_set_size: AutoBatchSize = Field(
        default="auto",
        description="Operations in a change set. auto starts at 1 and grows only while that measurably helps.",
    )
    batch_size: AutoBatchSize = Field(default="auto", description="Operations in a batch, at most 1000.")
    concurrency: AutoConcurrency = Field(
        default="auto", description="Batches in flight. auto follows x-ms-dop-hint, Retry-After and latency."
    )
    share: Share = Field(default=as_written("100%"), description="Part of the service protection window to use.")
    hub_parallelism: PositiveCount = Field(
        default=1,
        description="Batches in flight that may touch one and the same record; more where the service takes no harm.",
    )
    deadline: Deadline = Field(
        default="", description="Stop sending then: HH:MM (next such time here), ISO, or a duration."
    )
    max_failures: RowLimit = Field(
        default=as_written("100%"), description="Rows, or a percentage of them, that may fail before the run stops."
    )
    request_timeout: Seconds = Field(default=as_written("300s"), description="How long to wait for an answer.")
    settle_after: Seconds = Field(
        default=as_written("5m"), description="How long a missing link stays in doubt after a lost answer."
    )
    resume_within: Seconds = Field(
        default=as_written("24h"), description="An unfinished run older than this is not resumed."
    )

    @model_validator(mode="after")
    def _groups_are_meant(self) -> Self:
        if self.isolation is Isolation.GROUP and not self.group_by:
            raise ValueError('isolation = "group" needs group_by = "HEADER"')
        return self


class Verify(Section):
    """Whether the links are read back after the run."""

    mode: Literal["none", "sample", "all"] = Field(default="none", description="none | sample | all.")


class Report(Section):
    """What is written for people, and where."""

    dir: str = Field(default="runs", description="Folder of the run directories. Relative to the job file.")
    keep: PositiveCount = Field(
        default=30,
        description="Finished runs of this job to keep. Never deletes an unfinished run, one in doubt, or a --run-dir.",
    )
    outcomes: tuple[Literal["csv", "xlsx", "parquet"], ...] = Field(default=("csv",), description="csv, xlsx, parquet.")
    html: Flag = Field(default=True, description="Write report.html.")
