"""Read workbooks: XLSX, XLSM, XLSB, XLS, ODS.

Owns: which sheet, where its header stands, cells as text. Formulas are never evaluated: their cached values count.
Does not know: what the cells mean; blank rows (its caller drops them).
Source: calamine reads; it gives blanks for error cells, so that those of XLSX are looked up by `error_cells`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import python_calamine as calamine

from bulklink.errors import InputError, nearest
from bulklink.files.readers.cells import text_array, text_of
from bulklink.files.readers.detect import scan
from bulklink.files.readers.error_cells import ErrorCells, read_error_cells
from bulklink.files.readers.model import Found, RowNumbers, text_table
from bulklink.files.readers.packed import refuse_bombs

#: The sheet name that stands for every visible sheet.
ALL_SHEETS: Final = "*"


@dataclass(frozen=True, slots=True)
class _Grid:
    """A loaded sheet, and where its table stands in it (0-based; columns as calamine counts them)."""

    sheet: calamine.CalamineSheet
    header_row: int
    width: int
    errors: ErrorCells


class SheetPart:
    """One sheet of a workbook. Implements `Part`."""

    def __init__(self, path: Path, found: Found) -> None:
        self._path = path
        self.found = found
        self._grid: _Grid | None = self._load()
        self.header = self._header_cells(self._grid)

    def draw(self, rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
        """The rows below the header, `rows` at a time."""
        # What was loaded for the header serves once; a workbook is not kept in memory for good.
        grid, self._grid = self._grid or self._load(), None
        below = islice(grid.sheet.iter_rows(), grid.header_row + 1, None)
        number = 1
        while lines := list(islice(below, rows)):
            first_line = grid.header_row + number
            columns = [list(column) for column in zip(*lines, strict=True)][: grid.width]
            grid.errors.put_into(columns, first_line)
            numbers = np.arange(number, number + len(lines), dtype=np.int64)
            yield text_table([text_array(column) for column in columns], self.header), numbers
            number += len(lines)

    def release(self) -> None:
        """Let go of what was loaded for the header; it is loaded again when it is drawn from."""
        self._grid = None

    def _load(self) -> _Grid:
        try:
            with calamine.load_workbook(str(self._path)) as workbook:
                sheet = workbook.get_sheet_by_name(self.found.sheet)
        except calamine.CalamineError as error:
            raise _unreadable(self.found.file, error) from None
        for line, cells in enumerate(sheet.iter_rows()):
            if any(cell not in ("", None) and str(cell).strip() for cell in cells):
                left = sheet.start[1] if sheet.start else 0
                errors = read_error_cells(self._path, self.found.sheet, left)
                return _Grid(sheet, line, self._width(sheet, cells), errors)
        raise InputError(f"{self.found.file}, sheet '{self.found.sheet}' is empty: it has no header.")

    def _width(self, sheet: calamine.CalamineSheet, header: Sequence[Any]) -> int:
        """Columns up to the last one with a header or, where cells stand further right, with a cell."""
        width = _used_width(header)
        if width < len(header):
            width = max(_used_width(cells) for cells in sheet.iter_rows())
        return width

    def _header_cells(self, grid: _Grid) -> list[str]:
        columns = [[cell] for cell in next(islice(grid.sheet.iter_rows(), grid.header_row, None))]
        grid.errors.put_into(columns, grid.header_row)
        return [text_of(column[0]) for column in columns][: grid.width]


def open_sheets(path: Path, shown: str, wanted: Sequence[str]) -> list[SheetPart]:
    """The sheets named, or the first visible one, or with `ALL_SHEETS` every visible one that is not empty."""
    scanned = scan(path)
    if not scanned.size:
        raise InputError(f"{shown} is empty (0 bytes).")
    refuse_bombs(path, shown)
    try:
        with calamine.load_workbook(str(path)) as workbook:
            sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet]
            names = _chosen(sheets, shown, wanted)
            if ALL_SHEETS in wanted:
                names = [name for name in names if workbook.get_sheet_by_name(name).height]
    except calamine.CalamineError as error:
        raise _unreadable(shown, error) from None
    parts = []
    for name in names:
        found = Found(shown, path.suffix[1:].lower(), scanned.sha256, scanned.modified_ns / 1e9, sheet=name)
        parts.append(SheetPart(path, found))
        if len(names) > 1:
            parts[-1].release()
    return parts


def _chosen(sheets: Sequence[calamine.SheetMetadata], shown: str, wanted: Sequence[str]) -> list[str]:
    visible = [sheet.name for sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
    if not visible:
        raise InputError(f"{shown} has no visible sheet.", hint="Name the sheet.")
    if not wanted:
        return visible[:1]
    if ALL_SHEETS in wanted:
        return visible
    names = [sheet.name for sheet in sheets]
    return [_named(name, names, shown) for name in wanted]


def _named(wanted: str, names: Sequence[str], shown: str) -> str:
    """The sheet's name as the workbook spells it: Excel itself takes upper and lower case for alike."""
    hits = [name for name in names if name == wanted] or [name for name in names if name.lower() == wanted.lower()]
    if not hits:
        listed = ", ".join(f"'{name}'" for name in (nearest(wanted, names) or names)[:10])
        raise InputError(f"{shown} has no sheet '{wanted}'. Nearest: {listed}.")
    return hits[0]


def _used_width(cells: Sequence[Any]) -> int:
    return max((index for index, cell in enumerate(cells, start=1) if cell not in ("", None)), default=0)


def _unreadable(shown: str, error: calamine.CalamineError) -> InputError:
    if isinstance(error, calamine.PasswordError):
        return InputError(f"{shown} is protected by a password.", hint="Save a copy without password.")
    return InputError(f"{shown} cannot be read as a workbook ({str(error).strip().rstrip('.')}).")
