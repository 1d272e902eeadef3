"""Keys of records: GUIDs in bulk, and literals that survive a URL.

Owns: every spelling of a GUID that people's files hold, its two faces inside bulklink (16 bytes, 36 characters of
text), and how a key value is quoted and percent-encoded.
Does not know: tables, rows, which column a key came from.
Source: .NET `Guid.Parse` (formats N, D, B, P, X); OData 4.0 URL Conventions, 4.3.1 and 5.1.1.11; RFC 3986.
"""

import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

#: (n, 16) bytes, big-endian as `uuid.UUID.bytes`.
GuidArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
_OffsetArray = npt.NDArray[np.int64]

#: Rows looked at in one go: small enough to stay in the processor's cache, and one odd cell spoils little.
_WINDOW_ROWS: Final = 4096
_DASHES: Final = (8, 13, 18, 23)
_DASH: Final = ord("-")
#: Plain spellings by length: where the digits begin, and the brackets that may stand around them.
_BRACKETS: Final = ((ord("{"), ord("}")), (ord("("), ord(")")))

_NOT_HEX: Final = 0xFF
_NIBBLES: Final = bytes(
    int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else _NOT_HEX for byte in range(256)
)
_X_FORM: Final = re.compile(
    r"\{0x([0-9a-f]{1,8}),0x([0-9a-f]{1,4}),0x([0-9a-f]{1,4}),\{" + ",".join([r"0x([0-9a-f]{1,2})"] * 8) + r"\}\}",
    re.IGNORECASE | re.ASCII,
)
_X_WIDTHS: Final = (8, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2)


def parse_guids(texts: "pa.Array | pa.ChunkedArray | pd.Series[Any]") -> tuple[GuidArray, BoolArray]:
    """Read GUIDs in every spelling of .NET's Guid.Parse: N, D, B, P, X, any case, blanks around.

    texts: (n,) text; null counts as "".
    Returns ids (n, 16), zero where there is none, and valid (n,).
    """
    array = _plain_strings(texts)
    ids = np.zeros((len(array), 16), dtype=np.uint8)
    valid = np.zeros(len(array), dtype=np.bool_)
    offsets, characters = _buffers(array)
    for start in range(0, len(array), _WINDOW_ROWS):
        stop = min(start + _WINDOW_ROWS, len(array))
        whole = _whole_window(offsets[start : stop + 1], characters)
        if whole is not None:
            ids[start:stop] = whole
            valid[start:stop] = True
        else:
            ids[start:stop], valid[start:stop] = _mixed_window(array.slice(start, stop - start))
    return ids, valid


def guid_texts(ids: GuidArray) -> list[bytes]:
    """Write GUIDs as 36 lower-case ASCII characters each. ids: (n, 16)."""
    digits = np.frombuffer(binascii.hexlify(ids.tobytes()), dtype=np.uint8).reshape(-1, 32)
    texts = np.full((len(digits), 36), _DASH, dtype=np.uint8)
    texts[:, 0:8] = digits[:, 0:8]
    texts[:, 9:13] = digits[:, 8:12]
    texts[:, 14:18] = digits[:, 12:16]
    texts[:, 19:23] = digits[:, 16:20]
    texts[:, 24:36] = digits[:, 20:32]
    written: list[bytes] = texts.view("S36").ravel().tolist()
    return written


def guid_text(id16: bytes) -> str:
    """Write one GUID (16 bytes) as 36 lower-case characters."""
    digits = id16.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def guid_bytes(text: str) -> bytes | None:
    """Read one GUID in any spelling; None if it is none."""
    ids, valid = parse_guids(pa.array([text], pa.string()))
    return ids[0].tobytes() if valid[0] else None


def quote_literal(value: str) -> str:
    """Write text as an OData string literal, not yet percent-encoded: ``O'Neil`` becomes ``'O''Neil'``."""
    return "'" + value.replace("'", "''") + "'"


def percent_encode(text: str) -> str:
    """Percent-encode text (as UTF-8) for a path segment or a query value.

    The apostrophe stays: RFC 3986 allows it, and it is the character that literals are full of.
    """
    return quote(text, safe="'")


def quote_key(value: str) -> str:
    """Write text as a string literal that can stand in a URL: quoted as OData asks, then percent-encoded."""
    return percent_encode(quote_literal(value))


def key_predicate(literals: Mapping[str, str]) -> str:
    """Write an alternate key's predicate: column names and literals that are fit for a URL already."""
    return "(" + ",".join(f"{column}={literal}" for column, literal in literals.items()) + ")"


