"""Workbooks: numbers, dates and errors read as people see them; rows keep their number; sheets by name."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bulklink.errors import InputError
from bulklink.files.readers import ALL_SHEETS, InputTable, open_input
from bulklink.job.settings import Input
from tests.workbooks import write_ods, write_protected_xlsx, write_xls


def write_xlsx(path: Path, sheets: dict[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in rows:
            sheet.append(row)
    book.save(path)


def opened(path: Path, sheet: str | list[str] = "") -> InputTable:
    return open_input(Input(file=path.name, sheet=sheet), path.parent)


def rows_of(table: InputTable, rows: int = 50_000) -> list[tuple[int, list[str]]]:
    return [
        (int(number), [column[index].as_py() for column in chunk.table.columns])
        for chunk in table.chunks(rows)
        for index, number in enumerate(chunk.rows)
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1049700000, "1049700000"),
        (1049700000.0, "1049700000"),
        (-7, "-7"),
        (0, "0"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (123456789012345, "123456789012345"),
        (12345678901234567890, "12345678901234570000"),
        ("00123", "00123"),
        ("1e5", "1e5"),
        ("NA", "NA"),
        (" x\ny ", " x\ny "),
        (True, "TRUE"),
        (False, "FALSE"),
        (dt.datetime.fromisoformat("2024-01-31"), "2024-01-31"),
        (dt.date(2024, 1, 31), "2024-01-31"),
        (dt.datetime.fromisoformat("2024-01-31 13:45"), "2024-01-31 13:45:00"),
        (dt.time(13, 45), "13:45:00"),
        (dt.timedelta(hours=30, minutes=5), "30:05:00"),
        ("#N/A", "#N/A"),
        ("#DIV/0!", "#DIV/0!"),
    ],
)
def test_a_cell_reads_as_people_see_it(tmp_path: Path, cell: object, text: str) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"Links": [["key", "other"], [cell, "x"]]})
    assert rows_of(opened(tmp_path / "a.xlsx")) == [(1, [text, "x"])]


def test_error_cells_stand_where_they_stood(tmp_path: Path) -> None:
    rows = [[None, None], [None, "a", "b"], [None, "1", "#N/A"], [], [None, "#REF!", "2"], [None, "#N/A", "#N/A"]]
    write_xlsx(tmp_path / "a.xlsx", {"Other": [["a"], ["#N/A"]], "My <Links> & more": rows})
    expected = [(1, ["1", "#N/A"]), (3, ["#REF!", "2"]), (4, ["#N/A", "#N/A"])]
    assert rows_of(opened(tmp_path / "a.xlsx", "My <Links> & more"), rows=2) == expected


def test_a_formula_counts_by_its_cached_value_only(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"Links": [["a", "b"], ["=1+1", "x"]]})  # No program has computed it.
    assert rows_of(opened(tmp_path / "a.xlsx")) == [(1, ["", "x"])]


GRID = [["key", "number"], ["00123", 1049700000.0], [None, None], ["x", 1.5], ["", None], ["y", True]]
EXPECTED = [(1, ["00123", "1049700000"]), (3, ["x", "1.5"]), (5, ["y", "TRUE"])]


@pytest.mark.parametrize("extension", ["xlsx", "xls", "ods"])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_blank_rows_are_skipped_but_keep_their_number(tmp_path: Path, extension: str, rows: int) -> None:
    path = tmp_path / f"a.{extension}"
    if extension == "xlsx":
        write_xlsx(path, {"Links": GRID})
    elif extension == "xls":
        write_xls(path, "Links", GRID)
    else:
        write_ods(path, {"Links": GRID})
    table = opened(path)
    assert rows_of(table, rows) == EXPECTED
    assert rows_of(table, rows) == EXPECTED  # A second drawing loads the workbook again.
    assert (table.found[0].sheet, table.found[0].format, table.rows) == ("Links", extension, 3)


def test_error_cells_of_xls_read_as_empty(tmp_path: Path) -> None:
    write_xls(tmp_path / "a.xls", "Links", [["a", "b"], ["#N/A", "1"]])
    assert rows_of(opened(tmp_path / "a.xls")) == [(1, ["", "1"])]


def test_the_header_may_stand_further_down_and_right(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"S": [[], [None, " "], [None, None, "a", "b"], [None, None, "1", 2], []]})
    table = opened(tmp_path / "a.xlsx")
    assert (table.header[-2:], [cells[-2:] for _, cells in rows_of(table)]) == (["a", "b"], [["1", "2"]])


def test_empty_columns_without_header_are_dropped_at_the_end_only(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"S": [["a", None, "b", "", ""], ["1", "2", "3", "", ""]]})
    table = opened(tmp_path / "a.xlsx")
    assert (table.header, rows_of(table)) == (["a", "", "b"], [(1, ["1", "2", "3"])])


def test_a_cell_beyond_the_header_is_kept(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"S": [["a"], ["1"], ["2", None, "a note"]]})
    table = opened(tmp_path / "a.xlsx")
    assert (table.header, rows_of(table)) == (["a", "", ""], [(1, ["1", "", ""]), (2, ["2", "", "a note"])])


SHEETS = {"Notes": [["n"], ["x"]], "Links": [["a"], ["1"]], "More": [["a"], ["2"], [], ["3"]], "Empty": []}


def test_the_first_visible_sheet_is_the_default(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", SHEETS, hidden=["Notes"])
    table = opened(tmp_path / "a.xlsx")
    assert (table.found[0].sheet, rows_of(table)) == ("Links", [(1, ["1"])])


def test_several_sheets_number_their_rows_each(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", SHEETS)
    table = opened(tmp_path / "a.xlsx", ["links", "More"])
    assert [(chunk.sheet, chunk.start, chunk.rows.tolist()) for chunk in table.chunks()] == [
        ("Links", 0, [1]),
        ("More", 1, [1, 3]),
    ]
    assert (table.has_parts, table.rows) == (True, 3)


def test_all_visible_sheets_that_are_not_empty(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", SHEETS, hidden=["Notes"])
    table = opened(tmp_path / "a.xlsx", ALL_SHEETS)
    assert [found.sheet for found in table.found] == ["Links", "More"]


@pytest.mark.parametrize(
    ("sheet", "message"),
    [("Link", r"no sheet 'Link'\. Nearest: 'Links'"), ("Empty", "is empty: it has no header")],
)
def test_a_sheet_that_cannot_be_used(tmp_path: Path, sheet: str, message: str) -> None:
    write_xlsx(tmp_path / "a.xlsx", SHEETS)
    with pytest.raises(InputError, match=message):
        opened(tmp_path / "a.xlsx", sheet)


@pytest.mark.parametrize("extension", ["xlsx", "xls", "ods", "xlsb"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"key;other\n1;2\n", b"<html><table>"])
def test_what_is_no_workbook_is_refused_in_one_sentence(tmp_path: Path, extension: str, content: bytes) -> None:
    (tmp_path / f"a.{extension}").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.{extension} ") as refusal:
        opened(tmp_path / f"a.{extension}")
    assert "\n" not in str(refusal.value)


def test_a_protected_workbook_says_so(tmp_path: Path) -> None:
    write_protected_xlsx(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="protected by a password"):
        opened(tmp_path / "a.xlsx")


def test_a_damaged_sheet_is_refused(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "a.xlsx", {"S": [["a"], *[[f"cell {n}"] for n in range(500)]]})
    content = (tmp_path / "a.xlsx").read_bytes()
    middle = content.index(b"xl/worksheets/sheet1.xml") + 200
    (tmp_path / "a.xlsx").write_bytes(content[:middle] + b"\0" * 100 + content[middle + 100 :])
    with pytest.raises(InputError, match=r"a\.xlsx"):
        rows_of(opened(tmp_path / "a.xlsx"))
