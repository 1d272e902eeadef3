"""Outcomes on their way to the journal.

Owns: turning fates of rows into blocks, with the rows that share an operation, and entering them into the ledger.
Does not know: batches, retries, files.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.reply import Answer
from bulklink.core.work import Found, Rows, Settlement, Work
from bulklink.vocabulary import Before

_NO_ANSWER: Final = Answer(status=0)
_NO_ID: Final = bytes(16)


@dataclass(slots=True)
class _Rows:
    """Rows settled one by one, gathered into one block."""

    rows: list[int] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    before_id: list[bytes] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    message: list[str] = field(default_factory=list)
    request_id: list[str] = field(default_factory=list)

    def block(self, attempts: NDArray[np.uint8]) -> OutcomeBlock:
        rows = np.array(self.rows, np.int64)
        has_ids = any(self.before_id)
        ids = b"".join(one or _NO_ID for one in self.before_id) if has_ids else b""
        return OutcomeBlock(
            rows=rows,
            outcome=np.array(self.outcome, np.uint8),
            before=np.array(self.before, np.uint8),
            before_ids=np.frombuffer(ids, np.uint8).reshape(-1, 16) if has_ids else None,
            http_status=np.array(self.status, np.uint16),
            attempts=attempts[rows],
            code=self.code,
            message=self.message,
            request_id=self.request_id,
        )


class Settler:
    """Gathers settled rows; `take` hands them to the journal."""

    def __init__(self, work: Work, ledger: Ledger, attempts: NDArray[np.uint8]) -> None:
        self._work = work
        self._ledger = ledger
        self._attempts = attempts
        self._blocks: list[OutcomeBlock] = []
        self._single = _Rows()

    def succeeded(self, rows: Rows, statuses: NDArray[np.uint16], request_id: str) -> None:
        """Rows that nobody had read, answered 2xx, none of which shares its operation."""
        block = OutcomeBlock(
            rows=rows,
            outcome=self._work.success(rows),
            before=self._work.before_success(rows),
            http_status=statuses,
            attempts=self._attempts[rows],
            request_id=request_id,
        )
        self._ledger.settle(block)
        self._blocks.append(block)

    def settle(self, row: int, settlement: Settlement, answer: Answer | None, found: Found | None) -> None:
        """Give one row its outcome, and the rows that share its operation theirs."""
        self._add(row, settlement, answer, found)
        for rider in self._work.riders(row):
            if not self._ledger.is_settled(rider):
                self._attempts[rider] = self._attempts[row]
                self._add(rider, self._work.rider_outcome(rider, row, settlement, found), answer, found)

    def note(self, block: OutcomeBlock) -> None:
        """Say how an unfinished run leaves rows, without settling them."""
        if len(block):
            self._flush()
            self._blocks.append(block)

    def take(self) -> list[OutcomeBlock]:
        """The blocks since the last call, in the order of settling."""
        self._flush()
        blocks, self._blocks = self._blocks, []
        return blocks

    def _add(self, row: int, settlement: Settlement, answer: Answer | None, found: Found | None) -> None:
        said = answer or _NO_ANSWER
        before = found or Found(Before.UNKNOWN)
        single = self._single
        single.rows.append(row)
        single.outcome.append(settlement.outcome)
        single.before.append(before.before)
        single.before_id.append(before.before_id)
        single.status.append(said.status)
        single.code.append(said.code)
        single.message.append(settlement.message or said.message)
        single.request_id.append(said.request_id)
        # Entered at once, so that whoever asks the ledger next already sees this row as settled.
        self._ledger.settle_one(row, settlement.outcome)

    def _flush(self) -> None:
        if self._single.rows:
            self._blocks.append(self._single.block(self._attempts))
            self._single = _Rows()
