"""The files of a run: their columns, their shape, and what of the input comes back in them."""

import json
import os
import re
import uuid
from pathlib import Path

import pandas as pd
import pytest

from bulklink.files.readers import open_input
from bulklink.job import Job
from tests.desk import OURS, Desk, account, lead, outcomes, read_csv, words

SUMMARY_KEYS = [
    "job", "run_id", "started", "ended", "exit_code", "input", "rows", "outcomes", "removals", "operations_sent",
    "batches_sent", "change_sets_rolled_back", "throttled", "retried", "waited_s", "rows_per_s", "resumed", "retry_of",
    "settings",
]  # fmt: skip
PAIR = 'relationship = "accountleads_association"\nfrom = { table = "account", match = { accountid = "A" } }\n'
PAIR += 'to = { table = "lead", match = { leadid = "L" } }'
FRAME = pd.DataFrame({"A": [account(1), account(2)], "L": [lead(1), lead(2)], "Größe": ["00123", "1e5"]})


def test_a_run_directory_holds_the_files_of_the_contract(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)), (account(1), "x"))
    desk.job(PAIR, more='[report]\noutcomes = ["csv", "xlsx", "parquet"]')
    assert desk.bulklink("run", "job.toml").code == 3
    (directory,) = desk.run_dirs("job")
    assert re.fullmatch(r"\d{8}T\d{6}Z", directory.name)
    names = {path.name for path in directory.iterdir()}
    assert names == {
        "outcomes.csv", "outcomes.xlsx", "outcomes.parquet", "troubles.csv", "summary.json", "report.html",
        "journal.sqlite", "input.arrow", "log.jsonl",
    }  # fmt: skip
    lines = (directory / "log.jsonl").read_text("utf-8").splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    sheet = pd.read_excel(directory / "outcomes.xlsx", dtype=str, keep_default_na=False, engine="openpyxl")
    parquet = pd.read_parquet(directory / "outcomes.parquet")
    header, rows = read_csv(directory / "outcomes.csv")
    assert [*sheet.columns] == [*parquet.columns] == header
    assert [*sheet["outcome"]] == [*parquet["outcome"]] == [row["outcome"] for row in rows]


def test_a_run_that_is_as_asked_leaves_no_troubles(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)))
    assert desk.associate("in.csv").code == 0
    assert not (desk.run_dir() / "troubles.csv").exists()
    assert not (desk.run_dir() / "removals.csv").exists()


def test_the_inputs_own_cells_come_back_untouched(desk: Desk) -> None:
    cells = ["00123", "NA", "null", "1e5", "1049700000.0", "", "  blanks  ", 'a "quoted" one', "two\nlines", "com,ma",
             "=1+1", "ÄÖÜ €", "日本語", "12345678901234567890"]  # fmt: skip
    text = "A,L,Note\n" + "".join(f'{account(1)},{lead(1)},"{cell.replace(chr(34), chr(34) * 2)}"\n' for cell in cells)
    desk.write("in.csv", text)
    assert desk.associate("in.csv").code == 0
    header, rows = read_csv(desk.run_dir() / "outcomes.csv")
    assert header == ["row", "A", "L", "Note", *OURS]
    assert [row["Note"] for row in rows] == cells
    raw = (desk.run_dir() / "outcomes.csv").read_bytes()
    assert raw.startswith(b"row,A,L,Note,outcome,before,code,message,http_status,request_id,attempts\r\n")
    assert raw.endswith(b"\r\n")
    assert b'"a ""quoted"" one"' in raw


def test_every_row_has_one_line_in_input_order_and_blank_rows_keep_their_number(desk: Desk) -> None:
    desk.write("in.csv", f"A,L\n{account(1)},{lead(1)}\n,\n \t,\n{account(2)},{lead(1)}\n\n{account(3)},{lead(1)}\n")
    assert desk.associate("in.csv").code == 0
    assert [row["row"] for row in outcomes(desk.run_dir())] == ["1", "4", "6"]
    assert desk.summary()["rows"] == 3


def test_a_header_of_ours_in_the_input_keeps_its_name_and_ours_gives_way(desk: Desk) -> None:
    desk.write("in.csv", f"A,L,outcome,row,message\n{account(1)},{lead(1)},mine,7,hello\n")
    assert desk.associate("in.csv").code == 0
    header, (row,) = read_csv(desk.run_dir() / "outcomes.csv")
    assert header == [
        "bulklink_row", "A", "L", "outcome", "row", "message",
        "bulklink_outcome", "before", "code", "bulklink_message", "http_status", "request_id", "attempts",
    ]  # fmt: skip
    assert (row["outcome"], row["row"], row["bulklink_outcome"], row["bulklink_row"]) == (
        "mine",
        "7",
        "associated",
        "1",
    )


def test_several_files_and_sheets_are_told_apart_and_number_their_own_rows(desk: Desk) -> None:
    with pd.ExcelWriter(desk.folder / "b.xlsx") as book:
        FRAME.iloc[:1].to_excel(book, sheet_name="One", index=False)
        FRAME.iloc[1:].to_excel(book, sheet_name="Two", index=False)
    # The third file has its columns in another order, and the pair of sheet Two again.
    desk.write("c.csv", f"Größe;L;A\n1;{lead(3)};{account(3)}\n2;{lead(2)};{account(2)}\n")
    desk.job(PAIR, file='["b.xlsx", "c.csv"]\nsheet = ["One", "Two"]')
    ran = desk.bulklink("run", "job.toml")
    assert ran.code == 0
    header, rows = read_csv(desk.run_dir() / "outcomes.csv")
    assert header == ["row", "file", "sheet", "A", "L", "Größe", *OURS]
    assert [(row["row"], row["file"], row["sheet"], row["A"]) for row in rows] == [
        ("1", "b.xlsx", "One", account(1)),
        ("1", "b.xlsx", "Two", account(2)),
        ("1", "c.csv", "", account(3)),
        ("2", "c.csv", "", account(2)),
    ]
    assert rows[3]["outcome"] == "duplicate"
    assert "row 1 of b.xlsx, sheet Two" in rows[3]["message"]


