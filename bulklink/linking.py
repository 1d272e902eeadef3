"""The first pass of a link job: every row is read, checked, resolved, judged and spooled before anything is sent.

Owns: the order of these steps, and which rows get their outcome here.
Does not know: batches, sending, run directories.
Source: the public contract (README, "Job file", "Outcomes").
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bulklink.core.facts import Table
from bulklink.core.forms import choose_form, fitting_forms, operation_template
from bulklink.core.groups import joined, kept_back
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.link_work import LinkWork
from bulklink.core.packing import BusySide, bucket_count, bucket_of
from bulklink.core.relationships import Cardinality, Intersect, Relationship
from bulklink.core.resolving import KeyBook
from bulklink.core.table import Columns, LinkColumns, check_links
from bulklink.core.wishes import WishBook, Wishes, before_sending
from bulklink.errors import JobError
from bulklink.files.readers.model import InputTable, RawChunk
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.first_pass import (
    SPAN_ROWS,
    STATE_OUTCOMES,
    FirstPass,
    Intake,
    Rows,
    RowSide,
    Settle,
    chunks_of,
    group_numbers,
    may_be_meant,
    row_namer,
    row_side,
    settle_open,
    spans,
    too_large,
)
from bulklink.job import Job, Link
from bulklink.service.metadata import Metadata
from bulklink.vocabulary import Action, Form, Isolation, Outcome

_ACTIONS: Final[Mapping[str, Action]] = {
    "associate": Action.ASSOCIATE,
    "disassociate": Action.DISASSOCIATE,
    "clear": Action.CLEAR,
}


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A link job that fits its input and its environment. group_column: None without isolation `group`."""

    link: Link
    relationship: Relationship
    sides: tuple[RowSide, ...]
    action_column: int | None
    group_column: int | None
    forms: Mapping[Action, Form]

    @property
    def is_resolved_by_reading(self) -> bool:
        """Whether any side is named by something else than the records' ids."""
        return any(not side.match.is_primary_key for side in self.sides)

    @property
    def subject(self) -> str:
        """One run at a time per relationship."""
        return self.relationship.schema_name

    @property
    def words(self) -> dict[str, str]:
        """What is asked for, for the report."""
        relationship = self.relationship
        sides = {side.name: ", ".join(side.headers) for side in self.sides}
        return {
            "relationship": relationship.schema_name,
            "kind": relationship.cardinality.value,
            "from": f"{relationship.from_table.logical_name} by {sides['from']}",
            "to": f"{relationship.to_table.logical_name} by {sides.get('to', '-')}",
            "navigation property": relationship.navigation_property,
            "wire form": ", ".join(f"{action.name.lower()}: {form.value}" for action, form in self.forms.items()),
        }

    @property
    def key_headers(self) -> tuple[str, ...]:
        """The columns that name the two records."""
        return tuple(header for side in self.sides for header in side.headers)

    @property
    def notes(self) -> list[str]:
        """Whether the pair is turned."""
        relationship = self.relationship
        if not relationship.turned:
            return []
        said = f"{self.link.relationship} is a navigation property of {relationship.from_table.logical_name}"
        return [f"{said}, not of {self.link.from_.table}: the pairs are turned."]

    def facts(self) -> str:
        """The relationship, by which links are read."""
        return json.dumps(asdict(self.relationship) | {"cardinality": self.relationship.cardinality.name})

    def intake(self, table: InputTable, directory: Path) -> Intake:
        """The reading of the input."""
        return LinkIntake(self, table, directory)

    def judge(self, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
        """Settle repeats, contradictions and fallen groups; deal the rows into buckets."""
        return judge(self, spool, ledger, settle)

    def work(self, first: FirstPass, api_url: str, headers: Sequence[tuple[str, str]], tag: str = "") -> LinkWork:
        """The engine's view of the job."""
        templates = {
            action: operation_template(form, self.relationship, api_url, action, headers, tag=tag)
            for action, form in self.forms.items()
        }
        return LinkWork(
            self.relationship,
            lambda rows: read_wishes(first.spool, rows),
            templates,
            first.buckets,
            first.judgement.riders,
            self.link.skip_existing,
            urlsplit(api_url).path,
            row_namer(first.spool),
        )


def headers_used(job: Job, link: Link) -> list[str]:
    """The headers that the input must have for this link."""
    return [*link.headers, *([job.send.group_by] if job.send.isolation is Isolation.GROUP else [])]


async def plan_link(job: Job, link: Link, table: InputTable, metadata: Metadata) -> LinkPlan:
    """Fit a link to the input and the environment. Raises errors with exit code 2."""
    if link.is_sync:
        raise JobError('action = "sync" is not available yet.', hint="Use associate, disassociate, clear or a column.")
    to_name = link.to.table if link.to else ""
    relationship = await metadata.relationship(link.relationship, link.from_.table, to_name)
    sides = await _sides(link, relationship, table, metadata)
    action = _ACTIONS.get(str(link.action))
    if action is Action.CLEAR and relationship.cardinality is not Cardinality.LOOKUP:
        raise JobError(
            f'{link.relationship} is no lookup of {link.from_.table}: action = "clear" empties lookups only.'
        )
    actions = [action] if action else [Action.ASSOCIATE, Action.DISASSOCIATE]
    grouped = job.send.isolation is Isolation.GROUP
    return LinkPlan(
        link=link,
        relationship=relationship,
        sides=tuple(sides),
        action_column=table.column_index(link.action_header) if link.action_header else None,
        group_column=table.column_index(job.send.group_by) if grouped else None,
        forms={one: _form(relationship, one, link.form, alone=len(actions) == 1) for one in actions},
    )


def _form(relationship: Relationship, action: Action, form: Form, *, alone: bool) -> Form:
    """A named form is used as named; where rows have different actions it is used for those that it fits."""
    if alone or form is Form.AUTO:
        return choose_form(relationship, action, form)
    return form if form in fitting_forms(relationship, action) else choose_form(relationship, action, Form.AUTO)


async def _sides(link: Link, relationship: Relationship, table: InputTable, metadata: Metadata) -> list[RowSide]:
    """The sides as the relationship is read: a pair that was given the wrong way round is turned here, once."""
    told = [("from", link.from_), *([("to", link.to)] if link.to else [])]
    if relationship.turned:
        told.reverse()
    names = ("from", "to")
    return [await row_side(name, word, side, table, metadata) for name, (word, side) in zip(names, told, strict=False)]


class LinkIntake:
    """Reads the input once, spools it, and settles what needs no service."""

    def __init__(self, plan: LinkPlan, table: InputTable, directory: Path) -> None:
        self._plan = plan
        self._table = table
        self._path = directory / "input.arrow"
        self._draft = directory / "input.draft.arrow" if plan.is_resolved_by_reading else self._path
        self.books = {side.name: KeyBook(side.match) for side in plan.sides if not side.match.is_primary_key}
        #: name of the side -> the number of each row's key.
        self._numbers: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self.books}
        self._columns = _columns_of(plan)

    def read(self) -> Iterator[OutcomeBlock]:
        """Spool every row. Yields the rows that are wrong by themselves."""
        # Opened inside, so that a file that breaks off in the middle leaves no spool behind.
        parts = [(found.file, found.sheet) for found in self._table.found]
        with SpoolWriter(self._draft, self._table.header, parts=parts) as writer:
            for chunk in self._table.chunks():
                yield from self._take(chunk, writer)

    def _take(self, chunk: RawChunk, writer: SpoolWriter) -> Iterator[OutcomeBlock]:
        checked = check_links(chunk.table, self._columns)
        for side, found in zip(self._plan.sides, (checked.from_side, checked.to_side), strict=False):
            if found is not None and side.name in self.books:
                self._numbers[side.name].append(self.books[side.name].add(found.keys))
        no_side = np.zeros((len(chunk.rows), 16), np.uint8)
        to_ids = checked.to_side.ids if checked.to_side else no_side
        writer.write(chunk, from_ids=checked.from_side.ids, to_ids=to_ids, actions=checked.actions)
        if checked.reasons:
            rows = np.array(list(checked.reasons), np.int64) + chunk.start
            yield before_sending(rows, Outcome.INVALID, message=list(checked.reasons.values()))

    # -- business keys ---------------------------------------------------------------------------------------------

    def resolve(self) -> Iterator[OutcomeBlock]:
        """Write the spool again with the ids that the keys mean. Yields the rows whose keys mean no one record."""
        if not self.books:
            return
        resolutions = {name: book.resolution() for name, book in self.books.items()}
        numbers = {
            name: np.concatenate(parts) if parts else np.zeros(0, np.int32) for name, parts in self._numbers.items()
        }
        draft = Spool.open(self._draft)
        with SpoolWriter(self._path, draft.header, parts=draft.parts) as writer:
            for start in range(0, draft.n_rows, SPAN_ROWS):
                rows = np.arange(start, min(start + SPAN_ROWS, draft.n_rows))
                ids = {"from": draft.from_ids(rows), "to": draft.to_ids(rows)}
                for name, resolution in resolutions.items():
                    mine = numbers[name][rows]
                    ids[name] = resolution.ids[mine]
                    yield from self._not_resolved(name, rows, mine, resolution.states[mine])
                for chunk, within in chunks_of(draft, rows):
                    writer.write(
                        chunk,
                        from_ids=ids["from"][within],
                        to_ids=ids["to"][within],
                        actions=draft.actions(rows)[within],
                    )
        draft.close()
        self._draft.unlink(missing_ok=True)

    def _not_resolved(
        self, name: str, rows: Rows, numbers: NDArray[np.int32], states: NDArray[np.uint8]
    ) -> Iterator[OutcomeBlock]:
        book = self.books[name]
        told = next(side.told for side in self._plan.sides if side.name == name)
        for state, outcome in STATE_OUTCOMES.items():
            hit = states == state
            if hit.any():
                texts = {number: f"{told}: {book.message(number)}" for number in set(numbers[hit].tolist())}
                yield before_sending(rows[hit], outcome, message=[texts[k] for k in numbers[hit].tolist()])

    def spool(self) -> Spool:
        """The finished spool."""
        return Spool.open(self._path)


