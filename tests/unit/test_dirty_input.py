"""The sample spreadsheets read as their README says."""

from pathlib import Path

import pytest

from bulklink.core.hygiene import Hygiene, HygieneKind, Watched
from bulklink.core.table import Columns, LinkColumns, check_links
from bulklink.files.readers import InputTable, RawChunk, open_input
from bulklink.job.settings import Input

SAMPLES = Path(__file__).parents[2] / "samples" / "dirty_input"


def read(name: str, sheet: str = "") -> tuple[InputTable, RawChunk]:
    table = open_input(Input(file=name, sheet=sheet), SAMPLES)
    (chunk,) = table.chunks()
    return table, chunk


def signs(chunk: RawChunk, *columns: Watched) -> set[tuple[str, HygieneKind, tuple[int, ...]]]:
    hygiene = Hygiene(columns)
    hygiene.update(chunk.table, chunk.rows)
    return {(warning.column, warning.kind, warning.rows) for warning in hygiene.warnings()}


def test_leads_in_semicolons_and_cp1252() -> None:
    table, chunk = read("leads_semicolon_cp1252.csv")
    assert (table.found[0].delimiter, table.found[0].encoding) == (";", "cp1252")
    assert chunk.rows.tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 11, 12]
    number, name, lead, revenue = (column.to_pylist() for column in chunk.table.columns)
    assert number == ["00123", "00124", "123", " 00123 ", "NA", "", "00125", "00126", "1E+05", "00127"]
    assert (name[1], name[6]) == ('Fischhaus "Ahoi" – Kiel', "Zwei Zeilen;\r\nund ein Strichpunkt")
    assert (revenue[0], revenue[1], revenue[7]) == ("1.250,50", "€ 90", "")
    columns = LinkColumns(Columns(("Account No",), (0,), False), Columns(("Lead Id",), (2,), True))
    links = check_links(chunk.table, columns)
    assert {int(chunk.rows[k]): text for k, text in links.reasons.items()} == {12: "Lead Id: '4711' is not a GUID"}
    assert links.to_side is not None
    assert links.to_side.ids[0].tolist() == links.to_side.ids[3].tolist()
    assert signs(chunk, Watched("Account No", 0), Watched("Lead Id", 2, holds_guids=True)) == {
        ("Account No", HygieneKind.LOST_ZEROS, (4,)),
        ("Account No", HygieneKind.SCIENTIFIC, (11,)),
        ("Account No", HygieneKind.MIXED, (6,)),
        ("Account No", HygieneKind.LOOK_ALIKE, (5,)),
    }
    assert lead[6].isalnum()


def test_contacts_in_utf_16_with_an_action_column() -> None:
    table, chunk = read("contacts_utf16.tsv")
    assert (table.found[0].delimiter, table.found[0].encoding) == ("\t", "utf-16-le with BOM")
    assert chunk.rows.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10]
    columns = LinkColumns(Columns(("Contact Id",), (1,), True), Columns(("Lead Id",), (2,), True), action_column=0)
    links = check_links(chunk.table, columns)
    assert {int(chunk.rows[k]) for k in links.reasons} == {7, 9, 10}
    assert "\\u200b" in links.reasons[8]
    assert links.from_side.ids[0].tolist() == links.from_side.ids[1].tolist()
    assert links.actions.tolist() == [1, 1, 2, 2, 1, 0, 1, 1, 2]
    watched = Watched("Contact Id", 1, holds_guids=True), Watched("Lead Id", 2, holds_guids=True)
    assert signs(chunk, *watched) == {
        ("Contact Id", HygieneKind.INVISIBLE, (8,)),
        ("Lead Id", HygieneKind.INVISIBLE, (10,)),
    }


def test_numeric_keys_of_a_workbook() -> None:
    table, chunk = read("tags_numeric_keys.xlsx")
    assert (table.found[0].sheet, table.header) == ("Links", ["Account No", "Tag", "Checked"])
    assert chunk.rows.tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 11, 12]
    number, tag, checked = (column.to_pylist() for column in chunk.table.columns)
    assert number[:6] == ["1049700000", "1049700001", "00123", "1049700000", "#N/A", "2024-03-01"]
    assert number[6:] == ["MAR24", "1049700002.5", "1049700003", "12345678901234500000"]
    assert (tag[8], checked[:3]) == ("2024-01-31 13:45:00", ["TRUE", "TRUE", "FALSE"])
    assert signs(chunk, Watched("Account No", 0), Watched("Tag", 1)) == {
        ("Account No", HygieneKind.ERROR_CELL, (6,)),
        ("Account No", HygieneKind.DATE, (7,)),
        ("Account No", HygieneKind.LOST_DIGITS, (12,)),
        ("Account No", HygieneKind.MIXED, (8,)),
        ("Tag", HygieneKind.DATE, (11,)),
        ("Tag", HygieneKind.LOOK_ALIKE, (2,)),
    }


def test_two_sheets_of_a_workbook_by_column_name() -> None:
    table = open_input(Input(file="tags_numeric_keys.xlsx", sheet=["Links", "More"]), SAMPLES)
    *_, last = table.chunks()
    assert last.table.to_pylist() == [{"Account No": "1049700004", "Tag": "bronze", "Checked": "TRUE"}]


@pytest.mark.parametrize("name", [path.name for path in sorted(SAMPLES.iterdir())])
def test_every_sample_stands_in_the_readme(name: str) -> None:
    assert name == "README.md" or f"`{name}`" in (SAMPLES / "README.md").read_text(encoding="utf-8")
