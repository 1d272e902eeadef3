"""Signs that a spreadsheet's keys are not what somebody meant: warnings before anything is sent.

Owns: look-alikes, what Excel does to keys, mixed types, invisible characters; counted over all chunks, with the first
rows. Memory is bounded: some counters and `LOOK_ALIKES_MAX` distinct values per column.
Does not know: whether a key exists. A warning never makes a row invalid.
Source: Microsoft Support, "Keeping leading zeros and large numbers" (15 digits, scientific notation, dates).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bulklink.core.table import shown, trimmed

#: Distinct values per column among which look-alikes are searched: about 25 MB.
LOOK_ALIKES_MAX: Final = 100_000
ROWS_SHOWN: Final = 5
#: Excel keeps so many digits of a number; the others become zeros.
_EXCEL_DIGITS: Final = 15
#: Cells of another type are a sign of damage where they are few; where they are many they are meant.
_FEW: Final = 0.1
#: Lengths in which a GUID can be spelt: 32 digits, with dashes, with brackets.
_GUID_LENGTHS: Final = pa.array([32, 36, 38], pa.int32())

_INVISIBLE: Final = "[\u00a0\u00ad\u2007\u200b-\u200d\u202f\u2060\ufeff]"

Rows = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


class HygieneKind(StrEnum):
    """What a warning is about."""

    ERROR_CELL = "error-cell"
    SCIENTIFIC = "scientific-notation"
    LOST_DIGITS = "lost-digits"
    LOST_ZEROS = "lost-leading-zeros"
    DATE = "date"
    MIXED = "mixed-types"
    INVISIBLE = "invisible-characters"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class HygieneWarning:
    """One kind of sign in one column. count: cells. rows: the numbers of the first of them. sentence: for people."""

    kind: HygieneKind
    column: str
    count: int
    rows: tuple[int, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Watched:
    """A column that the job uses. holds_guids: only the cells that are spelt like no GUID are looked at."""

    header: str
    position: int
    holds_guids: bool = False


class Hygiene:
    """Takes in chunk by chunk; `warnings` may be asked at any time."""

    def __init__(self, columns: Sequence[Watched]) -> None:
        self._columns = [(_GuidColumn if column.holds_guids else _KeyColumn)(column) for column in columns]

    def update(self, table: pa.Table, rows: Rows, place: str = "") -> None:
        """Take in a chunk. table: text, null-free. rows: (n,) shown numbers. place: file or sheet, if several."""
        for column in self._columns:
            column.update(table.column(column.watched.position).combine_chunks(), rows, place)

    def warnings(self) -> list[HygieneWarning]:
        """What was seen by now, column by column."""
        return [warning for column in self._columns for warning in column.warnings()]


class _Type(IntEnum):
    """What a cell looks like."""

    TEXT = 0
    BLANK = 1
    DIGITS = 2
    NUMBER = 3
    SCIENTIFIC = 4
    DATE = 5
    ERROR = 6


#: A cell is of the last type whose pattern it matches.
_PATTERNS: Final = (
    (_Type.BLANK, "^$"),
    (_Type.NUMBER, r"^[+-]?\d+([.,]\d+)?$"),
    (_Type.DIGITS, r"^\d+$"),
    (_Type.SCIENTIFIC, r"^[+-]?\d([.,]\d+)?[eE][+-]?\d{1,3}$"),
    (
        _Type.DATE,
        (
            r"^(\d{4}-\d{2}-\d{2}|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{1,2}-[A-Z][a-z]{2}|[A-Z][a-z]{2}-\d{2,4})"
            r"([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?$"
        ),
    ),
    (_Type.ERROR, r"^(#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|GETTING_DATA)|#{2,})$"),
)


class _Seen:
    """How many cells, an example, and where the first ones stand."""

    def __init__(self) -> None:
        self.count = 0
        self.example = ""
        self.first: list[tuple[int, str]] = []

    def where(self) -> str:
        """``rows 5, 9``, and the file or sheet if there are several."""
        texts = []
        for place in dict.fromkeys(place for _, place in self.first):
            numbers = ", ".join(str(row) for row, its_place in self.first if its_place == place)
            texts.append(f"{numbers} ({place})" if place else numbers)
        rows = "row" if self.count == 1 else "rows" if self.count == len(self.first) else "first rows"
        return f"{rows} {'; '.join(texts)}"


class _Cells:
    """The cells of one column of one chunk: distinct values, and which row has which."""

    def __init__(self, cells: pa.Array, rows: Rows, place: str) -> None:
        encoded = pc.dictionary_encode(cells)
        self.values: pa.Array = encoded.dictionary
        self.bare: pa.Array = trimmed(self.values)
        self.rows = rows
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)
        self._place = place

    def types(self) -> npt.NDArray[np.uint8]:
        """What each value looks like."""
        types = np.zeros(len(self.values), np.uint8)
        for kind, pattern in _PATTERNS:
            types[self.matching(self.bare, pattern)] = kind
        return types

    @staticmethod
    def matching(values: pa.Array, pattern: str) -> _Mask:
        mask: _Mask = pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
        return mask

    def count(self, values: _Mask, seen: _Seen) -> None:
        """Count the cells that hold one of these values."""
        if not values.any():
            return
        rows = self.rows[values[self._codes]]
        seen.example = seen.example or shown(self.values[int(np.argmax(values))].as_py())
        seen.first += [(row, self._place) for row in rows[: ROWS_SHOWN - len(seen.first)].tolist()]
        seen.count += len(rows)

    def first_rows(self) -> Rows:
        """The number of the first row that holds each value."""
        firsts = np.zeros(len(self.values), np.int64)
        firsts[self._codes[::-1]] = self.rows[::-1]
        return firsts


class _GuidColumn:
    """A column of GUIDs: most chunks cost one look at the cells' lengths."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._types = {kind: _Seen() for kind in _Type}
        self._invisible = _Seen()

    def update(self, cells: pa.Array, rows: Rows, place: str) -> None:
        odd = pc.invert(pc.is_in(pc.utf8_length(cells), value_set=_GUID_LENGTHS))
        if pc.any(odd).as_py():
            self._take(_Cells(cells.filter(odd), rows[odd.to_numpy(zero_copy_only=False)], place))

    def _take(self, cells: _Cells) -> npt.NDArray[np.uint8]:
        types = cells.types()
        for kind, seen in self._types.items():
            cells.count(types == kind, seen)
        if not pc.all(pc.string_is_ascii(cells.values)).as_py():
            cells.count(cells.matching(cells.values, _INVISIBLE), self._invisible)
        return types

    def warnings(self) -> Iterator[HygieneWarning]:
        for kind, seen, sentence in self._findings():
            if seen.count:
                cells = "1 cell" if seen.count == 1 else f"{seen.count:,} cells"
                text = f"{self.watched.header}: {cells} {sentence} ({seen.where()})."
                rows = tuple(row for row, _ in seen.first)
                yield HygieneWarning(kind, self.watched.header, seen.count, rows, text)

    def _findings(self) -> Iterator[tuple[HygieneKind, _Seen, str]]:
        """Kind, cells and what is said about them, also where there are none."""
        errors, scientific = self._types[_Type.ERROR], self._types[_Type.SCIENTIFIC]
        yield HygieneKind.ERROR_CELL, errors, f"with an error of Excel such as {errors.example}"
        why = "in scientific notation: Excel has shortened a long number"
        yield HygieneKind.SCIENTIFIC, scientific, f"such as {scientific.example} {why}"
        why = "with a non-breaking blank or another invisible character"
        yield HygieneKind.INVISIBLE, self._invisible, f"such as {self._invisible.example} {why}"


