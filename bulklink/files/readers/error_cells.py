"""The error cells (``#N/A`` and the like) of an XLSX sheet.

Owns: where they stand and what they say. The workbook reader gives blanks for them, and a key that is
``#N/A`` must not be reported as an empty cell.
Does not know: any other cell; other formats (their error cells read as empty).
Source: ECMA-376 Part 1, 18.3.1.4 (`c`, type ``e``), 18.2.19 (`sheet`) and 15.2 (relationships).
"""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from defusedxml import DefusedXmlException, ElementTree

_SUFFIXES: Final = (".xlsx", ".xlsm")
_BLOCK_BYTES: Final = 1 << 20
#: No cell's element is longer: its text and its formula may have 32,767 and 8,192 characters.
_OVERLAP_BYTES: Final = 1 << 18
_ERROR_TYPE: Final = re.compile(rb"""\bt=["']e["']""")
_ERROR_CELL: Final = re.compile(
    rb"""<(?:\w+:)?c\s(?=[^>]*\br=["']([A-Z]+)(\d+)["'])(?=[^>]*\bt=["']e["'])[^>]*(?<!/)>"""
    rb"""(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]*)<""",
    re.DOTALL,
)
_RELATION_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATIONS: Final = "{http://schemas.openxmlformats.org/package/2006/relationships}"


class ErrorCells:
    """Error cells by line and column, both 0-based."""

    def __init__(self) -> None:
        self._by_line: dict[int, list[tuple[int, str]]] = {}

    def add(self, line: int, column: int, text: str) -> None:
        """Remember one cell."""
        self._by_line.setdefault(line, []).append((column, text))

    def put_into(self, columns: list[list[Any]], first_line: int) -> None:
        """Write the errors of the lines from `first_line` on into their blank cells."""
        if not self._by_line or not columns:
            return
        for line in range(first_line, first_line + len(columns[0])):
            for column, text in self._by_line.get(line, ()):
                if 0 <= column < len(columns) and columns[column][line - first_line] == "":
                    columns[column][line - first_line] = text


def read_error_cells(path: Path, sheet: str, left: int) -> ErrorCells:
    """The error cells of one sheet; columns count from `left`. Nothing where the format or the file hides them."""
    found = ErrorCells()
    if path.suffix.lower() not in _SUFFIXES:
        return found
    try:
        with zipfile.ZipFile(path) as archive:
            for letters, line, text in _scan(archive, _sheet_file(archive, sheet)):
                found.add(line - 1, _column_of(letters) - left, text)
    except (zipfile.BadZipFile, zlib.error, KeyError, ElementTree.ParseError, DefusedXmlException, OSError):
        # The workbook reader has read the sheet: error cells are a finding more, never a reason to fail.
        return found
    return found


def _sheet_file(archive: zipfile.ZipFile, sheet: str) -> str:
    """The archive member that holds the sheet. Raises KeyError if there is none."""
    workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    relation_ids = {element.get("name"): element.get(_RELATION_ID, "") for element in workbook.iter(f"{_MAIN}sheet")}
    targets = {element.get("Id"): element.get("Target", "") for element in relations.iter(f"{_RELATIONS}Relationship")}
    return posixpath.normpath(posixpath.join("/xl", targets[relation_ids[sheet]])).lstrip("/")


def _scan(archive: zipfile.ZipFile, member: str) -> Iterator[tuple[bytes, int, str]]:
    """Look through the sheet's XML block by block; most blocks hold no error and cost one search."""
    with archive.open(member) as file:
        held = b""
        while block := file.read(_BLOCK_BYTES):
            held += block
            done = 0
            if _ERROR_TYPE.search(held):
                for match in _ERROR_CELL.finditer(held):
                    done = match.end()
                    yield match[1], int(match[2]), match[3].decode()
            held = held[max(done, len(held) - _OVERLAP_BYTES) :]


def _column_of(letters: bytes) -> int:
    """0-based: A is 0, AA is 26."""
    column = 0
    for letter in letters:
        column = column * 26 + letter - ord("A") + 1
    return column - 1