def test_several_files_with_a_column_called_file(desk: Desk) -> None:
    desk.write("a.csv", f"A,L,file\n{account(1)},{lead(1)},x\n")
    desk.write("b.csv", f"A,L,file\n{account(2)},{lead(1)},y\n")
    desk.job(PAIR, file='["a.csv", "b.csv"]')
    assert desk.bulklink("run", "job.toml").code == 0
    header, rows = read_csv(desk.run_dir() / "outcomes.csv")
    assert header[:3] == ["row", "bulklink_file", "sheet"]
    assert [(row["bulklink_file"], row["file"]) for row in rows] == [("a.csv", "x"), ("b.csv", "y")]


def test_troubles_are_the_input_in_its_own_shape_and_can_be_fed_back(desk: Desk) -> None:
    desk.write(
        "in.csv",
        f'L;Note;A\r\n{lead(1)};"a;b, ""c""";{account(1)}\r\n{lead(2)};Ü;x{account(2)}\r\n{lead(99)};;{account(3)}\r\n',
        encoding="cp1252",
    )
    assert desk.associate("in.csv").code == 3
    troubles = desk.run_dir() / "troubles.csv"
    header, rows = read_csv(troubles)
    assert (header, [row["Note"] for row in rows]) == (["L", "Note", "A"], ["Ü", ""])
    corrected = troubles.read_text("utf-8").replace("x" + account(2), account(2)).replace(lead(99), lead(3))
    desk.write("corrected.csv", corrected)
    assert desk.associate("corrected.csv").code == 0
    assert desk.links() == {(account(n), lead(n)) for n in (1, 2, 3)}


def test_the_summary_has_the_contracts_keys_and_its_books_balance(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)), (account(1), lead(1)), (account(1), "x"), (account(1), lead(99)))
    assert desk.associate("in.csv").code == 3
    summary = desk.summary()
    assert [key for key in SUMMARY_KEYS if key not in summary] == []
    assert summary["job"] == "associate-accountleads_association"
    assert (summary["run_id"], summary["exit_code"]) == (desk.run_dir().name, 3)
    assert set(summary["input"]) >= {"file", "modified", "sha256", "rows"}
    assert (summary["input"]["file"], summary["input"]["rows"]) == ("in.csv", 4)
    assert summary["rows"] == sum(summary["outcomes"].values()) == 4
    assert summary["outcomes"] == {"associated": 1, "duplicate": 1, "invalid": 1, "rejected": 1}
    assert (summary["operations_sent"], summary["removals"]) == (2, {})
    assert (summary["resumed"], summary["retry_of"], summary["throttled"]) == (False, None, 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", summary["started"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_encodings_are_found_and_told(delimiter: str, encoding: str, tmp_path: Path) -> None:
    text = FRAME.to_csv(index=False, sep=delimiter)
    (tmp_path / "in.csv").write_bytes(text.encode(encoding))
    job = Job.from_one_line(
        "associate", "in.csv", relationship="r", from_side="a=A", to_side="l=L", env={"BULKLINK_URL": "https://x"}
    )
    table = open_input(job.required_input(), tmp_path)
    assert table.header == ["A", "L", "Größe"]


def _write(path: Path) -> None:
    writers = {
        ".csv": lambda: FRAME.to_csv(path, index=False),
        ".tsv": lambda: FRAME.to_csv(path, index=False, sep="\t"),
        ".xlsx": lambda: FRAME.to_excel(path, index=False),
        ".parquet": lambda: FRAME.to_parquet(path),
    }
    writers[path.suffix]()


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.xlsx", "in.parquet"])
def test_every_format_is_read(name: str, desk: Desk) -> None:
    _write(desk.folder / name)
    ran = desk.associate(name)
    assert (ran.code, name in ran.err) == (0, True)
    rows = outcomes(desk.run_dir())
    assert [row["Größe"] for row in rows] == ["00123", "1e5"]
    assert desk.links() == {(account(1), lead(1)), (account(2), lead(2))}


def test_a_glob_takes_the_newest_file(desk: Desk) -> None:
    for n, name in enumerate(["links-1.csv", "links-3.csv", "links-2.csv"]):
        path = desk.pairs(f"exports/{name}", (account(n + 1), lead(1)))
        os.utime(path, (1_700_000_000 + n, 1_700_000_000 + n))
    desk.job(PAIR, file='"exports/links-*.csv"')
    ran = desk.bulklink("run", "job.toml")
    assert (ran.code, "links-2.csv" in ran.err) == (0, True)
    assert desk.links() == {(account(3), lead(1))}
    assert desk.summary()["input"]["file"] == "links-2.csv"


def test_dashes_braces_and_case_do_not_matter_in_a_guid(desk: Desk) -> None:
    guid = uuid.UUID(account(1))
    spellings = [str(guid), guid.hex, f"{{{guid}}}", f"({guid})", str(guid).upper(), f"  {guid} "]
    desk.pairs("in.csv", *((spelling, lead(n + 1)) for n, spelling in enumerate(spellings)))
    assert desk.associate("in.csv").code == 0
    assert words(desk.run_dir()) == ["associated"] * len(spellings)
