"""What the rows wish for, judged over the whole input: repeats, contradictions and moves.

Owns: which rows are duplicates of an earlier one, which contradict each other, which make up a move of a lookup.
Does not know: files, the service, what is linked at present.
Method: 8 bytes per row find the rows that may meet; only those are compared, exactly, by their full ids.
Source: the public contract (README, "Outcomes").
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import OutcomeBlock
from bulklink.core.relationships import Cardinality
from bulklink.vocabulary import Action, Before, Outcome

Ids = NDArray[np.uint8]
Rows = NDArray[np.int64]


class Wishes(NamedTuple):
    """The resolved pairs of some rows: from_ids, to_ids (n, 16) uint8, actions (n,) uint8."""

    from_ids: Ids
    to_ids: Ids
    actions: NDArray[np.uint8]


@dataclass(slots=True)
class Judgement:
    """What is known of the rows before anything is sent.

    settled: duplicates and conflicts. riders: primary position -> the rows that share its operation and its fate.
    """

    settled: list[OutcomeBlock] = field(default_factory=list)
    riders: dict[int, list[int]] = field(default_factory=dict)


def mix_ids(ids: Ids) -> NDArray[np.uint64]:
    """(n, 16) uint8 -> (n,) uint64, well mixed; equal ids give equal numbers."""
    halves = np.ascontiguousarray(ids).view(np.uint64).reshape(-1, 2)
    mixed = halves[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ halves[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(32))
    return result


class WishBook:
    """Gathers every row's wish and judges them together."""

    def __init__(self, cardinality: Cardinality, rows: int) -> None:
        self._cardinality = cardinality
        self._marks = np.zeros(rows, np.uint64)
        self._present = np.zeros(rows, np.bool_)

    def add(self, rows: Rows, wishes: Wishes) -> None:
        """Take note of some rows whose two ids are known."""
        if self._cardinality is Cardinality.MANY_TO_MANY:
            marks = mix_ids(wishes.from_ids) * np.uint64(3) + mix_ids(wishes.to_ids)
        else:
            marks = mix_ids(self._holders(wishes))
        self._marks[rows] = marks
        self._present[rows] = True

    def judge(self, read: Callable[[Rows], Wishes], name_row: Callable[[int], str]) -> Judgement:
        """Compare the rows that may meet. `read` gives the wishes of positions, `name_row` their names for people."""
        suspects = self._suspects()
        judgement = Judgement()
        if len(suspects):
            for group in self._groups(suspects, read(suspects)):
                if len(group) > 1:
                    _judge_group(group, self._cardinality, judgement, name_row)
        return judgement

    def _holders(self, wishes: Wishes) -> Ids:
        return wishes.from_ids if self._cardinality is Cardinality.LOOKUP else wishes.to_ids

    def _suspects(self) -> Rows:
        """Ascending positions whose mark stands more than once."""
        ordered = self._marks[self._present]
        ordered.sort()
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(twice):
            return np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(twice, self._marks), len(twice) - 1)
        return np.flatnonzero((twice[places] == self._marks) & self._present)

    def _groups(self, rows: Rows, wishes: Wishes) -> Iterable[list["_Wish"]]:
        groups: dict[bytes, list[_Wish]] = defaultdict(list)
        many = self._cardinality is Cardinality.MANY_TO_MANY
        from_lookup = self._cardinality is Cardinality.LOOKUP
        from_blob, to_blob = wishes.from_ids.tobytes(), wishes.to_ids.tobytes()
        for k, (row, action) in enumerate(zip(rows.tolist(), wishes.actions.tolist(), strict=True)):
            from_id, to_id = from_blob[16 * k : 16 * k + 16], to_blob[16 * k : 16 * k + 16]
            holder, target = (from_id, to_id) if from_lookup else (to_id, from_id)
            groups[from_id + to_id if many else holder].append(_Wish(row, target, Action(action)))
        return groups.values()


class _Wish(NamedTuple):
    row: int
    target: bytes
    action: Action


def _judge_group(
    group: list[_Wish], cardinality: Cardinality, judgement: Judgement, name_row: Callable[[int], str]
) -> None:
    """Rows that speak of one pair (N:N) or of one lookup: settle the repeats and the contradictions, note a move."""
    firsts: dict[tuple[bytes, Action], int] = {}
    repeats: list[tuple[int, int]] = []
    for wish in group:
        first = firsts.setdefault((wish.target, wish.action), wish.row)
        if first != wish.row:
            repeats.append((wish.row, first))
    set_to = [target for target, action in firsts if action is Action.ASSOCIATE]
    contradiction = _contradiction(firsts, set_to, cardinality)
    if contradiction:
        judgement.settled.append(_conflicting(group, contradiction, name_row))
        return
    if repeats:
        judgement.settled.append(_duplicates(repeats))
    if cardinality is not Cardinality.MANY_TO_MANY and set_to:
        primary = firsts[set_to[0], Action.ASSOCIATE]
        riders = [row for (_, action), row in firsts.items() if action is Action.DISASSOCIATE]
        if riders:
            judgement.riders[primary] = riders


def _contradiction(firsts: dict[tuple[bytes, Action], int], set_to: list[bytes], cardinality: Cardinality) -> str:
    """Why the wishes of one group cannot all come true, or ""."""
    if any((target, Action.DISASSOCIATE) in firsts for target in set_to):
        return "one says associate, the other disassociate, of the same two records"
    if cardinality is not Cardinality.MANY_TO_MANY and len(set_to) > 1:
        return "they give one lookup two different records"
    return ""


def _conflicting(group: list[_Wish], why: str, name_row: Callable[[int], str]) -> OutcomeBlock:
    """Every row of a contradiction, each naming another row that it contradicts."""
    rows = [wish.row for wish in group]
    messages = []
    for wish in group:
        against = next(o.row for o in group if (o.target, o.action) != (wish.target, wish.action))
        messages.append(f"contradicts {name_row(against)}: {why}")
    return before_sending(np.array(rows, np.int64), Outcome.CONFLICTING, message=messages)


def _duplicates(repeats: list[tuple[int, int]]) -> OutcomeBlock:
    block = before_sending(np.array([row for row, _ in repeats], np.int64), Outcome.DUPLICATE)
    block.refers_to = np.array([first for _, first in repeats], np.int64)
    return block


def before_sending(
    rows: Rows, outcome: Outcome, *, message: str | list[str] = "", code: str | list[str] = ""
) -> OutcomeBlock:
    """A block of rows that get their outcome without having been sent."""
    return OutcomeBlock(
        rows=rows,
        outcome=np.full(len(rows), outcome, np.uint8),
        before=np.full(len(rows), Before.UNKNOWN, np.uint8),
        message=message,
        code=code,
    )
