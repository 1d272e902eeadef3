"""Cells as values of a record's columns: what JSON to write, and whether what is read back is the same.

Owns: per kind of column the JSON of a cell, and the comparison of a written value with a value that was read.
Does not know: rows, requests, what a column means.
Source: Microsoft Learn, "Create a table row using the Web API", "Column data types"; the service keeps moments to the
second, drops blanks at the end of text, and rounds numbers to the precision of their column.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from bulklink.core.facts import Column, ColumnKind
from bulklink.core.key_values import Comparing, MisfitError, can_be_key, point_in_time, read_cell
from bulklink.errors import JobError, nearest

#: Text is written as it stands in the cell.
_AS_TYPED: Final = Comparing(ignore_case=False, trim=False)
_TEXTS: Final = frozenset({ColumnKind.TEXT, ColumnKind.MEMO})
_QUOTED: Final = _TEXTS | {ColumnKind.DATETIME, ColumnKind.GUID}


def check_writable(table: str, column: Column) -> None:
    """Raise JobError if values of this column cannot be given in a cell."""
    if column.kind is ColumnKind.LOOKUP:
        raise JobError(
            f"{table}.{column.logical_name} is a lookup: give it under lookups, by its navigation property.",
            hint=f"`bulklink relationships {table}` lists the navigation properties.",
        )
    if not can_be_key(column):
        raise JobError(f"{table}.{column.logical_name} is of a type that cannot be written from a cell.")


def json_of(column: Column, cell: str) -> str:
    """The JSON of a cell that is not blank. Raises MisfitError, in words for the row's message, if it does not fit."""
    text = cell if column.kind in _TEXTS else cell.strip()
    try:
        typed = read_cell(column, text, _AS_TYPED)
    except MisfitError as misfit:
        raise MisfitError(f"{misfit}{_nearest_label(column, text)}") from None
    if column.kind is ColumnKind.CHOICE and column.choices and typed.comparable not in column.choices.values():
        raise MisfitError(f"{column.logical_name} has no option {text!r}{_nearest_label(column, text)}")
    return json.dumps(typed.plain) if column.kind in _QUOTED else typed.literal


def is_same(kind: ColumnKind, asked: Any, found: Any) -> bool:
    """Whether a value that was read is the one that was written. Both of JSON read with decimals as `Decimal`."""
    if asked is None or found is None:
        return asked is found
    try:
        return _SAME.get(kind, _equal)(asked, found)
    except (ValueError, ArithmeticError):
        return False


def _nearest_label(column: Column, text: str) -> str:
    near = nearest(text, column.choices, 1) if column.choices else []
    return f"; nearest: {near[0]!r}" if near else ""


def _equal(asked: Any, found: Any) -> bool:
    return bool(asked == found)


def _same_text(asked: Any, found: Any) -> bool:
    return str(asked).rstrip() == str(found).rstrip()


def _same_moment(asked: Any, found: Any) -> bool:
    one, other = (point_in_time(str(value)).replace(microsecond=0) for value in (asked, found))
    return one == other


def _same_guid(asked: Any, found: Any) -> bool:
    return str(asked).lower() == str(found).lower()


_SAME: Final[Mapping[ColumnKind, Callable[[Any, Any], bool]]] = {
    ColumnKind.TEXT: _same_text,
    ColumnKind.MEMO: _same_text,
    ColumnKind.DECIMAL: lambda asked, found: Decimal(asked) == Decimal(found),
    ColumnKind.MONEY: lambda asked, found: Decimal(asked) == Decimal(found),
    ColumnKind.DOUBLE: lambda asked, found: float(asked) == float(found),
    ColumnKind.BIG: lambda asked, found: int(asked) == int(found),
    ColumnKind.DATETIME: _same_moment,
    ColumnKind.GUID: _same_guid,
    ColumnKind.LOOKUP: _same_guid,
}
