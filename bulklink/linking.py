"""The first pass of a link job: every row is read, checked, resolved, judged and spooled before anything is sent.

Owns: the order of these steps, and which rows get their outcome here.
Does not know: batches, sending, run directories.
Source: the public contract (README, "Job file", "Outcomes").
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import numpy as np

from bulklink.core.facts import Table
from bulklink.core.forms import choose_form, fitting_forms, operation_template
from bulklink.core.groups import joined, kept_back
from bulklink.core.ledger import Ledger
from bulklink.core.link_work import LinkWork
from bulklink.core.packing import BusySide, bucket_count, bucket_of
from bulklink.core.relationships import Cardinality, Intersect, Relationship
from bulklink.core.row_keys import SCOPED
from bulklink.core.table import Columns, LinkColumns
from bulklink.core.whole import MESSAGE, WholeTemplate
from bulklink.core.wishes import WishBook, Wishes
from bulklink.errors import FormError, JobError
from bulklink.files.readers.model import InputTable
from bulklink.files.spool import Spool
from bulklink.first_pass import (
    FirstPass,
    Intake,
    Rows,
    RowSide,
    Settle,
    group_numbers,
    may_be_meant,
    row_namer,
    row_side,
    settle_open,
    spans,
    too_large,
)
from bulklink.job import Job, Link
from bulklink.link_intake import LinkIntake
from bulklink.service.metadata import Metadata
from bulklink.vocabulary import Action, Form, Isolation

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
    def scoped(self) -> str:
        """The side whose keys are looked for in the scope of the other side's record; "" for none."""
        table, _ = SCOPED.get(self.relationship.schema_name, ("", ""))
        return next((s.name for s in self.sides if s.match.scope and s.match.table.logical_name == table), "")

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
        return LinkIntake(self.sides, _columns_of(self), table, directory, self.scoped)

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
            at_once=self._at_once(headers, tag),
        )

    def _at_once(self, headers: Sequence[tuple[str, str]], tag: str) -> WholeTemplate | None:
        if Form.UPDATE_MULTIPLE not in self.forms.values():
            return None
        return WholeTemplate(self.relationship, headers, f"tag={quote(tag, safe='')}" if tag else "")


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
    if link.form is Form.UPDATE_MULTIPLE:
        await _check_update_multiple(relationship, metadata, grouped=grouped)
    return LinkPlan(
        link=link,
        relationship=relationship,
        sides=tuple(sides),
        action_column=table.column_index(link.action_header) if link.action_header else None,
        group_column=table.column_index(job.send.group_by) if grouped else None,
        forms={one: _form(relationship, one, link.form, alone=len(actions) == 1) for one in actions},
    )


async def _check_update_multiple(relationship: Relationship, metadata: Metadata, *, grouped: bool) -> None:
    """Raise FormError where many lookups cannot be set at once."""
    if grouped:
        raise FormError(
            'form = "update-multiple" does not go with isolation = "group": it is all or nothing, whatever the groups.',
            hint='Take form = "auto".',
        )
    if relationship.cardinality is Cardinality.MANY_TO_MANY:
        return
    table = relationship.holder_table.logical_name
    if not await metadata.offers(MESSAGE, table):
        raise FormError(f"Table {table} does not offer {MESSAGE}.", hint='Take form = "auto".')


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
    named = list(zip(("from", "to"), told, strict=False))
    sides = [await row_side(name, word, side, table, metadata) for name, (word, side) in named]
    scoped_table, column = SCOPED.get(relationship.schema_name, ("", ""))
    for side in sides:
        keys = {one.logical_name for one in side.match.columns}
        if side.match.table.logical_name == scoped_table and not side.match.is_primary_key and column not in keys:
            return [await _in_scope(one, column, metadata) for one in sides]
    return sides


async def _in_scope(side: RowSide, column: str, metadata: Metadata) -> RowSide:
    """The side, keeping of each record what scope it stands in."""
    scope = await metadata.column(side.match.table.logical_name, column)
    return replace(side, match=replace(side.match, scope=scope))


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
