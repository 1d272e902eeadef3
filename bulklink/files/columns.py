"""Columns of numbers, texts and ids as compact bytes: what a row of the journal holds.

Owns: the byte layout of packed columns and its check sum.
Does not know: what the columns mean, SQLite, files.
Layout: a CRC-32 of the rest, the number of rows, then the columns one after the other; each begins with its kind.
A column with one value for all rows is stored once, consecutive positions as their first. Little-endian.
"""

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import Texts

_HEAD: Final = struct.Struct("<II")
_NONE, _CONSTANT, _RANGE, _OFFSETS, _ONE_TEXT, _TEXTS, _IDS = range(7)
_KIND: Final = struct.Struct("<B")
_NUMBER: Final = struct.Struct("<Bq")
_OFFSETS_HEAD: Final = struct.Struct("<BqB")
_TEXTS_HEAD: Final = struct.Struct("<BIIB")
_WIDTHS: Final = ((1, 1 << 8), (2, 1 << 16), (4, 1 << 32))
_TYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<i8"),
}


class DamagedColumnsError(ValueError):
    """The bytes are not what was written."""


def _width(span: int) -> int:
    """The bytes that one number from 0 to `span` takes."""
    return next((width for width, end in _WIDTHS if span < end), 8)


class ColumnWriter:
    """Packs columns of `rows` rows in the order in which they are added."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[bytes] = []

    def numbers(self, values: NDArray[np.integer] | None) -> None:
        """(n,) integers within int64, or None."""
        if values is None or not len(values):
            self._parts.append(_KIND.pack(_NONE))
            return
        low, high = int(values.min()), int(values.max())
        if low == high:
            self._parts.append(_NUMBER.pack(_CONSTANT, low))
        elif high - low == len(values) - 1 and int(values[0]) == low and bool((values[1:] > values[:-1]).all()):
            self._parts.append(_NUMBER.pack(_RANGE, low))
        else:
            width = _width(high - low)
            offsets = (values.astype(np.int64) - low).astype(_TYPES[width]) if width < 8 else values.astype("<i8")
            self._parts.append(_OFFSETS_HEAD.pack(_OFFSETS, low if width < 8 else 0, width))
            self._parts.append(offsets.tobytes())

    def ids(self, values: NDArray[np.uint8] | None) -> None:
        """(n, 16) ids, or None."""
        if values is None:
            self._parts.append(_KIND.pack(_NONE))
        else:
            self._parts.append(_KIND.pack(_IDS) + np.ascontiguousarray(values, np.uint8).tobytes())

    def texts(self, values: Texts) -> None:
        """One text for all, or one each. A lone surrogate is no character and becomes "?"."""
        if isinstance(values, str):
            body = values.encode("utf-8", "replace")
            self._parts.append(_NUMBER.pack(_ONE_TEXT, len(body)) + body)
            return
        places: dict[str, int] = {}
        codes = np.array([places.setdefault(value, len(places)) for value in values], np.int64)
        bodies = [text.encode("utf-8", "replace") for text in places]
        joined = b"".join(bodies)
        width = _width(len(bodies))
        self._parts.append(_TEXTS_HEAD.pack(_TEXTS, len(bodies), len(joined), width))
        self._parts.append(np.array([len(body) for body in bodies], "<u4").tobytes())
        self._parts.append(codes.astype(_TYPES[width]).tobytes())
        self._parts.append(joined)

    def packed(self) -> bytes:
        """All columns so far, with their check sum."""
        body = b"".join(self._parts)
        return _HEAD.pack(zlib.crc32(body, self._rows), self._rows) + body


class ColumnReader:
    """Reads packed columns back, in the order in which they were added.

    Raises DamagedColumnsError if the bytes are not what was written.
    """

    def __init__(self, packed: bytes) -> None:
        if len(packed) < _HEAD.size:
            raise DamagedColumnsError("too short")
        check, self.rows = _HEAD.unpack_from(packed)
        self._body = memoryview(packed)[_HEAD.size :]
        self._at = 0
        if zlib.crc32(self._body, self.rows) != check:
            raise DamagedColumnsError("the check sum is wrong")

    def numbers(self) -> NDArray[np.int64] | None:
        """(n,) int64, or None where None was written; empty for no rows."""
        kind = self._body[self._at]
        if kind == _NONE:
            self._at += _KIND.size
            return None if self.rows else np.zeros(0, np.int64)
        if kind in (_CONSTANT, _RANGE):
            _, low = _NUMBER.unpack_from(self._body, self._at)
            self._at += _NUMBER.size
            return np.full(self.rows, low, np.int64) if kind == _CONSTANT else np.arange(low, low + self.rows)
        _, low, width = _OFFSETS_HEAD.unpack_from(self._body, self._at)
        self._at += _OFFSETS_HEAD.size
        values: NDArray[np.int64] = self._array(width, self.rows).astype(np.int64)
        values += low
        return values

    def ids(self) -> NDArray[np.uint8] | None:
        """(n, 16) uint8, or None where None was written."""
        kind = self._body[self._at]
        self._at += _KIND.size
        return None if kind == _NONE else self._array(1, self.rows * 16).astype(np.uint8).reshape(self.rows, 16)

    def texts(self) -> Texts:
        """One text for all, or a list of one each."""
        if self._body[self._at] == _ONE_TEXT:
            _, length = _NUMBER.unpack_from(self._body, self._at)
            self._at += _NUMBER.size
            return self._take(length).decode()
        _, distinct, length, width = _TEXTS_HEAD.unpack_from(self._body, self._at)
        self._at += _TEXTS_HEAD.size
        ends = np.cumsum(self._array(4, distinct)).tolist()
        codes = self._array(width, self.rows).tolist()
        joined = self._take(length)
        texts = [joined[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
        return [texts[code] for code in codes]

    def _array(self, width: int, count: int) -> NDArray[Any]:
        values: NDArray[Any] = np.frombuffer(self._body, _TYPES[width], count, self._at)
        self._at += width * count
        return values

    def _take(self, length: int) -> bytes:
        self._at += length
        return bytes(self._body[self._at - length : self._at])
