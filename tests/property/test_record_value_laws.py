"""Typed values come back from the sandbox as they stood in the cells."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.core.facts import Column, ColumnKind
from bulklink.core.key_values import MisfitError
from bulklink.core.record_shape import read_json, write_json
from bulklink.core.record_values import is_same, json_of
from tests.sandbox_client import A1, Client

SECTORS = {"Accounting": 1, "Agriculture": 2, "Consulting": 7}
COLUMNS = {
    "name": Column("name", ColumnKind.TEXT),
    "description": Column("description", ColumnKind.MEMO),
    "numberofemployees": Column("numberofemployees", ColumnKind.WHOLE),
    "revenue": Column("revenue", ColumnKind.MONEY),
    "creditonhold": Column("creditonhold", ColumnKind.BOOLEAN, choices={"Yes": 1, "No": 0}),
    "industrycode": Column("industrycode", ColumnKind.CHOICE, choices=SECTORS),
    "lastonholdtime": Column("lastonholdtime", ColumnKind.DATETIME),
}
CLIENT = Client.sample()

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(str.strip)
numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=2).map(lambda number: format(number, "f"))
moments = st.datetimes(timezones=st.timezones(), allow_imaginary=False).filter(lambda at: 1800 < at.year < 2900)
cells = {
    "name": texts,
    "description": st.lists(texts, min_size=1, max_size=3).map("\n".join),
    "numberofemployees": st.integers(-(2**31), 2**31 - 1).map(str),
    "revenue": numbers | st.integers(-(10**9), 10**9).map(str),
    "creditonhold": st.sampled_from(["yes", "No", "TRUE", "false", "1", "0"]),
    "industrycode": st.sampled_from([*SECTORS, "agriculture ", "1", "7"]),
    "lastonholdtime": moments.map(lambda at: at.replace(microsecond=0).isoformat()),
}


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional=cells))
def test_what_is_written_is_what_is_read_back(row: dict[str, str]) -> None:
    body = "{" + ",".join(f'"{name}":{json_of(COLUMNS[name], cell)}' for name, cell in row.items()) + "}"
    assert CLIENT("PATCH", f"accounts({A1})", body.encode(), If_Match="*").status == 204
    held = read_json(json.dumps(CLIENT.get(f"accounts({A1})")))
    asked = read_json(body)
    assert [name for name in row if not is_same(COLUMNS[name].kind, asked[name], held[name])] == []


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(cells)), st.data())
def test_different_values_are_never_the_same(name: str, data: st.DataObject) -> None:
    one, other = (read_json(f'{{"v":{json_of(COLUMNS[name], data.draw(cells[name]))}}}')["v"] for _ in range(2))
    kind = COLUMNS[name].kind
    assert is_same(kind, one, one)
    assert not is_same(kind, one, None)
    if not isinstance(one, str):
        assert is_same(kind, one, other) == (one == other)


@given(texts, st.sampled_from(["numberofemployees", "revenue"]))
def test_any_text_is_a_number_or_a_misfit(text: str, name: str) -> None:
    try:
        written = json_of(COLUMNS[name], text)
    except MisfitError:
        return
    assert Decimal(written) == Decimal(text.strip())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=4) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, _json, max_size=5))
def test_bodies_are_written_as_they_were_read(values: dict) -> None:
    written = write_json(values)
    assert written.isascii()
    assert read_json(written) == values


@pytest.mark.parametrize(
    ("name", "cell", "words"),
    [
        ("industrycode", "Agricultur", "nearest: 'Agriculture'"),
        ("industrycode", "8", "has no option"),
        ("numberofemployees", "1.5", "whole number"),
        ("revenue", "1.250,50", "point before the decimals"),
        ("creditonhold", "perhaps", "neither"),
        ("lastonholdtime", "31.12.2026", "is a date"),
    ],
)
def test_a_cell_that_does_not_fit_says_why(name: str, cell: str, words: str) -> None:
    with pytest.raises(MisfitError, match=words):
        json_of(COLUMNS[name], cell)
