"""Read TOML and remember in which line each key stands.

Owns: the scan of keys and brackets; `tomllib` reads the values and judges the grammar, so what is scanned is valid.
Does not know: which keys a job has.
Source: TOML 1.0.0. tomllib and tomlkit both drop positions, hence this scan.
"""

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final

Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<text>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
      | (?P<mark>[][{}=,.])
      | (?P<bare>[^][{}=,."'\#\s]+)""",
    re.DOTALL | re.VERBOSE,
)
_POSITION: Final = re.compile(r" \(at line (\d+), column \d+\)$")


class TomlError(ValueError):
    """The text is no TOML. `line` is 0 where the parser does not say."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class TomlText:
    """What a TOML text says, and the line of each key: ``("link", 0, "from", "table")`` -> 12."""

    values: dict[str, Any]
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """Line of the key at `path`, or of the nearest table around it; 0 if there is none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read_toml(text: str) -> TomlText:
    """Parse `text`. Raises TomlError with the line and what is wrong there, never with the line's text."""
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _POSITION.search(str(error))
        last_line = text.count("\n") + 1
        raise TomlError(_POSITION.sub("", str(error)), int(place[1]) if place else last_line) from None
    scan = _Scan(_tokens(text))
    scan.document()
    return TomlText(values, scan.lines)


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, text, line) of every mark that is not blank; ends with a newline."""
    tokens = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "blank":
            tokens.append((kind, match[0], line))
        line += match[0].count("\n")
    return [*tokens, ("newline", "\n", line)]


def _plain_key(kind: str, mark: str) -> str:
    return next(iter(tomllib.loads(f"{mark} = 0"))) if kind == "text" else mark


@dataclass(slots=True)
class _Scan:
    tokens: list[tuple[str, str, int]]
    lines: dict[Path, int] = field(default_factory=dict)
    at: int = 0
    table: Path = ()
    #: Index of the last table of each array of tables.
    arrays: dict[Path, int] = field(default_factory=dict)

    def document(self) -> None:
        while self.at < len(self.tokens):
            kind, mark, _ = self.tokens[self.at]
            if kind == "newline":
                self.at += 1
            elif mark == "[":
                self.header()
            else:
                self.pair(self.table)

    def header(self) -> None:
        """``[a.b]`` or ``[[a.b]]``: what follows belongs to this table."""
        brackets = 2 if self.tokens[self.at + 1][1] == "[" else 1
        self.at += brackets
        line = self.tokens[self.at][2]
        keys = self.dotted_key()
        self.at += brackets
        path: Path = ()
        for position, key in enumerate(keys, start=1):
            path = (*path, key)
            self.lines.setdefault(path, line)
            if position == len(keys) and brackets == 2:
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:
                path = (*path, self.arrays[path])
                self.lines.setdefault(path, line)
        self.table = path

    def pair(self, table: Path) -> None:
        line = self.tokens[self.at][2]
        path = table
        for key in self.dotted_key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.at += 1  # "="
        self.value(path)

    def dotted_key(self) -> list[str]:
        keys = []
        while True:
            kind, mark, _ = self.tokens[self.at]
            keys.append(_plain_key(kind, mark))
            self.at += 1
            if self.tokens[self.at][1] != ".":
                return keys
            self.at += 1

    def value(self, path: Path) -> None:
        mark = self.tokens[self.at][1]
        if mark == "{":
            self.inside("}", lambda _: self.pair(path))
        elif mark == "[":
            self.inside("]", lambda index: self.element((*path, index)))
        else:
            while self.tokens[self.at][1] not in ("\n", ",", "]", "}"):
                self.at += 1

    def element(self, path: Path) -> None:
        self.lines.setdefault(path, self.tokens[self.at][2])
        self.value(path)

    def inside(self, closing: str, read_one: Any) -> None:
        """Read what stands between two brackets, separated by commas; the tokens end after the closing one."""
        self.at += 1
        index = 0
        while (mark := self.tokens[self.at][1]) != closing:
            if mark in (",", "\n"):
                self.at += 1
            else:
                read_one(index)
                index += 1
        self.at += 1
