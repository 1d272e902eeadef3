"""How single values of a job are written: durations, percentages, limits, deadlines, lists of one.

Owns: the spelling of each value, its meaning in plain numbers, and its JSON Schema.
Does not know: keys, sections, files, the present moment (it is passed in).
Source: the public contract (README, "Job file").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, StrictBool, StrictInt, WithJsonSchema

SECONDS_OF_UNIT: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
DURATION_PATTERN: Final = r"^\d+(\.\d+)?(s|m|h)$"
PERCENT_PATTERN: Final = r"^\d+(\.\d+)?%$"

#: The documented maximum of one batch, and with it of one change set.
BATCH_SIZE_MAX: Final = 1000
#: Ten web servers at the documented 52 requests in flight each.
CONCURRENCY_MAX: Final = 520


@dataclass(frozen=True, slots=True)
class Limit:
    """So many rows, or such a part of all rows. Exactly one of the two is set."""

    rows: int | None = None
    share: float | None = None

    def rows_of(self, total_rows: int) -> int:
        """How many of `total_rows` are still within the limit."""
        if self.rows is not None:
            return self.rows
        return int(total_rows * (self.share or 0.0))

    def __str__(self) -> str:
        return f"{(self.share or 0.0) * 100:g}%" if self.rows is None else str(self.rows)


def parse_duration(text: object) -> float:
    """Seconds of ``90s``, ``30m`` or ``2h``."""
    if isinstance(text, str) and re.match(DURATION_PATTERN, text.strip()):
        text = text.strip()
        return float(text[:-1]) * SECONDS_OF_UNIT[text[-1]]
    raise ValueError('must be a duration such as "90s", "30m" or "2h"')


def parse_percent(text: object) -> float:
    """The part of one that ``25%`` means: 0.25."""
    if isinstance(text, str) and re.match(PERCENT_PATTERN, text.strip()):
        part = float(text.strip()[:-1]) / 100
        if 0 < part <= 1:
            return part
    raise ValueError('must be a percentage above 0 such as "50%", at most "100%"')


def parse_limit(value: object) -> Limit:
    """A number of rows (``20``) or a part of them (``"5%"``)."""
    if isinstance(value, Limit):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Limit(rows=value)
    if isinstance(value, str) and re.match(PERCENT_PATTERN, value.strip()):
        part = float(value.strip()[:-1]) / 100
        if part <= 1:
            return Limit(share=part)
    raise ValueError('must be a number of rows such as 20, or a percentage such as "5%"')


def as_written(text: str) -> Any:
    """A default in the words of a job file; the model reads it like any other."""
    return text


def next_deadline(text: str, now: datetime) -> datetime | None:
    """The moment that a deadline means, seen from `now` (an aware time).

    ``06:00`` is this machine's next such time, ``2h`` counts from `now`, anything else is ISO 8601 (without an
    offset: in this machine's zone). An empty text is no deadline. Raises ValueError for everything else.
    """
    text = text.strip()
    if not text:
        return None
    if re.match(DURATION_PATTERN, text):
        return now + timedelta(seconds=parse_duration(text))
    if re.match(r"^([01]\d|2[0-3]):[0-5]\d$", text):
        # Read off the wall clock, not by adding 24 h: a day may have 23 hours or 25.
        days = (now.astimezone().date() + timedelta(days=ahead) for ahead in (0, 1))
        today, tomorrow = (datetime.combine(day, time.fromisoformat(text)).astimezone() for day in days)
        return today if today > now else tomorrow
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise ValueError('must be HH:MM, an ISO date and time, or a duration such as "2h"') from None


def _checked_deadline(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError('must be text in quotes: "HH:MM", an ISO date and time, or a duration such as "2h"')
    next_deadline(text, datetime.now().astimezone())
    return text.strip()


def _maybe_duration(text: object) -> float | None:
    return None if text in ("", None) else parse_duration(text)


def _one_or_many(value: object) -> tuple[str, ...]:
    texts: Sequence[object] = (
        [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else [None]
    )
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("must be text in quotes or a list of texts, none of them empty")
    return tuple(str(text) for text in texts)


def _none_or_many(value: object) -> tuple[str, ...]:
    return () if value in ("", [], ()) else _one_or_many(value)


def _auto_or_count(most: int) -> BeforeValidator:
    def check(value: object) -> object:
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most):
            return value
        raise ValueError(f'must be "auto" or a whole number from 1 to {most}')

    return BeforeValidator(check)


def _schema(**words: Any) -> WithJsonSchema:
    return WithJsonSchema(words)


def _auto_schema(most: int) -> WithJsonSchema:
    return _schema(anyOf=[{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": most}])


_duration = _schema(type="string", pattern=DURATION_PATTERN, examples=["90s", "30m", "2h"])
_percent = _schema(type="string", pattern=PERCENT_PATTERN, examples=["50%"])
_text_list = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}

Count = Annotated[StrictInt, Field(ge=0)]
PositiveCount = Annotated[StrictInt, Field(ge=1)]
Flag = StrictBool
Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, PlainValidator(parse_duration), _duration]
MaybeSeconds = Annotated[
    float | None,
    PlainValidator(_maybe_duration),
    _schema(type="string", pattern=f"^$|{DURATION_PATTERN}", examples=["20h"]),
]
Share = Annotated[float, PlainValidator(parse_percent), _percent]
RowLimit = Annotated[
    Limit,
    PlainValidator(parse_limit),
    PlainSerializer(str),
    _schema(anyOf=[{"type": "integer", "minimum": 0}, {"type": "string", "pattern": PERCENT_PATTERN}]),
]
Deadline = Annotated[str, PlainValidator(_checked_deadline), _schema(type="string", examples=["06:00", "2h"])]
Texts = Annotated[
    tuple[str, ...],
    PlainValidator(_one_or_many),
    PlainSerializer(list),
    _schema(anyOf=[{"type": "string", "minLength": 1}, _text_list]),
]
MaybeTexts = Annotated[
    tuple[str, ...],
    PlainValidator(_none_or_many),
    PlainSerializer(list),
    _schema(anyOf=[{"type": "string"}, {**_text_list, "minItems": 0}]),
]
AutoBatchSize = Annotated[int | Literal["auto"], _auto_or_count(BATCH_SIZE_MAX), _auto_schema(BATCH_SIZE_MAX)]
AutoConcurrency = Annotated[int | Literal["auto"], _auto_or_count(CONCURRENCY_MAX), _auto_schema(CONCURRENCY_MAX)]
