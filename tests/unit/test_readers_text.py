"""Delimited text: cells stay what was typed, rows keep their number, what cannot be read says where."""

import codecs
import csv
from pathlib import Path

import pytest

from bulklink.errors import InputError
from bulklink.files.readers import InputTable, open_input
from bulklink.job.settings import Input


def opened(path: Path, content: str | bytes, **settings: str) -> InputTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_input(Input(file=path.name, **settings), path.parent)


def rows_of(table: InputTable, rows: int = 50_000) -> list[tuple[int, list[str]]]:
    return [
        (int(number), list(cells.values()))
        for chunk in table.chunks(rows)
        for number, cells in zip(chunk.rows, chunk.table.rename_columns(_names(chunk.table)).to_pylist(), strict=True)
    ]


def _names(table: object) -> list[str]:
    return [str(index) for index in range(table.num_columns)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "cell", ["00123", "NA", "null", "None", "NaN", "1e5", "-", "TRUE", "12345678901234567890123", "1.0", " x ", "#N/A"]
)
def test_a_cell_stays_what_was_typed(tmp_path: Path, cell: str) -> None:
    assert rows_of(opened(tmp_path / "a.csv", f"key,other\n{cell},1\n")) == [(1, [cell, "1"])]


def test_blank_rows_are_skipped_but_keep_their_number(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", 'a,b\n1,2\n\n , \n"",\n3,4\n\u00a0,\t\n5,\n\n')
    assert rows_of(table) == [(1, ["1", "2"]), (5, ["3", "4"]), (7, ["5", ""])]
    assert table.rows == 3


def test_blank_rows_of_a_single_column_keep_their_number(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path / "a.csv", 'a\n1\n\n2\n""\n3')) == [(1, ["1"]), (3, ["2"]), (5, ["3"])]


def test_a_short_line_is_padded(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", 'a,b,c\n1\n2,2,2\n3,"x\n,y"\n')
    assert rows_of(table) == [(1, ["1", "", ""]), (2, ["2", "2", "2"]), (3, ["3", "x\n,y", ""])]


def test_ragged_lines_keep_their_place_among_thousands(tmp_path: Path) -> None:
    lines = [f"{n}" if n % 97 == 0 else "" if n % 89 == 0 else f"{n},{n}" for n in range(1, 40_001)]
    table = opened(tmp_path / "a.csv", "a,b\n" + "\n".join(lines) + "\n")
    rows = rows_of(table, 7_000)
    assert [number for number, _ in rows] == [n for n in range(1, 40_001) if n % 97 == 0 or n % 89]
    assert all(cells == ([str(number), ""] if number % 97 == 0 else [str(number)] * 2) for number, cells in rows)


def test_surplus_blank_cells_are_dropped(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path / "a.csv", "a,b\n1,2,, \n3,4\n")) == [(1, ["1", "2"]), (2, ["3", "4"])]


