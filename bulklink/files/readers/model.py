"""What every reader hands over: an input of text columns, in chunks.

Owns: `InputTable`, its parts (one file or one sheet each), their common header, row numbers, wholly blank rows.
Does not know: file formats; what a column means.
Source: the public contract (README, "Words" and "Job file": rows, several files and sheets).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bulklink.errors import InputError, nearest

#: Rows of one chunk, unless the caller says otherwise: large enough to vectorise, small enough for flat memory.
CHUNK_ROWS: Final = 1 << 14

#: What people call the usual ones: a bare comma or blank is easily overlooked.
_DELIMITER_WORDS: Final = {",": "comma", ";": "semicolon", "\t": "tab", " ": "blank"}

RowNumbers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Found:
    """What was detected about one file or sheet. `rows` is known once its chunks were drawn."""

    file: str
    format: str
    sha256: str
    modified_s: float
    delimiter: str = ""
    encoding: str = ""
    sheet: str = ""
    rows: int = 0

    @property
    def modified(self) -> str:
        """When the file was last changed, ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.modified_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def describe(self) -> str:
        """One line for people: what the file was taken for."""
        delimiter = _DELIMITER_WORDS.get(self.delimiter, f"'{self.delimiter}'" if self.delimiter else "")
        taken_for = [
            f"sheet '{self.sheet}'" if self.sheet else "",
            f"delimiter {delimiter}" if delimiter else "",
            self.encoding,
        ]
        return f"{self.file}: " + ", ".join([self.format, *(word for word in taken_for if word)])


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Consecutive rows of one part.

    table: the input's columns in header order, text, null-free ("" = empty cell).
    rows: (n,) the numbers shown to people, 1-based within the part.
    start: 0-based position of the first row among the non-blank rows of the whole input.
    """

    table: pa.Table
    rows: RowNumbers
    file: str
    sheet: str
    start: int = 0

    def frame(self) -> pd.DataFrame:
        """The same cells as a pandas DataFrame of Arrow-backed text, indexed by row number."""
        frame: pd.DataFrame = self.table.to_pandas(types_mapper=pd.ArrowDtype)
        return frame.set_axis(pd.Index(self.rows, name="row"), axis=0)


class Part(Protocol):
    """One file or one sheet."""

    header: list[str]
    found: Found

    def draw(self, rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
        """Text tables of about `rows` rows in this part's own header order, and each row's number.

        Blank rows may still be among them. Draws from the beginning at every call.
        """


class InputTable:
    """One or more parts with a common header, read as one table of text."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._orders = [_order_by_name(parts[0], part) for part in parts]
        self._watchers: list[Callable[[RawChunk], None]] = []
        self.header: list[str] = list(parts[0].header)

    @property
    def found(self) -> list[Found]:
        """What was detected, one entry per part."""
        return [part.found for part in self._parts]

    @property
    def has_parts(self) -> bool:
        """Whether rows need file and sheet beside their number to be told apart."""
        return len(self._parts) > 1

    @property
    def rows(self) -> int:
        """Non-blank data rows, once the chunks were drawn."""
        return sum(part.found.rows for part in self._parts)

    @property
    def sha256(self) -> str:
        """The file's own hash; over the list of hashes if there are several files."""
        hashes = list(dict.fromkeys((found.file, found.sha256) for found in self.found))
        if len(hashes) == 1:
            return hashes[0][1]
        return hashlib.sha256("\n".join(digest for _, digest in hashes).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Changes with the files' content and with how it is cut into cells (sheet, delimiter, encoding)."""
        parts = [(found.sha256, found.sheet, found.delimiter, found.encoding) for found in self.found]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def modified_s(self) -> float:
        """When the newest of the files was last changed, seconds since 1970."""
        return max(found.modified_s for found in self.found)

    def column_index(self, name: str) -> int:
        """The position of the column `name`: as typed, else the one that differs in surrounding blanks only.

        Raises `InputError` if there is no such column, naming the nearest ones, or if it stands twice.
        """
        hits = [index for index, header in enumerate(self.header) if header == name]
        hits = hits or [index for index, header in enumerate(self.header) if header.strip() == name.strip()]
        where = self._parts[0].found.file
        if not hits or not name.strip():
            near = nearest(name, self.header) or [header for header in self.header if header.strip()]
            listed = ", ".join(f"'{header}'" for header in near[:10])
            raise InputError(f"{where} has no column '{name}'. Nearest: {listed}.")
        if len(hits) > 1:
            columns = " and ".join(str(index + 1) for index in hits)
            raise InputError(f"{where}: the header '{name}' stands twice (columns {columns}).")
        return hits[0]

    def watch(self, watcher: Callable[[RawChunk], None]) -> None:
        """Show every chunk to `watcher` when it is drawn."""
        self._watchers.append(watcher)

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[RawChunk]:
        """The non-blank rows in input order, at most `rows` at a time."""
        start = 0
        for part, order in zip(self._parts, self._orders, strict=True):
            part.found.rows = 0
            for table, numbers in _even_out(_without_blank_rows(part.draw(rows)), rows):
                part.found.rows += len(numbers)
                chunk = RawChunk(table.select(order), numbers, part.found.file, part.found.sheet, start)
                for watcher in self._watchers:
                    watcher(chunk)
                yield chunk
                start += len(numbers)


def text_table(columns: Sequence[pa.Array | pa.ChunkedArray], header: Sequence[str]) -> pa.Table:
    """A table whose column names may stand twice."""
    schema = pa.schema([pa.field(name, pa.string()) for name in header])
    return pa.Table.from_arrays(list(columns), schema=schema)


def _order_by_name(first: Part, part: Part) -> list[int]:
    """Where each column of the first part stands in `part`."""
    missing = Counter(first.header) - Counter(part.header)
    surplus = Counter(part.header) - Counter(first.header)
    if missing or surplus:
        lacks = f" lacks {_quoted(missing)}" if missing else ""
        has = f" has {_quoted(surplus)} besides" if surplus else ""
        raise InputError(
            f"{_place(part)}{lacks}{' and' if lacks and has else ''}{has}, compared with {_place(first)}.",
            hint="Give all files and sheets the same header, or name them in separate jobs.",
        )
    places: dict[str, list[int]] = {}
    for index, name in enumerate(part.header):
        places.setdefault(name, []).append(index)
    return [places[name].pop(0) for name in first.header]


def _quoted(names: Counter[str]) -> str:
    return ", ".join(f"'{name}'" for name in names.elements())


def _place(part: Part) -> str:
    return f"{part.found.file}, sheet '{part.found.sheet}'" if part.found.sheet else part.found.file


def _without_blank_rows(drawn: Iterator[tuple[pa.Table, RowNumbers]]) -> Iterator[tuple[pa.Table, RowNumbers]]:
    for table, numbers in drawn:
        blank = _blank_rows(table)
        if blank.size:
            kept = np.delete(np.arange(table.num_rows), blank)
            yield table.take(pa.array(kept)), numbers[kept]
        else:
            yield table, numbers


def _blank_rows(table: pa.Table) -> npt.NDArray[np.intp]:
    """The positions of the rows whose cells are all empty or blanks."""
    left = np.arange(table.num_rows)
    for column in table.columns:
        # The first column of most inputs is never blank, so that the others are seldom looked at.
        cells = column if left.size == table.num_rows else column.take(pa.array(left))
        blank = pc.or_(pc.equal(pc.binary_length(cells), 0), pc.utf8_is_space(cells))
        left = left[blank.to_numpy()]
        if not left.size:
            break
    return left


def _even_out(drawn: Iterator[tuple[pa.Table, RowNumbers]], rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
    """Cut and join to `rows` rows each; the last one is shorter."""
    tables: list[pa.Table] = []
    numbers: list[RowNumbers] = []
    held = 0
    for table, its_numbers in drawn:
        tables.append(table)
        numbers.append(its_numbers)
        held += len(its_numbers)
        while held >= rows:
            joined, joined_numbers = pa.concat_tables(tables), np.concatenate(numbers)
            yield joined.slice(0, rows).combine_chunks(), joined_numbers[:rows]
            tables, numbers = [joined.slice(rows)], [joined_numbers[rows:]]
            held -= rows
    if held:
        yield pa.concat_tables(tables).combine_chunks(), np.concatenate(numbers)
