"""Where the values of a job come from: file, then environment variables, then flags; and what ${…} stands for.

Owns: the order of the layers, `BULKLINK_<SECTION>_<KEY>`, substitution, and the rule that no secret stands in a file.
Does not know: which values are good; the models judge that.
Source: the public contract (README, "Job file").
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr

from bulklink.errors import nearest
from bulklink.job.problems import JobFileError, Problem, dotted, keys_of, model_at
from bulklink.job.toml_lines import Path, TomlText

PREFIX: Final = "BULKLINK_"
SECRET_BYTES_MAX: Final = 65_536
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_]\w*$|[a-z]+:")

#: Which ways of signing in use a secret; for the others it need not be there.
_SECRET_USED_BY: Final[Mapping[str, tuple[str | None, ...]]] = {
    "client_secret": (None, "client-secret"),
    "certificate_password": ("certificate",),
}


@dataclass(slots=True)
class Draft:
    """The values of a job before they are checked, and where each was said.

    root: the class of the whole job. overrides: path of each key that a variable or flag has set -> its name.
    """

    root: type[BaseModel]
    name: str
    base_dir: FilePath
    toml: TomlText
    overrides: dict[Path, str] = field(default_factory=dict)
    references: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def values(self) -> dict[str, Any]:
        """The merged values, as nested tables."""
        return self.toml.values

    def where(self, path: Path) -> str:
        """The place of a key for people: ``job.toml, line 12``, the name of a variable, or a flag."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
        line = self.toml.line_of(path)
        return f"{self.name}, line {line}" if line else self.name

    def override(self, section: str, key: str, value: object, source: str) -> None:
        """Set one key; a text is read as the type that the key wants."""
        known = keys_of(model_at(self.root, (section,)))
        if key not in known:
            near = tuple(f"{PREFIX}{section}_{name}".upper() for name in nearest(key, known))
            self.problems.append(Problem(source, "", f"[{section}] has no key {key}", near))
            return
        annotation = _annotation(self.root, section, key)
        if _takes_table(annotation):
            self.problems.append(Problem(source, dotted((section, key)), "is a table: set it in the job file"))
            return
        table = self.values.setdefault(section, {})
        if isinstance(table, list):
            if len(table) != 1:
                self.problems.append(
                    Problem(source, dotted((section, key)), f"which of the {len(table)} [[{section}]]?")
                )
                return
            table = table[0]
        if not isinstance(table, dict):
            return  # the models say what is wrong with it
        table[key] = _typed(value, annotation) if isinstance(value, str) else value
        self.overrides[section, key] = source

    def apply_environment(self, env: Mapping[str, str]) -> None:
        """`BULKLINK_SEND_CONCURRENCY=8` and its like; `BULKLINK_URL` where the file names no environment."""
        for name in sorted(env):
            section = next((s for s in keys_of(self.root) if name.startswith(f"{PREFIX}{s}_".upper())), None)
            if section and model_at(self.root, (section,)):
                self.override(section, name[len(PREFIX) + len(section) + 1 :].lower(), env[name], name)
        dataverse = self.values.setdefault("dataverse", {})
        if isinstance(dataverse, dict) and "url" not in dataverse and env.get(f"{PREFIX}URL"):
            self.override("dataverse", "url", env[f"{PREFIX}URL"], f"{PREFIX}URL")

    def apply_flags(self, flags: Mapping[str, object]) -> None:
        """`{"send.concurrency": "8"}`: the flag has the key's name."""
        for dotted_key, value in flags.items():
            section, _, key = dotted_key.partition(".")
            self.override(section, key, value, f"--{key.replace('_', '-')}")

    def substitute(self, env: Mapping[str, str]) -> None:
        """Put in what ``${VAR}``, ``${file:PATH}`` and ``${keyring:SERVICE/NAME}`` stand for.

        Only in values of the file: what a variable or flag says is taken as it is.
        """
        auth = self.values.get("dataverse", {}).get("auth") if isinstance(self.values.get("dataverse"), dict) else None
        secrets = {("dataverse", key): auth in used_by for key, used_by in _SECRET_USED_BY.items()}
        for path, text in list(_texts(self.values)):
            if path in self.overrides:
                continue
            if path in secrets:
                self._substitute_secret(path, text, env, is_needed=secrets[path])
            elif "$" in text:
                self._put(path, self._filled(path, text, env))

    def _substitute_secret(self, path: Path, text: str, env: Mapping[str, str], *, is_needed: bool) -> None:
        if text and not _REFERENCE.fullmatch(text):
            variable = f"{PREFIX}{path[-1]}".upper()
            what = (
                f'a literal secret is refused; write "${{{variable}}}", "${{file:PATH}}" or "${{keyring:SERVICE/NAME}}"'
            )
            self.problems.append(Problem(self.where(path), dotted(path), what))
        self._put(path, self._filled(path, text, env) if text and is_needed else None)

    def _filled(self, path: Path, text: str, env: Mapping[str, str]) -> str:
        def stand_in(match: re.Match[str]) -> str:
            self.references[path] = text
            try:
                return _look_up(match[1], env, self.base_dir)
            except LookupError as error:
                self.problems.append(Problem(self.where(path), dotted(path), f"{_nameable(match)}: {error.args[0]}"))
                return ""

        return _REFERENCE.sub(stand_in, text).replace("$${", "${")

    def _put(self, path: Path, value: str | None) -> None:
        table: Any = self.values
        for part in path[:-1]:
            table = table[part]
        table[path[-1]] = value

    def refuse_problems(self) -> None:
        """Raise what was found so far, if anything was."""
        if self.problems:
            raise JobFileError(self.problems)


