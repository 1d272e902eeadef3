"""What becomes of rows after an answer, a reading, or silence.

Owns: every decision about a row that is not on the straight way, and the outcome that it leads to.
Does not know: flights, pace, bodies: the engine's.
Source: `verdict` for what an answer means; the public contract for what an outcome claims.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from bulklink.core.groups import Groups
from bulklink.core.halting import EqualAnswers, cannot_settle, same_refusal
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.look_desk import LookDesk, Round, Unread
from bulklink.core.open_rows import OpenRows
from bulklink.core.reply import Answer, BatchReply, Fate
from bulklink.core.riding import Riding
from bulklink.core.settling import Settler
from bulklink.core.verdict import ATTEMPTS_MAX, Verdict, backoff_s, too_many_limit, verdict_of
from bulklink.core.work import Found, Rows, Settlement, Why, Work
from bulklink.errors import BulklinkError
from bulklink.vocabulary import AS_ASKED, Before, Outcome

_PASSING = frozenset({Verdict.RETRY, Verdict.RETRY_SMALLER, Verdict.RETRY_ONCE, Verdict.THROTTLED})


class Fates:
    """Decides; `open` says where the undecided rows are, `settler` takes the outcomes."""

    def __init__(self, work: Work, ledger: Ledger, settle_after_s: float, groups: Groups | None) -> None:
        self._work = work
        self._ledger = ledger
        self._settle_after_s = settle_after_s
        self._groups = groups
        self.open = OpenRows(work, len(ledger.outcomes), groups)
        self.settler = Settler(work, ledger, self.open.attempts)
        self.desk = LookDesk(work)
        self.riding = Riding(work, ledger)
        self.stop_reason: BulklinkError | None = None
        self._equal = EqualAnswers[tuple[int, Answer]](lambda held: self._reject(*held))
        self._by_verdict: Mapping[Verdict, Callable[[int, Answer, float], float | None]] = {
            Verdict.REJECT: self._refused_for_good,
            Verdict.DUPLICATE: self._refused_for_good,
            Verdict.GONE: self._refused_for_good,
            Verdict.SIGN_IN: self._refused_for_good,
            Verdict.HALVE: self._refused_for_good,
            Verdict.STALE: self._look_anew,
            Verdict.RETRY: self._passing_fault,
            Verdict.RETRY_SMALLER: self._passing_fault,
            Verdict.RETRY_ONCE: self._passing_fault,
            Verdict.THROTTLED: self._throttled,
            Verdict.DOUBT: self._passing_fault,
        }

    # -- what there is to do ---------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether any row known one by one still has to be sent, read or waited for."""
        return bool(self.open.sendable or self.open.waiting or self.desk.is_busy)

    def next_due_s(self) -> float | None:
        """The next moment at which something becomes possible by itself."""
        return min((due for due in (self.open.next_due_s(), self.desk.next_due_s()) if due is not None), default=None)

    def why_waiting(self) -> str:
        """What the run waits for when nothing is in flight."""
        if len(self.open.doubts):
            return f"{len(self.open.doubts)} rows in doubt: read again until settle_after is over"
        return "passing faults: trying again after a pause"

    def wake(self, now_s: float) -> None:
        """Rows whose pause is over are ready; rows in doubt that are due are queued for reading."""
        for alone, rows in self.open.wake(now_s).items():
            self._send_again(rows, alone=alone)
        self.desk.ask(Why.DOUBT, self.open.doubts.due(now_s))

    def ready(self, rows: Sequence[int], *, alone: bool = False) -> None:
        """These rows can be sent; `alone`: each in a change set of its own."""
        self._fallen(self.open.ready(rows, alone=alone))

    def _send_again(self, rows: Sequence[int], *, alone: bool) -> None:
        """These rows were not executed and go again; what cannot guard itself by an etag is read again first."""
        anew = {row for row in rows if self._work.is_read_again(row)}
        for row in anew:
            self.open.found.pop(row, None)
        self.desk.ask(Why.FIRST, sorted(anew))
        self.ready([row for row in rows if row not in anew], alone=alone)

    def in_doubt(self, rows: Iterable[int], now_s: float, conclusive_s: float) -> None:
        """Nobody knows whether these rows were executed."""
        for row in rows:
            self.open.doubt(row, now_s, conclusive_s)
            if self._groups is None and self._work.may_resend_unread(row):
                self.open.doubts.remove(row)
                self._passing_fault(row, None, now_s)

    # -- answers ---------------------------------------------------------------------------------------------------

    @property
    def held_back(self) -> int:
        """Rows refused alike, of which it is not clear yet whether rows or job are at fault."""
        return len(self._equal.held)

    def accepted(self) -> None:
        """The service accepted something: a refusal of the whole job is out of the question."""
        self._equal.answered_otherwise()

    def let_go(self) -> None:
        """The answers are in: refusals held back are the rows' own."""
        self._equal.let_go()

    def answered(self, rows: Rows, sizes: Sequence[int], reply: BatchReply, now_s: float) -> None:
        """Settle what is done, then go through the change sets that hold anything else, each with its fates."""
        is_done = (reply.fates == Fate.ANSWERED) & (reply.statuses // 100 == 2)
        self._succeeded(rows[is_done], reply.statuses[is_done], reply.request_id)
        if is_done.all():
            return
        set_of = np.repeat(np.arange(len(sizes)), sizes)
        listed = rows.tolist()
        for _, places in groupby(np.flatnonzero(~is_done).tolist(), lambda k: int(set_of[k])):
            operations = list(places)
            unblamed = reply.unblamed.get(operations[0])
            if unblamed is not None:
                self._failed_without_culprit([listed[k] for k in operations], unblamed, now_s)
            else:
                self._change_set({k: listed[k] for k in operations}, reply, now_s)

    def _change_set(self, rows: Mapping[int, int], reply: BatchReply, now_s: float) -> None:
        """What is not done of one change set. rows: operation -> row."""
        rolled_back: list[int] = []
        unknown: list[int] = []
        due_s = now_s
        for k, row in rows.items():
            fate = reply.fates[k]
            if fate == Fate.UNKNOWN:
                unknown.append(row)
            elif fate != Fate.ANSWERED:
                rolled_back.append(row)
            else:
                due_s = max(due_s, self._fault(row, reply.answers[k], now_s))
        self.in_doubt(unknown, now_s, now_s + self._settle_after_s)
        if due_s > now_s:
            # Siblings of a passing fault wait as long as the culprit, or they meet the same fault.
            self.open.put_back(rolled_back, due_s, alone=True)
        else:
            self._send_again(rolled_back, alone=True)

    def _failed_without_culprit(self, rows: list[int], answer: Answer, now_s: float) -> None:
        """A change set was rolled back and nobody named: one row is to blame by itself, several go one by one."""
        if len(rows) == 1 or verdict_of(answer) in _PASSING:
            for row in rows:
                self._fault(row, answer, now_s)
        elif self._groups is not None:
            self._groups.fail(rows[0], None)
            for row in rows:
                self._group_failed(row, None, answer)
        else:
            self._send_again(rows, alone=True)

    def _succeeded(self, rows: Rows, statuses: NDArray[np.uint16], request_id: str) -> None:
        """These rows are done."""
        if not len(rows):
            return
        self.accepted()
        self.settler.succeeded(rows, statuses, request_id, self.open.found)
        listed = rows.tolist()
        self.open.forget(listed)
        if self._groups is not None:
            for row in listed:
                self._groups.settled(row)

    def _fault(self, row: int, answer: Answer, now_s: float) -> float:
        """One row's own refusal. Returns the moment of its next try (now, if there is none)."""
        verdict = verdict_of(answer)
        if self._work.has_another_way(row, answer):
            self.ready([row], alone=True)
            return now_s
        if self._work.refusal_may_mean_done(row, verdict):
            self.open.refused[row] = answer
            self.desk.ask(Why.REFUSED, [row])
            return now_s
        return self._by_verdict[verdict](row, answer, now_s) or now_s

    def _refused_for_good(self, row: int, answer: Answer, now_s: float) -> None:
        if row in self.open.doubted:
            # Refused this time; whether an earlier sending took effect, or still will, is for readings to say.
            self.open.refused[row] = answer
            self.open.doubts.add([row], now_s, self.open.doubted[row])
            return
        error = self._equal.refused(answer, (row, answer))
        if error:
            self.stop_reason = self.stop_reason or error
            self.settler.keep_for_next_time(self._equal.news())

    def whole_job_refused(self, answer: Answer, rows: Rows) -> BulklinkError:
        """The service refuses the signed-in user: nothing of this was executed, nothing is settled."""
        # An earlier sending of a row may have been: its doubt must outlive this process.
        self.settler.keep_for_next_time([(row, answer) for row in rows.tolist() if row not in self.open.doubted])
        return same_refusal(answer, 1)

    def refused_whole(self, rows: Rows, sizes: Sequence[int], answer: Answer, now_s: float) -> int:
        """A batch as such was refused. Returns the most operations that the next one may hold, 0 = no news."""
        if answer.status >= 500 or verdict_of(answer) is Verdict.DOUBT:
            self.in_doubt(rows.tolist(), now_s, now_s + self._settle_after_s)
            return 0
        if len(rows) == 1:
            self._refused_for_good(int(rows[0]), answer, now_s)
            return 0
        if self._groups is not None and len(sizes) == 1:
            # One group cannot be halved: once it is read that nothing of it was done, it falls.
            self.open.refused.update(dict.fromkeys(rows.tolist(), answer))
        for row in rows.tolist():
            self._refused_with_others(row, now_s)
        return min(too_many_limit(answer) or len(rows) // 2, len(rows) - 1)

    def _refused_with_others(self, row: int, now_s: float) -> None:
        """One row of a batch that was refused as such: its first items may have run, but nothing runs any more."""
        self.open.halved.add(row)
        if self._groups is None and self._work.may_resend_unread(row):
            self.open.doubted[row] = max(now_s, self.open.doubted.get(row, 0.0))
            self.open.put_back([row], now_s, alone=True)
        else:
            self.open.doubt(row, now_s, now_s)

    def _reject(self, row: int, answer: Answer) -> None:
        self._settle(row, Settlement(Outcome.REJECTED), answer, self.open.found.get(row))

    def _look_anew(self, row: int, answer: Answer, now_s: float) -> None:
        """Somebody changed the record between the reading and the sending: read again, decide again."""
        if self.open.fault(row, now_s) is None:
            self._exhausted(row, answer)
        else:
            self.open.found.pop(row, None)
            self.desk.ask(Why.FIRST, [row])

    def _throttled(self, row: int, answer: Answer, now_s: float) -> float:
        if not self.open.throttled(row, now_s):
            self._has_had_its_share(row, answer, now_s)
            return now_s
        due_s = now_s + (answer.retry_after_s if answer.retry_after_s is not None else backoff_s(1, 0.5))
        self.open.put_back([row], due_s, alone=True)
        return due_s

    def _passing_fault(self, row: int, answer: Answer | None, now_s: float) -> float:
        limit = 2 if answer is not None and verdict_of(answer) is Verdict.RETRY_ONCE else ATTEMPTS_MAX
        due_s = self.open.fault(row, now_s, limit)
        if due_s is not None:
            self.open.put_back([row], due_s, alone=True)
            return due_s
        self._has_had_its_share(row, answer, now_s)
        return now_s

    def _has_had_its_share(self, row: int, answer: Answer | None, now_s: float) -> None:
        """Enough of sending: if an earlier one may have taken effect, only readings can tell now."""
        if row in self.open.doubted:
            self.open.doubts.add([row], now_s, self.open.doubted[row])
        else:
            self._exhausted(row, answer)

    def _exhausted(self, row: int, answer: Answer | None) -> None:
        said = f": {answer.message}" if answer and answer.message else ""
        message = f"not done after {self.open.faults(row)} passing faults{said}"
        self._settle(row, Settlement(Outcome.EXHAUSTED, message), answer, self.open.found.get(row))

    # -- readings --------------------------------------------------------------------------------------------------

    def read(self, one: Round, reply: BatchReply, now_s: float) -> None:
        """A round's answers are in: settle what they settle, send what is to be sent."""
        unread = self.desk.answered(one, reply)
        found, one.found = one.found, {}
        handle = {Why.FIRST: self._first_read, Why.REFUSED: self._refusal_read, Why.DOUBT: self._doubt_read}[one.why]
        to_send = [
            row
            for row, now in found.items()
            if not self._ledger.is_settled(row) and handle(row, now, one.asked_s, now_s)
        ]
        if one.why is Why.FIRST:
            self._work.looked(len(found), sum(int(self._ledger.outcomes[row]) in AS_ASKED for row in found))
        self.ready(to_send, alone=one.why is not Why.FIRST)
        if one.open:
            self.desk.again(one, now_s)
        for failure in unread:
            for row in failure.rows:
                if not self._ledger.is_settled(row):
                    self._unread(one.why, row, failure, now_s)

    def _first_read(self, row: int, now: Found, _asked_s: float, _now_s: float) -> bool:
        """Whether the row is to be sent."""
        settlement = self._work.decide(row, now)
        if settlement is None:
            self.open.found[row] = now
            return True
        self._settle(row, settlement, None, now)
        return False

    def _refusal_read(self, row: int, now: Found, _asked_s: float, now_s: float) -> bool:
        answer = self.open.refused.pop(row)
        why = Why.DOUBT if row in self.open.doubted else Why.REFUSED
        first = self.open.found.get(row)
        settlement = self._work.after_reading(row, now, first, why)
        if settlement is None:
            self._refused_for_good(row, answer, now_s)
        else:
            self.accepted()
            self._settle(row, settlement, answer, first or (now if why is Why.REFUSED else None))
        return False

    def _doubt_read(self, row: int, now: Found, asked_s: float, now_s: float) -> bool:
        if row not in self.open.doubts:
            return False
        first = self.open.found.get(row)
        settlement = self._work.after_reading(row, now, first, Why.DOUBT)
        if settlement is not None:
            self._settle(row, settlement, None, first)
            return False
        if not self.open.doubts.is_conclusive(row, asked_s):
            self.open.doubts.look_later(row, now_s)
            return False
        self.open.doubts.remove(row)
        del self.open.doubted[row]
        refused = self.open.refused.pop(row, None)
        if refused is not None and self._groups is not None and row in self.open.halved:
            self._groups.fail(row, None)
            self._group_failed(row, None, refused)
        elif refused is not None:
            self._refused_for_good(row, refused, now_s)
        elif row not in self.open.halved and self.open.fault(row, now_s) is None:
            self._exhausted(row, None)
        else:
            self.open.halved.discard(row)
            return self._first_read(row, now, asked_s, now_s)
        return False

    def _unread(self, why: Why, row: int, failure: Unread, now_s: float) -> None:
        """One row could not be read."""
        answer = failure.answer
        if why is Why.DOUBT:
            is_lasting = answer is not None and not failure.is_passing
            if self.open.doubts.could_not_look(row, now_s) or is_lasting:
                self.stop_reason = self.stop_reason or cannot_settle(answer)
        elif failure.is_passing and (due_s := self.open.fault(row, now_s)) is not None:
            self.desk.ask_later(why, row, due_s)
        elif why is Why.REFUSED:
            self._refused_for_good(row, self.open.refused.pop(row), now_s)
        elif self._work.may_send_unread(row):
            self.ready([row])
        elif failure.is_passing or answer is None:
            self._exhausted(row, answer)
        else:
            self._refused_for_good(row, answer, now_s)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _settle(self, row: int, settlement: Settlement, answer: Answer | None, found: Found | None) -> None:
        self.settler.settle(row, settlement, answer, found)
        self.open.forget([row])
        if self._groups is None:
            return
        if settlement.outcome in AS_ASKED:
            self._groups.settled(row)
            return
        for other in self._groups.fail(row, row):
            self._group_failed(other, row, None)

    def _fallen(self, fallen: Iterable[tuple[int, int | None]]) -> None:
        for row, culprit in fallen:
            self._group_failed(row, culprit, None)

    def _group_failed(self, row: int, culprit: int | None, answer: Answer | None) -> None:
        if self._ledger.is_settled(row):
            return
        if culprit is not None:
            message = f"{self._work.name_row(culprit)} of its group failed"
        else:
            message = "its group failed; the service names no row" + (f": {answer.message}" if answer else "")
        self.settler.settle(row, Settlement(Outcome.GROUP_FAILED, message), answer, self.open.found.get(row))
        self.open.forget([row])

    def note_open_rows(self, in_flight: Sequence[int]) -> None:
        """Rows sent before and known not to be done: written down, so that nobody doubts them tomorrow."""
        if self.stop_reason is None:
            self._equal.let_go()
        self.settler.keep_for_next_time(self._equal.news())
        unsure = np.array([*in_flight, *self.open.doubted, *self.open.refused, *self.settler.kept], np.int64)
        unsure = self.riding.with_passengers(unsure)
        open_rows: NDArray[np.int64] = np.flatnonzero((self._ledger.outcomes == 0) & (self.open.attempts > 0))
        rows = np.setdiff1d(open_rows, unsure)
        self.settler.note(
            OutcomeBlock(
                rows=rows,
                outcome=np.full(len(rows), Outcome.NOT_ATTEMPTED, np.uint8),
                before=np.full(len(rows), Before.UNKNOWN, np.uint8),
                attempts=self.open.attempts[rows],
                message="sent before, and known not to be done",
            )
        )
