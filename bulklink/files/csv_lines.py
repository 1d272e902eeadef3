"""Tables as CSV bytes.

Owns: RFC 4180: commas, CRLF, quotes only around cells that need them, UTF-8 without a byte order mark.
Does not know: what the columns are.
Method: arrow's own writer where no cell needs quotes; it would put quotes around every text otherwise. Where one does,
the lines are joined from columns that are quoted cell by cell.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

_SPECIAL: Final = (b'"', b",", b"\r", b"\n")
_SPECIAL_PATTERN: Final = '[",\r\n]'
_TEXT: Final = pa.large_string()
_END, _COMMA, _QUOTE, _NO_SEPARATOR = (pa.scalar(text, _TEXT) for text in ("\r\n", ",", '"', ""))
#: Arrow's strings end at 2 GB; a piece of a table stays far below that however long its cells are.
PIECE_BYTES_MAX: Final = 64 << 20


def csv_lines(table: pa.Table) -> bytes:
    """The rows of a table of texts and numbers as lines; null is an empty cell."""
    if table.num_rows > 1 and table.nbytes > PIECE_BYTES_MAX:
        middle = table.num_rows // 2
        return csv_lines(table.slice(0, middle)) + csv_lines(table.slice(middle))
    columns = [_one_array(column) for column in table.columns]
    if any(map(_may_need_quotes, columns)):
        return _joined_lines(columns)
    sink = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, [str(i) for i in range(len(columns))]), sink, options)
    # No cell holds a line feed here, so each of them ends a line.
    return bytes(sink.getvalue()).replace(b"\n", b"\r\n")


def csv_line(cells: list[str]) -> bytes:
    """One line, such as a header."""
    return _joined_lines([pa.array([cell], pa.string()) for cell in cells])


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    return array.cast(pa.string()) if pa.types.is_dictionary(array.type) else array


def _may_need_quotes(array: pa.Array) -> bool:
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return False
    body = _characters(array)
    return any(special in body for special in _SPECIAL)


def _joined_lines(columns: list[pa.Array]) -> bytes:
    texts = [_quoted(column.cast(_TEXT).fill_null("")) for column in columns]
    last = pc.binary_join_element_wise(texts[-1], _END, _NO_SEPARATOR)
    lines = pc.binary_join_element_wise(*texts[:-1], last, _COMMA) if len(texts) > 1 else last
    return _characters(lines)


def _quoted(texts: pa.Array) -> pa.Array:
    if not _may_need_quotes(texts):
        return texts
    quoted = pc.binary_join_element_wise(_QUOTE, pc.replace_substring(texts, '"', '""'), _QUOTE, _NO_SEPARATOR)
    return pc.if_else(pc.match_substring_regex(texts, _SPECIAL_PATTERN), quoted, texts)


def _characters(texts: pa.Array) -> bytes:
    """All texts of the array, one behind the other."""
    _, offsets, characters = texts.buffers()
    if characters is None or not len(texts):
        return b""
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    ends = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1]
    return bytes(memoryview(characters)[int(ends[0]) : int(ends[-1])])
