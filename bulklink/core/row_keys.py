"""The keys of all rows on one side, and which record each row means.

Owns: the number of each row's key, and keys that mean one record only within what the other side's record belongs to:
a role has one record of its name in each business unit.
Does not know: how keys are asked for, files.
Source: Microsoft Learn, "Security roles and privileges" (roles and business units); the public contract (outcomes
`unresolved` and `ambiguous`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bulklink.core.keys import GuidArray, guid_text
from bulklink.core.resolving import KeyBook, KeyState, Match

Rows = npt.NDArray[np.int64]
States = npt.NDArray[np.uint8]

#: Schema name -> (the table whose records stand in a scope, the column of both tables that says which).
SCOPED: Final[Mapping[str, tuple[str, str]]] = {
    "systemuserroles_association": ("role", "businessunitid"),
    "teamroles_association": ("role", "businessunitid"),
}


class RowKeys:
    """One side. Memory: four bytes per row, and the book's per distinct key."""

    def __init__(self, told: str, match: Match) -> None:
        """told: the side's name in the job."""
        self.told = told
        self.book = KeyBook(match)
        self.numbers: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self._parts: list[npt.NDArray[np.int32]] = []
        self._ids: GuidArray = np.zeros((0, 16), np.uint8)
        self._states: States = np.zeros(0, np.uint8)

    def add(self, cells: Sequence[pa.Array]) -> None:
        """Take in the cells of the next rows, one array per column."""
        self._parts.append(self.book.add(cells))

    def settle(self) -> None:
        """All rows are in, and the service has answered."""
        self.numbers = np.concatenate([self.numbers, *self._parts])
        self._parts.clear()
        resolution = self.book.resolution()
        self._ids, self._states = resolution.ids, resolution.states

    def ids(self, rows: Rows) -> GuidArray:
        """(n, 16) the records; zero where a row means no one record."""
        found: GuidArray = self._ids[self.numbers[rows]]
        return found

    def states(self, rows: Rows) -> States:
        """(n,) `KeyState` of each row's key."""
        found: States = self._states[self.numbers[rows]]
        return found

    def reason(self, row: int) -> str:
        """Why a row means no one record, for people."""
        return f"{self.told}: {self.book.message(int(self.numbers[row]))}"


class ScopedRowKeys(RowKeys):
    """A side whose keys are looked for among the records of the same scope as the other side's record.

    Both sides' matches keep the scope of the records that were found.
    """

    def __init__(self, told: str, match: Match, other: RowKeys) -> None:
        super().__init__(told, match)
        self._other = other
        self._pairs: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def settle(self) -> None:
        """After the other side: one answer for each distinct pair of keys."""
        super().settle()
        by_key = self._states
        pairs = self.numbers.astype(np.int64) * max(1, len(self._other.book)) + self._other.numbers
        _, firsts, self._pairs = np.unique(pairs, return_index=True, return_inverse=True)
        self._ids = np.zeros((len(firsts), 16), np.uint8)
        self._states = np.zeros(len(firsts), np.uint8)
        for pair, row in enumerate(firsts.tolist()):
            number, other = int(self.numbers[row]), int(self._other.numbers[row])
            scope = self._other.book.scope_of(other)
            if by_key[number] in (KeyState.INVALID, KeyState.UNRESOLVED) or scope is None:
                # Without the other record nothing is known; its own side says so.
                self._states[pair] = by_key[number] if scope is not None else _seen(by_key[number])
                continue
            found = self.book.scoped(number).get(scope, [])
            self._states[pair] = min(len(found), KeyState.AMBIGUOUS)
            if len(found) == 1:
                self._ids[pair] = np.frombuffer(found[0], np.uint8)

    def ids(self, rows: Rows) -> GuidArray:
        """(n, 16) the records; zero where a row means no one record."""
        found: GuidArray = self._ids[self._pairs[rows]]
        return found

    def states(self, rows: Rows) -> States:
        """(n,) `KeyState` of each row's key within its scope."""
        found: States = self._states[self._pairs[rows]]
        return found

    def reason(self, row: int) -> str:
        """Why a row means no one record, for people."""
        number = int(self.numbers[row])
        scope = self._other.book.scope_of(int(self._other.numbers[row]))
        scoped = self.book.scoped(number)
        if scope is None or not scoped:
            return super().reason(row)
        column = self.book.match.scope.logical_name if self.book.match.scope else ""
        found = scoped.get(scope, [])
        table = self.book.match.table.logical_name
        count = f"{len(found)} {table} records" if found else f"no {table}"
        others = "1 other has" if len(scoped) == 1 else f"{len(scoped)} others have"
        elsewhere = f": {', '.join(map(guid_text, found))}" if found else f" ({others} one)"
        shown = self.book.shown(number)
        return f"{self.told}: {shown} matches {count} where {column} is {guid_text(scope)}{elsewhere}"


def _seen(state: int) -> int:
    """A key that some records have may be right; which one is meant is not known."""
    return KeyState.RESOLVED if state == KeyState.AMBIGUOUS else state
