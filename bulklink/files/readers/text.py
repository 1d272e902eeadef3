"""Read delimited text: CSV, TSV and the like.

Owns: streaming through pyarrow with every column as text; short and long lines; quotes that never close.
Does not know: what the cells mean; blank rows (its caller drops them).
Source: RFC 4180; pyarrow cuts records and quotes exactly as Python's `csv` does (held by a property test).
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from bulklink.errors import InputError
from bulklink.files.readers.cells import text_array
from bulklink.files.readers.detect import (
    HEAD_BYTES,
    Scan,
    content_of,
    find_delimiter,
    find_encoding,
    head_text,
    not_in_encoding,
    scan,
)
from bulklink.files.readers.model import Found, RowNumbers, text_table

#: pyarrow holds about 40 blocks at a time, and no record may be longer than a block: small ones, larger if need be.
_BLOCK_BYTES: Final = (1 << 18, 1 << 22, 1 << 26)


class TextPart:
    """A file of delimited text. Implements `Part`."""

    def __init__(self, path: Path, shown: str, delimiter: str, encoding: str) -> None:
        self._path = path
        self._scan: Scan = scan(path)
        if what := content_of(self._scan.head):
            raise InputError(f"{shown} is {what}, not text.", hint="Give the file the extension of its content.")
        self._encoding = find_encoding(path, encoding, self._scan)
        is_whole = self._scan.size <= HEAD_BYTES
        head = head_text(path, self._scan.head, self._encoding)
        self._delimiter = find_delimiter(delimiter, head, is_whole=is_whole)
        self.header, self._header_record = self._read_header(head, shown)
        self.found = Found(
            file=shown,
            format="delimited text",
            sha256=self._scan.sha256,
            modified_s=self._scan.modified_ns / 1e9,
            delimiter=self._delimiter,
            encoding=self._encoding.name,
        )

    def draw(self, rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
        """The rows in the blocks that pyarrow cuts, whatever `rows` says: they are evened out later."""
        del rows
        if not self._has_records:
            return
        lines = _Lines(self._header_record + 1)
        last = text_table([pa.array([], pa.string())] * len(self.header), self.header)
        for batch in self._batches(lines):
            good = pa.Table.from_batches([batch]).rename_columns(self.header)
            numbers, ragged = lines.arrange(good.num_rows)
            last, numbers = self._with_ragged(good, numbers, ragged)
            yield last, numbers - self._header_record
        if ragged := lines.rest():
            last, numbers = self._with_ragged(last.slice(0, 0), np.empty(0, np.int64), ragged)
            yield last, numbers - self._header_record
        self._check_end(last)

    def _batches(self, lines: "_Lines") -> Iterator[pa.RecordBatch]:
        """Stream the records from `lines.following` on, with larger blocks once a record does not fit."""
        for block_bytes in _BLOCK_BYTES:
            try:
                yield from (batch for batch in self._stream(lines, block_bytes) if batch.num_rows)
                return
            except UnicodeDecodeError as error:
                raise not_in_encoding(self._path, self._encoding, error) from None
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error):
                    raise self._unreadable(str(error)) from None
                lines.forget_ahead()
        raise InputError(
            f"{self.found.file} holds a record longer than {_BLOCK_BYTES[-1] >> 20} MB: is a quote never closed?"
        )

    def _stream(self, lines: "_Lines", block_bytes: int) -> Iterator[pa.RecordBatch]:
        names = [str(index) for index in range(len(self.header))]
        reader: Iterator[pa.RecordBatch] = pa.csv.open_csv(
            self._path,
            read_options=pa.csv.ReadOptions(
                use_threads=False,  # Only then does pyarrow tell the numbers of ragged lines.
                block_size=block_bytes,
                column_names=names,
                skip_rows_after_names=lines.following - 1,
                encoding=self._encoding.codec.replace("utf-8-sig", "utf-8"),
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=lines.add_ragged,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[], strings_can_be_null=False
            ),
            # Measured: 20 MB more memory for a file of any size, against 55 MB with pyarrow's own pool.
            memory_pool=pa.system_memory_pool(),
        )
        return reader

    def _unreadable(self, message: str) -> InputError:
        if "UTF8" in message:
            return InputError(f"{self.found.file} is not UTF-8 text.", hint='Set encoding = "auto" or the right one.')
        return InputError(f"{self.found.file} cannot be read: {message}.")

    def _with_ragged(
        self, table: pa.Table, numbers: RowNumbers, lines: Sequence[tuple[int, str]]
    ) -> tuple[pa.Table, RowNumbers]:
        """Put the ragged lines, brought to the header's width, where they stood."""
        if not lines:
            return table, numbers
        cells = [self._fitted(number, line) for number, line in lines]
        padded = text_table([text_array(column) for column in zip(*cells, strict=True)], self.header)
        joined = np.concatenate([numbers, np.array([number for number, _ in lines], np.int64)])
        order = np.argsort(joined, kind="stable")
        return pa.concat_tables([table, padded]).take(pa.array(order)), joined[order]

    def _fitted(self, number: int, line: str) -> list[str]:
        """A short line padded with empty cells, a long one without its surplus blank cells."""
        width = len(self.header)
        cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=self._delimiter), [])
        if not _is_closed(line, self._delimiter) and "\n" in line:
            raise self._never_closed(cells[-1])
        if any(cell.strip() for cell in cells[width:]):
            raise InputError(
                f"{self.found.file}, line {self._line_of(number)}: {len(cells)} cells where the header has {width}.",
                hint="Put cells that hold the delimiter in quotes, or set the right delimiter.",
            )
        return (cells + [""] * width)[:width]

    def _line_of(self, record: int) -> int:
        """The line of the file on which a record (1-based, header counted) ends."""
        with self._path.open(encoding=self._encoding.codec, newline="") as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            for _, _cells in zip(range(record), reader, strict=False):
                pass
            return reader.line_num

    def _check_end(self, last: pa.Table) -> None:
        """Refuse a file whose last cell swallowed the lines behind a quote that never closes, or that changed."""
        status = self._path.stat()
        if (status.st_mtime_ns, status.st_size) != (self._scan.modified_ns, self._scan.size):
            raise InputError(f"{self.found.file} changed while it was read.", hint="Run again when it is complete.")
        # In a record as wide as the header it can only be the last cell; of others `_fitted` takes care.
        cell = last.columns[-1][-1].as_py() if last.num_rows else ""
        if "\n" not in cell and "\r" not in cell:
            return
        escaped = cell.replace('"', '""')
        end = self._last_text(len(escaped) + 2)
        if not end.endswith(f'"{escaped}"') and end.endswith(f'"{escaped}'.rstrip("\r\n")):
            raise self._never_closed(cell)

    def _never_closed(self, cell: str) -> InputError:
        lines = len(cell.splitlines())
        return InputError(f"{self.found.file}: a quote opened {lines} lines before its end is never closed.")

    def _last_text(self, characters: int) -> str:
        """About the last `characters` of the file, line ends at the very end left out."""
        with self._path.open("rb") as file:
            # No encoding takes more than 4 bytes a character; a multiple of 4 from the start keeps UTF-16 aligned.
            file.seek(max(0, (self._scan.size - 4 * characters - 64) // 4 * 4))
            end = file.read()
        codec = self._encoding.codec
        if codec == "utf-16":
            codec = self._encoding.name.removesuffix(" with BOM")
        return end.decode(codec, errors="ignore").rstrip("\r\n")

    def _read_header(self, head: str, shown: str) -> tuple[list[str], int]:
        """The first record that is not blank, and its number among all records."""
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=self._delimiter)
        try:
            for number, cells in enumerate(reader, start=1):
                if any(cell.strip() for cell in cells) and not (number == 1 and _is_separator_line(cells)):
                    # pyarrow cannot skip a header that no line follows.
                    self._has_records = next(reader, None) is not None or self._scan.size > HEAD_BYTES
                    return cells, number
        except csv.Error as error:
            raise InputError(f"{shown}: the header cannot be read ({error}).") from None
        raise InputError(f"{shown} is empty: it has no header.")


def _is_separator_line(cells: Sequence[str]) -> bool:
    """Excel's first line ``sep=;``: cut by that delimiter it leaves an empty second cell."""
    return cells[0].casefold() == "sep=" or (len(cells) == 1 and cells[0].casefold().startswith("sep="))


def _is_closed(line: str, delimiter: str) -> bool:
    """Whether the last quote of a record is closed; only at the end of a file one may not be."""
    try:
        list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return True


class _Lines:
    """The count of records, and those that are not as wide as the header.

    pyarrow leaves the ragged ones out of its batches and tells them apart by their number, 1-based with the header
    counted. It reads ahead: a ragged record may be told before the good ones in front of it.
    """

    def __init__(self, following: int) -> None:
        self.following = following
        self._numbers: list[int] = []
        self._texts: list[str] = []

    def add_ragged(self, row: pa.csv.InvalidRow) -> str:
        """Remember the record and tell pyarrow to leave it out."""
        self._numbers.append(row.number)
        self._texts.append(row.text)
        return "skip"

    def arrange(self, good: int) -> tuple[RowNumbers, list[tuple[int, str]]]:
        """The numbers of the next `good` (at least 1) good records, and the ragged ones that stand before the last."""
        position = np.arange(good)
        good_before = np.array(self._numbers, np.int64) - self.following - np.arange(len(self._numbers))
        numbers = np.asarray(self.following + position + np.searchsorted(good_before, position, side="right"), np.int64)
        self.following = int(numbers[-1]) + 1
        return numbers, self._take(int(np.searchsorted(self._numbers, self.following)))

    def rest(self) -> list[tuple[int, str]]:
        """The ragged records behind the last good one."""
        return self._take(len(self._numbers))

    def forget_ahead(self) -> None:
        """The stream starts again at `following`: what was told from there on will be told again."""
        self._numbers, self._texts = [], []

    def _take(self, count: int) -> list[tuple[int, str]]:
        taken = list(zip(self._numbers[:count], self._texts[:count], strict=True))
        del self._numbers[:count], self._texts[:count]
        return taken
