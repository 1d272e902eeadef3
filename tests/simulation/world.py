"""A whole run without sockets: the real engine, the sandbox's rules, a virtual clock, weather by seed.

The world keeps its own record of what was sent, executed and answered, and checks manners while the run goes on.
"""

import heapq
import itertools
import random
import uuid
from dataclasses import dataclass, field

import numpy as np

from bulklink.core.change_set_size import ChangeSetSizer
from bulklink.core.engine import Engine
from bulklink.core.forms import choose_form, operation_template
from bulklink.core.groups import Groups, joined, kept_back
from bulklink.core.ledger import Ledger
from bulklink.core.link_work import LinkWork
from bulklink.core.pace import Pace, PaceSettings
from bulklink.core.packing import bucket_of
from bulklink.core.relationships import Cardinality, Intersect, Relationship, Table
from bulklink.core.steps import EngineSettings, Finished, Halted, Send, Wait
from bulklink.core.wishes import WishBook, Wishes
from bulklink.core.work import Found
from bulklink.sandbox.batch import BatchHooks, run_batch
from bulklink.sandbox.errors import ODataError
from bulklink.sandbox.fault_answers import operation_fault, page
from bulklink.sandbox.messages import Response, error_answer
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.service import Service
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather import Fault, Kind
from bulklink.vocabulary import UNFINISHED, Action, Before, Form, Isolation, Outcome

API_URL = "http://sandbox.test/api/data/v9.2"
SETTLE_AFTER_S = 60.0

ACCOUNT = Table("account", "accounts", "accountid")
CONTACT = Table("contact", "contacts", "contactid")
LEAD = Table("lead", "leads", "leadid")
OPPORTUNITY = Table("opportunity", "opportunities", "opportunityid")
RELATIONSHIPS = {
    Cardinality.MANY_TO_MANY: Relationship(
        "accountleads_association",
        Cardinality.MANY_TO_MANY,
        ACCOUNT,
        LEAD,
        "accountleads_association",
        "accountleads_association",
        False,
        Intersect("accountleadscollection", "accountleadid", "accountid", "leadid"),
    ),
    Cardinality.LOOKUP: Relationship(
        "account_primary_contact",
        Cardinality.LOOKUP,
        ACCOUNT,
        CONTACT,
        "primarycontactid",
        "account_primary_contact",
        False,
        None,
        "primarycontactid",
    ),
    Cardinality.COLLECTION: Relationship(
        "account_primary_contact",
        Cardinality.COLLECTION,
        CONTACT,
        ACCOUNT,
        "account_primary_contact",
        "primarycontactid",
        False,
        None,
        "primarycontactid",
    ),
}
#: The same lookup can point at a contact as well.
POLYMORPHIC = {
    Cardinality.LOOKUP: Relationship(
        "opportunity_customer_accounts",
        Cardinality.LOOKUP,
        OPPORTUNITY,
        ACCOUNT,
        "customerid_account",
        "opportunity_customer_accounts",
        False,
        None,
        "customerid",
        polymorphic=True,
    ),
    Cardinality.COLLECTION: Relationship(
        "opportunity_customer_accounts",
        Cardinality.COLLECTION,
        ACCOUNT,
        OPPORTUNITY,
        "opportunity_customer_accounts",
        "customerid_account",
        False,
        None,
        "customerid",
        polymorphic=True,
    ),
}
#: Records of this kind are what a polymorphic lookup points at that the job knows nothing of.
STRANGER = 3


def guid(kind: int, number: int) -> uuid.UUID:
    return uuid.UUID(int=(kind << 96) | (0x4000 << 64) | (0x8000 << 48) | number)


