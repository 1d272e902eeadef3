"""What the journal keeps, one by one: sent batches, blocks of outcomes, events; as values and as bytes.

Owns: the order of the columns inside a row of the journal.
Does not know: SQLite, files.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import OutcomeBlock
from bulklink.files.columns import ColumnReader, ColumnWriter, DamagedColumnsError


class EventKind(StrEnum):
    """What an event of the journal tells."""

    SESSION = "session"  # a process began to work on the run: the first time or resuming
    END = "end"  # it stopped
    PACE = "pace"  # a sample: in flight, rows a second
    WAIT = "wait"  # nothing could be sent for `seconds`, and why
    THROTTLED = "throttled"  # `count` answers said "too many"
    RETRIED = "retried"  # `count` operations went back to the queue
    ROLLED_BACK = "rolled-back"  # `count` change sets were rolled back
    NOTE = "note"  # something to tell people


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a moment. at: seconds since 1970 UTC; rate: rows a second; seconds: how long."""

    at: float
    kind: EventKind
    in_flight: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    count: int = 0
    why: str = ""


@dataclass(slots=True)
class SentBatch:
    """One batch as it was sent, in columns over its rows.

    at: seconds since 1970 UTC; before_ids: (n, 16) where a lookup pointed somewhere, else None; attempts: this sending
    included; operations: how many requests the batch holds, if not one per row.
    """

    number: int
    at: float
    rows: NDArray[np.int64]
    before: NDArray[np.uint8]
    before_ids: NDArray[np.uint8] | None
    attempts: NDArray[np.uint8]
    operations: int | None = None

    def select(self, chosen: NDArray[np.bool_]) -> "SentBatch":
        """The batch with only the chosen ones of its rows."""
        ids = None if self.before_ids is None else self.before_ids[chosen]
        return SentBatch(self.number, self.at, self.rows[chosen], self.before[chosen], ids, self.attempts[chosen])


def pack_block(block: OutcomeBlock) -> bytes:
    """A block of outcomes as bytes."""
    writer = ColumnWriter(len(block))
    for numbers in (block.rows, block.outcome, block.before, block.http_status, block.attempts, block.refers_to):
        writer.numbers(numbers)
    for texts in (block.code, block.message, block.request_id):
        writer.texts(texts)
    writer.ids(block.before_ids)
    return writer.packed()


def unpack_block(body: bytes) -> OutcomeBlock:
    """The block of outcomes that `pack_block` packed."""
    reader = ColumnReader(body)
    rows, outcome, before, http_status, attempts = (_present(reader.numbers()) for _ in range(5))
    refers_to = reader.numbers()
    code, message, request_id = reader.texts(), reader.texts(), reader.texts()
    return OutcomeBlock(
        rows,
        outcome.astype(np.uint8),
        before.astype(np.uint8),
        reader.ids(),
        http_status.astype(np.uint16),
        attempts.astype(np.uint8),
        code,
        message,
        request_id,
        refers_to,
    )


def pack_batch(batch: SentBatch) -> bytes:
    """The columns of a batch as bytes."""
    writer = ColumnWriter(len(batch.rows))
    for numbers in (batch.rows, batch.before, batch.attempts):
        writer.numbers(numbers)
    writer.ids(batch.before_ids)
    return writer.packed()


def unpack_batch(number: int, at: float, body: bytes) -> SentBatch:
    """The batch whose columns `pack_batch` packed."""
    reader = ColumnReader(body)
    rows, before, attempts = (_present(reader.numbers()) for _ in range(3))
    return SentBatch(number, at, rows, before.astype(np.uint8), reader.ids(), attempts.astype(np.uint8))


def _present(values: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if values is None:
        raise DamagedColumnsError("a column is missing")
    return values
