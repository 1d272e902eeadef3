"""Values of key columns: cell text -> what is asked, and when an answer is the same value.

Owns: per kind of column how a cell is read, written into a filter, and compared with what the service returns.
Does not know: tables, questions, rows.
Source: Microsoft Learn, "Query data using the Web API", "Column data types"; the service compares text without regard
to case and trailing blanks (SQL Server collations of Dataverse).
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final, NamedTuple

from bulklink.core.facts import Column, ColumnKind
from bulklink.core.keys import guid_bytes, guid_text, quote_literal


@dataclass(frozen=True, slots=True)
class Comparing:
    """How text is compared. trim: blanks around a cell do not count."""

    ignore_case: bool = True
    trim: bool = True


class Typed(NamedTuple):
    """A cell as its column understands it.

    comparable: equal for equal values. plain: the value without quotes. literal: as a filter writes it.
    """

    comparable: Hashable
    plain: str
    literal: str


class MisfitError(ValueError):
    """A cell that does not fit its column. The text says why, in words for the row's message."""


_WHOLE: Final = re.compile(r"([+-]?)0*(\d{1,19})(?:\.0*)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_RANGES: Final[Mapping[ColumnKind, int]] = {ColumnKind.WHOLE: 2**31, ColumnKind.CHOICE: 2**31, ColumnKind.BIG: 2**63}
_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


def read_cell(column: Column, cell: str, comparing: Comparing) -> Typed:
    """Read a cell as a value of this column. Raises MisfitError if it is none, or empty."""
    text = cell.strip() if comparing.trim or column.kind not in _TEXTS else cell
    if not text:
        raise MisfitError(f"{column.logical_name} is empty")
    return _READERS[column.kind](column, text, comparing)


def read_answer_value(column: Column, value: Any, comparing: Comparing) -> Hashable | None:
    """The comparable of a value that the service returned; None if it is null. Raises ValueError if it makes no sense.

    value: of JSON read with decimals as `Decimal`.
    """
    if value is None:
        return None
    if column.kind in _TEXTS:
        return _comparable_text(str(value), comparing)
    return _ANSWERS[column.kind](value)


def can_be_key(column: Column) -> bool:
    """Whether the values of this column can be asked for at all."""
    return column.kind in _READERS


def can_be_listed(kind: ColumnKind) -> bool:
    """Whether the query function `In` takes values of this kind; the others are asked for by ``eq``."""
    return kind in _LISTED


def _text(column: Column, text: str, comparing: Comparing) -> Typed:
    if "\x00" in text:
        raise MisfitError(f"{column.logical_name} holds a character that no text can hold")
    return Typed(_comparable_text(text, comparing), text, quote_literal(text))


def _comparable_text(text: str, comparing: Comparing) -> str:
    if comparing.trim:
        text = text.rstrip(" ")
    # Not casefold(): it makes one of texts that the service may keep apart (ß and ss).
    return text.lower().replace("ς", "σ") if comparing.ignore_case else text


def _whole(column: Column, text: str, comparing: Comparing) -> Typed:
    match = _WHOLE.fullmatch(text)
    number = int(match[1] + match[2]) if match else None
    limit = _RANGES[column.kind]
    if number is None or not -limit <= number < limit:
        raise MisfitError(f"{column.logical_name} is a whole number, {_shown(text)} is none")
    return Typed(number, str(number), str(number))


def _decimal(column: Column, text: str, comparing: Comparing) -> Typed:
    if not _NUMBER.fullmatch(text):
        raise MisfitError(f"{column.logical_name} is a number, {_shown(text)} is none (a point before the decimals)")
    number = Decimal(text)
    if number.adjusted() > 18 or number.adjusted() < -18:
        raise MisfitError(f"{column.logical_name} is a number, {_shown(text)} is out of its range")
    literal = format(number, "f")
    return Typed(number, literal, literal)


def _double(column: Column, text: str, comparing: Comparing) -> Typed:
    if not _NUMBER.fullmatch(text) or not isfinite(float(text)):
        raise MisfitError(f"{column.logical_name} is a number, {_shown(text)} is none (a point before the decimals)")
    literal = repr(float(text))
    return Typed(float(text), literal, literal)


def _boolean(column: Column, text: str, comparing: Comparing) -> Typed:
    folded = text.lower()
    value = folded in _TRUE if folded in _TRUE | _FALSE else _by_label(column, folded)
    if value is None:
        raise MisfitError(f"{column.logical_name} is yes or no, {_shown(text)} is neither{_labels(column)}")
    literal = "true" if value else "false"
    return Typed(bool(value), literal, literal)


def _choice(column: Column, text: str, comparing: Comparing) -> Typed:
    value = _by_label(column, text.lower())
    if value is None:
        if not _WHOLE.fullmatch(text):
            raise MisfitError(f"{column.logical_name} has no option {_shown(text)}{_labels(column)}")
        return _whole(column, text, comparing)
    return Typed(value, str(value), str(value))


def _by_label(column: Column, folded: str) -> int | None:
    values = {value for label, value in column.choices.items() if label.strip().lower() == folded}
    if len(values) > 1:
        raise MisfitError(f"{column.logical_name} has several options {_shown(folded)}: give the value")
    return values.pop() if values else None


def _labels(column: Column) -> str:
    names = list(column.choices)[:8]
    return f" (it has {', '.join(names)}{', …' if len(column.choices) > len(names) else ''})" if names else ""


def _moment(column: Column, text: str, comparing: Comparing) -> Typed:
    try:
        moment = point_in_time(text)
    except ValueError as error:
        raise MisfitError(
            f"{column.logical_name} is a date, {_shown(text)} is none (2026-01-31 or …T10:00:00Z)"
        ) from error
    if not column.date_only:
        literal = moment.astimezone(UTC).isoformat(timespec="auto").replace("+00:00", "Z")
        return Typed(moment, literal, literal)
    if moment.timetz() != time(tzinfo=UTC):
        raise MisfitError(f"{column.logical_name} is a date without time, {_shown(text)} has one")
    # A day compares as its midnight, so that date columns and date-time columns need no two ways.
    return Typed(moment, moment.date().isoformat(), moment.date().isoformat())


def point_in_time(text: str) -> datetime:
    """A moment with zone; without one it is UTC, and a day is its midnight."""
    # fromisoformat() also takes 20260131 and 2026-W05: in a spreadsheet these are numbers and names.
    if not re.match(r"\d{4}-\d{2}-\d{2}(?:$|[T ])", text, re.ASCII):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _guid(column: Column, text: str, comparing: Comparing) -> Typed:
    id16 = guid_bytes(text)
    if id16 is None:
        raise MisfitError(f"{column.logical_name} is a GUID, {_shown(text)} is none")
    return Typed(id16, guid_text(id16), guid_text(id16))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _answered_number(value: Any) -> Hashable:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"no number: {value!r}")
    return value


