"""The input in chunks of text columns: CSV, TSV, Excel, ODS, Parquet, DataFrames. One class per format.

Owns: the names that others use. Does not know: what a column means.
"""

from bulklink.files.readers.frames import open_frame
from bulklink.files.readers.model import CHUNK_ROWS, Found, InputTable, RawChunk
from bulklink.files.readers.opening import UNCHANGED_S, Clock, open_input
from bulklink.files.readers.sheets import ALL_SHEETS

__all__ = [
    "ALL_SHEETS",
    "CHUNK_ROWS",
    "UNCHANGED_S",
    "Clock",
    "Found",
    "InputTable",
    "RawChunk",
    "open_frame",
    "open_input",
]
