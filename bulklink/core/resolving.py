"""Business keys -> records: which GETs to send, and what their answers say about each key.

Owns: the distinct keys of one side, the questions about them, and the state of each: resolved, unresolved, ambiguous,
invalid. Each side has a book of its own, so that keys of different sides or tables never meet.
Does not know: how GETs are sent, rows beyond the numbers of their keys.
Source: the public contract (README, "match"); Microsoft Learn, "Query data using the Web API" (`In`, filters, paging).
"""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bulklink.core.facts import Column, Table
from bulklink.core.key_values import Comparing, MisfitError, can_be_key, can_be_listed, read_answer_value, read_cell
from bulklink.core.keys import GuidArray, guid_text, percent_encode
from bulklink.core.looking import get_request, in_filter
from bulklink.errors import JobError

#: Keys per GET. The service takes no query of more than 500 conditions, and a composite key needs one per column.
KEYS_PER_GET: Final = 200
CONDITIONS_PER_GET: Final = 400
#: Inside a batch a URL may have 65,536 characters; the rest is for the request line and for what proxies add.
URL_CHARACTERS_MAX: Final = 60_000
#: GETs per HTTP request: two thousand keys of a column, and answers of a few megabytes at most.
GETS_PER_BATCH: Final = 20
BATCH_CHARACTERS_MAX: Final = 1_000_000
#: A page of the whole table costs about as much as this many GETs by key.
GETS_WORTH_A_PAGE: Final = 10
RECORDS_PER_PAGE: Final = 5_000
#: Ids shown of an ambiguous key.
IDS_SHOWN: Final = 3

#: Characters on whose quoting inside a list of values the service's two parsers (OData, JSON) do not agree.
_UNLISTABLE: Final = frozenset("'\"\\")


@dataclass(frozen=True, slots=True)
class Match:
    """By which columns one side's records are found. where: an OData filter that they must meet too.

    scope: a lookup column whose value is kept of each record found; see `KeyBook.scoped`.
    """

    table: Table
    columns: tuple[Column, ...]
    where: str = ""
    comparing: Comparing = field(default_factory=Comparing)
    scope: Column | None = None

    def __post_init__(self) -> None:
        for column in self.columns:
            if not can_be_key(column):
                raise JobError(
                    f"{self.table.logical_name}.{column.logical_name} cannot identify a record: "
                    "the service does not search this type of column by value."
                )

    @property
    def is_primary_key(self) -> bool:
        """The cells hold the records' own ids: there is nothing to ask."""
        names = [column.logical_name for column in self.columns]
        return names == [self.table.primary_id] and not self.where and self.scope is None


class KeyState(IntEnum):
    """What is known of a key."""

    UNRESOLVED = 0
    RESOLVED = 1
    AMBIGUOUS = 2
    INVALID = 3


class KeyQuestion(NamedTuple):
    """One GET. keys: the distinct keys it is about; empty for a page of the whole table, which is about all."""

    request: bytes
    keys: range


