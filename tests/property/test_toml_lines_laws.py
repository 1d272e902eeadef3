"""Every key of any TOML text is found in the line where it stands."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bulklink.job.toml_lines import read_toml

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
#: Values full of what the scan must not take for structure. `\n` makes them span lines.
NOISE = st.text(st.sampled_from("[]{}=,.#'\"\\ab \n"), max_size=12)
SCALARS = st.one_of(NOISE, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.just(1.5))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def basic(text: str) -> str:
    """A key or text as a basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def written(value: Any, *, multi_line: bool) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{basic(k)} = {written(v, multi_line=False)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        gap = "\n  # ] = [\n  " if multi_line else " "
        return f"[{gap}" + f",{gap}".join(written(one, multi_line=multi_line) for one in value) + f"{gap}]"
    if isinstance(value, str):
        if multi_line and "\n" in value:
            return '"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        return basic(value)
    return json.dumps(value)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """A text, and the line of each key at the top of a table."""
    lines: list[str] = []
    places: dict[tuple[str | int, ...], int] = {}

    def pairs(path: tuple[str | int, ...], table: dict[str, Any]) -> None:
        for key, value in table.items():
            places[*path, key] = len("\n".join([*lines, ""]).split("\n"))
            lines.append(f"{basic(key)}\t=  {written(value, multi_line=draw(st.booleans()))} # x = [1")

    pairs((), {f"top {key}": value for key, value in draw(TABLES).items()})
    for number, name in enumerate(draw(st.lists(KEYS, unique=True, max_size=3))):
        if draw(st.booleans()):
            lines.append(f"\n[ {basic(f'table {number} {name}')} ]")
            pairs((f"table {number} {name}",), draw(TABLES))
        else:
            for index in range(draw(st.integers(1, 3))):
                lines.append(f"[[{basic(f'many {number} {name}')}]]")
                pairs((f"many {number} {name}", index), draw(TABLES))
    return "\n".join(lines), places


def paths(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from paths(value, (*path, key))


@given(documents(), st.sampled_from(["\n", "\r\n"]))
def test_every_key_is_found_in_its_line(document: tuple[str, dict[tuple[str | int, ...], int]], end: str) -> None:
    text, places = document
    read = read_toml(text.replace("\n", end))
    assert read.values == tomllib.loads(text.replace("\n", end))
    assert {path: read.lines[path] for path in places} == places
    assert [path for path in paths(read.values) if path not in read.lines] == []


@given(st.text(st.sampled_from("[]{}=,.#'\"\\ab1 \n\r\t"), max_size=40))
def test_a_text_is_read_or_refused_as_toml_and_never_otherwise(text: str) -> None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        values = None
    try:
        assert read_toml(text).values == values
    except ValueError:
        assert values is None
