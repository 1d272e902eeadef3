"""Rows that share the operation of another row.

Owns: which rows ride along, and with whom.
Does not know: why they do, or what becomes of them.
"""

from functools import cached_property

import numpy as np

from bulklink.core.ledger import Ledger
from bulklink.core.work import Rows, Work


class Riding:
    """The riders among the rows that were open at the start; a kind of job never changes them."""

    def __init__(self, work: Work, ledger: Ledger) -> None:
        self._work = work
        self._ledger = ledger

    @cached_property
    def ridden(self) -> frozenset[int]:
        """The rows that share an operation of an open row."""
        if not self._work.has_riders:
            return frozenset()
        return frozenset(rider for row in self._ledger.open_rows().tolist() for rider in self._work.riders(row))

    def operations_of(self, rows: Rows) -> Rows:
        """The rows that are operations of their own: not the ones that only ride along."""
        if not self.ridden:
            return rows
        return np.array([row for row in rows.tolist() if row not in self.ridden], np.int64)

    def passengers(self, rows: Rows) -> list[tuple[int, int]]:
        """The open rows that ride along with these, each with the place of the row that carries it."""
        if not self.ridden:
            return []
        carried = ((rider, place) for place, row in enumerate(rows.tolist()) for rider in self._work.riders(row))
        return [(rider, place) for rider, place in carried if not self._ledger.is_settled(rider)]

    def with_passengers(self, rows: Rows) -> Rows:
        """These rows, then those that ride along with them."""
        return np.append(rows, np.array([rider for rider, _ in self.passengers(rows)], np.int64))