def _nameable(reference: re.Match[str]) -> str:
    """A reference as it may be shown: what is spelt like no name may be the secret itself, put into the braces."""
    return reference[0] if _NAME.match(reference[1]) else "${…}"


def _texts(values: Any, path: Path = ()) -> Any:
    if isinstance(values, str):
        yield path, values
        return
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        yield from _texts(value, (*path, key))


def _look_up(reference: str, env: Mapping[str, str], base_dir: FilePath) -> str:
    """The text behind one reference. Raises LookupError with what is missing."""
    kind, colon, rest = reference.partition(":")
    if not colon:
        if reference not in env:
            raise LookupError("there is no such environment variable")
        return env[reference]
    if kind == "file":
        return _file_text(base_dir / FilePath(rest).expanduser())
    if kind == "keyring":
        return _keyring_text(rest)
    raise LookupError("neither ${VARIABLE} nor ${file:PATH} nor ${keyring:SERVICE/NAME}")


def _file_text(path: FilePath) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise LookupError(f"cannot read the file: {error.strerror}") from None
    if len(text) > SECRET_BYTES_MAX:
        raise LookupError(f"the file is larger than {SECRET_BYTES_MAX} bytes")
    return text.decode("utf-8-sig", "replace").rstrip("\r\n")


def _keyring_text(entry: str) -> str:
    service, slash, name = entry.rpartition("/")
    if not (service and slash and name):
        raise LookupError("must be written ${keyring:SERVICE/NAME}")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise LookupError('needs the keyring package: pip install "bulklink[keyring]"') from None
    try:
        secret = keyring.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise LookupError(f"the keyring refuses: {type(error).__name__}") from None
    if secret is None:
        raise LookupError("the keyring has no such entry")
    return str(secret)


def _annotation(root: type[BaseModel], section: str, key: str) -> Any:
    model = model_at(root, (section,))
    assert model is not None
    return next(item.annotation for name, item in model.model_fields.items() if (item.alias or name) == key)


def _types_in(annotation: Any) -> set[Any]:
    parts = get_args(annotation)
    origin = getattr(annotation, "__origin__", annotation)
    return {origin}.union(*(_types_in(part) for part in parts)) if parts else {annotation}


def _takes_table(annotation: Any) -> bool:
    types = _types_in(annotation)
    models = {one for one in types if isinstance(one, type) and issubclass(one, BaseModel)}
    return dict in types or (bool(models) and not any(isinstance(one, str) for one in types))


def _typed(text: str, annotation: Any) -> object:
    """A variable's or flag's text as the type that the key wants; as it is where that does not work."""
    types = _types_in(annotation)
    if SecretStr in types:
        return text
    if tuple in types:
        return [part.strip() for part in text.split(",") if part.strip()]
    if bool in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if int in types and re.fullmatch(r"\d+", text):
        return int(text)
    if float in types and re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return text
