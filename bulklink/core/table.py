"""A chunk of raw text columns -> the keys, actions and groups of a link job, checked.

Owns: which cells are no GUID or no action and what is said about them; GUIDs as 16 bytes; numbers for groups.
Does not know: files, metadata, business keys beyond handing their cells on (`core.resolving` reads them).
Source: the public contract (README, "Job file", `[link]` and `[send]`; outcome `invalid`).
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bulklink.core.keys import BoolArray, GuidArray, parse_guids
from bulklink.vocabulary import Action

ActionArray = npt.NDArray[np.uint8]
GroupArray = npt.NDArray[np.int32]

#: What may stand in an action column.
ACTION_WORDS: Final = {
    "associate": Action.ASSOCIATE,
    "add": Action.ASSOCIATE,
    "link": Action.ASSOCIATE,
    "+": Action.ASSOCIATE,
    "disassociate": Action.DISASSOCIATE,
    "remove": Action.DISASSOCIATE,
    "unlink": Action.DISASSOCIATE,
    "-": Action.DISASSOCIATE,
}
_WORDS_SHOWN: Final = "associate, add, link, + or disassociate, remove, unlink, -"
_WORD_LIST: Final = pa.array(list(ACTION_WORDS), pa.string())
#: `Action` by position in the list; the last entry is for a word that is not in it.
_ACTIONS: Final = np.array([*ACTION_WORDS.values(), Action.NONE], np.uint8)

#: Longest part of a cell that a message repeats.
_SHOWN_CHARACTERS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Columns:
    """Where one side's key stands. holds_guids: the single column holds the record's own id."""

    headers: tuple[str, ...]
    positions: tuple[int, ...]
    holds_guids: bool


@dataclass(frozen=True, slots=True)
class LinkColumns:
    """Where a link job's cells stand. to_side: None where the action needs none. action: fixed, or a position."""

    from_side: Columns
    to_side: Columns | None
    action: Action | None = None
    action_column: int | None = None
    group_column: int | None = None


@dataclass(frozen=True, slots=True)
class SideCells:
    """One side of a chunk's rows.

    ids: (n, 16), zero where not valid or not known yet. keys: the cells of business keys, one array per column,
    as typed; empty for GUIDs.
    """

    ids: GuidArray
    valid: BoolArray
    keys: tuple[pa.Array, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkTable:
    """A chunk's rows as the job reads them.

    valid: (n,) nothing is wrong with the row itself, as far as can be told before keys are resolved.
    reasons: position in the chunk -> what is wrong with the row. groups: (n,) or None.
    """

    from_side: SideCells
    to_side: SideCells | None
    actions: ActionArray
    valid: BoolArray
    groups: GroupArray | None = None
    reasons: dict[int, str] = field(default_factory=dict)


class GroupNumbers:
    """A number for every group value, the same through all chunks. Memory: one entry per distinct value."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._following = 0

    def number(self, texts: pa.Array | pa.ChunkedArray) -> GroupArray:
        """(n,) the group of each row; a row with a blank cell is a group of its own."""
        encoded = pc.dictionary_encode(trimmed(_one(texts)))
        values = encoded.dictionary.to_pylist()
        of_value = np.fromiter((self._number(value) if value else -1 for value in values), np.int32, count=len(values))
        groups: GroupArray = of_value[encoded.indices.to_numpy(zero_copy_only=False)]
        alone = np.flatnonzero(groups < 0)
        groups[alone] = np.arange(self._following, self._following + len(alone))
        self._following += len(alone)
        return groups

    def _number(self, value: str) -> int:
        if value not in self._numbers:
            self._numbers[value] = self._following
            self._following += 1
        return self._numbers[value]


def check_links(table: pa.Table, columns: LinkColumns, groups: GroupNumbers | None = None) -> LinkTable:
    """Read and check the columns that a link job uses. table: text, null-free. groups: if there is a group column."""
    problems: dict[int, list[str]] = {}
    from_side = _check_side(table, columns.from_side, problems)
    to_side = _check_side(table, columns.to_side, problems) if columns.to_side else None
    valid = from_side.valid & to_side.valid if to_side else from_side.valid
    if columns.action_column is None:
        actions = np.full(table.num_rows, columns.action or Action.NONE, np.uint8)
    else:
        header = table.column_names[columns.action_column]
        actions = check_actions(table.column(columns.action_column), header, problems)
        valid = valid & (actions != Action.NONE)
    numbers = None
    if columns.group_column is not None and groups is not None:
        numbers = groups.number(table.column(columns.group_column))
    reasons = {position: "; ".join(texts) for position, texts in sorted(problems.items())}
    return LinkTable(from_side, to_side, actions, valid, numbers, reasons)


def _check_side(table: pa.Table, columns: Columns, problems: dict[int, list[str]]) -> SideCells:
    if columns.holds_guids:
        return check_guids(table.column(columns.positions[0]), columns.headers[0], problems)
    keys = tuple(_one(table.column(position)) for position in columns.positions)
    return SideCells(np.zeros((table.num_rows, 16), np.uint8), np.ones(table.num_rows, np.bool_), keys)


def check_guids(texts: pa.Array | pa.ChunkedArray, header: str, problems: dict[int, list[str]]) -> SideCells:
    """Read a column of GUIDs. What is wrong with a row is added to `problems`."""
    ids, valid = parse_guids(texts)
    for position in np.flatnonzero(~valid).tolist():
        cell = texts[position].as_py()
        wrong = f"{header}: {shown(cell)} is not a GUID" if cell.strip() else f"{header} is empty"
        problems.setdefault(position, []).append(wrong)
    return SideCells(ids, valid)


def check_actions(texts: pa.Array | pa.ChunkedArray, header: str, problems: dict[int, list[str]]) -> ActionArray:
    """Read a column of action words, `Action.NONE` where there is none; what is wrong is added to `problems`."""
    known = pc.fill_null(pc.index_in(pc.utf8_lower(trimmed(texts)), value_set=_WORD_LIST), len(_WORD_LIST))
    actions: ActionArray = _ACTIONS[known.to_numpy()]
    for position in np.flatnonzero(actions == Action.NONE).tolist():
        cell = texts[position].as_py()
        wrong = f"{header}: {shown(cell)} is not an action ({_WORDS_SHOWN})" if cell.strip() else f"{header} is empty"
        problems.setdefault(position, []).append(wrong)
    return actions


def _one(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def trimmed(texts: Any) -> Any:
    """Text without the blanks around it, whatever alphabet they are from."""
    return pc.utf8_trim_whitespace(texts)


def shown(cell: str) -> str:
    """A cell for a message: in quotes, shortened, invisible characters spelt out."""
    return repr(cell if len(cell) <= _SHOWN_CHARACTERS_MAX else cell[: _SHOWN_CHARACTERS_MAX - 1] + "…")
