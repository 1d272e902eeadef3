"""The spool gives back what was written, row by row, and appears whole or not at all."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bulklink.errors import JournalError, RunDirectoryError
from bulklink.files.readers import RawChunk, open_frame
from bulklink.files.spool import BATCH_ROWS, Spool, SpoolWriter


def chunk(first: int, count: int, file: str = "a.csv", sheet: str = "") -> RawChunk:
    numbers = np.arange(first, first + count, dtype=np.int64)
    texts = pa.array([f"cell {number}" for number in numbers], pa.string())
    table = pa.Table.from_arrays([texts, texts], schema=pa.schema([("x", pa.string()), ("x", pa.string())]))
    return RawChunk(table, numbers, file, sheet)


def ids(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (count, 16), np.uint8)


@pytest.mark.parametrize("sizes", [[], [1], [BATCH_ROWS], [10, BATCH_ROWS * 2, 3], [20_000] * 5])
def test_rows_come_back_by_position(tmp_path: Path, sizes: list[int]) -> None:
    total = sum(sizes)
    froms, tos = ids(1, total), ids(2, total)
    has_from = np.random.default_rng(3).random(total) > 0.1
    actions = (np.arange(total) % 3).astype(np.uint8)
    with SpoolWriter(tmp_path / "input.arrow", ["x", "x"], metadata={"sha256": "é"}) as writer:
        start = 0
        for size in sizes:
            part = slice(start, start + size)
            writer.write(
                chunk(2 * start, size), from_ids=froms[part], to_ids=tos[part], actions=actions[part],
                from_valid=has_from[part],
            )  # fmt: skip
            start += size
    numbers = np.concatenate([np.empty(0, int)] + [c.rows for c in _chunks(sizes)])
    with Spool.open(tmp_path / "input.arrow") as spool:
        assert (spool.n_rows, spool.header, spool.metadata) == (total, ["x", "x"], {"sha256": "é"})
        everywhere = np.random.default_rng(4).permutation(total)
        assert (spool.from_ids(everywhere) == np.where(has_from[:, None], froms, 0)[everywhere]).all()
        assert (spool.has_from_id(everywhere) == has_from[everywhere]).all()
        assert (spool.to_ids(everywhere) == tos[everywhere]).all()
        assert spool.has_to_id(everywhere).all()
        assert (spool.actions(everywhere) == actions[everywhere]).all()
        assert (spool.row_numbers_at(everywhere) == numbers[everywhere]).all()
        for start, stop in ((0, 5), (BATCH_ROWS - 2, BATCH_ROWS + 2), (total - 3, total + 9), (7, 7), (0, total)):
            expected = numbers[max(start, 0) : stop]
            assert spool.row_numbers(max(start, 0), stop).tolist() == expected.tolist()
            cells = spool.cells(max(start, 0), stop)
            assert cells.column_names == ["x", "x"]
            assert cells.column(1).to_pylist() == [f"cell {number}" for number in expected]
            assert spool.places(max(start, 0), stop).num_columns == 0


def _chunks(sizes: list[int]) -> list[RawChunk]:
    starts = np.cumsum([0, *sizes])
    return [chunk(2 * int(start), size) for start, size in zip(starts, sizes, strict=False)]


def test_several_files_and_further_columns(tmp_path: Path) -> None:
    parts = [("a.xlsx", "One"), ("a.xlsx", "Two"), ("b.csv", "")]
    with SpoolWriter(tmp_path / "s", ["x", "x"], parts=parts, extra={"group": pa.string()}) as writer:
        for file, sheet in parts:
            writer.write(
                chunk(1, 2, file, sheet), from_ids=ids(1, 2), to_ids=ids(2, 2), actions=np.ones(2, np.uint8),
                extra={"group": pa.array([sheet, None])},
            )  # fmt: skip
    with Spool.open(tmp_path / "s") as spool:
        assert spool.parts == parts
        assert spool.places(1, 5).to_pylist() == [
            {"file": file, "sheet": sheet} for file, sheet in (parts[0], parts[1], parts[1], parts[2])
        ]
        assert spool.extra("group", 0, 6).to_pylist() == ["One", None, "Two", None, "", None]
        assert spool.row_numbers(0, 6).tolist() == [1, 2] * 3


def test_any_arrow_reader_reads_it(tmp_path: Path) -> None:
    source = next(open_frame(pd.DataFrame({"a": ["1", "ü"]}), now_s=0.0).chunks())
    with SpoolWriter(tmp_path / "s", ["a"]) as writer:
        writer.write(source, from_ids=ids(1, 2), to_ids=ids(2, 2), actions=np.ones(2, np.uint8))
    table = pa.ipc.open_file(tmp_path / "s").read_all()
    assert table.column_names == ["row", "from_id", "to_id", "action", "cell.0"]
    assert table.column("cell.0").to_pylist() == ["1", "ü"]


def test_views_outlive_the_spool(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "s", ["x", "x"]) as writer:
        writer.write(chunk(1, 3), from_ids=ids(1, 3), to_ids=ids(2, 3), actions=np.ones(3, np.uint8))
    spool = Spool.open(tmp_path / "s")
    cells = spool.cells(0, 3)
    spool.close()
    assert cells.column(0).to_pylist() == ["cell 1", "cell 2", "cell 3"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with SpoolWriter(tmp_path / "s", ["x"]):
        pass
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SpoolWriter(tmp_path / "s", ["x"]):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_write_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "s.partial").write_bytes(b"half")
    with SpoolWriter(tmp_path / "s", ["x"]):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        SpoolWriter(tmp_path / "missing" / "s", ["x"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_is_a_run_directory_error(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "s", ["x", "x"])
    os.dup2(os.open("/dev/full", os.O_WRONLY), writer._file.fileno())
    with pytest.raises(RunDirectoryError, match="No space left"):
        writer.write(
            chunk(1, BATCH_ROWS + 1), from_ids=ids(1, BATCH_ROWS + 1), to_ids=ids(2, BATCH_ROWS + 1),
            actions=np.ones(BATCH_ROWS + 1, np.uint8),
        )  # fmt: skip


@pytest.mark.parametrize("content", [None, b"", b"ARROW1\0\0 cut short", b"x" * 10_000])
def test_a_damaged_spool_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "s").write_bytes(content)
    with pytest.raises(JournalError, match="cannot be read"):
        Spool.open(tmp_path / "s")


def test_another_arrow_file_is_refused(tmp_path: Path) -> None:
    with pa.ipc.new_file(tmp_path / "s", pa.schema([("x", pa.string())])):
        pass
    with pytest.raises(JournalError, match="not written by this version"):
        Spool.open(tmp_path / "s")
