"""Warnings tell what is odd about keys: what, how many, where; and say nothing about clean columns."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from bulklink.core import hygiene
from bulklink.core.hygiene import Hygiene, HygieneKind, HygieneWarning, Watched

CLEAN = [f"ACC-{number:05}" for number in range(40)]


def warnings_of(cells: list[str], *, chunks: int = 1, holds_guids: bool = False) -> list[HygieneWarning]:
    watcher = Hygiene([Watched("No", 0, holds_guids)])
    for rows in np.array_split(np.arange(1, len(cells) + 1), chunks):
        watcher.update(pa.table({"No": pa.array([cells[row - 1] for row in rows], pa.string())}), rows)
    return watcher.warnings()


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [""] * 3,
        CLEAN,
        [f"{number:05}" for number in range(50)],
        ["1049700000", "7", "42", "100"],
        [f"2024-01-{day:02}" for day in range(1, 29)],
        ["TRUE", "x", "y z", "a@b.example"],
        ["12345678901234567", "12345678901234560", "12345678901234561"],
        ["Müller", "Ärger"],
    ],
)
def test_clean_columns_are_not_warned_about(cells: list[str]) -> None:
    assert warnings_of(cells) == []


@pytest.mark.parametrize(
    ("cells", "kind", "count", "rows", "sentence"),
    [
        (
            [*CLEAN, "#N/A", "", "#REF!", "####"],
            HygieneKind.ERROR_CELL, 3, (41, 43, 44),
            "No: 3 cells with an error of Excel such as '#N/A' (rows 41, 43, 44).",
        ),
        (
            [*CLEAN, "1.05E+09"],
            HygieneKind.SCIENTIFIC, 1, (41,),
            "No: 1 cell such as '1.05E+09' in scientific notation: Excel has shortened a long number (row 41).",
        ),
        (
            ["1234567890123450", "123456789012345000", "7"],
            HygieneKind.LOST_DIGITS, 2, (1, 2),
            ("No: 2 cells such as '1234567890123450' with more than 15 digits, the last ones lost to Excel"
            " (rows 1, 2)."),
        ),
        (
            ["00123", "04567", "12345", "789", "45", "789"],
            HygieneKind.LOST_ZEROS, 3, (4, 5, 6),
            ("No: 3 cells such as '45' shorter than zero-padded ones such as '00123': zeros may be lost"
            " (rows 4, 5, 6)."),
        ),
        (
            [*CLEAN, "Mar-24", "2024-03-01 00:00:00"],
            HygieneKind.DATE, 2, (41, 42),
            ("No: 2 cells such as 'Mar-24' with a date: Excel takes keys like 1-2 or MAR24 for dates"
            " (rows 41, 42)."),
        ),
        (
            [*CLEAN, "17", "-1,5"],
            HygieneKind.MIXED, 2, (41, 42),
            "No: 2 cells such as '17' with a number, the other 40 with text (rows 41, 42).",
        ),
        (
            [*map(str, range(100, 140)), "n.n."],
            HygieneKind.MIXED, 1, (41,),
            "No: 1 cell such as 'n.n.' with text, the other 40 with numbers (row 41).",
        ),
        (
            [*CLEAN, "X\u200b", "\u00a0Y"],
            HygieneKind.INVISIBLE, 2, (41, 42),
            ("No: 2 cells such as 'X\\u200b' with a non-breaking blank or another invisible character"
            " (rows 41, 42)."),
        ),
        (
            ["ABC", "abc ", "x", "ABC", "abc ", "Abc"],
            HygieneKind.LOOK_ALIKE, 3, (2, 5, 6),
            ("No: 3 cells different from an earlier one in case or blanks only, such as 'abc ', in row 1 'ABC'"
            " (rows 2, 5, 6)."),
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunks", [1, 3])
def test_each_sign_is_told(
    cells: list[str], kind: HygieneKind, count: int, rows: tuple[int, ...], sentence: str, chunks: int
) -> None:
    assert warnings_of(cells, chunks=chunks) == [HygieneWarning(kind, "No", count, rows, sentence)]


def test_only_the_first_rows_are_named() -> None:
    (warning,) = warnings_of(["#N/A"] * 1_000, chunks=7)
    assert (warning.count, warning.rows) == (1_000, (1, 2, 3, 4, 5))


def test_a_guid_column_is_warned_about_what_is_no_guid_only() -> None:
    guid = str(uuid.UUID(int=1))
    cells = [guid, guid.upper(), f"{{{guid}}}", guid.replace("-", ""), "#N/A", guid + "\u200b", "17", "1E+15", ""]
    kinds = [(warning.kind, warning.rows) for warning in warnings_of(cells, holds_guids=True)]
    assert kinds == [(HygieneKind.ERROR_CELL, (5,)), (HygieneKind.SCIENTIFIC, (8,)), (HygieneKind.INVISIBLE, (6,))]


def test_several_files_are_told_apart() -> None:
    watcher = Hygiene([Watched("No", 0)])
    for place, row in (("a.csv", 3), ("b.csv", 3), ("b.csv", 9)):
        watcher.update(pa.table({"No": ["#N/A"]}), np.array([row]), place)
    assert watcher.warnings()[0].sentence.endswith("(rows 3 (a.csv); 3, 9 (b.csv)).")


def test_look_alikes_are_searched_among_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hygiene, "LOOK_ALIKES_MAX", 3)
    (warning,) = warnings_of(["a", "b", "c", "d", "D", "B"])
    assert (warning.rows, "among 3 values" in warning.sentence) == ((6,), True)
