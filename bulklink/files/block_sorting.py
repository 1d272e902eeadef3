"""Blocks of outcomes taken apart and put together: joined, selected, sorted by row.

Owns: the sorting of more rows than memory should hold.
Does not know: which block is right for a row, what an outcome means.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import OutcomeBlock, Texts
from bulklink.files.entries import pack_block, unpack_block

#: Rows that are put together at once; also the grain in which rows are sorted.
CHUNK_ROWS: Final = 1 << 13
_WAITING_ROWS_MAX: Final = 1 << 16
_SPILL_BYTES: Final = 8 << 20


class SortedPieces:
    """Rare rows, sorted into spans of `CHUNK_ROWS` positions; beyond `_SPILL_BYTES` they lie in a temporary file."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(_SPILL_BYTES, dir=str(directory))  # noqa: SIM115 (lives on with us)
        self._index: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._waiting: list[OutcomeBlock] = []
        self._waiting_rows = 0

    def add(self, block: OutcomeBlock) -> None:
        """Take a block in."""
        self._waiting.append(block)
        self._waiting_rows += len(block)
        if self._waiting_rows >= _WAITING_ROWS_MAX:
            self.close_intake()

    def close_intake(self) -> None:
        """Sort what is still waiting; after this all pieces can be read."""
        if not self._waiting:
            return
        block = joined(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        order = np.argsort(block.rows, kind="stable")  # stable: of two blocks for one row the later stays the later
        spans_of = block.rows[order] // CHUNK_ROWS
        for piece in np.split(order, np.flatnonzero(np.diff(spans_of)) + 1):
            body = pack_block(selected(block, piece))
            self._index[int(block.rows[piece[0]]) // CHUNK_ROWS].append((self._file.tell(), len(body)))
            self._file.write(body)

    def pieces(self, span: int) -> Iterator[OutcomeBlock]:
        """The pieces of the span that begins at position `span * CHUNK_ROWS`, in the order of their blocks."""
        for offset, length in self._index.get(span, ()):
            self._file.seek(offset)
            yield unpack_block(self._file.read(length))


def joined(blocks: list[OutcomeBlock]) -> OutcomeBlock:
    """Several blocks as one."""
    if len(blocks) == 1:
        return blocks[0]

    def numbers(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(block, name) for block in blocks])

    def texts(name: str) -> Texts:
        values = {getattr(block, name) for block in blocks if isinstance(getattr(block, name), str)}
        if len(values) == 1 and all(isinstance(getattr(block, name), str) for block in blocks):
            return str(values.pop())
        return [text for block in blocks for text in listed(getattr(block, name), len(block))]

    has_ids = any(block.before_ids is not None for block in blocks)
    has_refers = any(block.refers_to is not None for block in blocks)
    ids = [np.zeros((len(b), 16), np.uint8) if b.before_ids is None else b.before_ids for b in blocks]
    refers = [np.full(len(b), -1, np.int64) if b.refers_to is None else b.refers_to for b in blocks]
    return OutcomeBlock(
        numbers("rows").astype(np.int64),
        numbers("outcome").astype(np.uint8),
        numbers("before").astype(np.uint8),
        np.concatenate(ids) if has_ids else None,
        numbers("http_status").astype(np.uint16),
        numbers("attempts").astype(np.uint8),
        texts("code"),
        texts("message"),
        texts("request_id"),
        np.concatenate(refers) if has_refers else None,
    )


def selected(block: OutcomeBlock, chosen: NDArray[np.int64]) -> OutcomeBlock:
    """The chosen rows of a block, in the order of `chosen`."""

    def texts(values: Texts) -> Texts:
        return values if isinstance(values, str) else [values[i] for i in chosen.tolist()]

    return OutcomeBlock(
        block.rows[chosen],
        block.outcome[chosen],
        block.before[chosen],
        None if block.before_ids is None else block.before_ids[chosen],
        block.http_status[chosen],
        block.attempts[chosen],
        texts(block.code),
        texts(block.message),
        texts(block.request_id),
        None if block.refers_to is None else block.refers_to[chosen],
    )


def listed(texts: Texts, count: int) -> list[str]:
    """A text column as one text per row."""
    return [texts] * count if isinstance(texts, str) else texts