def _answered_decimal(value: Any) -> Hashable:
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError) as error:
        raise ValueError(f"no number: {value!r}") from error


def _answered_bool(value: Any) -> Hashable:
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {value!r}")
    return value


def _answered_guid(value: Any) -> Hashable:
    return bytes.fromhex(str(value).replace("-", ""))


_TEXTS: Final = frozenset({ColumnKind.TEXT, ColumnKind.MEMO})
_LISTED: Final = frozenset({ColumnKind.TEXT, ColumnKind.WHOLE, ColumnKind.BIG, ColumnKind.CHOICE, ColumnKind.GUID})
_READERS: Final[Mapping[ColumnKind, Callable[[Column, str, Comparing], Typed]]] = {
    ColumnKind.TEXT: _text,
    ColumnKind.MEMO: _text,
    ColumnKind.WHOLE: _whole,
    ColumnKind.BIG: _whole,
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.MONEY: _decimal,
    ColumnKind.DOUBLE: _double,
    ColumnKind.BOOLEAN: _boolean,
    ColumnKind.CHOICE: _choice,
    ColumnKind.DATETIME: _moment,
    ColumnKind.GUID: _guid,
    ColumnKind.LOOKUP: _guid,
}
_ANSWERS: Final[Mapping[ColumnKind, Callable[[Any], Hashable]]] = {
    ColumnKind.WHOLE: _answered_number,
    ColumnKind.BIG: int,
    ColumnKind.CHOICE: _answered_number,
    ColumnKind.DECIMAL: _answered_decimal,
    ColumnKind.MONEY: _answered_decimal,
    ColumnKind.DOUBLE: float,
    ColumnKind.BOOLEAN: _answered_bool,
    ColumnKind.DATETIME: lambda value: point_in_time(str(value)),
    ColumnKind.GUID: _answered_guid,
    ColumnKind.LOOKUP: _answered_guid,
}
