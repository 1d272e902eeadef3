"""The reading of a record job's input: every row becomes the body of its record, or is told what is wrong with it.

Owns: the way from cells to bodies, the ids of new records, and which rows get their outcome here.
Does not know: sending, run directories, how keys are asked for.
Source: the public contract (README, "Job file", `[record]`; "Outcomes").
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bulklink.core.key_values import MisfitError
from bulklink.core.keys import guid_texts, parse_guids
from bulklink.core.ledger import OutcomeBlock
from bulklink.core.record_shape import BIND
from bulklink.core.record_values import json_of
from bulklink.core.resolving import KeyBook, KeyState, Resolution
from bulklink.core.table import shown
from bulklink.core.wishes import before_sending
from bulklink.files.outcome_table import RECORD_IDS
from bulklink.files.readers.model import InputTable, RawChunk
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.first_pass import STATE_OUTCOMES, Rows, RowSide, chunks_of, spans
from bulklink.record_plan import CellPlan, CollectionPlan, LookupPlan, PartPlan, RecordPlan
from bulklink.vocabulary import Action, Outcome

#: Under it the ids of all records that bulklink creates lie.
ID_SPACE: Final = uuid.UUID("6f0f3f0a-6b1d-5a64-8f4e-2d1c8f6b6c5e")
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e]+"')
#: Where a row names no record.
NO_ID: Final = bytes(16)
#: The further columns of the spool.
BODY: Final = "body"
ETAG: Final = "etag"


@dataclass(slots=True)
class Trouble:
    """What is wrong with the rows of a span: position in it -> outcome and reasons. The first outcome stays,
    but for `invalid`, which says more than the others."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    reasons: dict[int, list[str]] = field(default_factory=dict)

    def note(self, k: int, outcome: Outcome, reason: str) -> None:
        """One more thing that is wrong with a row."""
        if outcome is Outcome.INVALID:
            self.outcomes[k] = outcome
        self.outcomes.setdefault(k, outcome)
        self.reasons.setdefault(k, []).append(reason)

    def blocks(self, rows: Rows) -> Iterator[OutcomeBlock]:
        """The outcomes, kind by kind."""
        for outcome in sorted(set(self.outcomes.values())):
            hit = [k for k, one in sorted(self.outcomes.items()) if one is outcome]
            texts = ["; ".join(dict.fromkeys(self.reasons[k])) for k in hit]
            yield before_sending(rows[hit], outcome, message=texts)