@dataclass
class Plan:
    """What one simulated run is made of. rows: (from number, to number, action); missing: numbers >= 100.

    polymorphic: the lookup may point at contacts too. strangers: record that holds the lookup -> contact it points at.
    rival: how likely somebody else changes a link between our reading it and our removal, batch by batch.
    """

    seed: int
    cardinality: Cardinality = Cardinality.MANY_TO_MANY
    rows: list[tuple[int, int, Action]] = field(default_factory=list)
    linked: set[tuple[int, int]] = field(default_factory=set)
    polymorphic: bool = False
    strangers: dict[int, int] = field(default_factory=dict)
    rival: float = 0.0
    isolation: Isolation = Isolation.CHANGE_SET
    group_of: list[int] = field(default_factory=list)
    skip_existing: str = "auto"
    change_set_size: int | None = None
    batch_size: int | None = None
    weather: dict[str, float] = field(default_factory=dict)
    toggles: Toggles = field(default_factory=Toggles)
    poisoned: set[int] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    forms: dict[Action, Form] = field(default_factory=dict)


class MemoryJournal:
    """What a journal remembers, without a disk; the real one is tested on real disks."""

    def __init__(self):
        self.entries = []

    def record(self, sent, settled):
        self.entries += [("block", block) for block in settled]
        self.entries += [("batch", send) for send in sent]

    def outcomes(self):
        found = {}
        for kind, block in self.entries:
            if kind == "block":
                for k, (row, outcome) in enumerate(zip(block.rows.tolist(), block.outcome.tolist(), strict=True)):
                    found[row] = (Outcome(outcome), _text(block.message, k), int(block.before[k]))
        return found

    def open_rows(self):
        """Row -> (sent_s, Found before) for rows that may have been executed and have no outcome."""
        last = {}
        for kind, entry in self.entries:
            if kind == "batch":
                for k, row in enumerate(entry.rows.tolist()):
                    held = entry.before_ids[k].tobytes() if entry.before_ids is not None else b""
                    before = Before(int(entry.before[k]))
                    last[row] = (entry.sent_s, Found(before, held if before is Before.POINTS_AT else b""))
            else:
                for row, outcome in zip(entry.rows.tolist(), entry.outcome.tolist(), strict=True):
                    if outcome != Outcome.IN_DOUBT:
                        last.pop(row, None)
        return last


@dataclass
class Recorded:
    """A send as the journal keeps it."""

    number: int
    sent_s: float
    rows: np.ndarray
    before: np.ndarray
    before_ids: np.ndarray | None


def _text(column, k):
    return column if isinstance(column, str) else column[k]


