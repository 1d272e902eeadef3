"""Any text goes from a spreadsheet's cell to bulklink and back unchanged."""

import csv
import io
import tempfile
from pathlib import Path

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.files.readers import open_input
from bulklink.job.settings import Input
from tests.workbooks import write_ods, write_xls

#: No NUL (no spreadsheet holds one) and no half surrogates (no text file does).
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.text(
    st.sampled_from(',;\t|"\n\r ax'), max_size=12
)
#: XML has no control characters to speak of; calamine drops a byte order mark at the beginning of an XLS cell.
BOOK_TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff"), max_size=12
)
GRIDS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(TEXT, min_size=width, max_size=width), max_size=12))
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])


def is_blank(row: list[str]) -> bool:
    return not any(cell.strip() for cell in row)


def read(path: Path, rows: int = 5, **settings: str) -> list[tuple[int, list[str]]]:
    table = open_input(Input(file=str(path), **settings), path.parent)
    return [
        (int(number), [column[index].as_py() for column in chunk.table.columns])
        for chunk in table.chunks(rows)
        for index, number in enumerate(chunk.rows)
    ]


@given(grid=GRIDS, delimiter=st.sampled_from(",;\t|"), encoding=ENCODINGS, ending=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=300, deadline=None)
def test_a_cell_written_by_csv_writer_reads_back_unchanged(
    grid: list[list[str]], delimiter: str, encoding: str, ending: str
) -> None:
    """Round trip, with the row's number, whatever the cells, the delimiter and the encoding; blank rows are skipped."""
    width = len(grid[0]) if grid else 2
    sink = io.StringIO()
    # Without \r in the line end Python before 3.13 forgets to quote a cell that holds one.
    quoting = csv.QUOTE_ALL if ending == "\n" else csv.QUOTE_MINIMAL
    writer = csv.writer(sink, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerows([[f"h{k}" for k in range(width)], *grid])
    content = sink.getvalue().encode(encoding, errors="replace")
    if encoding == "cp1252":  # It has no place for most characters.
        grid = [[cell.encode(encoding, errors="replace").decode(encoding) for cell in row] for row in grid]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.csv"
        path.write_bytes(content)
        rows = read(path, delimiter=delimiter, encoding=encoding)
    assert rows == [(number, row) for number, row in enumerate(grid, start=1) if not is_blank(row)]


@given(text=st.text(st.sampled_from(',"\n\r ax'), max_size=40))
@settings(max_examples=400, deadline=None)
def test_hand_made_text_is_cut_as_the_csv_module_cuts_it(text: str) -> None:
    """Stray quotes, ragged lines, blank lines, any line end: the same cells and the same row numbers."""
    content = "h1,h2,h3\n" + text + '\nend,"of",file\n'
    expected = []
    for number, cells in enumerate(list(csv.reader(io.StringIO(content, newline="")))[1:], start=1):
        if any(cell.strip() for cell in cells[3:]):
            return  # Refused: another test's claim.
        expected.append((number, [*cells, "", "", ""][:3]))
    if expected[-1][1] != ["end", "of", "file"]:
        return  # A quote swallowed the last line.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.csv"
        path.write_bytes(content.encode())
        assert read(path, delimiter=",") == [(number, row) for number, row in expected if not is_blank(row)]


@given(grid=st.lists(st.lists(BOOK_TEXT, min_size=2, max_size=2), max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_text_cell_of_a_workbook_reads_back_unchanged(grid: list[list[str]]) -> None:
    """XLSX, XLS and ODS keep text cells and row numbers."""
    expected = [(number, row) for number, row in enumerate(grid, start=1) if not is_blank(row)]
    with tempfile.TemporaryDirectory() as folder:
        book = openpyxl.Workbook()
        for line, row in enumerate([["h1", "h2"], *grid], start=1):
            for column, cell in enumerate(row, start=1):
                book.worksheets[0].cell(line, column, cell).data_type = "s"  # Also what begins with "=".
        book.save(Path(folder) / "a.xlsx")
        write_xls(Path(folder) / "a.xls", "Links", [["h1", "h2"], *grid])
        write_ods(Path(folder) / "a.ods", {"Links": [["h1", "h2"], *grid]})
        assert read(Path(folder) / "a.xlsx") == expected
        assert read(Path(folder) / "a.xls") == expected
        assert read(Path(folder) / "a.ods") == expected