class SideKeys:
    """The records that the rows name on one side: by their own ids, or by keys that the service is asked about."""

    def __init__(self, side: RowSide, separator: str = "") -> None:
        self.side = side
        self.book = None if side.match.is_primary_key else KeyBook(side.match)
        self._separator = separator
        self._numbers: list[NDArray[np.int32]] = []
        self._ends: list[NDArray[np.int64]] = []
        self._resolution: Resolution | None = None
        self._all_numbers: NDArray[np.int32] = np.zeros(0, np.int32)
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)

    def take(self, table: pa.Table) -> None:
        """Take in the keys of a chunk."""
        if self.book is None:
            return
        cells = [table.column(position).combine_chunks() for position in self.side.columns]
        if self._separator:
            texts = [split(text, self._separator) for text in cells[0].to_pylist()]
            self._ends.append(np.array([len(one) for one in texts], np.int64))
            cells = [pa.array([text for one in texts for text in one], pa.string())]
        if len(cells[0]):
            self._numbers.append(self.book.add(cells))

    def close_intake(self) -> None:
        """All answers are in."""
        if self.book is None:
            return
        self._resolution = self.book.resolution()
        self._all_numbers = np.concatenate(self._numbers) if self._numbers else self._all_numbers
        if self._separator:
            self._starts = np.r_[0, np.cumsum(np.concatenate(self._ends))] if self._ends else self._starts

    def ids(self, table: pa.Table, rows: Rows, trouble: Trouble) -> list[bytes]:
        """The record of each row; 16 zero bytes where the row names none, or there is trouble."""
        texts = [table.column(position) for position in self.side.columns]
        blank = np.logical_and.reduce([_blank(column) for column in texts])
        if self.book is None:
            found, valid = parse_guids(texts[0])
            for k in np.flatnonzero(~valid & ~blank).tolist():
                trouble.note(k, Outcome.INVALID, f"{self.side.headers[0]}: {shown(texts[0][k].as_py())} is not a GUID")
            return _each(np.where((valid & ~blank)[:, None], found, 0).astype(np.uint8))
        assert self._resolution is not None
        numbers = self._all_numbers[rows]
        for k in np.flatnonzero((self._resolution.states[numbers] != KeyState.RESOLVED) & ~blank).tolist():
            self._note(k, int(numbers[k]), trouble)
        return _each(np.where(blank[:, None], 0, self._resolution.ids[numbers]).astype(np.uint8))

    def many_ids(self, texts: Sequence[str], rows: Rows, trouble: Trouble) -> list[list[bytes]]:
        """The records of each row's cell, in order, each once."""
        found: list[list[bytes]] = []
        for k, (row, text) in enumerate(zip(rows.tolist(), texts, strict=True)):
            parts = split(text, self._separator)
            if not parts:
                found.append([])
            elif self.book is None:
                found.append(self._parsed(k, parts, trouble))
            else:
                start = int(self._starts[row])
                found.append(self._resolved(k, self._all_numbers[start : start + len(parts)].tolist(), trouble))
        return found

    def _parsed(self, k: int, parts: Sequence[str], trouble: Trouble) -> list[bytes]:
        ids, valid = parse_guids(pa.array(parts, pa.string()))
        for place in np.flatnonzero(~valid).tolist():
            trouble.note(k, Outcome.INVALID, f"{self.side.headers[0]}: {shown(parts[place])} is not a GUID")
        return list(dict.fromkeys(_each(ids)))

    def _resolved(self, k: int, numbers: Sequence[int], trouble: Trouble) -> list[bytes]:
        assert self._resolution is not None
        for number in numbers:
            if self._resolution.states[number] != KeyState.RESOLVED:
                self._note(k, number, trouble)
        return list(dict.fromkeys(self._resolution.ids[number].tobytes() for number in numbers))

    def _note(self, k: int, number: int, trouble: Trouble) -> None:
        assert self.book is not None
        assert self._resolution is not None
        state = KeyState(int(self._resolution.states[number]))
        trouble.note(k, STATE_OUTCOMES[state], f"{self.side.told}: {self.book.message(number)}")


class RecordIntake:
    """Reads the input once, then writes the spool with a body per row."""

    def __init__(self, plan: RecordPlan, table: InputTable, directory: Path) -> None:
        self._plan = plan
        self._table = table
        self._path = directory / "input.arrow"
        self._draft = directory / "input.draft.arrow"
        separators = {one.side.name: one.separator for one in plan.own.collections}
        self._keys = {name: SideKeys(side, separators.get(name, "")) for name, side in plan.sides.items()}
        self.books = {name: keys.book for name, keys in self._keys.items() if keys.book is not None}

    def read(self) -> Iterator[OutcomeBlock]:
        """Spool every row's cells and gather its keys. What is wrong is told when the keys are known."""
        parts = [(found.file, found.sheet) for found in self._table.found]
        with SpoolWriter(self._draft, self._table.header, parts=parts) as writer:
            for chunk in self._table.chunks():
                for keys in self._keys.values():
                    keys.take(chunk.table)
                nothing = np.zeros((len(chunk.rows), 16), np.uint8)
                actions = np.full(len(chunk.rows), self._plan.shape.action, np.uint8)
                writer.write(chunk, from_ids=nothing, to_ids=nothing, actions=actions)
        yield from ()

    def resolve(self) -> Iterator[OutcomeBlock]:
        """Write the spool again, with the body and the id of every record. Yields the rows that have none."""
        for keys in self._keys.values():
            keys.close_intake()
        extra = {BODY: pa.string(), ETAG: pa.string()}
        with Spool.open(self._draft) as draft:
            ids_of_parts = self._ids_of_parts(draft)
            about = {RECORD_IDS: self._plan.shape.table.primary_id}
            with SpoolWriter(self._path, draft.header, parts=draft.parts, metadata=about, extra=extra) as writer:
                for rows in spans(draft.n_rows):
                    span = _Span(self._plan, self._keys, draft, rows, ids_of_parts)
                    yield from span.trouble.blocks(rows)
                    for chunk, within in chunks_of(draft, rows):
                        span.write(writer, chunk, within)
        self._draft.unlink(missing_ok=True)

    def spool(self) -> Spool:
        """The finished spool."""
        return Spool.open(self._path)

    def _ids_of_parts(self, draft: Spool) -> dict[str, bytes]:
        """Where several rows make one record: the value that they share -> the id that the first full row gives."""
        plan, found = self._plan, dict[str, bytes]()
        if plan.parts_column is None:
            return found
        for rows in spans(draft.n_rows):
            cells = draft.cells(int(rows[0]), int(rows[-1]) + 1)
            own = ~_all_blank(cells, plan.own.columns)
            shared = cells.column(plan.parts_column).to_pylist()
            ids = _new_ids(plan, cells)
            for k in np.flatnonzero(own).tolist():
                found.setdefault(shared[k].strip(), ids[k])
        found.pop("", None)
        return found


