"""Say what is wrong with a job: file, line, key, nearest valid key. Every problem, not only the first.

Owns: the sentences, and how a finding of the models becomes one.
Does not know: how an error is shown. Never repeats a value: it might be a secret.
Source: the public contract (README, "Job file"); pydantic's error types.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bulklink.errors import JobError, nearest
from bulklink.job.toml_lines import Path

_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in [ ]",
    "dict_type": "must be a table: {{ name = value, … }}",
    "model_type": "must be a table: [section] or {{ name = value, … }}",
    "model_attributes_type": "must be a table: [section] or {{ name = value, … }}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}

_QUOTED: Final = re.compile(r"'([^']+)'")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it was said, which key, what about it, and what may have been meant."""

    where: str
    key: str
    what: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.where, self.key, self.what) if part)
        return f"{text}\n    nearest: {', '.join(self.nearest)}" if self.nearest else text


class JobFileError(JobError):
    """The job cannot be used. `problems` has one entry for each thing to correct."""

    def __init__(self, problems: Iterable[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)), hint=hint)


def dotted(path: Path) -> str:
    """A key as people write it: ``link[2].from.table``, counted from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def problems_of(
    error: ValidationError, root: type[BaseModel], values: Mapping[str, Any], where: Callable[[Path], str]
) -> Iterator[Problem]:
    """The findings of the models as problems. `where` names the place of a key; `values` is what was validated."""
    for detail in error.errors(include_url=False, include_context=True, include_input=False):
        path = _written_path(detail["loc"], values)
        unknown = detail["type"] == "extra_forbidden"
        what, near = _unknown_key(path, root) if unknown else (_sentence(detail), _nearest_word(detail, path, values))
        yield Problem(where(path), dotted(path), what, near)


def _sentence(detail: ErrorDetails) -> str:
    words = _SENTENCES.get(detail["type"])
    return words.format(**detail.get("ctx", {})) if words else detail["msg"]


def _nearest_word(detail: ErrorDetails, path: Path, values: Any) -> tuple[str, ...]:
    """For a key that takes one of a few words: the ones that look like what was written."""
    expected = _QUOTED.findall(str(detail.get("ctx", {}).get("expected", "")))
    for part in path if expected else ():
        values = values[part]
    return tuple(nearest(values, expected)) if isinstance(values, str) else ()


def _written_path(location: Path, values: Any) -> Path:
    """The models see [link] as a list of one; the file does not. What the models add to a place is dropped."""
    path: list[str | int] = []
    for part in location:
        if isinstance(part, int) and not isinstance(values, list):
            continue
        if part == "[key]":
            break
        path.append(part)
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
    return tuple(path)


def _unknown_key(path: Path, root: type[BaseModel]) -> tuple[str, tuple[str, ...]]:
    key = str(path[-1])
    here = keys_of(model_at(root, path[:-1]))
    homes = [section for section in keys_of(root) if key in keys_of(model_at(root, (section,)))]
    near = nearest(key, here)
    if homes and not near:
        return f"unknown key here; it belongs in [{homes[0]}]", ()
    if near:
        return "unknown key", tuple(near)
    return f"unknown key; there are {', '.join(here)}", ()


def model_at(root: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The class of the table at `path`, None if a value stands there."""
    model: type[BaseModel] | None = root
    names = iter(path)
    for name in names:
        if isinstance(name, int):
            continue
        annotation = _fields(model).get(name) if model else None
        model = _model_in(annotation)
        if _is_mapping(annotation):
            next(names, None)  # the free name, such as that of a navigation property
    return model


def keys_of(model: type[BaseModel] | None) -> list[str]:
    """The keys of a table as they are written."""
    return list(_fields(model)) if model else []


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
