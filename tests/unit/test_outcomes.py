"""The files of a run tell what the journal knows: every row once, in input order, in the words of the contract."""

import csv
import stat
import uuid

import numpy as np
import openpyxl
import pyarrow.parquet
import pytest

from bulklink.errors import BooksError, ExitCode, RunDirectoryError
from bulklink.files import workbook
from bulklink.files.block_sorting import CHUNK_ROWS
from bulklink.files.outcomes import write_outcomes
from bulklink.files.row_outcomes import RowOutcomes
from bulklink.vocabulary import OUTCOME_COLUMNS, Before, Outcome
from tests.journaled_runs import Part, batch, block, make_journal, make_spool

HEADER = ["Contact", "Lead"]


def cells(n):
    return [[f"contact {i}", f"lead {i}"] for i in range(n)]


class Written:
    """A run directory with the given blocks and batches, and its outcomes files."""

    def __init__(self, directory, parts, settled=(), sent=(), header=HEADER, formats=("csv",)):
        self.directory = directory
        self.spool = make_spool(directory / "input.arrow", header, *parts)
        self.journal = make_journal(directory / "journal.sqlite")
        self.journal.record(sent)
        self.journal.record(settled=settled)
        self.again(formats)

    def again(self, formats=("csv",)):
        self.result = write_outcomes(self.directory, self.spool, self.journal, formats)
        self.books = self.result.books

    def lines(self, name="outcomes.csv"):
        with (self.directory / name).open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file, strict=True))

    def records(self):
        header, *lines = self.lines()
        return [dict(zip(header, line, strict=True)) for line in lines]

    def column(self, name):
        return [record[name] for record in self.records()]


@pytest.fixture
def write(tmp_path):
    def written(*parts, **more):
        return Written(tmp_path, [p if isinstance(p, Part) else Part(p) for p in parts], **more)

    return written


def test_the_columns_are_those_of_the_contract(write):
    run = write(cells(1), settled=[block([0], http_status=204, attempts=1, request_id="r-1")])
    assert run.lines() == [
        ["row", "Contact", "Lead", *OUTCOME_COLUMNS],
        ["1", "contact 0", "lead 0", "associated", "absent", "", "", "204", "r-1", "1"],
    ]
    assert not (run.directory / "troubles.csv").exists()


def test_lines_end_as_rfc_4180_says_and_there_is_no_byte_order_mark(write):
    run = write(cells(2), settled=[block([0, 1])])
    content = (run.directory / "outcomes.csv").read_bytes()
    assert content.startswith(b"row,Contact")
    assert content.count(b"\r\n") == content.count(b"\n") == 3


def test_rows_stand_in_input_order_whatever_the_order_of_settling(write):
    rows = np.random.default_rng(7).permutation(2 * CHUNK_ROWS + 5)
    settled = [
        block(piece.tolist(), message=[f"about {i}" for i in piece] if k % 2 else "", request_id=f"r-{k}")
        for k, piece in enumerate(np.array_split(rows, 9))
    ]
    run = write(cells(len(rows)), settled=settled)
    found = run.records()
    assert [record["Contact"] for record in found] == [f"contact {i}" for i in range(len(rows))]
    by_row = {int(row): (k, row) for k, piece in enumerate(np.array_split(rows, 9)) for row in piece}
    for i, record in enumerate(found):
        k, row = by_row[i]
        assert record["request_id"] == f"r-{k}"
        assert record["message"] == (f"about {row}" if k % 2 else "")


def test_a_row_never_sent_has_empty_facts(write):
    run = write(cells(1), settled=[block([0], Outcome.INVALID, Before.UNKNOWN, message="no GUID")])
    record = run.records()[0]
    assert [record[name] for name in OUTCOME_COLUMNS] == ["invalid", "unknown", "", "no GUID", "", "", "0"]


def test_before_is_a_word_or_the_id_a_lookup_held(write):
    held = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
    ids = np.zeros((5, 16), np.uint8)
    ids[3] = np.frombuffer(held.bytes, np.uint8)
    befores = [Before.UNKNOWN, Before.ABSENT, Before.PRESENT, Before.POINTS_AT, Before.UNKNOWN]
    settled = block(range(5), before=befores, attempts=[1, 1, 0, 1, 0])
    settled.before_ids = ids
    run = write(cells(5), settled=[settled])
    assert run.column("before") == ["unknown", "absent", "present", str(held), "unknown"]


