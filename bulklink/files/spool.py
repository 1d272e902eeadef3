"""The spool: every row's cells, ids and action, written in the first pass and drawn from in the second.

Owns: the layout of ``input.arrow`` and access to any row of it in memory that does not grow with the file.
Does not know: outcomes, forms, what an action means.
Source: Arrow IPC file format. All batches but the last have `BATCH_ROWS` rows, so that arithmetic finds a row.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from bulklink.errors import JournalError, RunDirectoryError
from bulklink.files.mapped_file import MappedFile
from bulklink.files.readers.model import RawChunk

BATCH_ROWS: Final = 1 << 14
_VERSION: Final = f"1/{BATCH_ROWS}"
_KEY: Final = b"bulklink.spool"
_GUID: Final = pa.binary(16)
_PLACES: Final = ("file", "sheet")

Positions = npt.NDArray[np.int64]
Guids = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class SpoolWriter:
    """Writes the spool under a temporary name; it gets its own when the `with` block ends without an error.

    header: the input's columns. parts: (file, sheet) of every part, in input order. metadata: text to keep with it.
    extra: further columns by name, for `Spool.extra`.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        *,
        parts: Sequence[tuple[str, str]] = (),
        metadata: Mapping[str, str] | None = None,
        extra: Mapping[str, pa.DataType] | None = None,
    ) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".partial")
        self._parts = list(parts) if len(parts) > 1 else []
        self._extra = dict(extra or {})
        about = {"version": _VERSION, "header": list(header), "parts": self._parts, "metadata": dict(metadata or {})}
        self._schema = _schema(len(header), bool(self._parts), self._extra, about)
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self.n_rows = 0
        with self._disk_errors():
            self._temporary.unlink(missing_ok=True)
            self._file = open(self._temporary, "xb", opener=_open_private)  # noqa: SIM115 - closed in __exit__
            self._writer = pa.ipc.new_file(self._file, self._schema)

    def write(
        self,
        chunk: RawChunk,
        *,
        from_ids: Guids,
        to_ids: Guids,
        actions: npt.NDArray[np.uint8],
        from_valid: Mask | None = None,
        to_valid: Mask | None = None,
        extra: Mapping[str, pa.Array] | None = None,
    ) -> None:
        """Append rows. ids: (n, 16) big-endian; where the mask is False there is none."""
        columns: list[Any] = [pa.array(chunk.rows, pa.int64())]
        if self._parts:
            columns += _place_columns(self._parts, self._parts.index((chunk.file, chunk.sheet)), len(chunk.rows))
        columns += [_guid_column(from_ids, from_valid), _guid_column(to_ids, to_valid), pa.array(actions, pa.uint8())]
        columns += [(extra or {})[name] for name in self._extra]
        columns += chunk.table.columns
        self._held.append(pa.Table.from_arrays(columns, schema=self._schema))
        self._held_rows += len(chunk.rows)
        self.n_rows += len(chunk.rows)
        self._write_held(BATCH_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._file.close()
                self._temporary.unlink(missing_ok=True)
            return
        with self._disk_errors():
            self._write_held(1)
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._path)
            _sync_folder(self._path.parent)
        # What reading and writing took would lie idle until the end of the run.
        self._held = []
        pa.default_memory_pool().release_unused()

    def _write_held(self, rows_min: int) -> None:
        with self._disk_errors():
            while self._held_rows >= rows_min:
                table = pa.concat_tables(self._held)
                self._writer.write_table(table.slice(0, BATCH_ROWS).combine_chunks())
                self._held = [table.slice(BATCH_ROWS)]
                self._held_rows = self._held[0].num_rows

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunDirectoryError(f"{self._path} cannot be written: {error.strerror or error}.") from error


