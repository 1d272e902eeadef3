"""The first pass of a link job: every row is read, checked, resolved, judged and spooled before anything is sent.

Owns: the order of these steps, and which rows get their outcome here.
Does not know: batches, sending, run directories.
Source: the public contract (README, "Job file", "Outcomes").
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.forms import choose_form, fitting_forms, operation_template
from bulklink.core.groups import joined, kept_back
from bulklink.core.key_values import Comparing
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.link_work import LinkWork
from bulklink.core.packing import BusySide, bucket_count, bucket_of
from bulklink.core.relationships import Cardinality, Relationship
from bulklink.core.request import OPERATIONS_MAX
from bulklink.core.resolving import KeyBook, KeyQuestion, KeyState, Match, batches
from bulklink.core.table import Columns, GroupNumbers, LinkColumns, check_links
from bulklink.core.wishes import Judgement, WishBook, Wishes, before_sending
from bulklink.errors import JobError
from bulklink.files.readers.model import InputTable, RawChunk
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.job import PRIMARY_KEY, Job, Link, Side
from bulklink.service.metadata import Metadata
from bulklink.service.reading import Reader, in_parallel
from bulklink.vocabulary import Action, Form, Isolation, Outcome

#: Rows handled at once after the input was read.
SPAN_ROWS: Final = 1 << 15

Rows = NDArray[np.int64]
Settle = Callable[[OutcomeBlock], None]

_ACTIONS: Final[Mapping[str, Action]] = {
    "associate": Action.ASSOCIATE,
    "disassociate": Action.DISASSOCIATE,
    "clear": Action.CLEAR,
}
_STATE_OUTCOMES: Final[Mapping[KeyState, Outcome]] = {
    KeyState.INVALID: Outcome.INVALID,
    KeyState.UNRESOLVED: Outcome.UNRESOLVED,
    KeyState.AMBIGUOUS: Outcome.AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class LinkSide:
    """How one side's record is found in a row: the columns of the input, and what they match.

    name: from or to, as the relationship is read. told: as the job calls it; the other word if the pair is turned.
    """

    name: str
    told: str
    columns: tuple[int, ...]
    headers: tuple[str, ...]
    match: Match


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A link job that fits its input and its environment. group_column: None without isolation `group`."""

    link: Link
    relationship: Relationship
    sides: tuple[LinkSide, ...]
    action_column: int | None
    group_column: int | None
    forms: Mapping[Action, Form]

    @property
    def is_resolved_by_reading(self) -> bool:
        """Whether any side is named by something else than the records' ids."""
        return any(not side.match.is_primary_key for side in self.sides)


@dataclass(slots=True)
class FirstPass:
    """What the first pass leaves behind."""

    spool: Spool
    judgement: Judgement
    buckets: NDArray[np.uint16]
    group_of: NDArray[np.int32] | None = None


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


async def _sides(link: Link, relationship: Relationship, table: InputTable, metadata: Metadata) -> list[LinkSide]:
    """The sides as the relationship is read: a pair that was given the wrong way round is turned here, once."""
    told = [("from", link.from_), *([("to", link.to)] if link.to else [])]
    if relationship.turned:
        told.reverse()
    names = ("from", "to")
    return [await _side(name, word, side, table, metadata) for name, (word, side) in zip(names, told, strict=False)]


async def _side(name: str, told: str, side: Side, table: InputTable, metadata: Metadata) -> LinkSide:
    found = await metadata.table(side.table)
    columns = [found.primary_id if column == PRIMARY_KEY else column for column in side.match]
    match = await metadata.match(side.table, columns, side.where, Comparing(side.ignore_case, side.trim))
    return LinkSide(name, told, tuple(table.column_index(header) for header in side.headers), side.headers, match)


class Intake:
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
                for chunk, within in _chunks_of(draft, rows):
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
        for state, outcome in _STATE_OUTCOMES.items():
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


async def ask_for_keys(books: Mapping[str, KeyBook], reader: Reader, metadata: Metadata) -> None:
    """Ask the service what the keys of all sides mean."""
    for book in books.values():
        count = await metadata.record_count(book.match.table.logical_name) if len(book) > 10_000 else None
        if book.is_whole_table_cheaper(count):
            question = book.whole_table(reader.api_path)
            await reader.ask_pages([question.request], _taking(book, [question]))
            continue

        async def ask(questions: list[KeyQuestion], book: KeyBook = book) -> None:
            await reader.ask_pages([one.request for one in questions], _taking(book, questions))

        await in_parallel(batches(book.questions(reader.api_path)), ask)


