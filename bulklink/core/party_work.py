"""Parties jobs as the engine sees them: the rows of one activity are one operation.

Owns: what an activity's parties are, which of them are written, what an answer or a reading means for each row.
Does not know: files, cells, batches, time.
Source: the public contract (README, "Job file", `[parties]`); Microsoft's page of 2018 (PUT on the collection);
Microsoft Learn, "ActivityParty table reference".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bulklink.core import looking
from bulklink.core.answer import Answer
from bulklink.core.facts import Table
from bulklink.core.keys import guid_texts
from bulklink.core.record_shape import BIND, Writing, bound_id
from bulklink.core.record_work import Records
from bulklink.core.verdict import Verdict
from bulklink.core.work import Found, Question, Rows, Settlement, Whole, Why
from bulklink.vocabulary import Before, Outcome

ROLE: Final = "participationtypemask"
ADDRESS: Final = "addressused"
#: One condition each; the service takes no query of more than 500.
ACTIVITIES_PER_GET: Final = 200
#: What the service answers where the collection cannot be written as such.
_NOT_THIS_WAY: Final = frozenset({405, 501})
_TARGET: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"
_LOST: Final = "the answer was lost; read back afterwards"
_LOST_UNREAD: Final = "there; the answer to this run's request was lost, so the party may be this run's or older"

#: What may stand for the role of a party.
ROLE_WORDS: Final[Mapping[str, int]] = {
    "from": 1, "sender": 1, "to": 2, "cc": 3, "bcc": 4, "required": 5, "optional": 6, "organizer": 7, "regarding": 8,
    "owner": 9, "resource": 10, "customer": 11,
}  # fmt: skip


class Party(NamedTuple):
    """Who takes part, and as what. key: the record's id or the address, in lower case. member: its JSON, as written."""

    role: int
    key: str
    member: str

    @property
    def identity(self) -> tuple[int, str]:
        """Equal for what the service should hold once."""
        return self.role, self.key


