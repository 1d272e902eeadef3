"""Parties jobs: the first pass of rows that say who takes part in which activity, and these as work for the engine.

Owns: the way from cells to parties, and which rows are of one activity.
Does not know: batches, sending, run directories.
Source: the public contract (README, "Job file", `[parties]`; "Outcomes").
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.party_work import ROLE_WORDS, PartyShape, PartyWork, address_member, asked_party
from bulklink.core.record_shape import Writing
from bulklink.core.record_wishes import Wish, judge_parts
from bulklink.core.relationships import Cardinality, Listed
from bulklink.core.table import shown
from bulklink.core.wishes import Judgement
from bulklink.errors import RelationshipError, nearest
from bulklink.files.readers.model import InputTable
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.first_pass import (
    FirstPass,
    Intake,
    Rows,
    RowSide,
    Settle,
    chunks_of,
    may_be_meant,
    row_namer,
    row_side,
    spans,
)
from bulklink.job import Job, Parties, Side
from bulklink.record_intake import BODY, ETAG, NO_ID, SideKeys, Trouble, id_texts, joined_ids
from bulklink.recording import Headers, SpooledRecords, judge_records, writing
from bulklink.service.metadata import Metadata
from bulklink.vocabulary import Action, Isolation, Outcome

_ROLES_SHOWN = ", ".join(ROLE_WORDS)


@dataclass(frozen=True, slots=True)
class PartyPlan:
    """A parties job that fits. party: None where all parties are addresses. address, role: columns of the input."""

    shape: PartyShape
    activity: RowSide
    party: RowSide | None
    address: int | None
    role: int
    group_column: int | None


def headers_used(job: Job, parties: Parties) -> list[str]:
    """The headers that the input must have."""
    grouped = job.send.isolation is Isolation.GROUP
    named = [parties.party.address] if parties.party.address else []
    found = [*parties.match.values(), *parties.party.match.values(), *named, parties.participation]
    return list(dict.fromkeys([*found, *([job.send.group_by] if grouped else [])]))


async def plan_parties(job: Job, parties: Parties, table: InputTable, metadata: Metadata) -> PartyPlan:
    """Fit a parties job. Raises errors with exit code 2."""
    line = await _collection(parties, metadata)
    party_table = await metadata.table(line.other_table)
    targets = await _targets(line.other_table, metadata)
    activity = Side(table=parties.table, match=parties.match)
    side = parties.party.side
    if side and side.table not in targets:
        near = nearest(side.table, targets)
        raise RelationshipError(
            f"parties.party: {side.table} cannot take part in {parties.table}.",
            hint=f"These can: {', '.join(near or targets)}.",
        )
    grouped = job.send.isolation is Isolation.GROUP
    return PartyPlan(
        shape=PartyShape(
            table=await metadata.table(parties.table),
            navigation=line.navigation_property,
            party_set=party_table.entity_set,
            activity=line.via.partition(".")[2],
            party=_PARTY,
            targets=targets,
            replaces=parties.mode == "replace",
        ),
        activity=await row_side("record", parties.table, activity, table, metadata),
        party=await row_side("party", "party", side, table, metadata) if side else None,
        address=table.column_index(parties.party.address) if parties.party.address else None,
        role=table.column_index(parties.participation),
        group_column=table.column_index(job.send.group_by) if grouped else None,
    )


_PARTY = "partyid"


async def _collection(parties: Parties, metadata: Metadata) -> Listed:
    """The navigation property of the parties, as the metadata has it."""
    listed = [line for line in await metadata.listing(parties.table) if line.kind == Cardinality.COLLECTION.value]
    name = parties.navigation_property
    hit = next((line for line in listed if line.navigation_property == name), None)
    if hit is not None:
        return hit
    near = nearest(name, [line.navigation_property for line in listed if line.navigation_property])
    raise RelationshipError(
        f"parties.navigation_property: {parties.table} has no collection {name!r}.",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"`bulklink relationships {parties.table}` lists them.",
    )


async def _targets(table: str, metadata: Metadata) -> dict[str, tuple[str, str]]:
    """Every table whose records can be parties: its navigation property on a party, and its entity set."""
    lines = [
        line
        for line in await metadata.listing(table)
        if line.kind == Cardinality.LOOKUP.value and line.via == f"{table}.{_PARTY}" and line.navigation_property
    ]
    if not lines:
        raise RelationshipError(f"{table} holds no parties: it has no lookup {_PARTY}.")
    tables = await metadata.tables([line.other_table for line in lines])
    return {
        one.logical_name: (line.navigation_property, one.entity_set) for line, one in zip(lines, tables, strict=True)
    }


class PartyIntake:
    """Reads the input once, then writes the spool with a party per row."""

    def __init__(self, plan: PartyPlan, table: InputTable, directory: Path) -> None:
        self._plan = plan
        self._table = table
        self._path = directory / "input.arrow"
        self._draft = directory / "input.draft.arrow"
        self._activity = SideKeys(plan.activity)
        self._party = SideKeys(plan.party) if plan.party else None
        keys = [self._activity, *([self._party] if self._party else [])]
        self._keys = keys
        self.books = {one.side.name: one.book for one in keys if one.book is not None}

    def read(self) -> Iterator[OutcomeBlock]:
        """Spool every row's cells and gather its keys. What is wrong is told when the keys are known."""
        parts = [(found.file, found.sheet) for found in self._table.found]
        with SpoolWriter(self._draft, self._table.header, parts=parts) as writer:
            for chunk in self._table.chunks():
                for keys in self._keys:
                    keys.take(chunk.table)
                nothing = np.zeros((len(chunk.rows), 16), np.uint8)
                writer.write(chunk, from_ids=nothing, to_ids=nothing, actions=_actions(len(chunk.rows)))
        yield from ()

    def resolve(self) -> Iterator[OutcomeBlock]:
        """Write the spool again, with the activity and the party of every row. Yields the rows that have none."""
        for keys in self._keys:
            keys.close_intake()
        extra = {BODY: pa.string(), ETAG: pa.string()}
        with (
            Spool.open(self._draft) as draft,
            SpoolWriter(self._path, draft.header, parts=draft.parts, extra=extra) as writer,
        ):
            for rows in spans(draft.n_rows):
                trouble = Trouble()
                cells = draft.cells(int(rows[0]), int(rows[-1]) + 1)
                activities = self._activity.ids(cells, rows, trouble)
                _note_blank(activities, self._plan.activity.headers, trouble)
                parties, bodies = self._parties(cells, rows, trouble)
                yield from trouble.blocks(rows)
                for chunk, within in chunks_of(draft, rows):
                    texts = pa.array(bodies[within], pa.string())
                    writer.write(
                        chunk,
                        from_ids=joined_ids(activities[within]),
                        to_ids=joined_ids(parties[within]),
                        actions=_actions(len(chunk.rows)),
                        extra={BODY: texts, ETAG: pa.array([""] * len(texts), pa.string())},
                    )
        self._draft.unlink(missing_ok=True)

    def spool(self) -> Spool:
        """The finished spool."""
        return Spool.open(self._path)

    def _parties(self, cells: pa.Table, rows: Rows, trouble: Trouble) -> tuple[list[bytes], list[str]]:
        """Who takes part: the records' ids where they are records, and their JSON."""
        plan = self._plan
        roles = [role_of(text) for text in cells.column(plan.role).to_pylist()]
        for k, role in enumerate(roles):
            if not role:
                trouble.note(k, Outcome.INVALID, _wrong_role(cells, plan.role, k))
        addresses = [""] * len(rows)
        if plan.address is not None:
            addresses = [text.strip() for text in cells.column(plan.address).to_pylist()]
        own = Trouble()
        ids = self._party.ids(cells, rows, own) if self._party else [NO_ID] * len(rows)
        texts = id_texts(ids)
        bodies = []
        for k, role in enumerate(roles):
            if ids[k] != NO_ID and plan.party:
                bodies.append(plan.shape.member(role, plan.party.match.table.logical_name, texts[k]))
            elif "@" in addresses[k]:
                # The job says so: who is no record takes part by address.
                bodies.append(address_member(role, addresses[k]))
            else:
                bodies.append("")
                self._note_nobody(k, addresses[k], own, trouble)
        return ids, bodies

    def _note_nobody(self, k: int, address: str, own: Trouble, trouble: Trouble) -> None:
        if address:
            trouble.note(k, Outcome.INVALID, f"{shown(address)} is no e-mail address")
        elif k in own.outcomes:
            for reason in own.reasons[k]:
                trouble.note(k, own.outcomes[k], reason)
        else:
            trouble.note(k, Outcome.INVALID, "nobody is named: the party's cells are empty")