class _KeyColumn(_GuidColumn):
    """A column of business keys, names or action words."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._look_alikes = _Seen()
        self._first_spelling: dict[str, tuple[str, int]] = {}
        self._long, self._rounded = _Seen(), _Seen()
        self._zero_padded: dict[int, str] = {}
        self._unpadded: dict[int, _Seen] = {}

    def update(self, cells: pa.Array, rows: Rows, place: str) -> None:
        chunk = _Cells(cells, rows, place)
        types = self._take(chunk)
        self._see_digits(chunk, types == _Type.DIGITS)
        self._see_look_alikes(chunk, types != _Type.BLANK)

    def _see_digits(self, cells: _Cells, digits: _Mask) -> None:
        """Lengths of digit-only cells, those with a leading zero apart; among long ones those that were rounded."""
        lengths = pc.utf8_length(cells.bare).to_numpy(zero_copy_only=False)
        padded = digits & cells.matching(cells.bare, r"^0\d")
        for length in np.unique(lengths[padded]).tolist():
            example = cells.bare[int(np.argmax(padded & (lengths == length)))].as_py()
            self._zero_padded.setdefault(length, shown(example))
        short = digits & ~padded & (lengths <= _EXCEL_DIGITS)
        for length in np.unique(lengths[short]).tolist():
            cells.count(short & (lengths == length), self._unpadded.setdefault(length, _Seen()))
        cells.count(digits & (lengths > _EXCEL_DIGITS), self._long)
        cells.count(digits & cells.matching(cells.bare, rf"^\d{{{_EXCEL_DIGITS}}}0+$"), self._rounded)

    def _see_look_alikes(self, cells: _Cells, filled: _Mask) -> None:
        """Values that differ from one further up in nothing but case, blanks or invisible characters."""
        folded = trimmed(pc.utf8_lower(pc.replace_substring_regex(cells.values, _INVISIBLE, " "))).to_pylist()
        spellings, firsts = cells.values.to_pylist(), cells.first_rows().tolist()
        alike = np.zeros(len(filled), np.bool_)
        for index in np.flatnonzero(filled).tolist():
            first = self._first_spelling.get(folded[index])
            if first is None:
                if len(self._first_spelling) < LOOK_ALIKES_MAX:
                    self._first_spelling[folded[index]] = (spellings[index], firsts[index])
            elif first[0] != spellings[index]:
                alike[index] = True
                pair = f"{shown(spellings[index])}, in row {first[1]} {shown(first[0])}"
                self._look_alikes.example = self._look_alikes.example or pair
        cells.count(alike, self._look_alikes)

    def _findings(self) -> Iterator[tuple[HygieneKind, _Seen, str]]:
        yield from super()._findings()
        if self._rounded.count * 2 > self._long.count:  # One number in ten ends in a zero by chance.
            why = f"such as {self._rounded.example} with more than {_EXCEL_DIGITS} digits, the last ones lost to Excel"
            yield HygieneKind.LOST_DIGITS, self._rounded, why
        yield HygieneKind.LOST_ZEROS, *self._lost_zeros()
        dates, texts = self._types[_Type.DATE], self._types[_Type.TEXT]
        numbers = _together([self._types[_Type.DIGITS], self._types[_Type.NUMBER]])
        total = dates.count + texts.count + numbers.count
        if _is_few(dates.count, total):
            why = f"such as {dates.example} with a date: Excel takes keys like 1-2 or MAR24 for dates"
            yield HygieneKind.DATE, dates, why
        few, many = sorted((numbers, texts), key=lambda seen: seen.count)
        if _is_few(few.count, total):
            what, others = ("a number", "text") if few is numbers else ("text", "numbers")
            yield HygieneKind.MIXED, few, f"such as {few.example} with {what}, the other {many.count:,} with {others}"
        limit = f", among {LOOK_ALIKES_MAX:,} values" if len(self._first_spelling) == LOOK_ALIKES_MAX else ""
        why = f"different from an earlier one in case or blanks only{limit}, such as {self._look_alikes.example}"
        yield HygieneKind.LOOK_ALIKE, self._look_alikes, why

    def _lost_zeros(self) -> tuple[_Seen, str]:
        """Digit-only cells that are shorter than zero-padded ones in the same column."""
        longest = max(self._zero_padded, default=0)
        short = _together([seen for length, seen in sorted(self._unpadded.items()) if length < longest])
        padded = self._zero_padded.get(longest, "")
        return short, f"such as {short.example} shorter than zero-padded ones such as {padded}: zeros may be lost"


def _is_few(count: int, total: int) -> bool:
    return count <= max(1, _FEW * total) and 2 * count < total


def _together(several: Sequence[_Seen]) -> _Seen:
    """The same as if one counter had seen all; the first rows in the order of their numbers."""
    all_seen = _Seen()
    all_seen.count = sum(seen.count for seen in several)
    all_seen.first = sorted(first for seen in several for first in seen.first)[:ROWS_SHOWN]
    all_seen.example = next((seen.example for seen in several if seen.example), "")
    return all_seen
