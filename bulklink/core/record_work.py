"""Record jobs as the engine sees them: create and update, each record in one operation.

Owns: what an answer or a reading means for a record; that no record is created twice or changed unseen.
Does not know: files, cells, batches, time.
Source: the public contract (README, "Outcomes"); Microsoft Learn, "Create a table row", "Update and delete table rows".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bulklink.core import looking
from bulklink.core.answer import Answer
from bulklink.core.keys import guid_texts
from bulklink.core.link_work import SkipExisting
from bulklink.core.looking import HOLDERS_PER_GET, in_filter
from bulklink.core.record_shape import RecordShape, Writing
from bulklink.core.verdict import Verdict
from bulklink.core.work import Found, Question, Rows, Settlement, Whole, Why
from bulklink.vocabulary import Action, Before, Outcome

_LOST: Final = "the answer was lost; read back afterwards"
_LOST_UNREAD: Final = "there; the answer to this run's request was lost, so the record may be this run's or older"
_CHANGED: Final = "somebody changed the record after its etag was exported; nothing was written"


class Records(Protocol):
    """The rows of a record job."""

    def ids(self, rows: Rows) -> NDArray[np.uint8]:
        """(n, 16) the records' ids."""

    def bodies(self, rows: Rows) -> list[str]:
        """What each row asks of its record, as JSON."""

    def etags(self, rows: Rows) -> list[str]:
        """The version that a record must still have, "" if any will do."""


