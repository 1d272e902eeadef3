"""Read Parquet files, every column as text.

Owns: row groups streamed in batches. Does not know: what the cells mean; blank rows.
Source: Apache Parquet through pyarrow; typed cells read as `cells` says.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bulklink.errors import InputError
from bulklink.files.readers.cells import text_column
from bulklink.files.readers.detect import scan
from bulklink.files.readers.model import Found, RowNumbers, text_table


class ParquetPart:
    """A Parquet file. Implements `Part`."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        scanned = scan(path)
        self.found = Found(shown, "parquet", scanned.sha256, scanned.modified_ns / 1e9)
        with self._open() as file:
            self.header: list[str] = list(file.schema_arrow.names)
        if not self.header:
            raise InputError(f"{shown} has no columns.")

    def draw(self, rows: int) -> Iterator[tuple[pa.Table, RowNumbers]]:
        """The rows, `rows` at a time."""
        number = 1
        with self._open() as file:
            for batch in file.iter_batches(batch_size=rows):
                numbers = np.arange(number, number + batch.num_rows, dtype=np.int64)
                yield text_table([text_column(column) for column in batch.columns], self.header), numbers
                number += batch.num_rows

    def _open(self) -> pa.parquet.ParquetFile:
        try:
            return pa.parquet.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"{self.found.file} cannot be read as Parquet ({reason}).") from None