@dataclass(slots=True)
class _Key:
    """One distinct key: as the first row had it, and as filters write it."""

    shown: str
    plains: tuple[str, ...]
    literals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of the keys: one entry each. ids: zero where there is not exactly one record."""

    ids: GuidArray
    states: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int32]


class KeyBook:
    """The distinct keys of one side of a job.

    Memory: about 1 kB per distinct key, nothing per row.
    """

    def __init__(self, match: Match) -> None:
        self.match = match
        self._keys: list[_Key] = []
        self._numbers: dict[tuple[Hashable, ...], int] = {}
        self._numbers_of_cells: dict[tuple[str, ...], int] = {}
        self._misfits: dict[int, str] = {}
        self._counts: list[int] = []
        self._ids: dict[int, list[bytes]] = {}
        self._scoped: dict[int, dict[bytes, list[bytes]]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, cells: Sequence[pa.Array]) -> npt.NDArray[np.int32]:
        """Take in the key cells of a chunk, one array of text per column. Returns the number of each row's key."""
        rows = np.zeros(len(cells[0]), dtype=np.int64)
        encoded = [pc.dictionary_encode(_plain(column)) for column in cells]
        indices = [column.indices.to_numpy(zero_copy_only=False) for column in encoded]
        for column, places in zip(encoded, indices, strict=True):
            # Dense again after each column, so that no number of columns overflows.
            rows = np.unique(rows * len(column.dictionary) + places, return_inverse=True)[1].reshape(-1)
        _, firsts = np.unique(rows, return_index=True)
        texts = [
            column.dictionary.take(pa.array(places[firsts])).to_pylist()
            for column, places in zip(encoded, indices, strict=True)
        ]
        numbers = np.fromiter(map(self._number, zip(*texts, strict=True)), dtype=np.int32, count=len(firsts))
        return numbers[rows]

    def questions(self, api_path: str) -> Iterator[KeyQuestion]:
        """The GETs that ask for every key, written while they are drawn. api_path: e.g. ``/api/data/v9.2``."""
        prefix = self._prefix(api_path)
        start = 0
        while start < len(self._keys):
            stop = self._stop_of_question(start, len(prefix))
            wanted = [self._keys[number] for number in range(start, stop) if number not in self._misfits]
            if wanted:
                yield KeyQuestion(get_request(prefix + self._filter(wanted)), range(start, stop))
            start = stop

    def whole_table(self, api_path: str) -> KeyQuestion:
        """The GET for the first page of all records that meet `where`."""
        where = f"&$filter={percent_encode(self.match.where)}" if self.match.where else ""
        return KeyQuestion(get_request(f"{self._address(api_path)}{where}"), range(0))

    def scoped(self, number: int) -> Mapping[bytes, list[bytes]]:
        """Scope -> the records found there (as many as are shown), for a match that keeps the scope."""
        return self._scoped.get(number, {})

    def scope_of(self, number: int) -> bytes | None:
        """The scope of the one record that a key means; None if it does not mean one."""
        scopes = self.scoped(number)
        return next(iter(scopes)) if self._counts[number] == 1 and len(scopes) == 1 else None

    def shown(self, number: int) -> str:
        """A key for people: its columns and the cells."""
        names = ", ".join(column.logical_name for column in self.match.columns)
        return f"{names} {self._keys[number].shown}"

    def could_read_whole_table(self) -> bool:
        """Whether there are keys enough for the whole table to be cheaper, if it is small."""
        return self.is_whole_table_cheaper(0)

    def is_whole_table_cheaper(self, table_records: int | None) -> bool:
        """Whether reading all records in pages beats asking for the keys. table_records: None if unknown."""
        if table_records is None:
            return False
        pages = table_records // RECORDS_PER_PAGE + 1
        gets = -(-(len(self._keys) - len(self._misfits)) // self._keys_per_get())
        return pages * GETS_WORTH_A_PAGE <= gets

    def take(self, question: KeyQuestion, body: bytes) -> None:
        """Learn from one page of the answer to a question. Raises ValueError if it is none."""
        page = json.loads(body, parse_float=Decimal)
        records = page.get("value") if isinstance(page, dict) else None
        if not isinstance(records, list):
            raise ValueError("the answer holds no list of records")
        for record in records:
            try:
                self._take_record(question, record)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"a record of the answer is not as asked for: {error!r}") from error

    def resolution(self) -> Resolution:
        """What is known of the keys by now."""
        counts = np.array(self._counts, dtype=np.int32)
        states = np.minimum(counts, KeyState.AMBIGUOUS).astype(np.uint8)
        states[list(self._misfits)] = KeyState.INVALID
        ids = np.zeros((len(counts), 16), dtype=np.uint8)
        resolved = np.flatnonzero(states == KeyState.RESOLVED)
        if len(resolved):
            found = b"".join(self._ids[number][0] for number in resolved.tolist())
            ids[resolved] = np.frombuffer(found, dtype=np.uint8).reshape(-1, 16)
        return Resolution(ids, states, counts)

    def message(self, number: int) -> str:
        """Why a key has no record, or not one: for people."""
        if number in self._misfits:
            return self._misfits[number]
        count = self._counts[number]
        table = self.match.table.logical_name
        where = f" where {self.match.where}" if self.match.where else ""
        subject = f"{self.shown(number)} matches"
        if count == 0:
            return f"{subject} no {table}{where}"
        ids = ", ".join(guid_text(id16) for id16 in self._ids[number])
        return f"{subject} {count} {table} records{where}: {ids}{', …' if count > IDS_SHOWN else ''}"

    # -- taking in keys

    def _number(self, cells: tuple[str, ...]) -> int:
        known = self._numbers_of_cells.get(cells)
        if known is None:
            known = self._numbers_of_cells[cells] = self._new_number(cells)
        return known

    def _new_number(self, cells: tuple[str, ...]) -> int:
        """The number of the key that these cells mean; a new one if no other cells have meant it."""
        try:
            typed = [
                read_cell(column, cell, self.match.comparing)
                for column, cell in zip(self.match.columns, cells, strict=True)
            ]
            key = _Key(_shown(cells), tuple(t.plain for t in typed), tuple(t.literal for t in typed))
            if len(self._clause(key)) > URL_CHARACTERS_MAX // 2:
                raise MisfitError(f"{self.match.columns[0].logical_name} is too long to be looked up")
        except MisfitError as misfit:
            number = self._append(_Key(_shown(cells), (), ()))
            self._misfits[number] = str(misfit)
            return number
        comparable = tuple(t.comparable for t in typed)
        if comparable not in self._numbers:
            self._numbers[comparable] = self._append(key)
        return self._numbers[comparable]

    def _append(self, key: _Key) -> int:
        self._keys.append(key)
        self._counts.append(0)
        return len(self._keys) - 1

    # -- asking

    def _address(self, api_path: str) -> str:
        columns = [*self.match.columns, *([self.match.scope] if self.match.scope else [])]
        select = dict.fromkeys([self.match.table.primary_id, *(column.property_name for column in columns)])
        return f"{api_path}/{self.match.table.entity_set}?$select={','.join(select)}"

    def _prefix(self, api_path: str) -> str:
        where = f"({percent_encode(self.match.where)})%20and%20" if self.match.where else ""
        return f"{self._address(api_path)}&$filter={where}"

    def _keys_per_get(self) -> int:
        return min(KEYS_PER_GET, CONDITIONS_PER_GET // len(self.match.columns))

    def _stop_of_question(self, start: int, prefix_characters: int) -> int:
        """Where the question ends that begins with key `start`: by number of keys and by length of the URL."""
        room = URL_CHARACTERS_MAX - prefix_characters
        asked = 0
        for number in range(start, len(self._keys)):
            if number in self._misfits:
                continue
            room -= len(self._clause(self._keys[number])) + len("%20or%20")
            if asked and (asked == self._keys_per_get() or room < 0):
                return number
            asked += 1
        return len(self._keys)

    def _filter(self, keys: Sequence[_Key]) -> str:
        column = self.match.columns[0]
        if len(self.match.columns) == 1 and can_be_listed(column.kind):
            plains = [key.plains[0] for key in keys]
            if not any(_UNLISTABLE.intersection(plain) for plain in plains):
                return in_filter(column.logical_name, plains)
        clauses = "%20or%20".join(self._clause(key) for key in keys)
        return f"({clauses})"

    def _clause(self, key: _Key) -> str:
        """The conditions of one key, percent-encoded."""
        conditions = [
            f"{column.property_name}%20eq%20{percent_encode(literal)}"
            for column, literal in zip(self.match.columns, key.literals, strict=True)
        ]
        joined = "%20and%20".join(conditions)
        return f"({joined})" if len(conditions) > 1 else joined

    # -- learning

    def _take_record(self, question: KeyQuestion, record: Mapping[str, Any]) -> None:
        values = tuple(
            read_answer_value(column, record[column.property_name], self.match.comparing)
            for column in self.match.columns
        )
        number = self._numbers.get(values)
        # What the service takes for equal and we do not, or what another question is about, is not for this one.
        if number is None or (question.keys and number not in question.keys):
            return
        id16 = bytes.fromhex(record[self.match.table.primary_id].replace("-", ""))
        ids = self._ids.setdefault(number, [])
        if id16 not in ids:
            self._counts[number] += 1
            if len(ids) < IDS_SHOWN:
                ids.append(id16)
        if self.match.scope is not None and (scope := record[self.match.scope.property_name]) is not None:
            there = self._scoped.setdefault(number, {}).setdefault(bytes.fromhex(scope.replace("-", "")), [])
            if id16 not in there and len(there) < IDS_SHOWN:
                there.append(id16)


def batches(questions: Iterator[KeyQuestion]) -> Iterator[list[KeyQuestion]]:
    """The questions in portions for one HTTP request each."""
    portion: list[KeyQuestion] = []
    characters = 0
    for question in questions:
        if portion and (len(portion) == GETS_PER_BATCH or characters + len(question.request) > BATCH_CHARACTERS_MAX):
            yield portion
            portion, characters = [], 0
        portion.append(question)
        characters += len(question.request)
    if portion:
        yield portion


def _plain(column: pa.Array) -> pa.Array:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.fill_null(column, "") if column.null_count else column


def _shown(cells: Sequence[str]) -> str:
    return ", ".join(repr(cell if len(cell) <= 60 else cell[:59] + "…") for cell in cells)
