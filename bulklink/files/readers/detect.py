"""What a file is: its hash, its encoding, its delimiter.

Owns: detection, from the whole file for the encoding and from its head for the delimiter.
Does not know: columns, rows.
Source: Unicode Standard 23.8 (byte order marks); RFC 4180; Excel's ``sep=`` line.
"""

import codecs
import csv
import hashlib
import io
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from bulklink.errors import InputError

_BLOCK_BYTES: Final = 1 << 20
#: Enough for the header and a sample of rows, little enough to be read twice.
HEAD_BYTES: Final = 1 << 20
_SAMPLE_ROWS: Final = 200
_SAMPLE_CHARACTERS: Final = 1 << 16

DELIMITERS: Final = (",", ";", "\t", "|")

#: Byte order mark -> (name shown, codec). The codec ``utf-16`` takes the mark itself.
_MARKS: Final = (
    (codecs.BOM_UTF8, ("utf-8 with BOM", "utf-8-sig")),
    (codecs.BOM_UTF16_LE, ("utf-16-le with BOM", "utf-16")),
    (codecs.BOM_UTF16_BE, ("utf-16-be with BOM", "utf-16")),
)

#: Files that are not what their name says: first bytes -> what they are.
_CONTENTS: Final = (
    (b"PK\x03\x04", "an Excel or OpenDocument workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel 97 or password-protected workbook"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
)


@dataclass(frozen=True, slots=True)
class Scan:
    """A file read once from end to end."""

    sha256: str
    modified_ns: int
    size: int
    head: bytes
    is_utf8: bool


@dataclass(frozen=True, slots=True)
class Encoding:
    """How bytes become text; `name` is shown, `codec` is Python's."""

    name: str
    codec: str


def scan(path: Path) -> Scan:
    """Hash the file, keep its head and learn whether all of it is UTF-8."""
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    head, is_utf8 = b"", True
    with path.open("rb") as file:
        status = path.stat()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            head = head or block[:HEAD_BYTES]
            is_utf8 = is_utf8 and _continues_utf8(decoder, block)
    is_utf8 = is_utf8 and not decoder.getstate()[0]
    return Scan(digest.hexdigest(), status.st_mtime_ns, status.st_size, head, is_utf8)


def _continues_utf8(decoder: codecs.IncrementalDecoder, block: bytes) -> bool:
    if block.isascii() and not decoder.getstate()[0]:
        return True
    try:
        decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def content_of(head: bytes) -> str:
    """What a file that begins so is, if it is certainly no text; else ""."""
    return next((what for mark, what in _CONTENTS if head.startswith(mark)), "")


def find_encoding(path: Path, wanted: str, scanned: Scan) -> Encoding:
    """The encoding that was asked for, or the one that the whole file fits."""
    if wanted.casefold() != "auto":
        return _named_encoding(wanted, scanned.head)
    for mark, (name, codec) in _MARKS:
        if scanned.head.startswith(mark):
            return Encoding(name, codec)
    if utf_16 := _unmarked_utf_16(scanned.head):
        return Encoding(utf_16, utf_16)
    if scanned.is_utf8:
        return Encoding("utf-8", "utf-8")
    if _fits(path, "cp1252"):
        return Encoding("cp1252", "cp1252")
    raise InputError(
        f"{path.name} is neither UTF-8 nor UTF-16 nor cp1252 text.", hint='Name its encoding: encoding = "...".'
    )


def _named_encoding(wanted: str, head: bytes) -> Encoding:
    try:
        codec = codecs.lookup(wanted)
    except LookupError:
        raise InputError(f"There is no encoding '{wanted}'.", hint="For example utf-8, utf-16, cp1252.") from None
    if codec.name == "utf-8" and head.startswith(codecs.BOM_UTF8):
        return Encoding("utf-8 with BOM", "utf-8-sig")
    return Encoding(codec.name, codec.name)


def _unmarked_utf_16(head: bytes) -> str:
    """UTF-16 without a mark: in text of Western scripts every other byte is zero. No other text holds zeros."""
    sample = head[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) < 0.3 * len(sample) / 2 or min(even, odd) > 0.05 * len(sample) / 2:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _fits(path: Path, codec: str) -> bool:
    try:
        with path.open(encoding=codec, newline="") as file:
            while file.read(_BLOCK_BYTES):
                pass
    except UnicodeDecodeError:
        return False
    return True


def head_text(path: Path, head: bytes, encoding: Encoding) -> str:
    """The beginning of the file as text, without a byte order mark."""
    try:
        text = codecs.getincrementaldecoder(encoding.codec)().decode(head)
    except UnicodeDecodeError as error:
        raise not_in_encoding(path, encoding, error) from None
    return text.removeprefix("\ufeff")


def not_in_encoding(path: Path, encoding: Encoding, error: UnicodeDecodeError) -> InputError:
    """The error of a file that the named encoding does not fit."""
    wrong = error.object[error.start : error.start + 1].hex()
    return InputError(
        f"{path.name} is not {encoding.name} text (byte 0x{wrong} does not occur there).",
        hint='Name another encoding, or leave encoding = "auto".',
    )


def find_delimiter(wanted: str, head: str, *, is_whole: bool) -> str:
    """The delimiter that was asked for, or the one that cuts the head into the most even rows."""
    if wanted != "auto":
        if len(wanted) != 1 or not wanted.isascii() or wanted in '"\r\n\0':
            raise InputError(f"'{wanted}' is no delimiter.", hint='One character, for example delimiter = ";".')
        return wanted
    first_line = head.split("\n", 1)[0].rstrip("\r")
    if len(first_line) == 5 and first_line.casefold().startswith("sep=") and first_line[4] in DELIMITERS:
        return first_line[4]
    sample = head[:_SAMPLE_CHARACTERS]
    is_whole = is_whole and len(sample) == len(head)
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter, is_whole=is_whole))


def _evenness(head: str, delimiter: str, *, is_whole: bool) -> tuple[float, int]:
    """(share of rows as wide as the header, width); (0, 0) where the delimiter does not occur in the header."""
    try:
        rows = list(islice(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), _SAMPLE_ROWS))
    except csv.Error:
        return 0.0, 0
    if not is_whole and len(rows) < _SAMPLE_ROWS:
        rows = rows[:-1]  # The head may end within it.
    widths = [len(row) for row in rows if any(cell.strip() for cell in row)]
    if not widths or widths[0] < 2:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]
