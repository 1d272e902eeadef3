"""The books of a run: which rows are settled, and how.

Owns: one byte per row, the counts, and the law that a row is settled exactly once.
Does not know: why a row got its outcome, or where the books are kept.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.vocabulary import AS_ASKED, UNFINISHED, Outcome

#: A text column of a block: one text for all its rows, or one each.
Texts = str | list[str]

_UNFINISHED_CODES: Final = np.array(sorted(UNFINISHED), dtype=np.uint8)


@dataclass(slots=True)
class OutcomeBlock:
    """What happened to n rows, in columns. The unit that the journal keeps.

    rows: (n,) int64 positions; outcome, before, attempts: (n,) uint8; before_ids: (n, 16) uint8 where a lookup
    pointed somewhere, else None; http_status: (n,) uint16, 0 = never sent; refers_to: (n,) int64 position of the row
    that a duplicate repeats (-1 = none), or None for the whole block.
    Blocks with `IN_DOUBT` or `NOT_ATTEMPTED` settle nothing: they only say how an unfinished run left its rows.
    """

    rows: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    before: NDArray[np.uint8]
    before_ids: NDArray[np.uint8] | None = None
    http_status: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    attempts: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    code: Texts = ""
    message: Texts = ""
    request_id: Texts = ""
    refers_to: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.rows)
        if len(self.http_status) != n:
            self.http_status = np.zeros(n, np.uint16)
        if len(self.attempts) != n:
            self.attempts = np.zeros(n, np.uint8)
        texts = (self.code, self.message, self.request_id)
        if any(len(column) != n for column in (self.outcome, self.before)) or any(
            isinstance(text, list) and len(text) != n for text in texts
        ):
            raise ValueError("the columns of an outcome block must be of one length")

    def __len__(self) -> int:
        return len(self.rows)


class Ledger:
    """One outcome code per row, 0 while it is open."""

    def __init__(self, rows: int) -> None:
        self.outcomes: NDArray[np.uint8] = np.zeros(rows, np.uint8)
        self.not_as_asked = 0
        self.settled = 0

    def settle(self, block: OutcomeBlock) -> None:
        """Give the block's rows their outcomes for good.

        Raises ValueError if a row has one already: a second answer for a settled row would be a second truth.
        """
        counts = np.bincount(block.outcome, minlength=len(Outcome))
        if counts[_UNFINISHED_CODES].any():
            raise ValueError("a row in doubt or not attempted is not settled")
        if self.outcomes[block.rows].any():
            raise ValueError("a row is settled twice")
        self.outcomes[block.rows] = block.outcome
        self.settled += len(block)
        self.not_as_asked += int(sum(counts[o] for o in Outcome if o not in AS_ASKED and o is not Outcome.DUPLICATE))

    def settle_one(self, row: int, outcome: Outcome) -> None:
        """Give one row its outcome for good. Raises ValueError as `settle` does."""
        if outcome in UNFINISHED or self.outcomes[row]:
            raise ValueError(f"row at position {row} cannot be settled as {outcome.word}")
        self.outcomes[row] = outcome
        self.settled += 1
        self.not_as_asked += outcome not in AS_ASKED and outcome is not Outcome.DUPLICATE

    def is_settled(self, row: int) -> bool:
        """Whether the row at this position has its outcome."""
        return bool(self.outcomes[row])

    def open_rows(self) -> NDArray[np.int64]:
        """Positions of the rows without an outcome, ascending."""
        return np.flatnonzero(self.outcomes == 0)

    def counts(self) -> Counter[Outcome]:
        """How many rows have each outcome; `Outcome.NONE` counts the open ones."""
        found = np.bincount(self.outcomes, minlength=len(Outcome))
        return Counter({outcome: int(found[outcome]) for outcome in Outcome if found[outcome]})
