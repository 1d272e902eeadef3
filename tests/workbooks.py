"""Write small workbooks in the formats that no installed library writes: ODS, XLS, and a password-protected shell."""

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Rows = Sequence[Sequence[str | float | bool | None]]

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD

_ODS_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><office:document-content office:version="1.2"'
    ' xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
    ' xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"'
    ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
)
_ODS_TAIL = "</office:spreadsheet></office:body></office:document-content>"
_MANIFEST = (
    '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    '<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
)
_ODS_KIND = "application/vnd.oasis.opendocument.spreadsheet"


def write_ods(path: Path, sheets: Mapping[str, Rows]) -> None:
    """OpenDocument 1.2: strings, numbers, booleans; None is an empty cell."""
    tables = "".join(
        f'<table:table table:name="{escape(name)}">' + "".join(_ods_row(row) for row in rows) + "</table:table>"
        for name, rows in sheets.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", _ODS_KIND)
        archive.writestr("META-INF/manifest.xml", _MANIFEST.format(kind=_ODS_KIND))
        archive.writestr("content.xml", _ODS_HEAD + tables + _ODS_TAIL)


def _ods_row(row: Sequence[str | float | bool | None]) -> str:
    return "<table:table-row>" + "".join(_ods_cell(cell) for cell in row) + "</table:table-row>"


def _ods_cell(cell: str | float | bool | None) -> str:
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, bool):
        word = str(cell).lower()
        return f'<table:table-cell office:value-type="boolean" office:boolean-value="{word}"/>'
    if isinstance(cell, str):
        return f'<table:table-cell office:value-type="string"><text:p>{escape(cell)}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="float" office:value="{cell!r}"/>'


def write_xls(path: Path, sheet: str, rows: Rows) -> None:
    """Excel 97 (BIFF8): strings, numbers, booleans and error cells given as ``#N/A``."""
    globals_head = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0))
    name = sheet.encode("utf-16-le")
    bound = struct.pack("<IBBBB", 0, 0, 0, len(sheet), 1) + name
    start = len(globals_head) + len(_record(0x0085, bound)) + len(_record(0x000A, b""))
    bound = struct.pack("<I", start) + bound[4:]
    body = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0))
    for line, row in enumerate(rows):
        body += b"".join(_xls_cell(line, column, cell) for column, cell in enumerate(row) if cell is not None)
    stream = globals_head + _record(0x0085, bound) + _record(0x000A, b"") + body + _record(0x000A, b"")
    path.write_bytes(compound_file({"Workbook": stream}))


def _xls_cell(line: int, column: int, cell: str | float | bool) -> bytes:
    place = struct.pack("<HHH", line, column, 0)
    if isinstance(cell, bool):
        return _record(0x0205, place + bytes([cell, 0]))
    if cell == "#N/A":
        return _record(0x0205, place + bytes([0x2A, 1]))
    if isinstance(cell, str):
        text = cell.encode("utf-16-le")
        return _record(0x0204, place + struct.pack("<HB", len(text) // 2, 1) + text)
    return _record(0x0203, place + struct.pack("<d", cell))


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def write_protected_xlsx(path: Path) -> None:
    """What Excel leaves of a workbook with a password: an encrypted package in a compound file."""
    path.write_bytes(compound_file({"EncryptionInfo": b"\x04\x00\x04\x00", "EncryptedPackage": b"\x00" * 64}))


def compound_file(streams: Mapping[str, bytes]) -> bytes:
    """A compound file (MS-CFB, version 3) with each stream in sectors of its own: FAT, directory, streams."""
    # Streams below 4,096 bytes would live in a mini stream: pad instead.
    padded = {name: content.ljust(4096, b"\0") for name, content in streams.items()}
    padded = {name: content + b"\0" * (-len(content) % _SECTOR) for name, content in padded.items()}
    fat = [_FAT, _END]
    entries = [_entry("Root Entry", kind=5, child=1, start=_END, size=0)]
    sectors = b""
    for index, (name, content) in enumerate(padded.items(), start=1):
        first, count = len(fat), len(content) // _SECTOR
        fat += [*range(first + 1, first + count), _END]
        right = index + 1 if index < len(padded) else _FREE
        entries.append(_entry(name, kind=2, child=_FREE, start=first, size=len(content), right=right))
        sectors += content
    assert len(fat) <= _SECTOR // 4
    assert len(entries) <= 4
    fat += [_FREE] * (_SECTOR // 4 - len(fat))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16
    header += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, _END, 0, _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    directory = b"".join(entries).ljust(_SECTOR, b"\0")
    return header + struct.pack("<128I", *fat) + directory + sectors


def _entry(name: str, *, kind: int, child: int, start: int, size: int, right: int = _FREE) -> bytes:
    text = (name + "\0").encode("utf-16-le")
    head = text.ljust(64, b"\0") + struct.pack("<HBB", len(text), kind, 1)
    return head + struct.pack("<III", _FREE, right, child) + b"\0" * 36 + struct.pack("<III", start, size, 0)
