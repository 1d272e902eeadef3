"""The job: what one run is asked to do, checked and immutable.

Owns: the whole of a job file as one value, how it is loaded, its fingerprint, its settings with their origin.
Does not know: the input's header, the environment's metadata, how anything is sent.
Source: the public contract (README, "Job file", "Running again").
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator

from bulklink.errors import JobError, UsageError
from bulklink.job.kinds import PRIMARY_KEY, Link, Parties, Record, plain
from bulklink.job.layers import Draft
from bulklink.job.problems import JobFileError, Problem, dotted, problems_of
from bulklink.job.settings import Dataverse, Guard, Input, Report, Section, Send, Verify
from bulklink.job.toml_lines import Path as KeyPath
from bulklink.job.toml_lines import TomlError, TomlText, read_toml
from bulklink.vocabulary import Isolation

JOB_BYTES_MAX: Final = 1_000_000
_NOT_GIVEN: Final = object()
_SAID_OUTRIGHT: Final = ("BULKLINK_LINK_", "BULKLINK_RECORD_", "BULKLINK_PARTIES_", "BULKLINK_INPUT_FILE")
KINDS: Final = ("link", "record", "parties")
_NAME: Final = r"^[^<>:\"/\\|?*\x00-\x1f. ]([^<>:\"/\\|?*\x00-\x1f]{0,98}[^<>:\"/\\|?*\x00-\x1f. ])?$"
_SIDE: Final = re.compile(r"^(?P<table>[^.=\s]+)(\.(?P<column>[^=\s]+))?=(?P<header>.+)$", re.DOTALL)


def _job_name(text: object) -> object:
    if isinstance(text, str) and not re.match(_NAME, text):
        raise ValueError('must do as the name of a folder: at most 100 characters, none of < > : " / \\ | ? *')
    return text


class Job(Section):
    """A job file. Exactly one of link, record and parties is given."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    name: Annotated[str, BeforeValidator(_job_name)] = Field(
        default="", validate_default=False, description="Names the runs. Not given: the name of the file."
    )
    dataverse: Dataverse
    input: Input | None = Field(
        default=None, description="The spreadsheet; a data frame may take its place in the library."
    )
    links: Annotated[
        tuple[Link, ...],
        BeforeValidator(lambda value: (value,) if isinstance(value, dict | Link) else value),
    ] = Field(default=(), alias="link", description="[link], or [[link]] several times: they run in order.")
    record: Record | None = None
    parties: Parties | None = None
    guard: Guard = Field(Guard())
    send: Send = Field(Send())
    verify: Verify = Field(Verify())
    report: Report = Field(Report())

    @property
    def kind(self) -> Literal["link", "record", "parties"]:
        """Which of the three kinds of job it is."""
        return "record" if self.record else "parties" if self.parties else "link"

    @property
    def is_sync(self) -> bool:
        """True if one of its links removes what has no row."""
        return any(link.is_sync for link in self.links)

    def fingerprint_parts(self) -> str:
        """What makes two runs the same work, as canonical JSON: the kind's section, isolation, group_by.

        Sign-in, tuning, guard and report are not in it: they may differ between a run and the one that resumes it.
        """
        alone = self.record or self.parties
        asked = plain(alone) if alone else [plain(link) for link in self.links]
        parts = {self.kind: asked, "isolation": self.send.isolation.value, "group_by": self.send.group_by}
        return json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        given = [kind for kind, section in zip(KINDS, (self.links, self.record, self.parties), strict=True) if section]
        if not given:
            raise ValueError("says nothing to do: give [link], [record] or [parties]")
        if len(given) > 1:
            raise ValueError(f"[{given[0]}] and [{given[1]}] are two jobs: give each a file of its own")
        return self

    @model_validator(mode="after")
    def _groups_are_meant(self) -> Self:
        # Said by nobody: a group_by whose isolation was left at its default. It would silently do nothing.
        if self.links and self.send.group_by and "isolation" not in self.send.model_fields_set:
            raise ValueError(f'send.group_by does nothing without isolation = "{Isolation.GROUP}"')
        return self

    @classmethod
    def load(
        cls, path: str | Path, env: Mapping[str, str], overrides: Mapping[str, object] | None = None
    ) -> "LoadedJob":
        """Read and check a job file. overrides: the flags, such as ``{"send.concurrency": "8"}``.

        Raises JobFileError with every problem found: file, line, key, nearest valid key.
        """
        path = Path(path)
        text = _job_text(path)
        try:
            toml = read_toml(text)
        except TomlError as error:
            raise JobFileError([Problem(f"{path.name}, line {error.line}", "", f"no TOML: {error}")]) from None
        draft = Draft(cls, path.name, path.absolute().parent, toml)
        return _checked(draft, env, overrides or {}, default_name=path.stem)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], env: Mapping[str, str], overrides: Mapping[str, object] | None = None
    ) -> "LoadedJob":
        """The job that a dict describes, shaped like the file. Relative paths start at the current folder."""
        draft = Draft(cls, "job", Path.cwd(), TomlText(copy.deepcopy(dict(values)), {}))
        return _checked(draft, env, overrides or {}, default_name="job")

    @classmethod
    def from_one_line(
        cls,
        action: str,
        input_file: str,
        *,
        relationship: str,
        from_side: str,
        to_side: str,
        env: Mapping[str, str],
        overrides: Mapping[str, object] | None = None,
    ) -> "LoadedJob":
        """The job of ``bulklink associate INPUT …``. A side is written ``TABLE[.COLUMN]=HEADER``.

        A side without a column matches the table's primary key: its match has the key "".
        """
        link = {"relationship": relationship, "action": action}
        sides = {"from": read_side(from_side, "--from"), "to": read_side(to_side, "--to")}
        values = {"name": f"{action}-{relationship}", "input": {"file": [input_file]}, "link": {**link, **sides}}
        draft = Draft(cls, "command line", Path.cwd(), TomlText(values, {}))
        # What the command line says outright is not for a left-over variable to change.
        env = {name: env[name] for name in env if not name.startswith(_SAID_OUTRIGHT)}
        return _checked(draft, env, overrides or {}, default_name=action)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key, the value it has, and who said so."""

    key: str
    value: object
    source: str


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A checked job, the folder its paths start at, and where each of its settings came from."""

    job: Job
    base_dir: Path
    source: str
    settings: tuple[Setting, ...]

    def resolve(self, path: str) -> Path:
        """A path of the job: relative ones start at the job file's folder."""
        return self.base_dir / Path(path).expanduser()

    def required_input(self) -> Input:
        """The [input] section. Raises JobError if there is none."""
        if self.job.input is None:
            raise JobFileError([Problem(self.source, "input", 'is missing: [input] with file = "…"')])
        return self.job.input

    def sign_in_words(self) -> dict[str, Any]:
        """What [dataverse] says about signing in, paths made absolute. With the secrets: never to be shown."""
        dataverse = self.job.dataverse
        secrets = {"client_secret": dataverse.client_secret, "certificate_password": dataverse.certificate_password}
        files = {"certificate_file": dataverse.certificate_file, "ca_file": dataverse.ca_file}
        return {
            **{key: getattr(dataverse, key) for key in ("url", "auth", "tenant_id", "client_id", "authority")},
            **{key: secret.get_secret_value() if secret else "" for key, secret in secrets.items()},
            **{key: str(self.resolve(file)) if file else "" for key, file in files.items()},
        }

    def settings_by_key(self) -> dict[str, object]:
        """Every setting with its value, secrets hidden: what summary.json and the report name."""
        return {setting.key: setting.value for setting in self.settings}