class World:
    """One organisation, one job, any number of runs over it until everything is settled."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.relationship = (POLYMORPHIC if plan.polymorphic else RELATIONSHIPS)[plan.cardinality]
        self.now_s = 1000.0
        self.journal = MemoryJournal()
        self.blocked_until_s = 0.0
        self.violations: list[str] = []
        self.executed_operations = 0
        self.http_requests = 0
        self.taken_by_rival: set[tuple[str, str]] = set()
        self.in_flight_buckets: dict[int, list[int]] = {}
        self.numbers = itertools.count(1)
        self.agenda: list = []
        self.order = itertools.count()
        self.last_error = None
        self._make_organisation()
        self._make_wishes()
        self.links_at_start = self.links()
        self.strangers_at_start = self.strangers()

    # -- the organisation ------------------------------------------------------------------------------------------

    def _make_organisation(self):
        self.organisation = Organisation.sample()
        self.service = Service(self.organisation, self.plan.toggles)
        kinds = {self.relationship.from_table: 1, self.relationship.to_table: 2}
        if self.plan.polymorphic:
            kinds = {CONTACT: STRANGER, **kinds}
        for table, kind in kinds.items():
            name = {"contact": "lastname", "lead": "lastname"}.get(table.logical_name, "name")
            records = [{table.primary_id: str(guid(kind, k)), name: f"{table.logical_name} {k}"} for k in range(12)]
            if table == self.relationship.holder_table:
                for k, stranger in self.plan.strangers.items():
                    records[k]["customerid_contact"] = str(guid(STRANGER, stranger))
            self.organisation.load_table(table.logical_name, records)
        linking = operation_template(
            choose_form(self.relationship, Action.ASSOCIATE, Form.AUTO), self.relationship, API_URL, Action.ASSOCIATE
        )
        for f, t in sorted(self.plan.linked):
            answer = self._execute_plainly(linking.render([_b(1, f)], [_b(2, t)], [b"*"])[0])
            assert answer.status == 204, answer

    def _execute_plainly(self, operation: bytes) -> Response:
        body = (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n"
            b"Content-Transfer-Encoding: binary\r\nContent-ID: 1\r\n\r\n" + operation + b"\r\n--c--\r\n--b--\r\n"
        )
        _, _, answer = run_batch(
            self.service,
            {"content-type": "multipart/mixed; boundary=b"},
            body,
            API_URL,
            self.plan.toggles,
            BatchHooks(new_id=lambda: str(uuid.UUID(int=self.random.getrandbits(128)))),
        )
        return Response(204 if b"HTTP/1.1 204" in answer else 400, [], answer)

    def links(self) -> set[tuple[str, str]]:
        """(from id, to id) as the job names them."""
        found = set(self.organisation.links(self.relationship.schema_name))
        first = next(iter(found), None)
        if first and first[0].startswith("00000002"):
            return {(t, f) for f, t in found}
        return found

    def strangers(self) -> dict[str, str]:
        """Record that holds the polymorphic lookup -> the contact that it points at."""
        if not self.plan.polymorphic:
            return {}
        return {many: one for one, many in self.organisation.links("opportunity_customer_contacts")}

    # -- the job ---------------------------------------------------------------------------------------------------

    def _make_wishes(self):
        plan = self.plan
        n = len(plan.rows)
        self.from_ids = np.array([list(guid(1, f).bytes) for f, _, _ in plan.rows], np.uint8).reshape(-1, 16)
        self.to_ids = np.array([list(guid(2, t).bytes) for _, t, _ in plan.rows], np.uint8).reshape(-1, 16)
        self.actions = np.array([a for _, _, a in plan.rows], np.uint8)
        book = WishBook(plan.cardinality, n)
        everything = np.arange(n)
        book.add(everything, self._read(everything))
        judgement = book.judge(self._read, self._name)
        self.riders = judgement.riders
        self.journal.record([], judgement.settled)
        if plan.isolation is Isolation.GROUP:
            plan.group_of = joined(np.array(plan.group_of, np.int32), self.riders).tolist()
            ledger = Ledger(n)
            for block in judgement.settled:
                ledger.settle(block)
            kept = kept_back(np.array(plan.group_of, np.int32), ledger, self._name)
            if len(kept):
                self.journal.record([], [kept])

    def _read(self, rows):
        return Wishes(self.from_ids[rows], self.to_ids[rows], self.actions[rows])

    @staticmethod
    def _name(row):
        return f"row {row + 1}"

    def make_engine(self):
        plan = self.plan
        templates = {
            action: operation_template(
                choose_form(self.relationship, action, plan.forms.get(action, Form.AUTO)),
                self.relationship,
                API_URL,
                action,
            )
            for action in (Action.ASSOCIATE, Action.DISASSOCIATE)
        }
        buckets = bucket_of(self.from_ids, 256)
        work = LinkWork(
            self.relationship,
            self._read,
            templates,
            buckets,
            self.riders,
            plan.skip_existing,
            "/api/data/v9.2",
            self._name,
        )
        ledger = Ledger(len(plan.rows))
        for kind, block in self.journal.entries:
            if kind == "block" and int(block.outcome[0]) not in UNFINISHED:
                ledger.settle(block)
        groups = None
        if plan.isolation is Isolation.GROUP:
            groups = Groups(np.array(plan.group_of, np.int32), buckets)
        engine = Engine(
            work,
            ledger,
            EngineSettings(boundary=f"{plan.seed:x}", settle_after_s=SETTLE_AFTER_S),
            Pace(PaceSettings(batch_size=plan.batch_size)),
            ChangeSetSizer(1 if plan.isolation is Isolation.ROW else plan.change_set_size),
            groups,
        )
        for row, (sent_s, first) in self.journal.open_rows().items():
            engine.resume_doubt([row], [first], sent_s, self.now_s)
        self.buckets = buckets
        return engine

    # -- time ------------------------------------------------------------------------------------------------------

    def run_until_settled(self, runs_max=60):
        """Run, crash where the plan says so, run again, until a run finishes. Returns how it finished."""
        cuts = list(self.plan.cuts)
        for _ in range(runs_max):
            end = self.run_once(cuts.pop(0) if cuts else None)
            if isinstance(end, Finished):
                return end
            self.last_error = end.error if isinstance(end, Halted) else None
            self.now_s += self.random.choice([0.5, 5.0, 90.0])
        raise AssertionError(f"not settled after {runs_max} runs: {self.last_error}")

    def run_once(self, cut=None):
        """One process: ends by itself, or is killed after `cut` steps."""
        engine = self.make_engine()
        self.in_flight_buckets.clear()
        for step_number in range(100_000):
            if cut is not None and step_number >= cut:
                self._forget_answers()
                return "killed"
            step = engine.next_step(self.now_s)
            settled = engine.take_settled()
            if isinstance(step, Send):
                self.journal.record([self._recorded(step)] if not step.is_read else [], settled)
                self._send(engine, step)
                continue
            self.journal.record([], settled)
            if isinstance(step, Finished | Halted):
                self.journal.record([], engine.close() if isinstance(step, Halted) else [])
                return step
            self._pass_time(step)
        raise AssertionError("the run does not end")

    def _recorded(self, step):
        return Recorded(step.number, self.now_s, step.rows, step.before, step.before_ids)

    def _pass_time(self, step: Wait):
        """To the next thing that happens: an answer, a late commit, or the end of the wait."""
        until_s = step.until_s
        if self.agenda and self.agenda[0][0] <= until_s:
            at_s, _, what = heapq.heappop(self.agenda)
            self.now_s = max(self.now_s, at_s)
            what()
            return
        assert until_s != float("inf"), f"nothing will ever happen again: {step.why}"
        # A wait that is over already must lead to a step; a machine that waits for the past would turn for ever.
        self.now_s = max(self.now_s + 1e-3, until_s)

    def _later(self, delay_s, what):
        heapq.heappush(self.agenda, (self.now_s + delay_s, next(self.order), what))

    def _forget_answers(self):
        """The process is gone: what it had sent is executed or not, and nobody hears the answers."""
        # A new process has not heard of the pause; the service tells it at its first request.
        self.blocked_until_s = 0.0
        agenda, self.agenda = self.agenda, []
        for at_s, number, what in agenda:
            if getattr(what, "is_execution", False):
                heapq.heappush(self.agenda, (at_s, number, what))

    # -- the wire --------------------------------------------------------------------------------------------------

    def _execute_what_is_due(self):
        """Late commits whose moment passed while nobody was looking."""
        due = [item for item in self.agenda if item[0] <= self.now_s and getattr(item[2], "is_execution", False)]
        self.agenda = [item for item in self.agenda if item not in due]
        heapq.heapify(self.agenda)
        for _, _, execute in sorted(due, key=lambda item: item[:2]):
            execute()

    def _send(self, engine, step: Send):
        self._execute_what_is_due()
        self.http_requests += 1
        if self.now_s < self.blocked_until_s:
            self.violations.append(f"sent at {self.now_s}, blocked until {self.blocked_until_s}")
        if not step.is_read:
            mine = set(self.buckets[step.rows[: step.operations]].tolist())
            for others in self.in_flight_buckets.values():
                if mine & set(others):
                    self.violations.append("two batches in flight touch one record")
            self.in_flight_buckets[step.number] = list(mine)
        latency_s = self.random.uniform(0.05, 2.0)
        fault = self._fault(step, latency_s)
        getattr(self, f"_do_{fault}")(engine, step, latency_s)

    def _fault(self, step, latency_s):
        # U14, U13: what the socket layer and the front end do in the server.
        toggles = self.plan.toggles
        if toggles.payload_bytes_max and len(step.body) > toggles.payload_bytes_max:
            return "too_large"
        if toggles.batch_time_max_s and latency_s > toggles.batch_time_max_s and not step.is_read:
            return "cut"
        for name, probability in self.plan.weather.items():
            if self.random.random() < probability and (not step.is_read or name in _FAULTS_OF_READS):
                return name
        return "well"

    def _rival_acts(self, step):
        """Somebody else removes one of the links that we are about to remove, or points the lookup at a contact."""
        wanted = {f for f, _, action in self.plan.rows if action is Action.ASSOCIATE}
        rows = [r for r in step.rows.tolist() if self.actions[r] == Action.DISASSOCIATE]
        pairs = [self.plan.rows[r][:2] for r in rows if self.plan.rows[r][0] not in wanted]
        pairs = [(str(guid(1, f)), str(guid(2, t))) for f, t in pairs]
        there = sorted(set(pairs) & self.links())
        if not there or self.random.random() >= self.plan.rival:
            return
        pair = self.random.choice(there)
        self.taken_by_rival.add(pair)
        table = self.organisation.table(self.relationship.from_table.logical_name)
        if self.plan.polymorphic:
            contact = str(guid(STRANGER, self.random.randrange(12)))
            self.organisation.update(table, pair[0], {"customerid": contact, "customerid target": "contact"})
            self.strangers_at_start[pair[0]] = contact
        else:
            navigation = self.organisation.model.navigations[table.name][self.relationship.navigation_property]
            self.organisation.remove_link(navigation, *pair)

    def _execute(self, step, before_operation=None, before_commit=None):
        if self.plan.rival and not step.is_read:
            self._rival_acts(step)
        status, headers, body = run_batch(
            self.service,
            {name.lower(): value for name, value in step.headers.items()},
            step.body,
            API_URL,
            self.plan.toggles,
            BatchHooks(
                new_id=lambda: str(uuid.UUID(int=self.random.getrandbits(128))),
                before_operation=before_operation or self._plug_in,
                before_commit=before_commit,
            ),
        )
        self.executed_operations += step.operations
        return status, {name.lower(): value for name, value in headers}, body

    def _plug_in(self, request):
        """A plug-in that refuses some records for good, whatever else happens."""
        if request.method == "GET":
            return None
        for number in self.plan.poisoned:
            if str(guid(1, number)) in request.path + request.body.decode():
                return error_answer(ODataError(400, "0x80040265", f"No links for number {number}."), request)
        return None

    def _answer(self, engine, step, delay_s, answer):
        def deliver():
            self.in_flight_buckets.pop(step.number, None)
            engine.replied(step.number, *answer, self.now_s)

        self._later(delay_s, deliver)

    def _lose(self, engine, step, delay_s, *, may_have_arrived=True):
        def deliver():
            self.in_flight_buckets.pop(step.number, None)
            engine.lost(step.number, "lost", self.now_s, may_have_arrived=may_have_arrived)

        self._later(delay_s, deliver)

    def _do_well(self, engine, step, latency_s):
        self._answer(engine, step, latency_s, self._execute(step))

    def _do_throttle(self, engine, step, latency_s):
        pause_s = self.random.choice([1, 5, 30])
        code = self.random.choice(["0x80072322", "0x80072321", "0x80072326"])
        body = b'{"error":{"code":"%s","message":"Number of requests exceeded the limit."}}' % code.encode()

        def deliver():
            self.in_flight_buckets.pop(step.number, None)
            self.blocked_until_s = max(self.blocked_until_s, self.now_s + pause_s)
            headers = {"content-type": "application/json", "retry-after": str(pause_s)}
            engine.replied(step.number, 429, headers, body, self.now_s)

        self._later(latency_s, deliver)

    def _do_reset_before(self, engine, step, latency_s):
        self._lose(engine, step, latency_s)

    def _do_reset_after(self, engine, step, latency_s):
        self._execute(step)
        self._lose(engine, step, latency_s)

    def _do_not_sent(self, engine, step, latency_s):
        self._lose(engine, step, latency_s, may_have_arrived=False)

    def _do_late_commit(self, engine, step, latency_s):
        """The client gives up; the server goes on and commits later, within `settle_after`."""
        self._lose(engine, step, latency_s)

        def execute():
            self._execute(step)

        execute.is_execution = True
        self._later(latency_s + self.random.uniform(0.0, SETTLE_AFTER_S - 1), execute)

    def _do_cut(self, engine, step, latency_s):
        """The front end gives the batch up; the server goes on and commits later."""
        cut_s, how = self.plan.toggles.batch_time_max_s, self.plan.toggles.batch_time_answer
        if how == "reset":
            self._lose(engine, step, cut_s)
        else:
            answer = page(int(how))
            headers = {name.lower(): value for name, value in answer.headers}
            self._answer(engine, step, cut_s, (answer.status, headers, answer.body))

        def execute():
            self._execute(step)

        execute.is_execution = True
        self._later(cut_s + self.random.uniform(0.0, SETTLE_AFTER_S - 1), execute)

    def _do_unavailable(self, engine, step, latency_s):
        if self.random.random() < 0.5:
            self._execute(step)
        body = b"<html><title>Service Unavailable</title></html>"
        self._answer(engine, step, latency_s, (503, {"content-type": "text/html"}, body))

    def _do_truncate(self, engine, step, latency_s):
        status, headers, body = self._execute(step)
        self._answer(engine, step, latency_s, (status, headers, body[: self.random.randrange(len(body))]))

    def _do_too_large(self, engine, step, latency_s):
        if step.operations <= 1:
            self._do_well(engine, step, latency_s)
            return
        body = b'{"error":{"code":"0x80060888","message":"Request too long."}}'
        self._answer(engine, step, latency_s, (413, {"content-type": "application/json"}, body))

    def _do_deadlock(self, engine, step, latency_s):
        """One operation of the batch loses a deadlock; its change set is rolled back."""
        text = " Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql Number: 1205"
        victim = self._victim(step, lambda request: error_answer(ODataError(500, "0x80044150", text), request))
        self._answer(engine, step, latency_s, self._execute(step, victim))

    def _do_lock_timeout(self, engine, step, latency_s):
        """One operation waits for a lock in vain (U22: with which status)."""
        victim = self._victim(step, lambda request: operation_fault(_LOCK_TIMEOUT, request, self.plan.toggles))
        self._answer(engine, step, latency_s, self._execute(step, victim))

    def _do_throttle_part(self, engine, step, latency_s):
        """A service protection limit is met in the middle of a batch: it holds for everybody."""
        pause_s = self.random.choice([1, 5, 30])
        refusal = ODataError(429, "0x80072321", "Combined execution time exceeded.")
        victim = self._victim(step, lambda request: error_answer(refusal, request))
        status, headers, body = self._execute(step, victim)
        # A batch that is refused as a whole after that says nothing of it.
        is_told = b"0x80072321" in body
        headers |= {"retry-after": str(pause_s)} if is_told else {}

        def deliver():
            self.in_flight_buckets.pop(step.number, None)
            if is_told:
                self.blocked_until_s = max(self.blocked_until_s, self.now_s + pause_s)
            engine.replied(step.number, status, headers, body, self.now_s)

        self._later(latency_s, deliver)

    def _victim(self, step, refusal):
        """A hook that refuses one operation of the batch."""
        victim = self.random.randrange(max(1, step.operations))
        seen = itertools.count()

        def before_operation(request):
            if request.method != "GET" and next(seen) == victim:
                return refusal(request)
            return self._plug_in(request)

        return before_operation

    def _do_unblamed(self, engine, step, latency_s):
        """A change set fails at its commit and nobody is named."""
        first = itertools.count()

        def before_commit(requests):
            if next(first) == 0 and any(request.method != "GET" for request in requests):
                refusal = ODataError(400, "0x80040265", "The transaction was refused at its end.")
                return error_answer(refusal, requests[0])
            return None

        if step.operations < 2:
            self._do_well(engine, step, latency_s)
            return
        self._answer(engine, step, latency_s, self._execute(step, before_commit=before_commit))


_LOCK_TIMEOUT = Fault(Kind.LOCK_TIMEOUT)
_FAULTS_OF_READS = frozenset({"throttle", "reset_before", "not_sent", "unavailable", "truncate"})


def _b(kind, number):
    return str(guid(kind, number)).encode()
