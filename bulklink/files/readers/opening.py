"""Find the files that a job names and choose the reader of each.

Owns: paths, globs (the newest match that is no longer being written), extensions.
Does not know: formats. The clock comes from the caller.
Source: the public contract (README, "Job file", `[input]`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulklink.errors import InputError, nearest
from bulklink.files.readers.model import InputTable, Part
from bulklink.files.readers.parquet import ParquetPart
from bulklink.files.readers.sheets import open_sheets
from bulklink.files.readers.text import TextPart
from bulklink.job.settings import Input

#: A glob's match must be unchanged for so long before it is taken for complete.
UNCHANGED_S: Final = 5.0
#: How often to look before giving up on a file that never stops changing: five minutes.
_LOOKS_MAX: Final = 60

_TEXT: Final = (".csv", ".tsv", ".txt", ".tab")
_WORKBOOKS: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_PARQUET: Final = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and a way to let it pass."""

    now_s: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def open_input(spec: Input, base_dir: Path, *, clock: Clock | None = None) -> InputTable:
    """Open what the job's `[input]` names; relative names start at `base_dir`.

    Raises `InputError` if a file is missing, empty, unreadable or has another header than the first.
    """
    try:
        return InputTable(_open_all(spec, base_dir, clock or Clock()))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _open_all(spec: Input, base_dir: Path, clock: Clock) -> list[Part]:
    paths = [_find(name, base_dir, clock) for name in spec.file]
    if spec.sheet and not any(path.suffix.lower() in _WORKBOOKS for path in paths):
        raise InputError(f"{paths[0].name} has no sheets, but sheet '{spec.sheet[0]}' is asked for.")
    names = _shown_names(paths)
    parts: list[Part] = []
    for path, shown in zip(paths, names, strict=True):
        parts.extend(_open(path, shown, spec))
    return parts


def _open(path: Path, shown: str, spec: Input) -> Sequence[Part]:
    extension = path.suffix.lower()
    if extension in _TEXT:
        return [TextPart(path, shown, spec.delimiter, spec.encoding)]
    if extension in _WORKBOOKS:
        return open_sheets(path, shown, spec.sheet)
    if extension in _PARQUET:
        return [ParquetPart(path, shown)]
    known = " ".join(_TEXT[:2] + _WORKBOOKS + _PARQUET[:1])
    raise InputError(f"{shown}: the extension '{path.suffix}' is not known.", hint=f"Known are {known}.")


def _shown_names(paths: Sequence[Path]) -> list[str]:
    """File names; whole paths where two files have the same name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _find(name: str, base_dir: Path, clock: Clock) -> Path:
    path = base_dir / Path(name).expanduser()
    if path.is_file():
        return path
    if any(sign in name for sign in "*?["):
        return _settled(_newest(path, name), clock)
    if path.is_dir():
        raise InputError(f"{name} is a folder, not a file.")
    near = nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else []
    raise InputError(f"There is no file {path}." + (f" Nearest: {', '.join(near)}." if near else ""))


def _newest(pattern: Path, name: str) -> Path:
    relative = pattern.relative_to(pattern.anchor)
    # Files that begin with ~$ or a dot are the marks that office programs leave beside an open file.
    matches = [
        path
        for path in Path(pattern.anchor).glob(str(relative))
        if path.is_file() and not path.name.startswith(("~$", "."))
    ]
    if not matches:
        raise InputError(f"No file matches {name} (looked in {pattern.parent}).")
    return max(matches, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _settled(path: Path, clock: Clock) -> Path:
    """Wait until the file is unchanged for `UNCHANGED_S`. Raises `InputError` if it never is."""
    seen = path.stat()
    if clock.now_s() - seen.st_mtime >= UNCHANGED_S:
        return path
    for _ in range(_LOOKS_MAX):
        clock.sleep(UNCHANGED_S)
        status = path.stat()
        # The file server's clock may differ from ours: what counts is what was seen to change.
        if (status.st_mtime_ns, status.st_size) == (seen.st_mtime_ns, seen.st_size):
            return path
        seen = status
    raise InputError(f"{path.name} is still being written.", hint="Run again when the export is complete.")