class Spool:
    """The spool as the second pass sees it: rows by their position `i`, from 0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._map = MappedFile(path)
            self._reader = pa.ipc.open_file(pa.BufferReader(self._map.buffer))
            about = json.loads((self._reader.schema.metadata or {}).get(_KEY, b"{}"))
            if about.get("version") != _VERSION:
                raise JournalError(f"{path} was not written by this version of bulklink.")
            self.header: list[str] = about["header"]
            self.metadata: dict[str, str] = about["metadata"]
            self.parts: list[tuple[str, str]] = [(file, sheet) for file, sheet in about["parts"]]
            self.n_rows, self._bitmaps, self._starts = self._survey()
            self._only_action = self._find_only_action()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise JournalError(f"{path} cannot be read: {error}.") from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map the file. Raises `JournalError` if it is missing, damaged or of another version."""
        return cls(path)

    def from_ids(self, positions: Positions) -> Guids:
        """(k, 16), zero where there is none."""
        return self._ids("from_id", positions)

    def to_ids(self, positions: Positions) -> Guids:
        """(k, 16), zero where there is none."""
        return self._ids("to_id", positions)

    def has_from_id(self, positions: Positions) -> Mask:
        """(k,) whether the row has a from id."""
        return self._has("from_id", positions)

    def has_to_id(self, positions: Positions) -> Mask:
        """(k,) whether the row has a to id."""
        return self._has("to_id", positions)

    def actions(self, positions: Positions) -> npt.NDArray[np.uint8]:
        """(k,) `vocabulary.Action`."""
        if self._only_action is None:
            batch, within = _place(positions)
            return self._map.bytes_at(self._starts["action"][batch] + within)
        return np.full(len(positions), self._only_action, np.uint8)

    def row_numbers_at(self, positions: Positions) -> npt.NDArray[np.int64]:
        """(k,) the numbers shown to people."""
        batch, within = _place(positions)
        numbers = self._map.words_at(self._starts["row"][batch] + 8 * within, 1)
        return numbers.view(np.int64).ravel()

    def row_numbers(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """The same for the rows from `start` to before `stop`."""
        return self.row_numbers_at(np.arange(start, min(stop, self.n_rows)))

    def cells(self, start: int, stop: int) -> pa.Table:
        """The input's own columns of the rows from `start` to before `stop`, untouched."""
        cells = self._columns([f"cell.{index}" for index in range(len(self.header))], start, stop)
        schema = pa.schema([pa.field(name, pa.string()) for name in self.header])
        return pa.Table.from_arrays(cells.columns, schema=schema)

    def places(self, start: int, stop: int) -> pa.Table:
        """Columns ``file`` and ``sheet`` of the rows; no columns if the input is one file or sheet."""
        return self._columns(list(_PLACES) if self.parts else [], start, stop)

    def extra(self, name: str, start: int, stop: int) -> pa.ChunkedArray:
        """A further column of the rows from `start` to before `stop`."""
        return self._columns([f"extra.{name}"], start, stop).column(0)

    def close(self) -> None:
        """Let go of the file; views that were handed out stay good."""
        del self._reader
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        stop = min(stop, self.n_rows)
        start = min(start, stop)
        schema = pa.schema([self._reader.schema.field(name) for name in names])
        batches = [
            self._reader.get_batch(batch).select(names).slice(max(0, start - first), stop - max(start, first))
            for batch in range(start // BATCH_ROWS, -(-stop // BATCH_ROWS))
            for first in [batch * BATCH_ROWS]
        ]
        table = pa.Table.from_batches(batches, schema=schema)
        origin = self._map.buffer.address
        for column in table.columns:
            for buffer in (buffer for chunk in column.chunks for buffer in chunk.buffers() if buffer):
                self._map.touch(buffer.address - origin, buffer.size)
        return table

    def _ids(self, name: str, positions: Positions) -> Guids:
        batch, within = _place(positions)
        words = self._map.words_at(self._starts[name][batch] + 16 * within, 2)
        ids: Guids = words.view(np.uint8)
        bitmaps = self._bitmaps[name]
        if (bitmaps[batch] >= 0).any():
            ids[~self._has(name, positions)] = 0
        return ids

    def _find_only_action(self) -> int | None:
        """The action of all rows if they have the same, as in most jobs; then there is no need to look it up."""
        actions = [
            pc.unique(self._columns(["action"], first, first + BATCH_ROWS).column(0))
            for first in range(0, self.n_rows, BATCH_ROWS)
        ]
        distinct = {action for found in actions for action in found.to_pylist()}
        return distinct.pop() if len(distinct) == 1 else None

    def _has(self, name: str, positions: Positions) -> Mask:
        batch, within = _place(positions)
        bitmap = self._bitmaps[name][batch]
        # A batch without any null has no bitmap; byte 0 of the file stands in for it and is not believed.
        byte = self._map.bytes_at(np.where(bitmap >= 0, bitmap + (within >> 3), 0))
        mask: Mask = ((byte >> (within & 7).astype(np.uint8)) & 1).astype(np.bool_) | (bitmap < 0)
        return mask

    def _survey(self) -> tuple[int, dict[str, Positions], dict[str, Positions]]:
        """The rows, and where in the file each batch's bitmaps (-1 where there is none) and values begin."""
        schema, origin, rows = self._reader.schema, self._map.buffer.address, 0
        places = {name: schema.get_field_index(name) for name in ("row", "from_id", "to_id", "action")}
        starts = np.full((2, len(places), self._reader.num_record_batches), -1, np.int64)
        for number in range(self._reader.num_record_batches):
            batch = self._reader.get_batch(number)
            rows += batch.num_rows
            for column, place in enumerate(places.values()):
                for kind, buffer in enumerate(batch.column(place).buffers()):
                    if buffer:
                        starts[kind, column, number] = buffer.address - origin
        bitmaps, values = (dict(zip(places, kind, strict=True)) for kind in starts)
        return rows, bitmaps, values


def _schema(width: int, has_places: bool, extra: Mapping[str, pa.DataType], about: Mapping[str, Any]) -> pa.Schema:
    place = pa.dictionary(pa.int16(), pa.string())
    fields = [pa.field("row", pa.int64(), nullable=False)]
    fields += [pa.field(name, place, nullable=False) for name in _PLACES if has_places]
    fields += [pa.field("from_id", _GUID), pa.field("to_id", _GUID), pa.field("action", pa.uint8(), nullable=False)]
    fields += [pa.field(f"extra.{name}", kind) for name, kind in extra.items()]
    fields += [pa.field(f"cell.{index}", pa.string(), nullable=False) for index in range(width)]
    return pa.schema(fields, metadata={_KEY: json.dumps(about)})


def _place_columns(parts: Sequence[tuple[str, str]], part: int, rows: int) -> list[pa.Array]:
    """Every batch carries the same dictionaries: the file format allows no others."""
    indices = pa.array(np.full(rows, part, np.int16))
    return [pa.DictionaryArray.from_arrays(indices, pa.array([place[k] for place in parts])) for k in range(2)]


def _guid_column(ids: Guids, valid: Mask | None) -> pa.Array:
    bitmap = None
    if valid is not None and not valid.all():
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    buffers = [bitmap, pa.py_buffer(np.ascontiguousarray(ids))]
    return pa.Array.from_buffers(_GUID, len(ids), buffers)


def _place(positions: Positions) -> tuple[Positions, Positions]:
    """The batch of each row and the row's place in it."""
    return positions // BATCH_ROWS, positions % BATCH_ROWS


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where the system knows how."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
