"""What the first passes of all kinds of job share: keys to ask for, rows by name and group, spans of the spool.

Owns: these tools.
Does not know: what a row asks for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bulklink.core.key_values import Comparing
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.request import OPERATIONS_MAX
from bulklink.core.resolving import KeyBook, KeyState, Match
from bulklink.core.table import GroupNumbers
from bulklink.core.wishes import Judgement, before_sending
from bulklink.core.work import Work
from bulklink.files.readers.model import InputTable, RawChunk
from bulklink.files.spool import Spool
from bulklink.job import PRIMARY_KEY, Side
from bulklink.service.key_resolution import resolve_keys
from bulklink.service.metadata import Metadata
from bulklink.service.reading import Reader
from bulklink.vocabulary import Outcome

#: Rows handled at once after the input was read.
SPAN_ROWS: Final = 1 << 15

Rows = NDArray[np.int64]
Settle = Callable[[OutcomeBlock], None]

STATE_OUTCOMES: Final[Mapping[KeyState, Outcome]] = {
    KeyState.INVALID: Outcome.INVALID,
    KeyState.UNRESOLVED: Outcome.UNRESOLVED,
    KeyState.AMBIGUOUS: Outcome.AMBIGUOUS,
}
_OUT_BY_THEMSELVES: Final = np.array([Outcome.INVALID, Outcome.UNRESOLVED, Outcome.AMBIGUOUS], np.uint8)


@dataclass(frozen=True, slots=True)
class RowSide:
    """How a record is found in a row: the columns of the input, and what they match.

    told: the side's name in the job, which is another one where the pair was given the wrong way round.
    """

    name: str
    told: str
    columns: tuple[int, ...]
    headers: tuple[str, ...]
    match: Match


@dataclass(slots=True)
class FirstPass:
    """What the first pass leaves behind."""

    spool: Spool
    judgement: Judgement
    buckets: NDArray[np.uint16]
    group_of: NDArray[np.int32] | None = None


class Intake(Protocol):
    """Reads the input once, spools it, and settles what needs no service; then what needs resolved keys."""

    @property
    def books(self) -> Mapping[str, KeyBook]:
        """The keys to ask the service about, by side."""

    def read(self) -> Iterator[OutcomeBlock]:
        """Spool every row. Yields the rows that are wrong by themselves."""

    def resolve(self) -> Iterator[OutcomeBlock]:
        """Write what the keys mean into the spool. Yields the rows that fall by it."""

    def spool(self) -> Spool:
        """The finished spool."""


async def row_side(name: str, told: str, side: Side, table: InputTable, metadata: Metadata) -> RowSide:
    """Fit one side of a job to the input and the environment. Raises errors with exit code 2."""
    found = await metadata.table(side.table)
    columns = [found.primary_id if column == PRIMARY_KEY else column for column in side.match]
    match = await metadata.match(side.table, columns, side.where, Comparing(side.ignore_case, side.trim))
    return RowSide(name, told, tuple(table.column_index(header) for header in side.headers), side.headers, match)


async def ask_for_keys(books: Mapping[str, KeyBook], reader: Reader, metadata: Metadata) -> None:
    """Ask the service what the keys of all sides mean."""
    for book in books.values():
        await resolve_keys(reader, metadata, book)


# -- rows of the spool -------------------------------------------------------------------------------------------------


def row_namer(spool: Spool) -> Callable[[int], str]:
    """What people call a row: its number, with file and sheet if there are several."""

    def name(row: int) -> str:
        number = int(spool.row_numbers(row, row + 1)[0])
        places = spool.places(row, row + 1)
        where = " / ".join(str(places.column(k)[0]) for k in range(places.num_columns) if str(places.column(k)[0]))
        return f"row {number} of {where}" if where else f"row {number}"

    return name


def spans(rows: int) -> Iterator[Rows]:
    """All positions, span by span."""
    for start in range(0, rows, SPAN_ROWS):
        yield np.arange(start, min(start + SPAN_ROWS, rows))


def chunks_of(spool: Spool, rows: Rows) -> Iterator[tuple[RawChunk, slice]]:
    """The spooled rows again as chunks of one file and sheet each, and their place among `rows`."""
    start, stop = int(rows[0]), int(rows[-1]) + 1
    table, places = spool.cells(start, stop), spool.places(start, stop)
    names = list(zip(*(places.column(k).to_pylist() for k in range(places.num_columns)), strict=True))
    cuts = [0, *(k for k in range(1, len(names)) if names[k] != names[k - 1]), len(rows)]
    for begin, end in pairwise(cuts):
        file, sheet = names[begin] if names else ("", "")
        within = slice(begin, end)
        numbers = spool.row_numbers(start + begin, start + end)
        yield RawChunk(table.slice(begin, end - begin), numbers, file, sheet, start + begin), within


# -- judging -----------------------------------------------------------------------------------------------------------


def may_be_meant(ledger: Ledger) -> NDArray[np.bool_]:
    """(rows,) which rows are understood, whatever became of them since."""
    return ~np.isin(ledger.outcomes, _OUT_BY_THEMSELVES)


def group_numbers(spool: Spool, column: int) -> NDArray[np.int32]:
    """(rows,) the number of each row's group; a row without a group value is a group by itself."""
    numbers = GroupNumbers()
    found = [
        numbers.number(spool.cells(start, start + SPAN_ROWS).column(column))
        for start in range(0, spool.n_rows, SPAN_ROWS)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def too_large(group_of: NDArray[np.int32], ledger: Ledger) -> OutcomeBlock:
    """The open rows of groups that no change set can hold."""
    open_rows = ledger.open_rows()
    sizes = np.bincount(group_of[open_rows], minlength=int(group_of.max(initial=-1)) + 1)
    rows = open_rows[sizes[group_of[open_rows]] > OPERATIONS_MAX]
    messages = [
        f"its group has {sizes[group_of[row]]} rows; one change set takes {OPERATIONS_MAX}" for row in rows.tolist()
    ]
    return before_sending(rows, Outcome.INVALID, message=messages)


def settle_open(block: OutcomeBlock, ledger: Ledger, settle: Settle) -> None:
    """Settle the rows of a block that are open still."""
    is_open = ledger.outcomes[block.rows] == 0
    if not is_open.any():
        return
    messages = block.message
    if isinstance(messages, list):
        messages = [text for text, wanted in zip(messages, is_open.tolist(), strict=True) if wanted]
    kept = before_sending(block.rows[is_open], Outcome.NONE, message=messages)
    kept.outcome = block.outcome[is_open]
    kept.refers_to = block.refers_to[is_open] if block.refers_to is not None else None
    settle(kept)


# -- kinds of job ------------------------------------------------------------------------------------------------------


class Task(Protocol):
    """A job that fits its input and its environment, whatever its kind: what a run needs of it."""

    @property
    def subject(self) -> str:
        """What only one run at a time may work on; part of the fingerprint."""

    @property
    def words(self) -> Mapping[str, str]:
        """What is asked for, for the report."""

    @property
    def key_headers(self) -> tuple[str, ...]:
        """The input's columns that tell its rows apart."""

    @property
    def notes(self) -> Sequence[str]:
        """What people should hear before the run."""

    def facts(self) -> str:
        """What the journal must keep so that rows in doubt can be read back without this job's file."""

    def intake(self, table: InputTable, directory: Path) -> Intake:
        """The reading of the input."""

    def judge(self, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
        """Settle repeats, contradictions and fallen groups; deal the rows into buckets.

        Pure in spool and ledger: a run that resumes judges the same again, and only open rows are settled.
        """

    def work(self, first: FirstPass, api_url: str, headers: Sequence[tuple[str, str]], tag: str = "") -> Work:
        """The engine's view of the rows."""