def test_a_long_line_is_refused_by_file_and_line(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", 'a,b\n1,"2\n2"\n\n3,4,5\n')
    with pytest.raises(InputError, match=r"a\.csv, line 5: 3 cells where the header has 2"):
        rows_of(table)


def test_quotes_newlines_and_delimiters_in_cells(tmp_path: Path) -> None:
    content = 'a,b\r\n"x ""y"", z","line 1\r\nline 2"\r\n5" pipe,"tab\tand;semicolon"\r\n'
    expected = [(1, ['x "y", z', "line 1\r\nline 2"]), (2, ['5" pipe', "tab\tand;semicolon"])]
    assert rows_of(opened(tmp_path / "a.csv", content)) == expected


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_line_ending(tmp_path: Path, ending: str) -> None:
    table = opened(tmp_path / "a.csv", ending.join(["a,b", "1,2", "", "3,4", ""]))
    assert rows_of(table) == [(1, ["1", "2"]), (3, ["3", "4"])]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    lines = [["Account No", "Lead, Id; or | such" if delimiter == "\t" else "Lead Id"], ["1,5", "x;y"], ["2", "z"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(lines)
    table = open_input(Input(file="a.csv"), tmp_path)
    assert table.found[0].delimiter == delimiter
    assert [cells for _, cells in rows_of(table)] == lines[1:]


def test_a_semicolon_file_with_decimal_commas(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", "id;amount\n1;3,5\n2;4,5\n")
    assert rows_of(table) == [(1, ["1", "3,5"]), (2, ["2", "4,5"])]


def test_a_delimiter_that_is_set_is_taken(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path / "a.csv", "a;b,c\n1;2,3\n", delimiter=";")) == [(1, ["1", "2,3"])]


@pytest.mark.parametrize("delimiter", ['"', "é"])
def test_what_is_no_delimiter_is_refused(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(InputError, match="is no delimiter"):
        opened(tmp_path / "a.csv", "a,b\n", delimiter=delimiter)


def test_the_separator_line_of_excel(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", "sep=|\r\na|b\r\n1|2,3;4\r\n")
    assert (table.header, rows_of(table)) == (["a", "b"], [(1, ["1", "2,3;4"])])


@pytest.mark.parametrize(
    ("codec", "mark", "name"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", codecs.BOM_UTF8, "utf-8 with BOM"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16-le with BOM"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16-be with BOM"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
        ("cp1252", b"", "cp1252"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, codec: str, mark: bytes, name: str) -> None:
    table = opened(tmp_path / "a.csv", mark + '"Größe",b\nMüller – "x",€\n'.encode(codec))
    assert (table.found[0].encoding, table.header) == (name, ["Größe", "b"])
    assert rows_of(table) == [(1, ['Müller – "x"', "€"])]


def test_the_encoding_is_judged_by_the_whole_file(tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,2\n" * 700_000 + "é,€\n".encode("cp1252")
    table = opened(tmp_path / "a.csv", content)
    assert table.found[0].encoding == "cp1252"
    *_, last = table.chunks()
    assert last.table.slice(last.table.num_rows - 1).to_pylist() == [{"a": "é", "b": "€"}]


def test_an_encoding_that_is_set_is_taken(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path / "a.csv", "a,b\nпривет,1\n".encode("cp1251"), encoding="cp1251")) == [
        (1, ["привет", "1"])
    ]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"a,b\n\x81,1\n", "auto", "neither UTF-8 nor UTF-16 nor cp1252"),
        (b"a,b\n\xff,1\n", "utf-8", "is not utf-8 text"),
        (b"a,b\n" + b"1,2\n" * 700_000 + b"\xff,1\n", "utf-8", "is not UTF-8 text"),
        (b"a,b\n" + b"1,2\n" * 700_000 + b"\x81,1\n", "cp1252", "is not cp1252 text"),
        (b"a,b\n", "utf-9", "no encoding 'utf-9'"),
    ],
)
def test_text_that_the_encoding_does_not_fit(tmp_path: Path, content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows_of(opened(tmp_path / "a.csv", content, encoding=encoding))


@pytest.mark.parametrize("content", [b"", b"\n\n \n", codecs.BOM_UTF8, b",,\n"])
def test_a_file_without_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"a\.csv is empty"):
        opened(tmp_path / "a.csv", content)


@pytest.mark.parametrize("content", ["a,b", "a,b\n", "a,b\r\n\r\n"])
def test_a_header_alone_has_no_rows(tmp_path: Path, content: str) -> None:
    table = opened(tmp_path / "a.csv", content)
    assert (table.header, rows_of(table), table.rows) == (["a", "b"], [], 0)


def test_the_header_may_follow_blank_lines_and_hold_newlines(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", '\n,\n"a\nb"," c "\n1,2\n')
    assert (table.header, rows_of(table)) == (["a\nb", " c "], [(1, ["1", "2"])])


def test_a_record_longer_than_a_block(tmp_path: Path) -> None:
    long = "x" * 300_000 + "\n" + "y" * 300_000
    lines = "".join(f"{n},{n}\n" for n in range(1, 60_000))
    table = opened(tmp_path / "a.csv", f'a,b\n{lines}short\n60001,"{long}"\n60002\n60003,1\n')
    rows = rows_of(table)
    assert [number for number, _ in rows] == list(range(1, 60_004))
    assert [cells for _, cells in rows[-4:]] == [["short", ""], ["60001", long], ["60002", ""], ["60003", "1"]]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("header", ["a,b", "a,b,c"])
def test_a_quote_that_never_closes_is_refused(tmp_path: Path, codec: str, header: str) -> None:
    table = opened(tmp_path / "a.csv", (header + '\n1,"x\n2,é""y\n3,z\n').encode(codec))
    with pytest.raises(InputError, match="a quote opened 3 lines before its end is never closed"):
        rows_of(table)


def test_a_last_cell_of_several_lines_that_closes(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path / "a.csv", 'a,b\n1,"x\n""y\n"\n')) == [(1, ["1", 'x\n"y\n'])]
    assert rows_of(opened(tmp_path / "a.csv", 'a,b\n"\n1",""\n')) == [(1, ["\n1", ""])]


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", "a,b\n1,2\n")
    with (tmp_path / "a.csv").open("a") as file:
        file.write("3,4\n")
    with pytest.raises(InputError, match="changed while it was read"):
        rows_of(table)


@pytest.mark.parametrize(("content", "what"), [(b"PK\x03\x04...", "workbook"), (b"PAR1...", "Parquet")])
def test_a_text_file_that_is_none_says_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        opened(tmp_path / "a.csv", content)


def test_chunks_are_even_and_can_be_drawn_again(tmp_path: Path) -> None:
    table = opened(tmp_path / "a.csv", "a\n" + "".join(f"{n}\n" for n in range(25)))
    for _ in range(2):
        chunks = list(table.chunks(10))
        assert [(chunk.start, chunk.table.num_rows) for chunk in chunks] == [(0, 10), (10, 10), (20, 5)]
        assert table.rows == 25
