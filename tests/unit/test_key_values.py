"""Values of key columns: what a cell means, and which cells do not fit."""

from decimal import Decimal

import pytest

from bulklink.core.facts import Column, ColumnKind
from bulklink.core.key_values import Comparing, MisfitError, can_be_key, read_answer_value, read_cell

GUID = "0123abcd-4567-89ab-cdef-0123456789ab"
EXACTLY = Comparing(ignore_case=False, trim=False)
COLUMNS = {kind: Column("it", kind) for kind in ColumnKind}
CHOICE = Column("it", ColumnKind.CHOICE, choices={"Hot": 1, "Warm": 2, "warm ": 3, "12": 4})
FLAG = Column("it", ColumnKind.BOOLEAN, choices={"Blocked": 1, "Free": 0})
DAY = Column("it", ColumnKind.DATETIME, date_only=True)


@pytest.mark.parametrize(
    ("column", "cell", "literal", "answer"),
    [
        (COLUMNS[ColumnKind.TEXT], "  O'Neil ", "'O''Neil'", "o'neil  "),
        (COLUMNS[ColumnKind.TEXT], "ΣΑΣ", "'ΣΑΣ'", "σας"),
        (COLUMNS[ColumnKind.MEMO], "00123", "'00123'", "00123"),
        (COLUMNS[ColumnKind.WHOLE], "+0042", "42", 42),
        (COLUMNS[ColumnKind.WHOLE], "-7.0", "-7", -7),
        (COLUMNS[ColumnKind.BIG], "9007199254740993", "9007199254740993", 9007199254740993),
        (COLUMNS[ColumnKind.DECIMAL], "1.50", "1.50", Decimal("1.5")),
        (COLUMNS[ColumnKind.MONEY], "1e3", "1000", 1000),
        (COLUMNS[ColumnKind.DOUBLE], ".5", "0.5", Decimal("0.5")),
        (COLUMNS[ColumnKind.BOOLEAN], "Yes", "true", True),
        (COLUMNS[ColumnKind.BOOLEAN], "0", "false", False),
        (FLAG, "blocked", "true", True),
        (CHOICE, "hot", "1", 1),
        (CHOICE, "2", "2", 2),
        (CHOICE, "12", "4", 4),
        (COLUMNS[ColumnKind.GUID], "{" + GUID.upper() + "}", GUID, GUID),
        (COLUMNS[ColumnKind.LOOKUP], GUID, GUID, GUID),
        (COLUMNS[ColumnKind.DATETIME], "2024-01-31 10:00:00", "2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        (COLUMNS[ColumnKind.DATETIME], "2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        (DAY, "2024-01-31", "2024-01-31", "2024-01-31"),
        (DAY, "2024-01-31 00:00:00", "2024-01-31", "2024-01-31"),
    ],
)
def test_a_cell_is_asked_by_its_literal_and_known_again_in_the_answer(column, cell, literal, answer):
    typed = read_cell(column, cell, Comparing())
    assert typed.literal == literal
    assert read_answer_value(column, answer, Comparing()) == typed.comparable


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        (COLUMNS[ColumnKind.TEXT], "   ", "it is empty"),
        (COLUMNS[ColumnKind.TEXT], "a\x00b", "character"),
        (COLUMNS[ColumnKind.WHOLE], "1,000", "whole number"),
        (COLUMNS[ColumnKind.WHOLE], "1.5", "whole number"),
        (COLUMNS[ColumnKind.WHOLE], "2147483648", "whole number"),
        (COLUMNS[ColumnKind.WHOLE], "١٢", "whole number"),
        (COLUMNS[ColumnKind.BIG], "9223372036854775808", "whole number"),
        (COLUMNS[ColumnKind.DECIMAL], "1,5", "a point before the decimals"),
        (COLUMNS[ColumnKind.DECIMAL], "NaN", "is a number"),
        (COLUMNS[ColumnKind.MONEY], "1e99", "out of its range"),
        (COLUMNS[ColumnKind.DOUBLE], "1e999", "is a number"),
        (COLUMNS[ColumnKind.DOUBLE], "inf", "is a number"),
        (COLUMNS[ColumnKind.BOOLEAN], "perhaps", "yes or no"),
        (CHOICE, "cold", "no option 'cold' (it has Hot, Warm"),
        (CHOICE, "warm", "several options"),
        (COLUMNS[ColumnKind.CHOICE], "Hot", "no option 'Hot'"),
        (COLUMNS[ColumnKind.GUID], "ABC", "is a GUID"),
        (COLUMNS[ColumnKind.LOOKUP], "Contoso", "is a GUID"),
        (COLUMNS[ColumnKind.DATETIME], "31.01.2024", "is a date"),
        (COLUMNS[ColumnKind.DATETIME], "20240131", "is a date"),
        (COLUMNS[ColumnKind.DATETIME], "2024-02-30", "is a date"),
        (DAY, "2024-01-31 10:00", "a date without time"),
    ],
)
def test_a_cell_that_does_not_fit_says_why(column, cell, reason):
    with pytest.raises(MisfitError) as caught:
        read_cell(column, cell, Comparing())
    assert reason in str(caught.value)


def test_case_and_blanks_count_if_the_job_says_so():
    column = COLUMNS[ColumnKind.TEXT]
    assert read_cell(column, " Ab ", EXACTLY).comparable == read_answer_value(column, " Ab ", EXACTLY)
    assert read_cell(column, "Ab", EXACTLY).comparable != read_answer_value(column, "AB", EXACTLY)
    assert read_cell(column, "Ab ", EXACTLY).comparable != read_answer_value(column, "Ab", EXACTLY)
    assert read_cell(column, " ", EXACTLY).literal == "' '"


def test_texts_that_only_some_collations_take_for_equal_are_kept_apart():
    column = COLUMNS[ColumnKind.TEXT]
    assert read_cell(column, "Straße", Comparing()).comparable != read_cell(column, "STRASSE", Comparing()).comparable


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ColumnKind.WHOLE, "seven"),
        (ColumnKind.WHOLE, True),
        (ColumnKind.DECIMAL, "x"),
        (ColumnKind.BOOLEAN, 1),
        (ColumnKind.GUID, "x"),
        (ColumnKind.DATETIME, "yesterday"),
    ],
)
def test_a_value_of_the_wrong_kind_in_an_answer_is_not_understood(kind, value):
    with pytest.raises(ValueError):  # noqa: PT011 - every way of not understanding counts
        read_answer_value(COLUMNS[kind], value, Comparing())


def test_null_is_no_value_and_some_columns_cannot_be_keys():
    assert all(read_answer_value(column, None, Comparing()) is None for column in COLUMNS.values())
    assert [kind for kind, column in COLUMNS.items() if not can_be_key(column)] == [ColumnKind.OTHER]