def _columns_of(plan: LinkPlan) -> LinkColumns:
    from_side, *to_side = (Columns(side.headers, side.columns, side.match.is_primary_key) for side in plan.sides)
    return LinkColumns(
        from_side,
        to_side[0] if to_side else None,
        None if plan.action_column is not None else next(iter(plan.forms)),
        plan.action_column,
    )


# -- judging -----------------------------------------------------------------------------------------------------------


def judge(plan: LinkPlan, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
    """Settle repeats, contradictions and fallen groups; deal the rows into buckets.

    Pure in spool and ledger: a run that resumes judges the same again, and only open rows are settled.
    """
    name_row = row_namer(spool)
    eligible = may_be_meant(ledger)
    book, busy = WishBook(plan.relationship.cardinality, spool.n_rows), BusySide()
    for span in spans(spool.n_rows):
        rows = span[eligible[span]]
        wishes = read_wishes(spool, rows)
        book.add(rows, wishes)
        busy.add(wishes.from_ids, wishes.to_ids)
    judgement = book.judge(lambda rows: read_wishes(spool, rows), name_row)
    for block in judgement.settled:
        settle_open(block, ledger, settle)
    group_of = None
    if plan.group_column is not None:
        group_of = joined(group_numbers(spool, plan.group_column), judgement.riders)
        settle_open(too_large(group_of, ledger), ledger, settle)
        settle_open(kept_back(group_of, ledger, name_row), ledger, settle)
    buckets = np.zeros(spool.n_rows, np.uint16)
    count = bucket_count(spool.n_rows)
    for rows in spans(spool.n_rows):
        buckets[rows] = bucket_of(spool.to_ids(rows) if busy.is_to else spool.from_ids(rows), count)
    return FirstPass(spool, judgement, buckets, group_of)


def read_wishes(spool: Spool, rows: Rows) -> Wishes:
    """The wishes of some positions."""
    return Wishes(spool.from_ids(rows), spool.to_ids(rows), spool.actions(rows))


def work_for_reading(facts: str, spool: Spool, api_path: str) -> LinkWork:
    """The rows of an earlier run, to be read back only. facts: what `LinkPlan.facts` wrote."""
    values = json.loads(facts)
    values["cardinality"] = Cardinality[values["cardinality"]]
    for side in ("from_table", "to_table"):
        values[side] = Table(**values[side])
    values["intersect"] = Intersect(**values["intersect"]) if values["intersect"] else None
    nowhere = np.zeros(spool.n_rows, np.uint16)
    return LinkWork(
        Relationship(**values),
        lambda rows: read_wishes(spool, rows),
        {},
        nowhere,
        {},
        "never",
        api_path,
        row_namer(spool),
    )