def role_of(text: str) -> int:
    """The number of a role, given by word or number; 0 for what is none."""
    word = text.strip().lower()
    if word in ROLE_WORDS:
        return ROLE_WORDS[word]
    number = int(word) if word.isascii() and word.isdecimal() and len(word) <= 2 else 0
    return number if number in ROLE_WORDS.values() else 0


def _wrong_role(cells: pa.Table, column: int, k: int) -> str:
    header, text = cells.column_names[column], cells.column(column)[k].as_py()
    if not text.strip():
        return f"{header} is empty"
    near = nearest(text.strip(), ROLE_WORDS, 1)
    also = f"; nearest: {near[0]}" if near else ""
    return f"{header}: {shown(text)} is no role ({_ROLES_SHOWN} or 1 to 11){also}"


def _note_blank(ids: Sequence[bytes], headers: Sequence[str], trouble: Trouble) -> None:
    for k, one in enumerate(ids):
        if one == NO_ID and k not in trouble.outcomes:
            trouble.note(k, Outcome.INVALID, f"{', '.join(headers)} is empty")


def _actions(rows: int) -> NDArray[np.uint8]:
    return np.full(rows, Action.ASSOCIATE, np.uint8)


@dataclass(frozen=True, slots=True)
class PartyTask:
    """A parties job that fits its input and its environment."""

    parties: Parties
    plan: PartyPlan

    @property
    def subject(self) -> str:
        """One run at a time writes the parties of a kind of activity."""
        return self.plan.shape.navigation

    @property
    def words(self) -> dict[str, str]:
        """What is asked for, for the report."""
        plan, party = self.plan, self.parties.party
        who = [f"{party.table} by {', '.join(plan.party.headers)}"] if plan.party else []
        who += [f"address in {party.address}"] if party.address else []
        return {
            "activity": f"{self.parties.table} by {', '.join(plan.activity.headers)}",
            "party": ", or ".join(who),
            "participation": self.parties.participation,
            "navigation property": plan.shape.navigation,
            "mode": self.parties.mode,
            "wire form": f"parties: {self.parties.form}",
        }

    @property
    def key_headers(self) -> tuple[str, ...]:
        """The columns that name activity and party."""
        return (*self.plan.activity.headers, *(self.plan.party.headers if self.plan.party else ()))

    @property
    def notes(self) -> list[str]:
        """What replace does."""
        replaces = self.plan.shape.replaces
        return ['mode = "replace": parties that no row names are removed from the activities named'] if replaces else []

    def facts(self) -> str:
        """How parties are read back."""
        return self.plan.shape.to_text()

    def intake(self, table: InputTable, directory: Path) -> Intake:
        """The reading of the input."""
        return PartyIntake(self.plan, table, directory)

    def judge(self, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
        """The rows of one activity are one operation; the same party in the same role is named once."""
        records = SpooledRecords(spool)

        def judged(rows: list[int], judgement: Judgement, name_row: Callable[[int], str]) -> None:
            bodies = records.bodies(np.array(rows, np.int64))
            wishes = [Wish(row, asked_party(body).identity) for row, body in zip(rows, bodies, strict=True)]
            judge_parts(wishes, judgement)

        return judge_records(spool, ledger, settle, may_be_meant(ledger), judged, self.plan.group_column)

    def work(self, first: FirstPass, api_url: str, headers: Headers, tag: str = "") -> PartyWork:
        """The engine's view of the activities."""
        return PartyWork(
            self.plan.shape,
            SpooledRecords(first.spool),
            writing(api_url, headers, tag),
            first.buckets,
            first.judgement.riders,
            row_namer(first.spool),
            self.parties.form,
        )


def work_for_reading(facts: str, spool: Spool, api_path: str) -> PartyWork:
    """The rows of an earlier run, to be read back only. facts: what `PartyTask.facts` wrote."""
    nowhere = np.zeros(spool.n_rows, np.uint16)
    shape = PartyShape.from_text(facts)
    return PartyWork(shape, SpooledRecords(spool), Writing(api_path), nowhere, {}, row_namer(spool))
