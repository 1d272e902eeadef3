"""Link jobs as the engine sees them: associate, disassociate, clear.

Owns: what is read before a link is sent, what an answer or a reading means for a row, the safety of a lookup.
Does not know: files, sockets, batches, time.
Source: the public contract (README, "Outcomes"); Microsoft Learn, "Associate and disassociate table rows".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core import looking
from bulklink.core.answer import Answer
from bulklink.core.forms import OperationTemplate, Slot
from bulklink.core.keys import guid_text, guid_texts
from bulklink.core.relationships import Cardinality, Relationship
from bulklink.core.verdict import Verdict
from bulklink.core.whole import WholeTemplate
from bulklink.core.wishes import Wishes
from bulklink.core.work import Found, Question, Rows, Settlement, Whole, Why
from bulklink.vocabulary import Action, Before, Form, Outcome

#: Share of links found already there from which on reading first costs less than being refused.
WORTH_LOOKING: Final = 0.02
#: Among so many rows it is counted how many were refused as being there already.
WINDOW_ROWS: Final = 10_000
#: Rows that were read and whose wishes are kept at hand, for they are asked about one by one.
AT_HAND_MAX: Final = 1 << 15

_DONE: Final[Mapping[Action, Outcome]] = {
    Action.ASSOCIATE: Outcome.ASSOCIATED,
    Action.DISASSOCIATE: Outcome.DISASSOCIATED,
    Action.CLEAR: Outcome.DISASSOCIATED,
}
_ALREADY: Final[Mapping[Action, Outcome]] = {
    Action.ASSOCIATE: Outcome.ALREADY_ASSOCIATED,
    Action.DISASSOCIATE: Outcome.ALREADY_DISASSOCIATED,
    Action.CLEAR: Outcome.ALREADY_DISASSOCIATED,
}
_LOST = "the answer was lost; read back afterwards"
_LOST_UNREAD = "linked; the answer to this run's request was lost, so the link may be this run's or older"


class SkipExisting:
    """Whether N:N adds are read before they are sent: `always`, `never`, or `auto`: while that finds enough.

    Where it found too little, refusals tell when it would find enough again.
    """

    def __init__(self, setting: str) -> None:
        self._is_fixed = setting != "auto"
        self._is_looking = setting != "never"
        self._unread = 0
        self._there = 0

    def wants_to_look(self, rows: int) -> bool:
        """Whether the next rows are to be read; if not, they are sent unread."""
        if not self._is_looking:
            self._unread += rows
            if self._unread >= WINDOW_ROWS:
                self._unread = self._there = 0
        return self._is_looking

    def was_there(self) -> None:
        """A row that was sent unread was refused, because it was as asked already."""
        self._there += 1
        if not self._is_fixed and self._there >= WORTH_LOOKING * WINDOW_ROWS:
            self._is_looking, self._there = True, 0

    def looked(self, looked: int, already: int) -> None:
        """Learn how much a reading found."""
        if not self._is_fixed and looked:
            self._is_looking = already >= WORTH_LOOKING * looked

    def cannot_look(self) -> bool:
        """Reading is refused: give it up, if the setting allows. Returns whether it does."""
        if self._is_fixed and self._is_looking:
            return False
        self._is_fixed, self._is_looking = True, False
        return True


class LinkWork:
    """The rows of one relationship."""

    def __init__(
        self,
        relationship: Relationship,
        read: Callable[[Rows], Wishes],
        templates: Mapping[Action, OperationTemplate],
        buckets: NDArray[np.uint16],
        riders: Mapping[int, Sequence[int]],
        skip_existing: str,
        api_path: str,
        name_row: Callable[[int], str],
        at_once: WholeTemplate | None = None,
    ) -> None:
        """read: positions -> their wishes. buckets: (rows,). api_path: e.g. ``/api/data/v9.2``."""
        self.rows = len(buckets)
        self.buckets = buckets
        self.has_riders = bool(riders)
        self.name_row = name_row
        self._relationship = relationship
        self._is_many = relationship.cardinality is Cardinality.MANY_TO_MANY
        #: Whether an accepted add says that the link was not there before.
        self._add_tells = self._is_many and all(one.form is not Form.MESSAGE for one in templates.values())
        self._at_once = at_once
        self._apart: set[int] = set()
        self._read = read
        self._templates = templates
        self._riders = riders
        self._skip = SkipExisting(skip_existing)
        self._skips_never = skip_existing == "never"
        self._only_action = next(iter(templates)) if len(templates) == 1 else None
        self._at_hand: dict[int, tuple[Action, bytes]] = {}
        self._were_at_hand: dict[int, tuple[Action, bytes]] = {}
        self._api_path = api_path

    # -- before sending --------------------------------------------------------------------------------------------

    def looks_first(self, rows: Rows) -> NDArray[np.bool_]:
        """Lookups, messages and removals always: their answer hides what was there. N:N adds while it pays."""
        adds = self._actions(rows) == Action.ASSOCIATE
        if self._add_tells:
            wants = self._skip.wants_to_look(len(rows)) if adds.any() else False
            looks: NDArray[np.bool_] = ~adds | wants
            return looks
        unread = adds & self._skips_never
        if self._riders and unread.any():
            unread &= np.fromiter((row not in self._riders for row in rows.tolist()), np.bool_, len(rows))
        reads: NDArray[np.bool_] = ~unread
        return reads

    def looked(self, looked: int, already: int) -> None:
        """Learn whether looking pays."""
        self._skip.looked(looked, already)

    def questions(self, rows: Sequence[int]) -> list[Question]:
        """The GETs for the links of these rows."""
        wishes = self._read(np.array(rows, np.int64))
        from_ids, to_ids = _each(wishes.from_ids), _each(wishes.to_ids)
        if len(self._at_hand) > AT_HAND_MAX:
            self._were_at_hand, self._at_hand = self._at_hand, {}
        targets = to_ids if self._relationship.holder == "from" else from_ids
        self._at_hand.update(zip(rows, zip(map(Action, wishes.actions.tolist()), targets, strict=True), strict=True))
        return looking.link_questions(self._relationship, self._api_path, from_ids, to_ids)

    def findings(self, rows: Sequence[int], question: Question, pages: Sequence[bytes]) -> dict[int, Found]:
        """Row -> what is linked. Raises ValueError if a page is not an answer to the question."""
        asked = [rows[position] for position in question.positions]
        wishes = self._read(np.array(asked, np.int64))
        alone = Question(question.request, list(range(len(asked))))
        answers = looking.read_link_answers(
            self._relationship, alone, pages, _each(wishes.from_ids), _each(wishes.to_ids)
        )
        return {asked[position]: found for position, found in answers.items()}

    def next_page(self, page: bytes) -> bytes | None:
        """The GET for the page behind this one, or None."""
        return looking.next_page(page)

    def decide(self, row: int, found: Found) -> Settlement | None:
        """The outcome, if the row is as asked without this run."""
        action, target = self._wish(row)
        if not self._is_as_asked(action, target, found):
            return None
        return Settlement(_ALREADY[action], _why_already(action, found))

    def operations(self, rows: Rows, found: Sequence[Found | None]) -> list[bytes]:
        """One inner request per row, each by the template of its action."""
        wishes = self._read(rows)
        from_texts, to_texts = guid_texts(wishes.from_ids), guid_texts(wishes.to_ids)
        etags = [one.etag.encode() if one and one.etag else b"*" for one in found]
        kinds = np.unique(wishes.actions).tolist()
        if len(kinds) == 1:
            return self._templates[Action(kinds[0])].render(from_texts, to_texts, etags)
        rendered = {kind: self._templates[Action(kind)].render(from_texts, to_texts, etags) for kind in kinds}
        return [rendered[kind][k] for k, kind in enumerate(wishes.actions.tolist())]

    def whole(self, rows: Rows) -> Whole | None:
        """Many lookups in one request, if the job asks for that and no row of it was refused that way."""
        if self._at_once is None or not self._apart.isdisjoint(rows.tolist()):
            return None
        wishes = self._read(rows)
        if not (wishes.actions == Action.ASSOCIATE).all():
            return None
        from_texts, to_texts = guid_texts(wishes.from_ids), guid_texts(wishes.to_ids)
        holders, targets = (from_texts, to_texts) if self._relationship.holder == "from" else (to_texts, from_texts)
        return self._at_once.write(holders, targets)

    def whole_refused(self, rows: Rows) -> None:
        """From now on each of these rows is an operation of its own."""
        self._apart.update(rows.tolist())

    # -- after sending ---------------------------------------------------------------------------------------------

    def success(self, rows: Rows) -> NDArray[np.uint8]:
        """What a 2xx means: the action was done."""
        return _DONE_BY_ACTION[self._actions(rows)]

    def before_success(self, rows: Rows) -> NDArray[np.uint8]:
        """The service refuses to add an N:N link that exists, so that an accepted one was absent before."""
        adds = (self._actions(rows) == Action.ASSOCIATE) & self._add_tells
        return np.where(adds, np.uint8(Before.ABSENT), np.uint8(Before.UNKNOWN)).astype(np.uint8)

    def after_reading(self, row: int, now: Found, first: Found | None, why: Why) -> Settlement | None:
        """The outcome, if the row is as asked now; None if it is not."""
        action, target = self._wish(row)
        if not self._is_as_asked(action, target, now):
            return None
        if why is not Why.DOUBT:
            if first is None:
                self._skip.was_there()
            return Settlement(_ALREADY[action], _why_already(action, now))
        if first is None:
            return Settlement(_ALREADY[action], _LOST_UNREAD)
        if action is Action.DISASSOCIATE and now.before is Before.POINTS_AT:
            return Settlement(_ALREADY[action], _why_already(action, now))
        return Settlement(_DONE[action], _LOST)

    def may_resend_unread(self, row: int) -> bool:
        """Only an N:N add: if the earlier sending took effect, the service refuses the second and changes nothing."""
        return self._add_tells and self._action(row) is Action.ASSOCIATE

    def may_send_unread(self, row: int) -> bool:
        """An N:N add tells by its answer what was there."""
        return self.may_resend_unread(row) and self._skip.cannot_look()

    def refusal_may_mean_done(self, row: int, verdict: Verdict) -> bool:
        """A duplicate may be this very link; a missing record cannot be linked."""
        action = self._action(row)
        if verdict is Verdict.DUPLICATE:
            return self._is_many and action is Action.ASSOCIATE
        return verdict is Verdict.GONE and action is not Action.ASSOCIATE

    def is_read_again(self, row: int) -> bool:
        """A lookup that a form without an etag lets go of may have been pointed elsewhere meanwhile."""
        action = self._wish(row)[0]
        return not self._is_many and action is Action.DISASSOCIATE and Slot.ETAG not in self._templates[action].segments

    def has_another_way(self, row: int, answer: Answer) -> bool:
        """A named form is used as named."""
        return False

    # -- moves -----------------------------------------------------------------------------------------------------

    def riders(self, row: int) -> Sequence[int]:
        """The disassociate rows of the lookup that this row sets: one operation does both."""
        return self._riders.get(row, ())

    def rider_outcome(self, rider: int, row: int, settlement: Settlement, found: Found | None) -> Settlement:
        """A move: where the lookup pointed at the rider's record, it does not any more."""
        if settlement.outcome not in (Outcome.ASSOCIATED, Outcome.ALREADY_ASSOCIATED):
            return settlement
        _, left = self._wish(rider)
        moved = settlement.outcome is Outcome.ASSOCIATED and found is not None and found.before_id == left
        if moved:
            return Settlement(Outcome.DISASSOCIATED, f"moved, together with {self.name_row(row)}")
        return Settlement(Outcome.ALREADY_DISASSOCIATED)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _actions(self, rows: Rows) -> NDArray[np.uint8]:
        """(n,) the action of each row."""
        if self._only_action is None:
            return self._read(rows).actions
        return np.full(len(rows), self._only_action, np.uint8)

    def _action(self, row: int) -> Action:
        return self._only_action or self._wish(row)[0]

    def _wish(self, row: int) -> tuple[Action, bytes]:
        """The row's action and, for lookups, the id that the lookup is to hold or to let go."""
        known = self._at_hand.get(row) or self._were_at_hand.get(row)
        if known is not None:
            return known
        wishes = self._read(np.array([row], np.int64))
        ids = wishes.to_ids if self._relationship.holder == "from" else wishes.from_ids
        return Action(int(wishes.actions[0])), ids.tobytes()

    def _is_as_asked(self, action: Action, target: bytes, found: Found) -> bool:
        if action is Action.ASSOCIATE:
            points_at_it = found.before is Before.POINTS_AT and found.before_id == target and not found.other_type
            return found.before is Before.PRESENT or points_at_it
        if found.missing or found.before is Before.ABSENT:
            return True
        if action is Action.CLEAR:
            return False
        return found.before is Before.POINTS_AT and (found.before_id != target or found.other_type)


def _why_already(action: Action, found: Found) -> str:
    if action is Action.ASSOCIATE:
        return ""
    if found.missing:
        return "the record is not there"
    return f"the lookup points at {guid_text(found.before_id)}" if found.before_id else ""


def _each(ids: NDArray[np.uint8]) -> list[bytes]:
    blob = ids.tobytes()
    return [blob[k : k + 16] for k in range(0, len(blob), 16)]


_DONE_BY_ACTION: Final = np.zeros(len(Action), np.uint8)
for _action, _outcome in _DONE.items():
    _DONE_BY_ACTION[_action] = _outcome
