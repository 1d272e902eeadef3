"""Which files are read, what is told about them, and columns by name."""

import datetime as dt
import hashlib
import os
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from bulklink.errors import InputError
from bulklink.files.readers import UNCHANGED_S, Clock, InputTable, open_frame, open_input
from bulklink.job.settings import Input


def rows_of(table: InputTable, rows: int = 50_000) -> list[tuple[int, list[str]]]:
    return [
        (int(number), [column[index].as_py() for column in chunk.table.columns])
        for chunk in table.chunks(rows)
        for index, number in enumerate(chunk.rows)
    ]


class Waiting:
    """A clock that a test sets; files may change while it is slept on."""

    def __init__(self, now_s: float, changes: Any = None) -> None:
        self.now = now_s
        self.changes = changes or (lambda: None)
        self.slept: list[float] = []

    def clock(self) -> Clock:
        return Clock(now_s=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.changes()


def csv_file(path: Path, content: str = "a,b\n1,2\n", modified_s: float = 1_000.0) -> Path:
    path.write_text(content)
    os.utime(path, (modified_s, modified_s))
    return path


def test_a_relative_name_starts_at_the_base_folder(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    csv_file(tmp_path / "exports" / "a.csv")
    table = open_input(Input(file="exports/a.csv"), tmp_path)
    assert table.found[0].file == "a.csv"


def test_what_was_found_is_told(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.csv", "a;b\n1;2\n")
    table = open_input(Input(file=str(path)), tmp_path)
    found = table.found[0]
    assert found.describe() == "a.csv: delimited text, delimiter semicolon, utf-8"
    assert found.sha256 == hashlib.sha256(b"a;b\n1;2\n").hexdigest() == table.sha256
    assert (found.modified, table.modified_s) == ("1970-01-01T00:16:40Z", 1_000.0)


def test_a_glob_takes_the_newest_match(tmp_path: Path) -> None:
    for name, modified_s in (("x-1.csv", 300.0), ("x-2.csv", 900.0), ("x-3.csv", 600.0), ("~$x-4.csv", 999.0)):
        csv_file(tmp_path / name, modified_s=modified_s)
    waiting = Waiting(5_000.0)
    table = open_input(Input(file="x-*.csv"), tmp_path, clock=waiting.clock())
    assert (table.found[0].file, waiting.slept) == ("x-2.csv", [])


def test_a_glob_waits_until_its_match_is_unchanged(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "x-1.csv", modified_s=999.0)
    growing = iter(["a,b\n1,2\n3,4\n"])

    def grow() -> None:
        if content := next(growing, None):
            csv_file(path, content, modified_s=1_004.0)

    waiting = Waiting(1_000.0, grow)
    table = open_input(Input(file="x-*.csv"), tmp_path, clock=waiting.clock())
    assert (len(rows_of(table)), waiting.slept) == (2, [UNCHANGED_S, UNCHANGED_S])


def test_a_match_that_never_stops_changing_is_refused(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "x-1.csv")
    waiting = Waiting(1_000.0)
    waiting.changes = lambda: csv_file(path, modified_s=waiting.now)
    with pytest.raises(InputError, match="still being written"):
        open_input(Input(file="x-*.csv"), tmp_path, clock=waiting.clock())


def test_a_name_with_brackets_that_exists_is_no_glob(tmp_path: Path) -> None:
    csv_file(tmp_path / "a[1].csv")
    assert open_input(Input(file="a[1].csv"), tmp_path).found[0].file == "a[1].csv"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("link.csv", r"no file .*link\.csv\. Nearest: links\.csv"),
        ("x-*.csv", r"No file matches x-\*\.csv"),
        ("folder", "is a folder"),
        ("notes.docx", r"the extension '\.docx' is not known"),
        ("empty.csv", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, message: str) -> None:
    csv_file(tmp_path / "links.csv")
    csv_file(tmp_path / "empty.csv", "")
    csv_file(tmp_path / "notes.docx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        open_input(Input(file=name), tmp_path)


def test_a_sheet_of_a_text_file_is_refused(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv")
    with pytest.raises(InputError, match="has no sheets"):
        open_input(Input(file="a.csv", sheet="Links"), tmp_path)


def test_several_files_are_one_table_with_columns_by_name(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", "from,to\n1,2\n\n3,4\n")
    csv_file(tmp_path / "b.csv", "to;from\n6;5\n", modified_s=2_000.0)
    table = open_input(Input(file=["a.csv", "b.csv"]), tmp_path)
    assert table.header == ["from", "to"]
    assert [(chunk.file, chunk.start, chunk.table.to_pylist()) for chunk in table.chunks()] == [
        ("a.csv", 0, [{"from": "1", "to": "2"}, {"from": "3", "to": "4"}]),
        ("b.csv", 2, [{"from": "5", "to": "6"}]),
    ]
    assert (table.has_parts, table.rows, table.modified_s) == (True, 3, 2_000.0)
    alone = open_input(Input(file="a.csv"), tmp_path)
    assert len({table.sha256, alone.sha256, table.found[1].sha256}) == 3


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        csv_file(tmp_path / folder / "a.csv")
    table = open_input(Input(file=["x/a.csv", "y/a.csv"]), tmp_path)
    assert [found.file for found in table.found] == [str(tmp_path / "x" / "a.csv"), str(tmp_path / "y" / "a.csv")]


def test_files_with_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", "from,to\n")
    csv_file(tmp_path / "b.csv", "from,too\n")
    with pytest.raises(InputError, match=r"b\.csv lacks 'to' and has 'too' besides, compared with a\.csv"):
        open_input(Input(file=["a.csv", "b.csv"]), tmp_path)


def test_the_fingerprint_changes_with_the_way_of_cutting(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", "a;b,c\n1;2,3\n")
    tables = [open_input(Input(file="a.csv", delimiter=delimiter), tmp_path) for delimiter in (";", ",")]
    assert tables[0].fingerprint != tables[1].fingerprint
    assert tables[0].sha256 == tables[1].sha256


def test_columns_by_name(tmp_path: Path) -> None:
    csv_file(tmp_path / "a.csv", "Account No,Lead Id ,x,x,\n")
    table = open_input(Input(file="a.csv"), tmp_path)
    assert (table.column_index("Account No"), table.column_index("Lead Id ")) == (0, 1)
    assert table.column_index("Lead Id") == 1  # A blank that nobody sees is no other name.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("account no", r"no column 'account no'\. Nearest: 'Account No'"),
        ("zzz", r"no column 'zzz'\. Nearest: 'Account No', 'Lead Id'"),
        ("x", r"stands twice \(columns 3 and 4\)"),
        ("", "no column ''"),
    ],
)
def test_a_column_that_cannot_be_used(tmp_path: Path, name: str, message: str) -> None:
    csv_file(tmp_path / "a.csv", "Account No,Lead Id,x,x,\n")
    with pytest.raises(InputError, match=message):
        open_input(Input(file="a.csv"), tmp_path).column_index(name)


TYPED: dict[str, Any] = {
    "text": ["00123", None, "NA"],
    "whole": [1049700000, None, -1],
    "float": [1049700000.0, float("nan"), 0.1],
    "bool": [True, None, False],
    "day": [dt.date(2024, 1, 31), None, dt.date(1999, 12, 31)],
    "moment": [dt.datetime.fromisoformat("2024-01-31 13:45"), None, dt.datetime.fromisoformat("2024-01-31")],
    "decimal": [Decimal("1.50"), None, Decimal("2.00")],
    "guid": [uuid.UUID(int=1).bytes, None, uuid.UUID(int=2).bytes],
}
FIRST, LAST = (str(uuid.UUID(int=k)) for k in (1, 2))
TYPED_ROWS = [
    (1, ["00123", "1049700000", "1049700000", "TRUE", "2024-01-31", "2024-01-31 13:45:00", "1.50", FIRST]),
    (3, ["NA", "-1", "0.1", "FALSE", "1999-12-31", "2024-01-31", "2.00", LAST]),
]


@pytest.mark.parametrize("rows", [1, 10])
def test_parquet_reads_as_text_with_row_numbers(tmp_path: Path, rows: int) -> None:
    table = pa.table({**TYPED, "guid": pa.array(TYPED["guid"], pa.binary(16))})
    table = table.append_column("word", pa.array(["x", None, "x"]).dictionary_encode())
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    expected = [(number, [*cells, "x"]) for number, cells in TYPED_ROWS]
    assert rows_of(open_input(Input(file="a.parquet"), tmp_path), rows) == expected


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"a\.parquet cannot be read as Parquet"):
        open_input(Input(file="a.parquet"), tmp_path)


@pytest.mark.parametrize("backend", ["object", "inferred", "arrow"])
def test_a_frame_reads_as_text_with_row_numbers(backend: str) -> None:
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in TYPED.items()})
    frame.index = pd.Index([7, 7, 9])
    if backend != "object":
        frame = frame.convert_dtypes(dtype_backend="pyarrow" if backend == "arrow" else "numpy_nullable")
    assert rows_of(open_frame(frame, now_s=0.0), rows=2) == TYPED_ROWS


def test_a_frame_of_mixed_cells_reads_as_people_see_them() -> None:
    cells = [1.0, "a", pd.NA, pd.NaT, None, np.int64(5), np.float64(2.5), pd.Timestamp("2024-01-31"), uuid.UUID(int=3)]
    frame = pd.DataFrame({"mixed": cells, "other": ["x"] * len(cells)})
    texts = ["1", "a", "", "", "", "5", "2.5", "2024-01-31", str(uuid.UUID(int=3))]
    assert [cells[0] for _, cells in rows_of(open_frame(frame))] == texts


def test_the_hash_of_a_frame_changes_with_its_cells() -> None:
    frames = [pd.DataFrame({"a": ["1", "2"]}), pd.DataFrame({"a": ["1", "3"]}), pd.DataFrame({"b": ["1", "2"]})]
    assert len({open_frame(frame).sha256 for frame in frames}) == 3
    assert open_frame(frames[0]).sha256 == open_frame(frames[0].copy()).sha256


def test_a_chunk_is_a_frame_too() -> None:
    chunk = next(open_frame(pd.DataFrame({"a": ["1", "", "3"]})).chunks())
    frame = chunk.frame()
    assert (frame["a"].tolist(), frame.index.tolist()) == (["1", "3"], [1, 3])