class RecordWork:
    """The records of one job."""

    def __init__(
        self,
        shape: RecordShape,
        records: Records,
        writing: Writing,
        buckets: NDArray[np.uint16],
        riders: Mapping[int, Sequence[int]],
        name_row: Callable[[int], str],
        skip_existing: str = "auto",
    ) -> None:
        """riders: row -> the rows whose nested records it takes along. skip_existing: as for links."""
        self.rows = len(buckets)
        self.buckets = buckets
        self.has_riders = bool(riders)
        self.name_row = name_row
        self._shape = shape
        self._records = records
        self._writing = writing
        self._riders = riders
        self._rules = _RULES[shape.action]
        self._skip = SkipExisting(skip_existing)

    # -- before sending --------------------------------------------------------------------------------------------

    def looks_first(self, rows: Rows) -> NDArray[np.bool_]:
        """New records while enough of them are there already; changes never: their answer hides nothing."""
        return np.full(len(rows), self._rules.looks and self._skip.wants_to_look(len(rows)), np.bool_)

    def looked(self, looked: int, already: int) -> None:
        """Learn whether looking pays."""
        self._skip.looked(looked, already)

    def questions(self, rows: Sequence[int]) -> list[Question]:
        """The GETs for these records."""
        table = self._shape.table
        shown = () if self._shape.action is Action.CREATE else (one.property for one in self._shape.shown)
        select = ",".join(dict.fromkeys([table.primary_id, *shown]))
        ids = [text.decode() for text in guid_texts(self._records.ids(np.array(rows, np.int64)))]
        prefix = f"{self._writing.api_path}/{table.entity_set}?$select={select}&$filter="
        return [
            Question(
                looking.get_request(prefix + in_filter(table.primary_id, dict.fromkeys(ids[part]))),
                list(range(len(rows))[part]),
            )
            for part in (slice(k, k + HOLDERS_PER_GET) for k in range(0, len(rows), HOLDERS_PER_GET))
        ]

    def findings(self, rows: Sequence[int], question: Question, pages: Sequence[bytes]) -> dict[int, Found]:
        """Row -> its record. Raises ValueError if a page is not an answer to the question."""
        asked = np.array([rows[position] for position in question.positions], np.int64)
        ids = [text.decode() for text in guid_texts(self._records.ids(asked))]
        try:
            there = {
                str(record[self._shape.table.primary_id]).lower(): record
                for page in pages
                for record in _records_of(page)
            }
            bodies = self._records.bodies(asked)
            return {
                row: self._found(there.get(record_id), body)
                for row, record_id, body in zip(asked.tolist(), ids, bodies, strict=True)
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a record of the answer is not as asked for: {error!r}") from error

    def next_page(self, page: bytes) -> bytes | None:
        """The GET for the page behind this one, or None."""
        return looking.next_page(page)

    def decide(self, row: int, found: Found) -> Settlement | None:
        """The outcome of a row that needs no sending, or would be refused."""
        return self._rules.decide(found)

    def operations(self, rows: Rows, found: Sequence[Found | None]) -> list[bytes]:
        """One inner request per record, with the nested records of its riders."""
        table = self._shape.table
        ids = [text.decode() for text in guid_texts(self._records.ids(rows))]
        bodies = self._records.bodies(rows)
        if self._riders:
            bodies = [self._joined(row, body) for row, body in zip(rows.tolist(), bodies, strict=True)]
        if self._shape.action is Action.CREATE:
            return [self._writing.create(table, *one) for one in zip(ids, bodies, strict=True)]
        etags = self._records.etags(rows)
        return [
            self._writing.update(table, record_id, body, etag or "*")
            for record_id, body, etag in zip(ids, bodies, etags, strict=True)
        ]

    def whole(self, rows: Rows) -> Whole | None:
        """No message does this for many rows."""
        return None

    def whole_refused(self, rows: Rows) -> None:
        """Never asked."""

    # -- after sending ---------------------------------------------------------------------------------------------

    def success(self, rows: Rows) -> NDArray[np.uint8]:
        """What a 2xx means."""
        return np.full(len(rows), self._rules.done, np.uint8)

    def before_success(self, rows: Rows) -> NDArray[np.uint8]:
        """A record that was created was absent; one that was changed was there."""
        return np.full(len(rows), self._rules.before_success, np.uint8)

    def after_reading(self, row: int, now: Found, first: Found | None, why: Why) -> Settlement | None:
        """The outcome, if the record is as asked now; None if it is not."""
        settlement = self._rules.after_reading(now, first, why)
        if settlement is not None and why is Why.REFUSED and first is None:
            self._skip.was_there()
        return settlement

    def may_resend_unread(self, row: int) -> bool:
        """Only a create: a second one meets the primary key of the first and changes nothing."""
        return self._shape.action is Action.CREATE

    def may_send_unread(self, row: int) -> bool:
        """A create tells by its answer what was there."""
        return self._shape.action is Action.CREATE and self._skip.cannot_look()

    def refusal_may_mean_done(self, row: int, verdict: Verdict) -> bool:
        """A duplicate key may be this very record; a stale etag may be this run's own earlier sending."""
        if self._shape.action is Action.CREATE:
            return verdict is Verdict.DUPLICATE
        return verdict is Verdict.STALE

    def is_read_again(self, row: int) -> bool:
        """What is written does not depend on what was read."""
        return False

    def has_another_way(self, row: int, answer: Answer) -> bool:
        """There is one form only."""
        return False

    def riders(self, row: int) -> Sequence[int]:
        """The rows whose nested records this row's operation takes along."""
        return self._riders.get(row, ())

    def rider_outcome(self, rider: int, row: int, settlement: Settlement, found: Found | None) -> Settlement:
        """One record, one fate."""
        told = f"with {self.name_row(row)}"
        return Settlement(settlement.outcome, f"{told}: {settlement.message}" if settlement.message else told)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _joined(self, row: int, body: str) -> str:
        others = self._riders.get(row, ())
        return self._shape.joined([body, *self._records.bodies(np.array(others, np.int64))]) if others else body

    def _found(self, record: Mapping[str, Any] | None, body: str) -> Found:
        if record is None:
            return Found(Before.ABSENT, missing=True)
        etag = str(record.get("@odata.etag") or "")
        if self._shape.action is Action.CREATE:
            return Found(Before.PRESENT, etag=etag)
        return Found(Before.PRESENT, etag=etag, details=self._shape.is_as_asked(body, record))


class _Rules(NamedTuple):
    """How create and update differ."""

    done: Outcome
    before_success: Before
    looks: bool
    decide: Callable[[Found], Settlement | None]
    after_reading: Callable[[Found, Found | None, Why], Settlement | None]


def _decide_create(found: Found) -> Settlement | None:
    return Settlement(Outcome.ALREADY_CREATED) if found.before is Before.PRESENT else None


def _created_after_reading(now: Found, first: Found | None, why: Why) -> Settlement | None:
    if now.before is not Before.PRESENT:
        return None
    if why is not Why.DOUBT:
        return Settlement(Outcome.ALREADY_CREATED)
    return Settlement(Outcome.CREATED, _LOST) if first else Settlement(Outcome.ALREADY_CREATED, _LOST_UNREAD)


def _decide_update(found: Found) -> Settlement | None:
    return Settlement(Outcome.REJECTED, "the record is not there") if found.missing else None


def _updated_after_reading(now: Found, first: Found | None, why: Why) -> Settlement | None:
    if why is Why.DOUBT:
        return Settlement(Outcome.UPDATED, _LOST) if now.details else None
    return Settlement(Outcome.REJECTED, _CHANGED)


_RULES: Final[Mapping[Action, _Rules]] = {
    Action.CREATE: _Rules(Outcome.CREATED, Before.ABSENT, True, _decide_create, _created_after_reading),
    Action.UPDATE: _Rules(Outcome.UPDATED, Before.PRESENT, False, _decide_update, _updated_after_reading),
}


def _records_of(page: bytes) -> list[dict[str, Any]]:
    """The records of a page, their decimals exact."""
    body = json.loads(page, parse_float=Decimal)
    records = body.get("value") if isinstance(body, dict) else None
    if not isinstance(records, list):
        raise ValueError("the answer holds no list of records")
    return records