class _Span:
    """Some consecutive rows on their way into the spool."""

    def __init__(
        self,
        plan: RecordPlan,
        keys: dict[str, SideKeys],
        draft: Spool,
        rows: Rows,
        ids_of_parts: dict[str, bytes],
    ) -> None:
        self._plan = plan
        self._keys = keys
        self._rows = rows
        self._cells = draft.cells(int(rows[0]), int(rows[-1]) + 1)
        self.trouble = Trouble()
        self._first_lookup: list[bytes] = []
        own = self._part(plan.own)
        nested = [(child.navigation, self._part(child)) for child in plan.children]
        self._etags = self._read_etags()
        self._ids = self._record_ids(ids_of_parts, [bool(one) for one in own])
        self._bodies = [self._body(k, own[k], [(name, parts[k]) for name, parts in nested]) for k in range(len(rows))]

    def write(self, writer: SpoolWriter, chunk: RawChunk, within: slice) -> None:
        """Append the rows of one file."""
        ids, hubs = self._ids[within], (self._first_lookup or self._ids)[within]
        writer.write(
            chunk,
            from_ids=joined_ids(ids),
            to_ids=joined_ids(hubs),
            actions=np.full(len(ids), self._plan.shape.action, np.uint8),
            from_valid=np.array([one != NO_ID for one in ids], np.bool_),
            to_valid=np.array([one != NO_ID for one in hubs], np.bool_),
            extra={BODY: pa.array(self._bodies[within], pa.string()), ETAG: pa.array(self._etags[within], pa.string())},
        )

    # -- the record's id -------------------------------------------------------------------------------------------

    def _record_ids(self, ids_of_parts: dict[str, bytes], has_own: Sequence[bool]) -> list[bytes]:
        plan = self._plan
        if plan.key is not None:
            ids = self._keys["record"].ids(self._cells, self._rows, self.trouble)
            for k, one in enumerate(ids):
                if one == NO_ID and k not in self.trouble.outcomes:
                    self.trouble.note(k, Outcome.INVALID, f"{', '.join(plan.key.headers)} is empty")
            return ids
        ids = _new_ids(plan, self._cells)
        if plan.parts_column is None:
            return ids
        shared = [text.strip() for text in self._cells.column(plan.parts_column).to_pylist()]
        header = self._cells.column_names[plan.parts_column]
        for k, value in enumerate(shared):
            known = ids_of_parts.get(value)
            if known is not None:
                ids[k] = known
            elif not has_own[k]:
                self.trouble.note(k, Outcome.INVALID, f"a child without a record: no row of {header} {value!r} has one")
        return ids

    def _read_etags(self) -> list[str]:
        if self._plan.etag_column is None:
            return [""] * len(self._rows)
        header = self._cells.column_names[self._plan.etag_column]
        found = []
        for k, text in enumerate(self._cells.column(self._plan.etag_column).to_pylist()):
            cell = text.strip()
            etag = f'W/"{int(cell)}"' if cell.isascii() and cell.isdecimal() else cell
            if not _ETAG.fullmatch(etag):
                wrong = f'{shown(text)} is no etag such as W/"12345"' if cell else "is empty"
                self.trouble.note(k, Outcome.INVALID, f"{header}: {wrong}" if cell else f"{header} {wrong}")
            found.append(etag)
        return found

    # -- the body --------------------------------------------------------------------------------------------------

    def _body(self, k: int, own: list[str], nested: list[tuple[str, list[str]]]) -> str:
        children = [f"{json.dumps(name)}:[{{{','.join(members)}}}]" for name, members in nested if members]
        if not own and k not in self.trouble.outcomes:
            self._note_nothing(k, bool(children))
        return f"{{{','.join([*own, *children])}}}"

    def _note_nothing(self, k: int, has_children: bool) -> None:
        if self._plan.shape.action is Action.UPDATE:
            self.trouble.note(k, Outcome.UNCHANGED, "nothing to write: every cell is empty")
        elif self._plan.parts_column is None or not has_children:
            why = "a child without its record" if has_children else "nothing to create: every cell is empty"
            self.trouble.note(k, Outcome.INVALID, why)

    def _part(self, part: PartPlan) -> list[list[str]]:
        """The members of one record's JSON, row by row."""
        members: list[list[str]] = [[] for _ in range(len(self._rows))]
        for cell in part.cells:
            self._add_cell(cell, members)
        for lookup in part.lookups:
            self._add_lookup(lookup, members)
        for collection in part.collections:
            self._add_collection(collection, members)
        return members

    def _add_cell(self, cell: CellPlan, members: list[list[str]]) -> None:
        encoded = pc.dictionary_encode(self._cells.column(cell.position).combine_chunks())
        pieces = [self._piece(cell, text) for text in encoded.dictionary.to_pylist()]
        for k, place in enumerate(encoded.indices.to_pylist()):
            piece = pieces[place]
            if isinstance(piece, MisfitError):
                self.trouble.note(k, Outcome.INVALID, f"{cell.header}: {piece}")
            elif piece:
                members[k].append(piece)

    def _piece(self, cell: CellPlan, text: str) -> str | MisfitError:
        name = json.dumps(cell.column.logical_name)
        if not text.strip():
            return ""
        if self._is_clear(text):
            return f"{name}:null"
        try:
            return f"{name}:{json_of(cell.column, text)}"
        except MisfitError as misfit:
            return misfit

    def _add_lookup(self, lookup: LookupPlan, members: list[list[str]]) -> None:
        keys = self._keys[lookup.side.name]
        cleared = [self._is_clear(text) for text in self._cells.column(lookup.side.columns[0]).to_pylist()]
        trouble = Trouble()
        ids = keys.ids(self._cells, self._rows, trouble)
        for k, outcome in trouble.outcomes.items():
            if not cleared[k]:
                for reason in trouble.reasons[k]:
                    self.trouble.note(k, outcome, reason)
        clear = ",".join(f"{json.dumps(name)}:null" for name in lookup.emptying)
        bind = json.dumps(lookup.navigation + BIND)
        for k, text in enumerate(id_texts(ids)):
            if cleared[k]:
                members[k].append(clear)
            elif ids[k] != NO_ID:
                members[k].append(f'{bind}:"{lookup.entity_set}({text})"')
        self._first_lookup = self._first_lookup or ids

    def _add_collection(self, collection: CollectionPlan, members: list[list[str]]) -> None:
        texts = self._cells.column(collection.side.columns[0]).to_pylist()
        bind = json.dumps(collection.navigation + BIND)
        found = self._keys[collection.side.name].many_ids(texts, self._rows, self.trouble)
        for k, ids in enumerate(found):
            if ids:
                members[k].append(f"{bind}:{json.dumps([f'{collection.entity_set}({one})' for one in id_texts(ids)])}")

    def _is_clear(self, text: str) -> bool:
        return bool(self._plan.clear_marker) and text.strip() == self._plan.clear_marker


