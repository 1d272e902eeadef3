"""Read a pandas DataFrame as if it were a spreadsheet.

Owns: its columns as text; its index counts for nothing, rows are numbered from 1.
Does not know: what the cells mean; blank rows.
Source: pandas' own types; typed cells read as `cells` says.
"""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from bulklink.errors import InputError
from bulklink.files.readers.cells import text_array, text_column
from bulklink.files.readers.model import CHUNK_ROWS, Found, InputTable, RowNumbers, text_table

#: What stands for the file's name.
FRAME_NAME = "DataFrame"


class FramePart:
    """A DataFrame in memory. Implements `Part`."""

    def __init__(self, frame: pd.DataFrame, now_s: float) -> None:
        self._frame = frame
        self.header = [str(name) for name in frame.columns]
        if not self.header:
            raise InputError("The DataFrame has no columns.")
        self.found = Found(FRAME_NAME, "pandas", self._sha256(), now_s)

    def draw(self, rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
        """The rows, `rows` at a time."""
        for start in range(0, len(self._frame), rows):
            cut = self._frame.iloc[start : start + rows]
            columns = [_text(cut.iloc[:, index]) for index in range(len(self.header))]
            yield text_table(columns, self.header), np.arange(start + 1, start + 1 + len(cut), dtype=np.int64)

    def _sha256(self) -> str:
        """The hash of the CSV file that would hold the same cells."""
        digest = hashlib.sha256("\0".join(self.header).encode())
        names = [str(index) for index in range(len(self.header))]
        for table, _ in self.draw(CHUNK_ROWS):
            sink = pa.BufferOutputStream()
            pa.csv.write_csv(table.rename_columns(names), sink, pa.csv.WriteOptions(include_header=False))
            digest.update(memoryview(sink.getvalue()))
        return digest.hexdigest()


def open_frame(frame: pd.DataFrame, *, now_s: float | None = None) -> InputTable:
    """The rows of a DataFrame. `now_s`: what to take for its time of change; by default the present moment."""
    return InputTable([FramePart(frame, time.time() if now_s is None else now_s)])


def _text(column: "pd.Series[Any]") -> pa.Array | pa.ChunkedArray:
    if column.dtype == object:
        return text_array([None if pd.api.types.is_scalar(cell) and pd.isna(cell) else cell for cell in column])
    return text_column(pa.array(column, from_pandas=True))
