"""Everything that the report says, as values.

Owns: what is worth telling of a run, and how much of it fits a page that people open and send.
Does not know: HTML.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from bulklink.files.about_run import AboutRun, RunEnd
from bulklink.files.journal import Journal
from bulklink.files.outcome_table import OutcomeTable
from bulklink.files.report.hubs import Hub, find_hubs
from bulklink.files.report.timeline import Timeline, timeline
from bulklink.files.row_outcomes import Books, RowOutcomes
from bulklink.files.spool import Spool
from bulklink.vocabulary import UNFINISHED

#: A code or an outcome -> what it means and what to do, None if that is not known.
Explain = Callable[[str], tuple[str, str] | None]

TROUBLES_MAX: Final = 2_000
TROUBLES_OF_A_KIND_MAX: Final = 250
UNFINISHED_OF_A_KIND_MAX: Final = 20  # nothing can be learned from more of them
TROUBLES_BYTES_MAX: Final = 1_400_000
CELL_CHARACTERS_MAX: Final = 120
HEADER_CHARACTERS_MAX: Final = 40
MESSAGE_CHARACTERS_MAX: Final = 400
COLUMNS_MAX: Final = 5
EXAMPLES: Final = 5
KINDS_MAX: Final = 60
ROW_BYTES: Final = 600  # about what the page adds around the texts of a row
OTHER_CODES: Final = "other codes"

_UNFINISHED: Final = frozenset(outcome.word for outcome in UNFINISHED)
#: What may lie in a run directory, in the order in which people want it.
FILES: Final = (
    "outcomes.csv",
    "outcomes.xlsx",
    "outcomes.parquet",
    "troubles.csv",
    "removals.csv",
    "summary.json",
    "log.jsonl",
    "journal.sqlite",
    "input.arrow",
)


class Trouble(NamedTuple):
    """One row not as asked. origin: its file and sheet, "" if there is only one."""

    row: int
    origin: str
    cells: tuple[str, ...]
    outcome: str
    code: str
    message: str


@dataclass(slots=True)
class Fault:
    """Rows not as asked for one reason. names: the first of them; message: of the first one."""

    outcome: str
    code: str
    rows: int
    message: str
    names: list[str]
    meaning: str = ""
    advice: str = ""


class FileFacts(NamedTuple):
    """A file of the run."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """The input of the page. headers: those of the cells that `troubles` shows, of `headers_all` in all."""

    about: AboutRun
    end: RunEnd
    summary: Mapping[str, Any]
    books: Books
    timeline: Timeline
    faults: Sequence[Fault]
    troubles: Sequence[Trouble]
    headers: Sequence[str]
    headers_all: int
    hubs: Sequence[Hub]
    files: Sequence[FileFacts]
    directory: Path


def gather(
    directory: Path, spool: Spool, journal: Journal, summary: Mapping[str, Any], explain: Explain
) -> ReportFacts:
    """The facts of a run whose other files are written. summary: what summary.json holds."""
    meta = journal.all_meta()
    about, end = AboutRun.from_meta(meta), RunEnd.from_meta(meta)
    outcomes = RowOutcomes(journal, spool.n_rows)
    shown = _shown_columns(spool.header, about.key_headers)
    table = OutcomeTable(spool, outcomes)
    troubles = _Troubles(table, shown)
    for chunk in table.troubles():
        troubles.add(chunk)
    return ReportFacts(
        about,
        end,
        summary,
        outcomes.books(),
        timeline(journal.events()),
        troubles.explained(explain),
        troubles.rows,
        [spool.header[k] for k in shown],
        len(spool.header),
        find_hubs(spool),
        _files(directory),
        directory.absolute(),
    )


class _Troubles:
    """Rows not as asked, counted by kind; the first of each kind are kept, in input order."""

    def __init__(self, table: OutcomeTable, shown: Sequence[int]) -> None:
        self._front = len(table.front)
        self._has_origins = self._front > 1
        self._shown = [self._front + k for k in shown]
        self._behind = self._front + len(table.input_header)
        self._kinds: dict[tuple[str, str], Fault] = {}
        self._kept: Counter[tuple[str, str]] = Counter()
        self._bytes = 0
        self._row_bytes = ROW_BYTES + sum(
            _page_bytes(shortened(table.input_header[k], HEADER_CHARACTERS_MAX)) for k in shown
        )
        self.rows: list[Trouble] = []

    def add(self, chunk: pa.Table) -> None:
        """Take consecutive rows, all of them not as asked."""
        outcomes, codes = chunk.column(self._behind), chunk.column(self._behind + 2)
        places = pa.array(np.arange(chunk.num_rows))
        kinds = pa.table([outcomes, codes, places], ["outcome", "code", "place"]).group_by(["outcome", "code"])
        worth_showing: list[tuple[int, tuple[str, str]]] = []
        for kind in kinds.aggregate([("place", "list")]).to_pylist():
            key = self._key(kind["outcome"], kind["code"])
            fault = self._kinds.setdefault(key, Fault(*key, 0, "", []))
            fault.rows += len(kind["place_list"])
            few = kind["place_list"][: _most_shown(key[0]) - self._kept[key]]
            self._kept[key] += len(few)
            worth_showing += [(place, key) for place in few]
        for place, key in sorted(worth_showing):
            self._show(self._trouble(chunk, place), self._kinds[key])

    def explained(self, explain: Explain) -> list[Fault]:
        """The kinds of trouble with what they mean (of the code, else of the outcome), most rows first.

        What is merely unfinished comes last.
        """
        faults = sorted(self._kinds.values(), key=lambda fault: (fault.outcome in _UNFINISHED, -fault.rows))
        for fault in faults:
            fault.meaning, fault.advice = explain(fault.code) or explain(fault.outcome) or ("", "")
        return faults

    def _key(self, outcome: str, code: str) -> tuple[str, str]:
        is_known = (outcome, code) in self._kinds or len(self._kinds) < KINDS_MAX
        return (outcome, code) if is_known else (outcome, OTHER_CODES)

    def _trouble(self, chunk: pa.Table, place: int) -> Trouble:
        def text(column: int, longest: int) -> str:
            return shortened(str(chunk.column(column)[place].as_py() or ""), longest)

        file, sheet = (text(k, CELL_CHARACTERS_MAX) for k in (1, 2)) if self._has_origins else ("", "")
        return Trouble(
            chunk.column(0)[place].as_py(),
            f"{file}, sheet {sheet}" if sheet else file,
            tuple(text(column, CELL_CHARACTERS_MAX) for column in self._shown),
            text(self._behind, CELL_CHARACTERS_MAX),
            text(self._behind + 2, CELL_CHARACTERS_MAX),
            text(self._behind + 3, MESSAGE_CHARACTERS_MAX),
        )

    def _show(self, trouble: Trouble, fault: Fault) -> None:
        fault.message = fault.message or trouble.message
        if len(fault.names) < EXAMPLES:
            fault.names.append(f"row {trouble.row}" + (f" of {trouble.origin}" if trouble.origin else ""))
        self._bytes += self._row_bytes + sum(map(_page_bytes, (*trouble.cells, trouble.code, trouble.message)))
        if len(self.rows) < TROUBLES_MAX and self._bytes <= TROUBLES_BYTES_MAX:
            self.rows.append(trouble)


def _shown_columns(header: Sequence[str], key_headers: Sequence[str]) -> list[int]:
    """The columns that tell a row from the others: those that the job uses, then the first ones."""
    keys = [k for k, name in enumerate(header) if name in key_headers]
    others = [k for k in range(len(header)) if k not in keys]
    return sorted((keys + others)[:COLUMNS_MAX])


def _most_shown(outcome: str) -> int:
    return UNFINISHED_OF_A_KIND_MAX if outcome in _UNFINISHED else TROUBLES_OF_A_KIND_MAX


def _page_bytes(text: str) -> int:
    """The bytes that a text takes in the page: some characters are written as up to six."""
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&\"'"))


def shortened(text: str, longest: int) -> str:
    """The text, cut where it is longer than this many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _files(directory: Path) -> list[FileFacts]:
    """The files of the run that people may want, in the order of the contract."""
    return [FileFacts(name, (directory / name).stat().st_size) for name in FILES if (directory / name).is_file()]