def split(text: str, separator: str) -> list[str]:
    """The values of a cell; blanks around them and empty ones do not count."""
    return [part for one in text.split(separator) if (part := one.strip())]


def _new_ids(plan: RecordPlan, cells: pa.Table) -> list[bytes]:
    """The id of each row's new record: the same whenever and however often the same cells are read."""
    columns = [cells.column(position).to_pylist() for position in plan.id_columns]
    return [
        uuid.uuid5(ID_SPACE, json.dumps([*plan.id_names, *(text.strip() for text in texts)])).bytes
        for texts in zip(*columns, strict=True)
    ]


def _blank(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
    return mask


def _all_blank(cells: pa.Table, columns: Sequence[int]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.logical_and.reduce([_blank(cells.column(position)) for position in columns])
    return mask


def _each(ids: NDArray[np.uint8]) -> list[bytes]:
    blob = np.ascontiguousarray(ids).tobytes()
    return [blob[k : k + 16] for k in range(0, len(blob), 16)]


def joined_ids(ids: Sequence[bytes]) -> NDArray[np.uint8]:
    """(n, 16) the ids as one array."""
    return np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)


def id_texts(ids: Sequence[bytes]) -> list[str]:
    """The ids as people write them."""
    return [text.decode() for text in guid_texts(joined_ids(ids))] if ids else []