def _taking(book: KeyBook, questions: Sequence[KeyQuestion]) -> Callable[[int, bytes], None]:
    return lambda k, page: book.take(questions[k], page)


# -- judging -----------------------------------------------------------------------------------------------------------


def judge(plan: LinkPlan, spool: Spool, ledger: Ledger, settle: Settle) -> FirstPass:
    """Settle repeats, contradictions and fallen groups; deal the rows into buckets.

    Pure in spool and ledger: a run that resumes judges the same again, and only open rows are settled.
    """
    name_row = row_namer(spool)
    eligible = ~np.isin(ledger.outcomes, _OUT_BY_THEMSELVES)
    book, busy = WishBook(plan.relationship.cardinality, spool.n_rows), BusySide()
    for span in _spans(spool.n_rows):
        rows = span[eligible[span]]
        wishes = read_wishes(spool, rows)
        book.add(rows, wishes)
        busy.add(wishes.from_ids, wishes.to_ids)
    judgement = book.judge(lambda rows: read_wishes(spool, rows), name_row)
    for block in judgement.settled:
        _settle_open(block, ledger, settle)
    group_of = None
    if plan.group_column is not None:
        group_of = joined(group_numbers(spool, plan.group_column), judgement.riders)
        _settle_open(_too_large(group_of, ledger), ledger, settle)
        _settle_open(kept_back(group_of, ledger, name_row), ledger, settle)
    buckets = np.zeros(spool.n_rows, np.uint16)
    count = bucket_count(spool.n_rows)
    for rows in _spans(spool.n_rows):
        buckets[rows] = bucket_of(spool.to_ids(rows) if busy.is_to else spool.from_ids(rows), count)
    return FirstPass(spool, judgement, buckets, group_of)


def link_work(
    plan: LinkPlan, first: FirstPass, api_url: str, headers: Sequence[tuple[str, str]], tag: str = ""
) -> LinkWork:
    """The engine's view of the job."""
    templates = {
        action: operation_template(form, plan.relationship, api_url, action, headers, tag=tag)
        for action, form in plan.forms.items()
    }
    return LinkWork(
        plan.relationship,
        lambda rows: read_wishes(first.spool, rows),
        templates,
        first.buckets,
        first.judgement.riders,
        plan.link.skip_existing,
        "/" + api_url.split("/", 3)[3],
        row_namer(first.spool),
    )


def read_wishes(spool: Spool, rows: Rows) -> Wishes:
    """The wishes of some positions."""
    return Wishes(spool.from_ids(rows), spool.to_ids(rows), spool.actions(rows))


def row_namer(spool: Spool) -> Callable[[int], str]:
    """What people call a row: its number, with file and sheet if there are several."""

    def name(row: int) -> str:
        number = int(spool.row_numbers(row, row + 1)[0])
        places = spool.places(row, row + 1)
        where = " / ".join(str(places.column(k)[0]) for k in range(places.num_columns) if str(places.column(k)[0]))
        return f"row {number} of {where}" if where else f"row {number}"

    return name


def group_numbers(spool: Spool, column: int) -> NDArray[np.int32]:
    """(rows,) the number of each row's group; a row without a group value is a group by itself."""
    numbers = GroupNumbers()
    found = [
        numbers.number(spool.cells(start, start + SPAN_ROWS).column(column))
        for start in range(0, spool.n_rows, SPAN_ROWS)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def _too_large(group_of: NDArray[np.int32], ledger: Ledger) -> OutcomeBlock:
    open_rows = ledger.open_rows()
    sizes = np.bincount(group_of[open_rows], minlength=int(group_of.max(initial=-1)) + 1)
    rows = open_rows[sizes[group_of[open_rows]] > OPERATIONS_MAX]
    messages = [
        f"its group has {sizes[group_of[row]]} rows; one change set takes {OPERATIONS_MAX}" for row in rows.tolist()
    ]
    return before_sending(rows, Outcome.INVALID, message=messages)


def _settle_open(block: OutcomeBlock, ledger: Ledger, settle: Settle) -> None:
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


_OUT_BY_THEMSELVES: Final = np.array([Outcome.INVALID, Outcome.UNRESOLVED, Outcome.AMBIGUOUS], np.uint8)


def _spans(rows: int) -> Iterator[Rows]:
    for start in range(0, rows, SPAN_ROWS):
        yield np.arange(start, min(start + SPAN_ROWS, rows))


def _chunks_of(spool: Spool, rows: Rows) -> Iterator[tuple[RawChunk, slice]]:
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
