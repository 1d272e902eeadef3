"""Outcomes on their way to the journal.

Owns: turning fates of rows into blocks, with the rows that share an operation, and entering them into the ledger.
Does not know: batches, retries, files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.reply import Answer
from bulklink.core.work import Found, Rows, Settlement, Work
from bulklink.vocabulary import Before, Outcome

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
        #: Rows that a run leaves open with the service's own words.
        self.kept: set[int] = set()

    def succeeded(self, rows: Rows, statuses: NDArray[np.uint16], request_id: str, found: Mapping[int, Found]) -> None:
        """Rows answered 2xx, those that share their operation with them included. found: what some had been read as."""
        if self._work.has_riders:
            ridden = np.fromiter((bool(self._work.riders(row)) for row in rows.tolist()), np.bool_, len(rows))
            for row, status in zip(rows[ridden].tolist(), statuses[ridden].tolist(), strict=True):
                self._one_succeeded(row, Answer(status=status, request_id=request_id), found.get(row))
            rows, statuses = rows[~ridden], statuses[~ridden]
        if not len(rows):
            return
        before, before_ids = self._work.before_success(rows), None
        if found:
            read = [found.get(row) for row in rows.tolist()]
            kinds, before_ids = before_columns(read)
            before = np.where([one is not None for one in read], kinds, before)
        block = OutcomeBlock(
            rows=rows,
            outcome=self._work.success(rows),
            before=before,
            before_ids=before_ids,
            http_status=statuses,
            attempts=self._attempts[rows],
            request_id=request_id,
        )
        self._ledger.settle(block)
        self._blocks.append(block)

    def _one_succeeded(self, row: int, answer: Answer, found: Found | None) -> None:
        one = np.array([row], np.int64)
        first = found or Found(Before(int(self._work.before_success(one)[0])))
        self.settle(row, Settlement(Outcome(int(self._work.success(one)[0]))), answer, first)

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

    def keep_for_next_time(self, held: Sequence[tuple[int, Answer]]) -> None:
        """All refused alike: the rows stay open, with the service's words, so that running again sends them."""
        held = [(each, answer) for row, answer in held for each in (row, *self._work.riders(row))]
        rows = np.array([row for row, _ in held], np.int64)
        self.kept.update(rows.tolist())
        self.note(
            OutcomeBlock(
                rows=rows,
                outcome=np.full(len(rows), Outcome.NOT_ATTEMPTED, np.uint8),
                before=np.full(len(rows), Before.UNKNOWN, np.uint8),
                http_status=np.array([answer.status for _, answer in held], np.uint16),
                attempts=self._attempts[rows],
                code=[answer.code for _, answer in held],
                message=[answer.message for _, answer in held],
                request_id=[answer.request_id for _, answer in held],
            )
        )

    def take(self) -> list[OutcomeBlock]:
        """The blocks since the last call, in the order of settling."""
        self._flush()
        blocks, self._blocks = self._blocks, []
        return blocks

    def _add(self, row: int, settlement: Settlement, answer: Answer | None, found: Found | None) -> None:
        said = answer or _NO_ANSWER
        before = settlement.found or found or Found(Before.UNKNOWN)
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


def before_columns(found: Sequence[Found | None]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """What was found before sending, as columns: (n,) kinds and, where any lookup held an id, (n, 16) ids."""
    if not any(found):
        return np.full(len(found), Before.UNKNOWN, np.uint8), None
    kinds = np.fromiter((one.before if one else Before.UNKNOWN for one in found), np.uint8, len(found))
    if not any(one and one.before_id for one in found):
        return kinds, None
    blob = b"".join((one.before_id or bytes(16)) if one else bytes(16) for one in found)
    return kinds, np.frombuffer(blob, np.uint8).reshape(-1, 16)
