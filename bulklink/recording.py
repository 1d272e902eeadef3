"""Record jobs: the first pass of creates and updates, and their rows as work for the engine.

Owns: which rows speak of one record and what becomes of them before anything is sent.
Does not know: batches, sending, run directories.
Source: the public contract (README, "Job file", `[record]`; "Outcomes").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from bulklink.core.groups import joined, kept_back
from bulklink.core.ledger import Ledger
from bulklink.core.packing import BusySide, bucket_count, bucket_of
from bulklink.core.record_shape import RecordShape, Writing
from bulklink.core.record_wishes import RecordBook, Wish, judge_parts, judge_repeats
from bulklink.core.record_work import RecordWork
from bulklink.core.wishes import Judgement, before_sending
from bulklink.files.readers.model import InputTable
from bulklink.files.spool import BATCH_ROWS, Spool
from bulklink.first_pass import (
    FirstPass,
    Intake,
    Rows,
    Settle,
    group_numbers,
    may_be_meant,
    row_namer,
    settle_open,
    spans,
    too_large,
)
from bulklink.job import Record
from bulklink.record_intake import BODY, ETAG, RecordIntake
from bulklink.record_plan import RecordPlan
from bulklink.vocabulary import Outcome

Headers = Sequence[tuple[str, str]]

_ORPHAN = "a child without a record: the row that names the record is not understood"
_DIFFER = "they ask for different values in one record"


class SpooledRecords:
    """The rows of a record job, drawn from the spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def ids(self, rows: Rows) -> NDArray[np.uint8]:
        """(n, 16) the records' ids."""
        return self._spool.from_ids(rows)

    def bodies(self, rows: Rows) -> list[str]:
        """What each row asks of its record."""
        return self._texts(BODY, rows)

    def etags(self, rows: Rows) -> list[str]:
        """The version that a record must still have, "" if any will do."""
        return self._texts(ETAG, rows)

    def _texts(self, name: str, rows: Rows) -> list[str]:
        """A column of text, piece by piece of the spool: only what lies between the rows asked for is read."""
        found = [""] * len(rows)
        batches = rows // BATCH_ROWS
        for batch in np.unique(batches).tolist():
            places = np.flatnonzero(batches == batch)
            mine = rows[places]
            first = int(mine.min())
            column = self._spool.extra(name, first, int(mine.max()) + 1)  # noqa: S610 - no database
            for place, row in zip(places.tolist(), mine.tolist(), strict=True):
                found[place] = column[row - first].as_py()
        return found


