"""The journal of a run: what was sent and how it ended, on disk before anything else happens.

Owns: journal.sqlite (WAL, synchronous=FULL), its versions, and what is still open in it.
Does not know: what an outcome means, HTTP, the input.
Method: one row per batch and per block of outcomes, never one per input row; one transaction per `record`. What was
committed survives a kill and a power cut; what was not is as if it had not happened.
Source: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bulklink.core.ledger import OutcomeBlock
from bulklink.errors import BulklinkError, JournalError, RunDirectoryError
from bulklink.files.columns import DamagedColumnsError
from bulklink.files.entries import Event, EventKind, SentBatch, pack_batch, pack_block, unpack_batch, unpack_block
from bulklink.files.writing import FILE_MODE, sync_directory
from bulklink.vocabulary import UNFINISHED, Outcome

__all__ = ["APPLICATION_ID", "VERSION", "Event", "EventKind", "Journal", "SentBatch", "Totals", "read_meta"]

APPLICATION_ID: Final = 0x62756C6B  # "bulk"
VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch (
    step INTEGER PRIMARY KEY, number INTEGER NOT NULL, at REAL NOT NULL, rows INTEGER NOT NULL,
    operations INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE block (step INTEGER PRIMARY KEY, rows INTEGER NOT NULL, settles INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX open_block ON block (step) WHERE NOT settles;
CREATE TABLE event (
    step INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, in_flight INTEGER NOT NULL, rate REAL NOT NULL,
    seconds REAL NOT NULL, count INTEGER NOT NULL, why TEXT NOT NULL);
"""
_INSERT_BATCH: Final = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_BLOCK: Final = "INSERT INTO block VALUES (?, ?, ?, ?)"
_INSERT_EVENT: Final = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_LAST_STEP: Final = (
    "SELECT coalesce(max(step), 0) FROM (SELECT max(step) AS step FROM batch "
    "UNION ALL SELECT max(step) FROM block UNION ALL SELECT max(step) FROM event)"
)
_LAST_MOMENT: Final = (
    "SELECT coalesce(max(at), 0.0) FROM (SELECT max(at) AS at FROM batch UNION ALL SELECT max(at) FROM event)"
)
_EVENTS: Final = (
    "SELECT step, at, kind, in_flight, rate, seconds, count, why FROM event WHERE step > ? ORDER BY step LIMIT 4096"
)
_SENT: Final = "SELECT count(*), coalesce(sum(operations), 0) FROM batch"
_HAPPENED: Final = "SELECT kind, sum(count), sum(seconds) FROM event GROUP BY kind"
_IS_UNFINISHED: Final = np.array([outcome in UNFINISHED for outcome in Outcome], np.bool_)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Totals(NamedTuple):
    """Sums over the journal: all sessions of the run together."""

    batches: int
    operations: int
    throttled: int
    retried: int
    rolled_back: int
    waited_s: float


