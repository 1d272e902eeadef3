"""What a typed cell reads like: the text that its author typed, as far as the file still knows it.

Owns: numbers, dates, booleans and Arrow columns as text.
Does not know: files. A key must never pass through a float's rendering such as ``1049700000.0``.
Source: the public contract (README, "Reading"): a whole number reads `1049700000`.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

#: Up to here a whole number is written out; beyond, nobody typed the digits.
_WRITTEN_OUT_MAX: Final = 1e21


def text_of_float(value: float) -> str:
    """A whole number without a point, another one as short as it reads back; not-a-number is an empty cell."""
    if value.is_integer() and abs(value) < _WRITTEN_OUT_MAX:
        # Beyond 2**53 the digits that tell this float apart, then zeros: what Excel itself shows.
        return str(int(value)) if abs(value) < 2**53 else format(Decimal(repr(value)), "f").removesuffix(".0")
    return "" if value != value else repr(value)


def text_of_datetime(value: datetime) -> str:
    """``2024-01-31``, or ``2024-01-31 13:45:00`` if there is a time of day; fractions only if there are any."""
    if value.tzinfo is None and value.time() == time():
        return value.date().isoformat()
    return value.isoformat(sep=" ")


def text_of_timedelta(value: timedelta) -> str:
    """Hours, minutes and seconds, as a cell of the format ``[h]:mm:ss`` shows them."""
    seconds = round(abs(value).total_seconds())
    sign = "-" if value < timedelta() else ""
    return f"{sign}{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def _text_of_bool(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _text_of_bytes(value: bytes) -> str:
    return str(UUID(bytes=value)) if len(value) == 16 else value.hex()


def _nothing(_: object) -> str:
    return ""


_TEXT_OF: Final[dict[type, Callable[[Any], str]]] = {
    str: str,
    float: text_of_float,
    int: str,
    bool: _text_of_bool,
    datetime: text_of_datetime,
    pd.Timestamp: text_of_datetime,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: text_of_timedelta,
    pd.Timedelta: text_of_timedelta,
    bytes: _text_of_bytes,
    type(None): _nothing,
    type(pd.NA): _nothing,
    type(pd.NaT): _nothing,
}


#: Arrow types whose own rendering is what a person would type.
_PLAIN: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_decimal,
    pa.types.is_date,
)


def text_of(value: object) -> str:
    """The text of one cell of any type."""
    known = _TEXT_OF.get(type(value))
    if known is not None:
        return known(value)
    return text_of(value.item()) if isinstance(value, np.generic) else str(value)


def text_array(values: Sequence[object]) -> pa.Array:
    """Cells of any types as one null-free text column."""
    try:
        cells = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        cells = None  # Of several types.
    if cells is None or cells.type != pa.string():
        return pa.array([text_of(value) for value in values], pa.string())
    return cells.fill_null("") if cells.null_count else cells


def text_column(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """An Arrow column of any type as null-free text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if any(is_plain(column.type) for is_plain in _PLAIN):
        text = column.cast(pa.string())
    elif pa.types.is_boolean(column.type):
        text = pc.if_else(column, "TRUE", "FALSE")
    else:
        text = text_array(column.to_pylist())
    return pc.fill_null(text, "")