def read_side(text: str, flag: str) -> dict[str, Any]:
    """``account=Account Id`` or ``account.accountnumber=Account No`` as a side of a link."""
    match = _SIDE.match(text)
    if not match:
        raise UsageError(
            f'{flag} "{text}" is not TABLE=HEADER or TABLE.COLUMN=HEADER.',
            hint=f'Such as {flag} "account=Account Id" or {flag} "account.accountnumber=Account No".',
        )
    return {"table": match["table"], "match": {match["column"] or PRIMARY_KEY: match["header"]}}


def _job_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(JOB_BYTES_MAX + 1)
    except OSError as error:
        near = sorted(found.name for found in path.parent.glob("*.toml"))[:5] if path.parent.is_dir() else []
        also = f" In the same folder: {', '.join(near)}." if near else ""
        raise JobError(f"{path}: {error.strerror}.{also}", hint="Give the path of a job file.") from None
    if len(text) > JOB_BYTES_MAX:
        raise JobError(f"{path.name}: larger than {JOB_BYTES_MAX} bytes; that is no job file.")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise JobFileError([Problem(f"{path.name}, line {line}", "", "not UTF-8")]) from None


def _checked(draft: Draft, env: Mapping[str, str], flags: Mapping[str, object], default_name: str) -> LoadedJob:
    draft.apply_environment(env)
    draft.apply_flags(flags)
    draft.substitute(env)
    written = {**draft.values, "name": draft.values.get("name", default_name)}
    try:
        job = Job.model_validate(written)
    except ValidationError as error:
        draft.problems.extend(problems_of(error, Job, draft.values, draft.where))
        raise JobFileError(draft.problems) from None
    draft.refuse_problems()
    return LoadedJob(job, draft.base_dir, draft.name, tuple(_settings_of(job, draft.values, draft)))


def _settings_of(section: Section, written: Any, draft: Draft, path: KeyPath = ()) -> Iterator[Setting]:
    """Every leaf below `section`: its key, what was written or else the default, and who said so."""
    for name, item in type(section).model_fields.items():
        value = getattr(section, name)
        key = item.alias or name
        given = written.get(key, _NOT_GIVEN) if isinstance(written, dict) else _NOT_GIVEN
        parts = list(_sections_in(value, given, (*path, key)))
        for part, part_written, part_path in parts:
            yield from _settings_of(part, part_written, draft, part_path)
        if not parts and not _is_absent_section(value, item.annotation):
            yield _setting((*path, key), value, given, item.default, draft)


def _sections_in(value: Any, given: Any, path: KeyPath) -> Iterator[tuple[Section, Any, KeyPath]]:
    """The tables that a value is made of, each with what was written for it and its place."""
    if isinstance(value, Section):
        yield value, given, path
    elif isinstance(value, tuple) and value and isinstance(value[0], Section):
        written = given if isinstance(given, list) else [given]
        for index, (part, part_written) in enumerate(zip(value, written, strict=True)):
            yield part, part_written, (*path, index) if isinstance(given, list) else path
    elif isinstance(value, dict):
        for key, part in value.items():
            if isinstance(part, Section):
                yield part, given[key], (*path, key)


def _is_absent_section(value: Any, annotation: Any) -> bool:
    return not value and any(isinstance(part, type) and issubclass(part, Section) for part in get_args(annotation))


def _setting(path: KeyPath, value: Any, given: Any, default: Any, draft: Draft) -> Setting:
    shown = given if given is not _NOT_GIVEN else default or value
    if isinstance(value, SecretStr):
        shown = "(secret)"
    shown = list(shown) if isinstance(shown, tuple) else "" if shown is None else shown
    source = "default" if given is _NOT_GIVEN else draft.where(path)
    if path in draft.references:
        source = f"{source}: {draft.references[path]}"
    return Setting(dotted(path), shown, source)
