"""The outcomes of a job with several [[link]] as one table: the input's rows once for each link, in the links' order.

Owns: the column that says which link a line is about, the troubles of all links, each row once.
Does not know: how a run goes.
Source: the public contract (README, "Files of a run").
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bulklink.files.journal import Journal
from bulklink.files.outcome_table import OutcomeTable, own_name
from bulklink.files.outcomes import SINKS, TROUBLES
from bulklink.files.row_outcomes import RowOutcomes
from bulklink.files.run_directory import JOURNAL, SPOOL
from bulklink.files.spool import Spool
from bulklink.vocabulary import OUTCOME_COLUMNS, Outcome

_LINK: Final = "link"
#: What stands in the columns of ours for a link that was not begun.
_NOT_BEGUN: Final = {"outcome": Outcome.NOT_ATTEMPTED.word, "before": "unknown", "attempts": 0}


def write_linked_outcomes(directory: Path, runs: Sequence[Path | None], formats: Sequence[str]) -> list[str]:
    """Write outcomes and troubles of all links. runs: each link's run directory, None where it was not begun.

    The first link was begun. Returns what people should know about the files.
    """
    notes: list[str] = []
    with ExitStack() as stack:
        tables = [_opened(stack, run) if run else None for run in runs]
        first = tables[0]
        assert first is not None
        header = [*first.front, own_name(_LINK, set(first.input_header)), *first.input_header, *first.back]
        sinks = [
            stack.enter_context(SINKS[name](directory / f"outcomes.{name}", header, notes))
            for name in SINKS
            if name in formats
        ]
        wrong = _Wrong()
        for number, table in enumerate(tables, 1):
            wrong.begin()
            for chunk, not_as_asked in (table or first).chunks():
                for write in sinks:
                    write(_labelled(chunk if table else _not_begun(chunk, first), number, len(first.front)))
                wrong.add(not_as_asked if table else np.ones(chunk.num_rows, np.bool_))
        _write_troubles(directory / TROUBLES, first, wrong, notes)
    return notes


class _Wrong:
    """Which rows are not as asked in any link."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.bool_]] = []
        self._place = 0

    def begin(self) -> None:
        self._place = 0

    def add(self, not_as_asked: NDArray[np.bool_]) -> None:
        if self._place == len(self._parts):
            self._parts.append(not_as_asked.copy())
        else:
            self._parts[self._place] |= not_as_asked
        self._place += 1

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return iter(self._parts)


def _opened(stack: ExitStack, run: Path) -> OutcomeTable:
    spool = stack.enter_context(Spool.open(run / SPOOL))
    journal = stack.enter_context(Journal.open(run / JOURNAL))
    return OutcomeTable(spool, RowOutcomes(journal, spool.n_rows))


def _labelled(chunk: pa.Table, number: int, place: int) -> pa.Table:
    return chunk.add_column(place, _LINK, pa.array(np.full(chunk.num_rows, number)))


def _not_begun(chunk: pa.Table, table: OutcomeTable) -> pa.Table:
    first = len(table.front) + len(table.input_header)
    for place, name in enumerate(OUTCOME_COLUMNS, first):
        kind = chunk.schema.field(place).type
        value = pa.scalar(_NOT_BEGUN.get(name, "" if pa.types.is_string(kind) else None), kind)
        chunk = chunk.set_column(place, chunk.schema.field(place), pa.repeat(value, chunk.num_rows))
    return chunk


def _write_troubles(path: Path, table: OutcomeTable, wrong: _Wrong, notes: list[str]) -> None:
    if not any(part.any() for part in wrong):
        path.unlink(missing_ok=True)
        return
    with SINKS["csv"](path, table.input_header, notes) as write:
        for (chunk, _), part in zip(table.chunks(), wrong, strict=True):
            write(table.input_cells(chunk).filter(pa.array(part)))