def test_a_duplicate_names_its_row_by_number_and_outcome(write):
    outcomes = [Outcome.ASSOCIATED, Outcome.DUPLICATE, Outcome.REJECTED, Outcome.DUPLICATE]
    part = Part(cells(4), numbers=[12, 14, 15, 20])
    run = write(part, settled=[block(range(4), outcomes, refers_to=[-1, 0, -1, 2])])
    assert run.column("message")[1] == "same as row 12, which was associated"
    assert run.column("message")[3] == "same as row 15, which was rejected"


def test_a_duplicate_counts_as_the_row_it_repeats(write):
    outcomes = [Outcome.ASSOCIATED, Outcome.DUPLICATE, Outcome.REJECTED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    run = write(cells(5), settled=[block(range(5), outcomes, refers_to=[-1, 0, -1, 2, 3])])
    assert (run.books.as_asked, run.books.not_as_asked) == (2, 3)
    assert run.books.exit_code() is ExitCode.TROUBLES
    assert [line[0] for line in run.lines("troubles.csv")[1:]] == ["contact 2", "contact 3", "contact 4"]


def test_only_duplicates_of_good_rows_leave_the_run_as_asked(write):
    outcomes = [Outcome.ALREADY_ASSOCIATED, Outcome.DUPLICATE]
    run = write(cells(2), settled=[block([0, 1], outcomes, refers_to=[-1, 0])])
    assert run.books.exit_code() is ExitCode.AS_ASKED


def test_a_failed_group_names_the_row_that_did_it(write):
    outcomes = [Outcome.REJECTED, Outcome.GROUP_FAILED]
    settled = block([0, 1], outcomes, refers_to=[-1, 0], message=["no such lead", "its fault: no such lead"])
    run = write(cells(2), settled=[settled])
    assert run.column("message")[1] == "row 1 was rejected: its fault: no such lead"


def test_rows_of_several_files_and_sheets_say_where_they_are_from(write):
    parts = [Part(cells(2), "a.csv"), Part(cells(2), "b.xlsx", "Links"), Part(cells(1), "b.xlsx", "More")]
    outcomes = [Outcome.ASSOCIATED] * 3 + [Outcome.DUPLICATE] * 2
    run = write(*parts, settled=[block(range(5), outcomes, refers_to=[-1, -1, -1, 2, 1])])
    assert run.lines()[0][:4] == ["row", "file", "sheet", "Contact"]
    assert [tuple(line[:3]) for line in run.lines()[1:]] == [
        ("1", "a.csv", ""),
        ("2", "a.csv", ""),
        ("1", "b.xlsx", "Links"),
        ("2", "b.xlsx", "Links"),
        ("1", "b.xlsx", "More"),
    ]
    assert run.column("message")[3] == "same as row 1 of b.xlsx, sheet Links, which was associated"
    assert run.column("message")[4] == "same as row 2 of a.csv, which was associated"


def test_our_names_give_way_to_the_inputs(write):
    header = ["row", "outcome", "bulklink_outcome"]
    run = write([["9", "x", "y"]], header=header, settled=[block([0], Outcome.REJECTED)])
    names, values = run.lines()
    assert names[:5] == ["bulklink_row", "row", "outcome", "bulklink_outcome", "bulklink_bulklink_outcome"]
    assert values[:5] == ["1", "9", "x", "y", "rejected"]
    assert run.lines("troubles.csv") == [header, ["9", "x", "y"]]


def test_cells_stay_as_they_are_in_csv(write):
    odd = [
        '=HYPERLINK("http://x")',
        "+1",
        "-1",
        "@a",
        'a"b',
        "a,b",
        "line\nfeed",
        "return\r",
        " blank ",
        "é\u202e\x00",
        "",
    ]
    run = write([[text, text] for text in odd], settled=[block(range(len(odd)), Outcome.REJECTED)])
    assert run.column("Contact") == odd
    assert [line[0] for line in run.lines("troubles.csv")[1:]] == odd


def test_an_unfinished_run_tells_doubt_from_not_attempted(write):
    run = write(cells(4), sent=[batch(1, [0, 1, 2], before=Before.ABSENT)], settled=[block([1], attempts=1)])
    assert run.column("outcome") == ["in-doubt", "associated", "in-doubt", "not-attempted"]
    assert run.column("before") == ["absent", "absent", "absent", "unknown"]
    assert run.column("attempts") == ["1", "1", "1", "0"]
    assert run.books.unfinished == 3
    assert run.books.exit_code() is ExitCode.STOPPED_EARLY


def test_rows_given_back_unsent_keep_their_fault(write):
    refused = block([0, 1], Outcome.NOT_ATTEMPTED, Before.UNKNOWN, 403, 1, code="0x80040220", message="no privilege")
    run = write(cells(3), sent=[batch(1, [0, 1])], settled=[refused])
    assert run.column("outcome") == ["not-attempted"] * 3
    assert run.column("code") == ["0x80040220", "0x80040220", ""]


def test_a_row_sent_again_after_it_was_given_back_is_in_doubt(write):
    run = write(cells(1), settled=[block([0], Outcome.NOT_ATTEMPTED, message="stopped")])
    run.journal.record([batch(2, [0], attempts=2)])
    run.again()
    assert (run.column("outcome"), run.column("attempts")) == (["in-doubt"], ["2"])
    run.journal.record(settled=[block([0], message=["settled"], attempts=2)])
    run.again()
    assert (run.column("outcome"), run.column("message")) == (["associated"], ["settled"])


def test_of_two_things_said_about_a_row_the_later_counts(write):
    earlier = block([0, 1, 2], Outcome.NOT_ATTEMPTED, message=["stopped 0", "stopped 1", "stopped 2"])
    later = block([2, 1], message=["done 2", "done 1"], attempts=1)
    run = write(cells(3), settled=[earlier, later])
    assert run.column("message") == ["stopped 0", "done 1", "done 2"]


def test_what_the_engine_says_about_a_doubt_is_kept(write):
    run = write(cells(1), sent=[batch(1, [0])], settled=[block([0], Outcome.IN_DOUBT, message="answer lost at 12:45")])
    assert run.column("message") == ["answer lost at 12:45"]


def test_troubles_of_an_earlier_writing_go_when_all_is_well(write):
    run = write(cells(2), settled=[block([0])])
    assert run.lines("troubles.csv") == [HEADER, ["contact 1", "lead 1"]]
    run.journal.record(settled=[block([1])])
    run.again()
    assert not (run.directory / "troubles.csv").exists()
    assert run.books.exit_code() is ExitCode.AS_ASKED


def test_files_that_are_not_asked_for_any_more_go(write):
    run = write(cells(1), settled=[block([0])], formats=("csv", "parquet"))
    run.again(("parquet",))
    assert [path.name for path in run.result.files] == ["outcomes.parquet"]
    assert not (run.directory / "outcomes.csv").exists()


def test_an_input_without_rows_has_a_header_only(write):
    run = write([], formats=("csv", "xlsx", "parquet"))
    assert run.lines() == [["row", *HEADER, *OUTCOME_COLUMNS]]
    assert pyarrow.parquet.read_table(run.directory / "outcomes.parquet").num_rows == 0
    assert len(list(openpyxl.load_workbook(run.directory / "outcomes.xlsx")["Outcomes"].rows)) == 1


def test_files_are_for_their_owner_only_and_no_draft_stays(write):
    run = write(cells(2), settled=[block([0])], formats=("csv", "xlsx", "parquet"))
    for path in run.result.files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert not list(run.directory.glob("*.partial"))
    assert not list(run.directory.glob(".*"))


@pytest.mark.parametrize(
    ("settled", "words"),
    [
        ([block([0]), block([0], Outcome.REJECTED)], "settles a row twice"),
        ([block([0, 0])], "settles a row twice"),
        ([block([7])], "speaks of row 8 of 2"),
        ([block([0], Outcome.DUPLICATE)], "does not say which row"),
        ([block([0, 1], [Outcome.DUPLICATE, Outcome.ASSOCIATED], refers_to=[1, -1])], "repeats a later row"),
    ],
)
def test_books_that_do_not_balance_are_a_loud_error(tmp_path, settled, words):
    with pytest.raises(BooksError, match=words) as caught:
        Written(tmp_path, [Part(cells(2))], settled=settled)
    assert caught.value.exit_code is ExitCode.BUG
    assert not (tmp_path / "outcomes.csv").exists()


def test_every_outcome_is_counted_under_its_own_name(write):
    kinds = [outcome for outcome in Outcome if outcome not in {Outcome.NONE, Outcome.DUPLICATE}]
    run = write(cells(len(kinds)), settled=[block(range(len(kinds)), [int(kind) for kind in kinds])])
    assert run.books.counts == dict.fromkeys(kinds, 1)
    assert run.books.as_asked == 8
    assert run.column("outcome") == [kind.word for kind in kinds]


def test_many_rare_rows_go_through_a_file_and_come_back_right(tmp_path, monkeypatch):
    monkeypatch.setattr("bulklink.files.block_sorting._SPILL_BYTES", 1000)
    monkeypatch.setattr("bulklink.files.block_sorting._WAITING_ROWS_MAX", 500)
    n = CHUNK_ROWS + 3000
    order = np.random.default_rng(3).permutation(n)
    journal = make_journal(tmp_path / "journal.sqlite")
    for piece in np.array_split(order, 40):
        journal.record(settled=[block(piece.tolist(), message=[f"about {i}" for i in piece], attempts=1)])
    outcomes = RowOutcomes(journal, n)
    assert outcomes.columns(0, CHUNK_ROWS).message.to_pylist() == [f"about {i}" for i in range(CHUNK_ROWS)]
    assert outcomes.columns(CHUNK_ROWS, n).message.to_pylist() == [f"about {i}" for i in range(CHUNK_ROWS, n)]


def test_the_parquet_file_holds_the_same_table(write):
    run = write(
        cells(3),
        settled=[block([0, 2], http_status=204, attempts=1)],
        header=["Key", "Key"],
        formats=("csv", "parquet"),
    )
    table = pyarrow.parquet.read_table(run.directory / "outcomes.parquet")
    assert table.column_names[:4] == ["row", "Key", "Key_2", "outcome"]
    assert table["http_status"].to_pylist() == [204, None, 204]
    assert table["outcome"].to_pylist() == run.column("outcome")


def sheet(run, title="Outcomes"):
    return openpyxl.load_workbook(run.directory / "outcomes.xlsx")[title]


def test_the_workbook_never_holds_a_formula(write):
    odd = ['=HYPERLINK("http://x")', "=1+1", "+1", "@sum", "#N/A", "00123", "1e5", "TRUE", "2026-11-23"]
    run = write([[text, text] for text in odd], settled=[block(range(len(odd)))], formats=("xlsx",))
    for text, row in zip(odd, sheet(run).iter_rows(min_row=2), strict=True):
        assert (row[1].value, row[1].data_type, row[1].number_format) == (text, "s", "@")
        assert row[0].data_type == "n"


def test_the_workbook_can_be_read_by_people(write):
    outcomes = [Outcome.ASSOCIATED, Outcome.REJECTED, Outcome.DUPLICATE]
    run = write(cells(3), settled=[block(range(3), outcomes, refers_to=[-1, -1, 0])], formats=("xlsx",))
    found = sheet(run)
    assert found.freeze_panes == "B2"
    assert found.auto_filter.ref == "A1:J4"
    assert found["A1"].font.bold
    colours = [found.cell(row, 4).fill.fgColor.rgb for row in (2, 3, 4)]
    assert len(set(colours)) == 3
    assert found.column_dimensions["B"].width > 8


def test_characters_that_a_workbook_cannot_hold_are_escaped(write):
    run = write([["a\x00b\x1f", "_x0041_"]], settled=[block([0])], formats=("xlsx",))
    assert [cell.value for cell in next(sheet(run).iter_rows(min_row=2))][1:3] == ["a_x0000_b_x001F_", "_x005F_x0041_"]


def test_a_cell_longer_than_a_workbook_allows_is_cut_and_said(write):
    run = write([["x" * 40_000, "y"]], settled=[block([0])], formats=("xlsx",))
    assert len(sheet(run)["B2"].value) == workbook.CELL_CHARACTERS_MAX
    assert run.result.notes == ["outcomes.xlsx: 1 cells were longer than 32,767 characters and are cut"]


def test_rows_beyond_a_sheet_go_on_in_the_next_and_it_is_said(write, monkeypatch):
    monkeypatch.setattr(workbook, "SHEET_ROWS_MAX", 4)
    run = write(cells(7), settled=[block(range(7))], formats=("xlsx",))
    book = openpyxl.load_workbook(run.directory / "outcomes.xlsx")
    assert book.sheetnames == ["Outcomes", "Outcomes 2", "Outcomes 3"]
    assert [[cell.value for cell in found["A"]] for found in book] == [["row", 1, 2, 3], ["row", 4, 5, 6], ["row", 7]]
    assert "spread over 3 sheets (Outcomes to Outcomes 3)" in run.result.notes[0]


def test_a_disk_that_refuses_leaves_the_old_files(write, monkeypatch):
    run = write(cells(1))
    before = (run.directory / "outcomes.csv").read_bytes()

    def full(table):
        raise OSError(28, "No space left on device")

    run.journal.record(settled=[block([0])])
    monkeypatch.setattr("bulklink.files.outcomes.csv_lines", full)
    with pytest.raises(RunDirectoryError, match=r"outcomes\.csv cannot be written: No space left"):
        run.again()
    assert (run.directory / "outcomes.csv").read_bytes() == before
    assert not list(run.directory.glob(".*"))