@dataclass(frozen=True, slots=True)
class PartyShape:
    """How an activity's parties are written and read.

    navigation: the collection on the activity. party_set: where parties are read. activity, party: the lookups of a
    party, by column. targets: table -> (navigation property of a party, entity set), for parties that stay.
    """

    table: Table
    navigation: str
    party_set: str
    activity: str
    party: str
    targets: Mapping[str, tuple[str, str]]
    replaces: bool

    def to_text(self) -> str:
        """The shape for the journal."""
        return json.dumps(asdict(self) | {"kind": "parties"})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote."""
        values = json.loads(text)
        del values["kind"]
        values["table"] = Table(**values["table"])
        values["targets"] = {name: (target[0], target[1]) for name, target in values["targets"].items()}
        return cls(**values)

    def member(self, role: int, table: str, record_id: str) -> str:
        """A party that is a record, as JSON."""
        navigation, entity_set = self.targets[table]
        return f'{{"{ROLE}":{role},{json.dumps(navigation + BIND)}:"{entity_set}({record_id})"}}'

    def read(self, record: Mapping[str, Any]) -> Party:
        """A party as the service shows it; without `member` if it could not be written again."""
        role, name = int(record[ROLE] or 0), f"_{self.party}_value"
        if record[name] is None:
            address = str(record[ADDRESS] or "")
            return Party(role, address.lower(), address_member(role, address))
        record_id, table = str(record[name]).lower(), str(record.get(name + _TARGET) or "")
        return Party(role, record_id, self.member(role, table, record_id) if table in self.targets else "")


def address_member(role: int, address: str) -> str:
    """A party that is no record, as JSON."""
    return json.dumps({ROLE: role, ADDRESS: address})


def asked_party(body: str) -> Party:
    """The party that a row asks for."""
    values = json.loads(body)
    bound = next((str(value) for name, value in values.items() if name.endswith(BIND)), "")
    return Party(int(values[ROLE]), bound_id(bound) if bound else str(values[ADDRESS]).lower(), body)


class PartyWork:
    """The activities of one job, each with the rows that name its parties."""

    def __init__(
        self,
        shape: PartyShape,
        records: Records,
        writing: Writing,
        buckets: NDArray[np.uint16],
        riders: Mapping[int, Sequence[int]],
        name_row: Callable[[int], str],
        form: str = "auto",
    ) -> None:
        """riders: first row of an activity -> its other rows. form: auto, put or patch."""
        self.rows = len(buckets)
        self.buckets = buckets
        self.has_riders = bool(riders)
        self.name_row = name_row
        self._shape = shape
        self._records = records
        self._writing = writing
        self._riders = riders
        self._is_auto = form == "auto"
        self._patches = form == "patch"
        self._patched: set[int] = set()
        #: First rows whose own party was there, while others of the activity are being written.
        self._was_there: set[int] = set()

    # -- before sending --------------------------------------------------------------------------------------------

    def looks_first(self, rows: Rows) -> NDArray[np.bool_]:
        """Always: the whole collection is written, so that the present parties must be known."""
        return np.ones(len(rows), np.bool_)

    def looked(self, looked: int, already: int) -> None:
        """Nothing to learn."""

    def questions(self, rows: Sequence[int]) -> list[Question]:
        """The GETs for the present parties of these activities."""
        shape = self._shape
        select = f"{ROLE},{ADDRESS},_{shape.party}_value,_{shape.activity}_value"
        prefix = f"{self._writing.api_path}/{shape.party_set}?$select={select}&$filter="
        texts = [text.decode() for text in guid_texts(self._records.ids(np.array(rows, np.int64)))]
        questions = []
        for start in range(0, len(rows), ACTIVITIES_PER_GET):
            part = dict.fromkeys(texts[start : start + ACTIVITIES_PER_GET])
            clauses = "%20or%20".join(f"_{shape.activity}_value%20eq%20{text}" for text in part)
            positions = list(range(start, min(start + ACTIVITIES_PER_GET, len(rows))))
            questions.append(Question(looking.get_request(prefix + clauses), positions))
        return questions

    def findings(self, rows: Sequence[int], question: Question, pages: Sequence[bytes]) -> dict[int, Found]:
        """Row -> its activity's parties. Raises ValueError if a page is not an answer to the question."""
        asked = [rows[position] for position in question.positions]
        ids = [text.decode() for text in guid_texts(self._records.ids(np.array(asked, np.int64)))]
        present: dict[str, list[Party]] = {}
        try:
            for record in (record for page in pages for record in looking.page_records(page)):
                activity = str(record[f"_{self._shape.activity}_value"]).lower()
                present.setdefault(activity, []).append(self._shape.read(record))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a party of the answer is not as asked for: {error!r}") from error
        own = self._asked(asked)
        return {
            row: _found(party, tuple(present.get(record_id, ())))
            for row, record_id, party in zip(asked, ids, own, strict=True)
        }

    def next_page(self, page: bytes) -> bytes | None:
        """The GET for the page behind this one, or None."""
        return looking.next_page(page)

    def decide(self, row: int, found: Found) -> Settlement | None:
        """The outcome, if all parties are as asked, or if present ones would be lost."""
        present = _present(found)
        if self._is_as_asked(row, present):
            return Settlement(Outcome.ALREADY_ASSOCIATED)
        if not self._shape.replaces and any(not party.member for party in present):
            return Settlement(
                Outcome.REJECTED, "a party that is there already is of a table that cannot be written again"
            )
        return None

    def operations(self, rows: Rows, found: Sequence[Found | None]) -> list[bytes]:
        """One inner request per activity: what is there and stays, and what the rows ask for."""
        ids = [text.decode() for text in guid_texts(self._records.ids(rows))]
        return [
            self._operation(row, record_id, one) for row, record_id, one in zip(rows.tolist(), ids, found, strict=True)
        ]

    def whole(self, rows: Rows) -> Whole | None:
        """No message does this for many rows."""
        return None

    def whole_refused(self, rows: Rows) -> None:
        """Never asked."""

    # -- after sending ---------------------------------------------------------------------------------------------

    def success(self, rows: Rows) -> NDArray[np.uint8]:
        """What a 2xx means for the first row of each activity."""
        there = (row in self._was_there for row in rows.tolist())
        return np.array([Outcome.ALREADY_ASSOCIATED if one else Outcome.ASSOCIATED for one in there], np.uint8)

    def before_success(self, rows: Rows) -> NDArray[np.uint8]:
        """The answer hides what was there."""
        return np.full(len(rows), Before.UNKNOWN, np.uint8)

    def after_reading(self, row: int, now: Found, first: Found | None, why: Why) -> Settlement | None:
        """The outcome, if all parties are as asked now; None if they are not."""
        if not self._is_as_asked(row, _present(now)):
            return None
        if why is not Why.DOUBT:
            return Settlement(Outcome.ALREADY_ASSOCIATED)
        if first is None:
            return Settlement(Outcome.ALREADY_ASSOCIATED, _LOST_UNREAD)
        if first.before is Before.PRESENT:
            return Settlement(Outcome.ALREADY_ASSOCIATED)
        return Settlement(Outcome.ASSOCIATED, _LOST)

    def may_resend_unread(self, row: int) -> bool:
        """Never: somebody else may have changed the parties meanwhile."""
        return False

    def may_send_unread(self, row: int) -> bool:
        """Only where nothing that is there is kept."""
        return self._shape.replaces

    def refusal_may_mean_done(self, row: int, verdict: Verdict) -> bool:
        """No refusal says so."""
        return False

    def is_read_again(self, row: int) -> bool:
        """What is written does not depend on what was read."""
        return False

    def has_another_way(self, row: int, answer: Answer) -> bool:
        """Where the collection cannot be put, the activity is updated with the parties nested in it."""
        if not self._is_auto or row in self._patched or answer.status not in _NOT_THIS_WAY:
            return False
        self._patches = True
        return True

    # -- the rows of one activity ----------------------------------------------------------------------------------

    def riders(self, row: int) -> Sequence[int]:
        """The other rows of this row's activity."""
        return self._riders.get(row, ())

    def rider_outcome(self, rider: int, row: int, settlement: Settlement, found: Found | None) -> Settlement:
        """One operation, but each party was there already or was not."""
        own = Found(Before.UNKNOWN) if found is None or found.details is None else self._stood(rider, found)
        if settlement.outcome not in (Outcome.ASSOCIATED, Outcome.ALREADY_ASSOCIATED):
            return Settlement(settlement.outcome, settlement.message, own)
        if own.before is Before.PRESENT:
            return Settlement(Outcome.ALREADY_ASSOCIATED, "", own)
        if own.before is Before.ABSENT:
            return Settlement(Outcome.ASSOCIATED, settlement.message, own)
        return Settlement(Outcome.ALREADY_ASSOCIATED, _LOST_UNREAD, own)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _asked(self, rows: Sequence[int]) -> list[Party]:
        return [asked_party(body) for body in self._records.bodies(np.array(rows, np.int64))]

    def _stood(self, row: int, found: Found) -> Found:
        return _found(self._asked([row])[0], _present(found))

    def _is_as_asked(self, row: int, present: tuple[Party, ...]) -> bool:
        asked = {party.identity for party in self._asked([row, *self.riders(row)])}
        there = [party.identity for party in present]
        if self._shape.replaces:
            return asked == set(there) and len(there) == len(asked)
        return asked <= set(there)

    def _operation(self, row: int, record_id: str, found: Found | None) -> bytes:
        asked = self._asked([row, *self.riders(row)])
        present = _present(found) if found and not self._shape.replaces else ()
        kept = {party.identity: party.member for party in (*present, *asked)}
        if found and found.before is Before.PRESENT:
            self._was_there.add(row)
        members = f"[{','.join(kept.values())}]"
        shape = self._shape
        if self._patches:
            self._patched.add(row)
            return self._writing.update(shape.table, record_id, f"{{{json.dumps(shape.navigation)}:{members}}}")
        path = f"{shape.table.entity_set}({record_id})/{shape.navigation}"
        return self._writing.request("PUT", path, f'{{"value":{members}}}')


def _found(own: Party, present: tuple[Party, ...]) -> Found:
    there = any(party.identity == own.identity for party in present)
    return Found(Before.PRESENT if there else Before.ABSENT, details=present)


def _present(found: Found) -> tuple[Party, ...]:
    """What a reading found; nothing if an earlier process had read it."""
    return found.details if isinstance(found.details, tuple) else ()