@dataclass(frozen=True, slots=True)
class RecordTask:
    """A record job that fits its input and its environment."""

    record: Record
    plan: RecordPlan

    @property
    def subject(self) -> str:
        """One run at a time writes a table's records."""
        return f"records of {self.record.table}"

    @property
    def words(self) -> dict[str, str]:
        """What is asked for, for the report."""
        record, plan = self.record, self.plan
        names = (("columns", record.columns), ("lookups", record.lookups), ("collections", record.collections))
        words = {"table": record.table, "action": record.action}
        if plan.key:
            words["record"] = f"{record.table} by {', '.join(plan.key.headers)}"
        words |= {name: ", ".join(keys) for name, keys in (*names, ("nested records", record.children)) if keys}
        form = "POST with columns, binds and nested records" if record.action == "create" else "PATCH with If-Match"
        return words | {"wire form": form}

    @property
    def key_headers(self) -> tuple[str, ...]:
        """The columns that tell records apart."""
        if self.plan.key:
            return self.plan.key.headers
        return self.record.id_from or tuple(cell.header for cell in self.plan.own.cells[:1])

    @property
    def notes(self) -> list[str]:
        """Nothing that people must hear first."""
        return []

    def facts(self) -> str:
        """The shape of the records, by which they are read back."""
        return self.plan.shape.to_text()

    def intake(self, table: InputTable, directory: Path) -> Intake:
        """The reading of the input."""
        return RecordIntake(self.plan, table, directory)

    def judge(self, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
        """Settle repeats, contradictions and fallen groups; deal the rows into buckets."""
        # A row with nothing to write contradicts nobody.
        eligible = may_be_meant(ledger) & (ledger.outcomes != Outcome.UNCHANGED)
        records = SpooledRecords(spool)
        tell = None
        if self.plan.parts_column is not None:
            tell = self._parts(spool, records)
            orphans = self._orphans(spool, records, eligible)
            settle_open(before_sending(orphans, Outcome.INVALID, message=_ORPHAN), ledger, settle)
            eligible[orphans] = False

        def judged(rows: list[int], judgement: Judgement, name_row: Callable[[int], str]) -> None:
            if self.record.action == "update":
                judge_repeats(
                    _updates(rows, records), judgement, name_row, "they ask for different values in one record"
                )
            elif tell is None:
                judge_repeats([Wish(row, "") for row in rows], judgement, name_row, "")
            else:
                tell(rows, judgement, name_row)

        return judge_records(spool, ledger, settle, eligible, judged, self.plan.group_column)

    def work(self, first: FirstPass, api_url: str, headers: Headers, tag: str = "") -> RecordWork:
        """The engine's view of the rows."""
        return RecordWork(
            self.plan.shape,
            SpooledRecords(first.spool),
            writing(api_url, headers, tag),
            first.buckets,
            first.judgement.riders,
            row_namer(first.spool),
        )

    def _orphans(self, spool: Spool, records: SpooledRecords, eligible: NDArray[np.bool_]) -> Rows:
        """Rows with nothing but a nested record, whose record has no row that is understood."""
        named: set[bytes] = set()
        alone: list[tuple[int, bytes]] = []
        for span in spans(spool.n_rows):
            rows = span[eligible[span]]
            ids = spool.from_ids(rows).tobytes()
            for k, (row, body) in enumerate(zip(rows.tolist(), records.bodies(rows), strict=True)):
                record_id = ids[16 * k : 16 * k + 16]
                if self.plan.shape.own_part(body) == "{}":
                    alone.append((row, record_id))
                else:
                    named.add(record_id)
        return np.array([row for row, record_id in alone if record_id not in named], np.int64)

    def _parts(self, spool: Spool, records: SpooledRecords) -> Callable[..., None]:
        """Rows that make one record together: their own cells must agree or be empty, each adds its nested record."""
        shape, column = self.plan.shape, self.plan.parts_column
        assert column is not None
        numbers = group_numbers(spool, column)

        def tell(rows: list[int], judgement: Judgement, name_row: Callable[[int], str]) -> None:
            bodies = dict(zip(rows, records.bodies(np.array(rows, np.int64)), strict=True))
            own = {row: shape.own_part(body) for row, body in bodies.items()}
            full = [row for row in rows if own[row] != "{}"]
            strangers = [row for row in full if numbers[row] != numbers[full[0]]]
            together = [row for row in rows if row not in strangers]
            if len({own[row] for row in full if row not in strangers}) > 1:
                wishes = [Wish(row, own[row]) for row in together]
                judge_repeats(wishes, judgement, name_row, "they give one record different cells")
            else:
                # The row with the record's own cells goes first: the others add to it.
                ordered = [full[0], *(row for row in together if row != full[0])]
                judge_parts([Wish(row, row) for row in ordered], judgement)
            judge_repeats([Wish(row, "") for row in [full[0], *strangers]], judgement, name_row, "")

        return tell


def judge_records(
    spool: Spool,
    ledger: Ledger,
    settle: Settle,
    eligible: NDArray[np.bool_],
    judged: Callable[[list[int], Judgement, Callable[[int], str]], None],
    group_column: int | None,
) -> FirstPass:
    """What record and parties jobs have in common: rows by record, groups, buckets."""
    name_row, judgement = row_namer(spool), Judgement()
    book, busy = RecordBook(spool.n_rows), BusySide()
    for span in spans(spool.n_rows):
        rows = span[eligible[span]]
        book.add(rows, spool.from_ids(rows))
        busy.add(spool.from_ids(rows), spool.to_ids(rows))
    for shared in book.shared(spool.from_ids):
        judged(shared, judgement, name_row)
    for block in judgement.settled:
        settle_open(block, ledger, settle)
    group_of = None
    if group_column is not None:
        group_of = joined(group_numbers(spool, group_column), judgement.riders)
        settle_open(too_large(group_of, ledger), ledger, settle)
        settle_open(kept_back(group_of, ledger, name_row), ledger, settle)
    return FirstPass(spool, judgement, _buckets(spool, busy), group_of)


def _buckets(spool: Spool, busy: BusySide) -> NDArray[np.uint16]:
    """By the record that many rows bind, if there are such; else in the order of the file, which reads fastest."""
    count = bucket_count(spool.n_rows)
    buckets = np.zeros(spool.n_rows, np.uint16)
    for rows in spans(spool.n_rows):
        buckets[rows] = bucket_of(spool.to_ids(rows), count) if busy.is_to else rows * count // spool.n_rows
    return buckets


def _updates(rows: Sequence[int], records: SpooledRecords) -> list[Wish]:
    some = np.array(rows, np.int64)
    asked = zip(rows, records.bodies(some), records.etags(some), strict=True)
    return [Wish(row, (body, etag)) for row, body, etag in asked]


def writing(api_url: str, headers: Headers, tag: str = "") -> Writing:
    """How the requests of a job are written."""
    query = f"tag={quote(tag, safe='')}" if tag else ""
    return Writing(urlsplit(api_url).path, tuple(headers), query)


def work_for_reading(facts: str, spool: Spool, api_path: str) -> RecordWork:
    """The rows of an earlier run, to be read back only. facts: what `RecordTask.facts` wrote."""
    nowhere = np.zeros(spool.n_rows, np.uint16)
    shape = RecordShape.from_text(facts)
    return RecordWork(shape, SpooledRecords(spool), Writing(api_path), nowhere, {}, row_namer(spool))
