"""Outcomes as an Excel workbook and as a Parquet file.

Owns: the look of the workbook, and that no cell of it is ever a formula.
Does not know: what the columns are, except by their names; what an outcome means, except its colour.
Source: Excel specifications and limits (1,048,576 rows, 32,767 characters in a cell); ECMA-376 22.9.2.19 (`_xHHHH_`).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from bulklink.files.writing import draft_of, words_for_disk_trouble
from bulklink.vocabulary import AS_ASKED, OUTCOME_COLUMNS, UNFINISHED, Outcome

SHEET_ROWS_MAX: Final = 1_048_576
CELL_CHARACTERS_MAX: Final = 32_767

#: Characters that XML cannot hold, and texts that Excel would read as an escaped character.
_UNWRITABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_WIDTH_ROWS: Final = 200  # rows that a column's width is made for
_WIDTHS: Final = (8, 60)
_GREEN, _GREY, _AMBER, _RED = "DDEFE3", "ECEEF1", "FBEBC8", "F8DAD7"
_HEADER_FILL, _HEADER_INK = "22384D", "FFFFFF"


@contextmanager
def parquet_file(path: Path, header: list[str], _: list[str]) -> Iterator[Callable[[pa.Table], None]]:
    """A Parquet file that takes the place of `path`; headers that occur twice get a number."""
    names = _distinct(header)
    writer: Any = None
    with draft_of(path) as draft:

        def write(chunk: pa.Table) -> None:
            nonlocal writer
            named = chunk.rename_columns(names)
            with words_for_disk_trouble(path):
                writer = writer or pyarrow.parquet.ParquetWriter(draft, named.schema, compression="zstd")
                writer.write_table(named)

        try:
            yield write
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            empty = pa.table({name: pa.array([], pa.string()) for name in names})
            pyarrow.parquet.write_table(empty, draft)


@contextmanager
def workbook_file(path: Path, header: list[str], notes: list[str]) -> Iterator[Callable[[pa.Table], None]]:
    """A workbook that takes the place of `path`: rows beyond what a sheet holds go on in a further sheet."""
    book = _Book(header)
    with draft_of(path) as draft:
        yield book.write
        book.save(draft)
    if len(book.titles) > 1:
        notes.append(
            f"{path.name}: a sheet holds {SHEET_ROWS_MAX:,} rows at most, so the rows are spread over "
            f"{len(book.titles)} sheets ({book.titles[0]} to {book.titles[-1]})"
        )
    if book.cut:
        notes.append(f"{path.name}: {book.cut} cells were longer than {CELL_CHARACTERS_MAX:,} characters and are cut")


class _Book:
    """A workbook in the making; openpyxl's write-only mode keeps its memory flat."""

    def __init__(self, header: list[str]) -> None:
        from openpyxl import Workbook

        self._book = Workbook(write_only=True)
        self._book.properties.creator = "bulklink"
        self._header = header
        self._outcome = len(header) - len(OUTCOME_COLUMNS)
        self._sheet: Any = None
        self._rows_here = 0
        self.titles: list[str] = []
        self.cut = 0

    def write(self, chunk: pa.Table) -> None:
        """Add consecutive rows."""
        columns = [column.to_pylist() for column in chunk.columns]
        if self._sheet is None:
            self._begin_sheet(columns)
        for values in zip(*columns, strict=True):
            if self._rows_here == SHEET_ROWS_MAX:
                self._begin_sheet(columns)
            self._sheet.append([self._cell(place, value) for place, value in enumerate(values)])
            self._rows_here += 1

    def save(self, path: Path) -> None:
        """Write the workbook; nothing can be added after this."""
        if self._sheet is None:
            self._begin_sheet([[] for _ in self._header])
        self._end_sheet()
        with words_for_disk_trouble(path):
            self._book.save(path)

    def _begin_sheet(self, columns: list[list[Any]]) -> None:
        from openpyxl.utils import get_column_letter

        if self._sheet is not None:
            self._end_sheet()
        self.titles.append(f"Outcomes {len(self.titles) + 1}" if self.titles else "Outcomes")
        self._sheet = self._book.create_sheet(self.titles[-1])
        self._styles = _Styles(self._sheet)
        self._sheet.freeze_panes = "B2"
        for place, (name, cells) in enumerate(zip(self._header, columns, strict=True), start=1):
            width = max(map(len, [name, *map(str, cells[:_WIDTH_ROWS])])) + 2
            self._sheet.column_dimensions[get_column_letter(place)].width = min(max(width, _WIDTHS[0]), _WIDTHS[1])
        self._sheet.append([self._text(name, self._styles.header) for name in self._header])
        self._rows_here = 1

    def _end_sheet(self) -> None:
        from openpyxl.utils import get_column_letter

        self._sheet.auto_filter.ref = f"A1:{get_column_letter(len(self._header))}{self._rows_here}"

    def _cell(self, place: int, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, str):
            style = self._styles.outcomes.get(value) if place == self._outcome else None
            return self._text(value, style or self._styles.text)
        return value

    def _text(self, text: str, style: Any) -> Any:
        """A cell that holds text, whatever the text looks like: openpyxl would take "=1+1" for a formula."""
        from openpyxl.cell import WriteOnlyCell

        if not text:
            return None
        if len(text) > CELL_CHARACTERS_MAX:
            text = text[: CELL_CHARACTERS_MAX - 1] + "…"
            self.cut += 1
        cell: Any = WriteOnlyCell(self._sheet)
        cell._value = _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
        cell.data_type = "s"
        cell._style = style
        return cell


class _Styles:
    """The looks of cells: header, text, and one per outcome."""

    def __init__(self, sheet: Any) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Alignment, Font, PatternFill

        def style(*, ink: str = "1B2733", fill: str = "", bold: bool = False, wrap: bool = False) -> Any:
            cell: Any = WriteOnlyCell(sheet)
            cell.font = Font(name="Calibri", size=11, color=ink, bold=bold)
            cell.number_format = "@"
            cell.alignment = Alignment(vertical="top", wrap_text=wrap)
            if fill:
                cell.fill = PatternFill("solid", fgColor=fill)
            return copy(cell._style)

        self.header = style(ink=_HEADER_INK, fill=_HEADER_FILL, bold=True)
        self.text = style()
        self.outcomes = {outcome.word: style(fill=_colour(outcome)) for outcome in Outcome}


def _colour(outcome: Outcome) -> str:
    if outcome in AS_ASKED:
        return _GREEN
    if outcome in UNFINISHED or outcome is Outcome.GUARDED:
        return _AMBER
    return _GREY if outcome is Outcome.DUPLICATE else _RED


def _distinct(names: list[str]) -> list[str]:
    """The names, those that occurred before with a number behind them."""
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 2
        while candidate in distinct:
            candidate, number = f"{name}_{number}", number + 1
        distinct.append(candidate)
    return distinct