class Journal:
    """An open journal. Its methods may be called from any thread; each call is one transaction.

    Reading raises JournalError (damaged, foreign, another version); writing raises RunDirectoryError (full, read-only).
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._step = 0

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, str]) -> Self:
        """A new journal with these facts in it. A kill leaves either no journal or a whole one."""
        draft = path.with_name(path.name + ".partial")
        with _writing(path):
            if path.exists():
                raise RunDirectoryError(f"{path} exists already")
            for name in (draft, path):
                for suffix in ("", "-wal", "-shm"):  # a log left behind would be replayed into the new journal
                    name.with_name(name.name + suffix).unlink(missing_ok=True)
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE))
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version={VERSION}")
                connection.executescript(_SCHEMA)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            finally:
                connection.close()
            draft.replace(path)
            sync_directory(path.parent)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, checked: bool = True) -> Self:
        """An existing journal as it was at its last commit. `checked`: look at every page of it first."""
        if not path.is_file():
            raise JournalError(f"there is no journal at {path}", hint="Give the directory of a run.")
        with _reading(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                _check_identity(path, connection, checked=checked)
            except BaseException:
                connection.close()
                raise
        journal = cls(path, connection)
        journal._step = journal._one(_LAST_STEP)
        return journal

    def close(self) -> None:
        """Fold the write-ahead log into the journal and let go of the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, key: str) -> str:
        """A fact of the run, "" if there is none of this name."""
        return self.all_meta().get(key, "")

    def all_meta(self) -> dict[str, str]:
        """All facts of the run."""
        return dict(self._rows("SELECT key, value FROM meta"))

    def set_meta(self, **facts: str) -> None:
        """Write down facts of the run, in one transaction."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", facts.items())

    def record(
        self,
        sent: Sequence[SentBatch] = (),
        settled: Sequence[OutcomeBlock] = (),
        events: Sequence[Event] = (),
    ) -> None:
        """Write all of this down, or none of it; it is on the disk when this returns.

        Blocks count as older than batches of the same call: rows that were set free may be sent again at once.
        """
        blocks = [(len(block), _settles(block), pack_block(block)) for block in settled if len(block)]
        batches = [
            (batch.number, batch.at, len(batch.rows), _operations(batch), pack_batch(batch))
            for batch in sent
            if len(batch.rows)
        ]
        happened = [(e.at, e.kind.value, e.in_flight, e.rate, e.seconds, e.count, e.why) for e in events]
        with self._transaction() as connection:
            step = self._step
            for statement, lines in ((_INSERT_BLOCK, blocks), (_INSERT_BATCH, batches), (_INSERT_EVENT, happened)):
                connection.executemany(statement, [(step + i, *line) for i, line in enumerate(lines, start=1)])
                step += len(lines)
            self._step = step  # also when the commit fails: a gap does no harm, a number given twice would

    def blocks(self) -> Iterator[OutcomeBlock]:
        """All blocks in the order in which they were recorded; a later one is right where they disagree."""
        for _, body in self._walk("SELECT step, body FROM block WHERE step > ? ORDER BY step LIMIT 64"):
            with _reading(self.path):
                yield unpack_block(body)

    def events(self) -> Iterator[Event]:
        """All events in the order in which they were recorded."""
        for _, at, kind, *rest in self._walk(_EVENTS):
            with _reading(self.path):
                yield Event(at, EventKind(kind), *rest)

    def totals(self) -> Totals:
        """The sums that the summary shows."""
        batches, operations = self._rows(_SENT)[0]
        happened = {kind: (count, seconds) for kind, count, seconds in self._rows(_HAPPENED)}
        kinds = (EventKind.THROTTLED, EventKind.RETRIED, EventKind.ROLLED_BACK)
        throttled, retried, rolled_back = (happened.get(kind.value, (0, 0.0))[0] for kind in kinds)
        waited_s = happened.get(EventKind.WAIT.value, (0, 0.0))[1]
        return Totals(batches, operations, throttled, retried, rolled_back, waited_s)

    def last_batch_number(self) -> int:
        """The highest number of a batch so far, 0 if none was sent."""
        return self._one("SELECT coalesce(max(number), 0) FROM batch")

    def last_moment(self) -> float:
        """When something was last sent or happened, seconds since 1970 UTC; 0 if nothing ever did."""
        return float(self._rows(_LAST_MOMENT)[0][0])

    def unsettled_batches(self) -> list[SentBatch]:
        """The batches with rows that may have been executed and have no outcome, each with these rows only.

        A row that was sent several times stands in the last batch that carried it. A row that a later block calls
        `NOT_ATTEMPTED` (known not to have been executed) stands in none.
        """
        known = _RowSet()
        for block in self.blocks():
            known.add(block.rows[~_IS_UNFINISHED[block.outcome]])
        open_batches = []
        query = (
            "SELECT step, 0, 0, 0.0, body FROM block WHERE NOT settles AND step < ?1 UNION ALL "
            "SELECT step, 1, number, at, body FROM batch WHERE step < ?1 ORDER BY step DESC LIMIT 64"
        )
        for _, is_batch, number, at, body in self._walk(query, backwards=True):
            with _reading(self.path):
                if is_batch:
                    batch = unpack_batch(number, at, body)
                    batch = batch.select(~known.holds(batch.rows))
                    if len(batch.rows):
                        open_batches.append(batch)
                    known.add(batch.rows)
                else:
                    block = unpack_block(body)
                    known.add(block.rows[block.outcome == Outcome.NOT_ATTEMPTED])
        return open_batches[::-1]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _writing(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, _reading(self.path):
            return self._connection.execute(query, values).fetchall()

    def _one(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _walk(self, query: str, *, backwards: bool = False) -> Iterator[tuple[Any, ...]]:
        """A long result page by page, so that a writer is never kept waiting; `query` goes on from a step."""
        step = 1 << 62 if backwards else 0
        while rows := self._rows(query, step):
            yield from rows
            step = rows[-1][0]


class _RowSet:
    """A set of positions, one byte each, that grows as needed."""

    def __init__(self) -> None:
        self._has = np.zeros(1 << 16, np.bool_)

    def add(self, rows: NDArray[np.int64]) -> None:
        if len(rows) and (end := int(rows.max()) + 1) > len(self._has):
            self._has = np.concatenate([self._has, np.zeros(max(end, 2 * len(self._has)) - len(self._has), np.bool_)])
        self._has[rows] = True

    def holds(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        held = np.zeros(len(rows), np.bool_)
        inside = rows < len(self._has)
        held[inside] = self._has[rows[inside]]
        return held


def read_meta(path: Path) -> dict[str, str]:
    """The facts of the run whose journal this is, without checking every page of it."""
    with Journal.open(path, checked=False) as journal:
        return journal.all_meta()


def _settles(block: OutcomeBlock) -> bool:
    return not bool(_IS_UNFINISHED[block.outcome].any())


def _operations(batch: SentBatch) -> int:
    return len(batch.rows) if batch.operations is None else batch.operations


def _check_identity(path: Path, connection: sqlite3.Connection, *, checked: bool) -> None:
    """Raise JournalError unless this is a whole journal of this version; make it safe against power cuts."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is not a journal of bulklink")
    if version != VERSION:
        raise JournalError(f"{path} has version {version}; this bulklink reads and writes version {VERSION}")
    if checked:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise JournalError(f"{path} is damaged: {found}")
    connection.execute("PRAGMA synchronous=FULL")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, DamagedColumnsError, ValueError) as error:
        raise JournalError(f"{path} is damaged or cannot be read: {error}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except BulklinkError:
        raise
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise JournalError(f"{path} is damaged: {error}") from error
        raise RunDirectoryError(f"{path} cannot be written: {error}") from error