def _plain_strings(texts: "pa.Array | pa.ChunkedArray | pd.Series[Any]") -> pa.Array:
    """One array of large strings without nulls, whatever came in."""
    array = pa.array(texts, from_pandas=True) if isinstance(texts, pd.Series) else texts
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.type != pa.large_string():
        array = array.cast(pa.large_string())
    return pc.fill_null(array, "") if array.null_count else array


def _buffers(array: pa.Array) -> tuple[_OffsetArray, memoryview]:
    """Offsets (n + 1,) and the characters they point into."""
    _, offsets, characters = array.buffers()
    if not len(array):
        return np.zeros(1, dtype=np.int64), memoryview(b"")
    seen = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return seen, memoryview(characters or b"")


def _whole_window(offsets: _OffsetArray, characters: memoryview) -> GuidArray | None:
    """The ids of a window whose cells are all spelt alike (36 characters with dashes, or 32 without); else None."""
    length = int(offsets[1] - offsets[0])
    if length not in (36, 32) or not (np.diff(offsets) == length).all():
        return None
    block = bytes(characters[int(offsets[0]) : int(offsets[-1])])
    rows = len(offsets) - 1
    if length == 36:
        cells = np.frombuffer(block, dtype=np.uint8).reshape(rows, 36)
        if not all((cells[:, dash] == _DASH).all() for dash in _DASHES):
            return None
        block = block.replace(b"-", b"")
    try:
        # A dash in any other place makes the block too short for its rows.
        digits = binascii.unhexlify(block) if len(block) == 32 * rows else b""
    except binascii.Error:
        return None
    return np.frombuffer(digits, dtype=np.uint8).reshape(rows, 16) if digits else None


def _mixed_window(array: pa.Array) -> tuple[GuidArray, BoolArray]:
    """Ids and validity of cells of any spelling: sorted by length, then each length in one go."""
    trimmed = pc.utf8_trim_whitespace(array)
    offsets, characters = _buffers(trimmed)
    lengths = np.diff(offsets)
    flat = np.frombuffer(characters, dtype=np.uint8)
    ids = np.zeros((len(array), 16), dtype=np.uint8)
    valid = np.zeros(len(array), dtype=np.bool_)
    for length in (32, 36, 38):
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            cells = flat[offsets[rows][:, np.newaxis] + np.arange(length)]
            ids[rows], valid[rows] = _cells_of_one_length(cells)
    # Only the X form is left. Blanks may stand anywhere in it, so its length says nothing.
    for row in np.flatnonzero(~valid & (lengths > 38)):
        id16 = _parse_x_form(trimmed[int(row)].as_py())
        if id16:
            ids[row] = np.frombuffer(id16, dtype=np.uint8)
            valid[row] = True
    return ids, valid


def _cells_of_one_length(cells: npt.NDArray[np.uint8]) -> tuple[GuidArray, BoolArray]:
    """Ids and validity of cells (n, 32 | 36 | 38) in the N form, the D form, or the D form in brackets."""
    valid = np.ones(len(cells), dtype=np.bool_)
    if cells.shape[1] == 38:
        valid = np.zeros(len(cells), dtype=np.bool_)
        for opening, closing in _BRACKETS:
            valid |= (cells[:, 0] == opening) & (cells[:, -1] == closing)
        cells = cells[:, 1:-1]
    if cells.shape[1] == 36:
        valid &= (cells[:, _DASHES] == _DASH).all(axis=1)
        cells = np.delete(cells, _DASHES, axis=1)
    nibbles = np.frombuffer(cells.tobytes().translate(_NIBBLES), dtype=np.uint8).reshape(-1, 32)
    valid &= (nibbles != _NOT_HEX).all(axis=1)
    ids: GuidArray = (nibbles[:, 0::2] << np.uint8(4)) | nibbles[:, 1::2]
    ids[~valid] = 0
    return ids, valid


def _parse_x_form(text: str) -> bytes | None:
    """Read ``{0x01234567,0x89ab,0xcdef,{0x01,...}}``; short groups count as if they began with zeros."""
    match = _X_FORM.fullmatch("".join(text.split()))
    if match is None:
        return None
    groups: Iterable[tuple[str, int]] = zip(match.groups(), _X_WIDTHS, strict=True)
    return bytes.fromhex("".join(group.zfill(width) for group, width in groups))
