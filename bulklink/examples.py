"""The first rows of each outcome, named with their reason: for people who have no outcomes file to look into.

Owns: how many, and their wording.
Does not know: how a row got its outcome.
"""

from typing import Final

from bulklink.core.ledger import OutcomeBlock
from bulklink.files.spool import Spool
from bulklink.first_pass import row_namer
from bulklink.vocabulary import Outcome

#: Rows named of each outcome.
ROWS_SHOWN: Final = 3


class Examples:
    """Takes in blocks in the order of the rows."""

    def __init__(self, spool: Spool) -> None:
        self._name = row_namer(spool)
        self._first: dict[Outcome, list[str]] = {}

    def take(self, block: OutcomeBlock) -> None:
        """Take note of the first rows of a block."""
        for place, (row, code) in enumerate(zip(block.rows.tolist(), block.outcome.tolist(), strict=True)):
            known = self._first.setdefault(Outcome(code), [])
            if len(known) < ROWS_SHOWN:
                known.append(self._words(block, place, row))
            elif place >= ROWS_SHOWN and len(set(block.outcome.tolist())) == 1:
                return

    def of(self, outcome: Outcome) -> list[str]:
        """``row 3: accountnumber 'X' matches no account``, for the first ones."""
        return self._first.get(outcome, [])

    def _words(self, block: OutcomeBlock, place: int, row: int) -> str:
        why = block.message if isinstance(block.message, str) else block.message[place]
        if not why and block.refers_to is not None and block.refers_to[place] >= 0:
            why = f"same as {self._name(int(block.refers_to[place]))}"
        return f"{self._name(row)}: {why}" if why else self._name(row)
