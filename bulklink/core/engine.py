"""A run as a machine that can be single-stepped: tell it what happened, ask it what to do next.

Owns: which rows are sent, read, sent again, held, settled, and when the run ends.
Does not know: sockets, files, clocks, wire forms, kinds of jobs. The moment is passed in, bytes go in and out.
Model: h11's `Connection`.

A row's way: supply -> (read first) -> pool -> in flight -> settled; back to the pool after a roll-back or a passing
fault; into doubt after a lost answer, until a read settles it or proves after `settle_after_s` that nothing happened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.change_set_size import ChangeSetSizer
from bulklink.core.fates import Fates
from bulklink.core.groups import Groups
from bulklink.core.halting import Reachability
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.look_desk import LOOK_ROWS, Round
from bulklink.core.pace import Pace, ReplyFacts
from bulklink.core.packing import Draw, Line, Locks, Supply, set_sizes
from bulklink.core.reply import BatchReply, read_batch_reply, read_read_reply
from bulklink.core.request import batch_headers, write_batch, write_read_batch
from bulklink.core.settling import before_columns
from bulklink.core.steps import EngineSettings, Finished, Halted, Send, Step, Wait
from bulklink.core.verdict import is_about_size, is_permission, is_understood, throttling, wants_smaller
from bulklink.core.whole import is_whole_refusal, read_whole_reply
from bulklink.core.work import Found, Whole, Why, Work
from bulklink.errors import BooksError, BulklinkError, StoppedEarly
from bulklink.vocabulary import Before

Rows = NDArray[np.int64]

#: A refusal that may mean "already so" waits for others to be read with it, but not longer.
REFUSED_LOOK_WAIT_S: Final = 2.0


@dataclass(slots=True)
class _Flight:
    number: int
    sent_s: float
    rows: Rows
    sizes: list[int]
    buckets: list[int] = field(default_factory=list)
    round: Round | None = None
    is_whole: bool = False


class Engine:
    """One run over the rows of a job."""

    def __init__(
        self,
        work: Work,
        ledger: Ledger,
        settings: EngineSettings,
        pace: Pace,
        sizer: ChangeSetSizer,
        groups: Groups | None = None,
    ) -> None:
        self._work = work
        self._ledger = ledger
        self._settings = settings
        self._pace = pace
        self._sizer = sizer
        self._groups = groups
        self._locks = Locks(settings.hub_parallelism)
        self.fates = Fates(work, ledger, settings.settle_after_s, groups)
        self._supply: Supply | Line | None = None
        self._flights: dict[int, _Flight] = {}
        self._reach = Reachability()
        self._stop: BulklinkError | None = None
        self._number = settings.last_number
        self._refused_look_s = inf
        self.operations_sent = 0
        self.batches_sent = 0
        self.change_sets_rolled_back = 0

    # -- before the first step -------------------------------------------------------------------------------------

    def resume_doubt(self, rows: Iterable[int], found: Iterable[Found], sent_s: float, now_s: float) -> None:
        """Rows that an earlier, broken run had sent at `sent_s` (same clock) without learning what became of them."""
        # A machine's clock can be set back between two runs; nobody is in doubt for longer because of that.
        sent_s = min(sent_s, now_s)
        for row, first in zip(rows, found, strict=True):
            if not self._ledger.is_settled(row) and row not in self.fates.riding.ridden:
                self.fates.in_doubt([row], now_s, sent_s + self._settings.settle_after_s)
                if first.before is not Before.UNKNOWN:
                    self.fates.open.found[row] = first

    def resume_attempts(self, rows: Rows, attempts: NDArray[np.uint8]) -> None:
        """How often earlier processes of the same run had sent these rows."""
        counts = self.fates.open.attempts
        counts[rows] = np.maximum(counts[rows], attempts)

    # -- the machine -----------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests whose answers are awaited."""
        return len(self._flights)

    @property
    def throttled(self) -> int:
        """How many answers said that a service protection limit was reached."""
        return self._pace.throttled

    @property
    def retried(self) -> int:
        """How often a row was sent again after a passing fault."""
        return self.fates.open.retried

    def waiting(self, now_s: float) -> tuple[float, str] | None:
        """Until when nothing is sent, and why, in words; None if requests may leave."""
        return self._pace.wait_until(now_s)

    def stop(self, error: BulklinkError) -> None:
        """Send nothing more; answers that are under way still count. The first reason stays."""
        self._stop = self._stop or error

    def next_step(self, now_s: float) -> Step:
        """What to do now. Never sleeps and never repeats itself: a `Send` that was handed out is in flight."""
        if self._supply is None:
            self._start()
        self._check_limits(now_s)
        if self._stop:
            return self._stopping(self._stop)
        self.fates.wake(now_s)
        if not self._has_work() and not self._flights:
            self.fates.let_go()
            if not self._has_work():
                return self._end()
        if not self._pace.may_send(now_s):
            until_s, why = self._pace.wait_until(now_s) or (inf, "all requests allowed are in flight")
            return Wait(min(until_s, self._settings.deadline_s), why)
        return self._read_step(now_s) or self._write_step(now_s) or self._idle(now_s)

    def replied(self, number: int, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
        """The answer to request `number` has arrived, whatever it says. Raises KeyError for an unknown number."""
        flight = self._land(number)
        if flight.round is not None:
            reply = read_read_reply(status, headers, body, len(flight.round.open))
        elif flight.is_whole:
            reply = read_whole_reply(status, headers, body, len(flight.rows))
        else:
            reply = read_batch_reply(status, headers, body, flight.sizes)
        throttled = reply.refused is not None and throttling(reply) is not None
        self._learn(flight, status, reply, now_s, lost=False)
        if is_understood(reply):
            self._reach.answered()
        elif status < 500 or reply.refused is not None:
            self._unreachable(now_s, reply.trouble or f"status {status}")
        if flight.is_whole and reply.refused is not None and is_whole_refusal(reply.refused):
            self._work.whole_refused(flight.rows)
            self.fates.ready(flight.rows.tolist(), alone=True)
        elif reply.refused is not None and not throttled and is_permission(reply.refused):
            self._put_back(flight, now_s)
            self.stop(self.fates.whole_job_refused(reply.refused, flight.rows))
        elif flight.round is not None:
            self._round_answered(flight.round, reply, now_s)
        elif throttled:
            self.fates.open.put_back(flight.rows.tolist(), now_s, alone=False)
        else:
            self._batch_answered(flight, reply, now_s)

    def lost(self, number: int, why: str, now_s: float, *, may_have_arrived: bool) -> None:
        """Request `number` brought no answer. Raises KeyError for an unknown number."""
        flight = self._land(number)
        self._learn(flight, 0, None, now_s, lost=may_have_arrived)
        self._unreachable(now_s, why)
        if flight.round is not None or not may_have_arrived:
            self._put_back(flight, now_s)
        else:
            self.fates.in_doubt(flight.rows.tolist(), now_s, now_s + self._settings.settle_after_s)

    def take_settled(self) -> list[OutcomeBlock]:
        """The rows settled since the last call."""
        return self.fates.settler.take()

    def close(self) -> list[OutcomeBlock]:
        """How the open rows of a halted run stand: the ones known not to be done, so that nobody doubts them."""
        in_flight = [row for flight in self._flights.values() for row in flight.rows.tolist()]
        self.fates.note_open_rows(in_flight)
        return self.take_settled()

    # -- answers ---------------------------------------------------------------------------------------------------

    def _land(self, number: int) -> _Flight:
        flight = self._flights.pop(number)
        self._locks.give_back(flight.buckets)
        return flight

    def _put_back(self, flight: _Flight, now_s: float) -> None:
        """Nothing of this request was executed."""
        if flight.round is not None:
            self.fates.desk.again(flight.round, now_s + self._reach.pause_s())
        else:
            self.fates.open.put_back(flight.rows.tolist(), now_s + self._reach.pause_s(), alone=False)

    def _batch_answered(self, flight: _Flight, reply: BatchReply, now_s: float) -> None:
        if reply.refused is not None:
            maximum = self.fates.refused_whole(flight.rows, flight.sizes, reply.refused, now_s)
            if maximum:
                self._pace.batch_size_refused(maximum, is_for_good=is_about_size(reply.refused))
        else:
            self.change_sets_rolled_back += reply.rolled_back(flight.sizes)
            self.fates.answered(flight.rows, flight.sizes, reply, now_s)
        if self.fates.stop_reason:
            self.stop(self.fates.stop_reason)

    def _round_answered(self, one: Round, reply: BatchReply, now_s: float) -> None:
        if reply.refused is not None and (throttling(reply) or not is_understood(reply)):
            # Nobody's fault: the pace and the patience with an unreachable service decide when it is asked again.
            self.fates.desk.again(one, now_s + self._reach.pause_s())
            return
        self.fates.read(one, reply, now_s)
        if self.fates.stop_reason:
            self.stop(self.fates.stop_reason)

    def _learn(self, flight: _Flight, status: int, reply: BatchReply | None, now_s: float, *, lost: bool) -> None:
        limit = throttling(reply) if reply is not None else None
        retry_after_s = limit.retry_after_s if limit is not None else None
        if retry_after_s is None and reply is not None:
            retry_after_s = reply.retry_after_s
        operations = len(flight.round.open) if flight.round is not None else len(flight.rows)
        self._pace.replied(
            ReplyFacts(
                number=flight.number,
                operations=operations,
                sent_s=flight.sent_s,
                received_s=now_s,
                status=status,
                throttled_code=limit.code if limit is not None else "",
                retry_after_s=retry_after_s,
                dop_hint=reply.dop_hint if reply is not None else None,
                lost=lost,
                smaller=reply is not None and wants_smaller(reply),
                is_read=flight.round is not None,
            )
        )
        is_batch = flight.round is None and not flight.is_whole
        if reply is not None and reply.refused is None and is_batch and self._groups is None:
            rolled_back = bool(reply.blame or reply.unblamed)
            self._sizer.learned(max(flight.sizes), operations, now_s - flight.sent_s, rolled_back=rolled_back)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        rows = self.fates.riding.operations_of(self._ledger.open_rows())
        if self._groups is not None:
            self._groups.begin(rows)
        # What an earlier run left in doubt is on its way already.
        if self.fates.open.doubted:
            rows = np.setdiff1d(rows, np.array(list(self.fates.open.doubted), np.int64), assume_unique=True)
        if self._groups is not None:
            rows = self._groups.in_order(rows)
            self._supply = Line(rows)
        else:
            self._supply = Supply(self._work.buckets, rows)

    def _has_work(self) -> bool:
        return bool(self._supply and self._supply.left) or self.fates.has_work()

    def _end(self) -> Finished | Halted:
        missing = self._work.rows - self._ledger.settled
        if missing:
            return Halted(BooksError(f"{missing} rows are neither settled nor waiting for anything."))
        return Finished()

    def _check_limits(self, now_s: float) -> None:
        if self._stop:
            return
        if now_s >= self._settings.deadline_s:
            self.stop(StoppedEarly("The deadline has come."))
            return
        failed = self._ledger.not_as_asked + self.fates.held_back
        # Once nothing is left to be sent there is nothing to stop.
        if failed > self._settings.max_failures and (self._has_work() or self._flights):
            self.stop(StoppedEarly(f"{failed} rows are not as asked: more than max_failures allows."))

    def _stopping(self, why: BulklinkError) -> Step:
        if self._flights:
            return Wait(inf, "stopping: waiting for the last answers")
        if self.fates.stop_reason is None:
            self.fates.let_go()
        # Where the last answers settled everything, nothing was stopped.
        return Halted(why) if self._ledger.settled < self._work.rows else Finished()

    def _unreachable(self, now_s: float, why: str) -> None:
        error = self._reach.failed(now_s, why)
        if error:
            self.stop(error)

    def _read_step(self, now_s: float) -> Send | None:
        desk = self.fates.desk
        desk.wake(now_s)
        refused = desk.waiting(Why.REFUSED)
        if refused and self._refused_look_s == inf:
            self._refused_look_s = now_s + REFUSED_LOOK_WAIT_S
        idle = not (self._supply and self._supply.left) and not self.fates.open.sendable
        is_gathering = not (idle or refused >= LOOK_ROWS or now_s >= self._refused_look_s)
        one = desk.next_round(now_s, Why.REFUSED if is_gathering else None)
        if one is None:
            return None
        if one.why is Why.REFUSED:
            self._refused_look_s = inf
        one.asked_s = min(one.asked_s, now_s)
        self._number += 1
        boundary = f"batch_{self._settings.boundary}_{self._number}"
        body = write_read_batch(boundary, [request for _, request, _ in one.open])
        self._fly(_Flight(self._number, now_s, np.zeros(0, np.int64), [], round=one), len(one.open), now_s)
        none = np.zeros(0, np.uint8)
        return Send(self._number, body, batch_headers(boundary), np.zeros(0, np.int64), none, None, none)

    def _write_step(self, now_s: float) -> Send | None:
        size = self._pace.batch_size
        draw = self.fates.open.draw(size, self._sizer.size, self._locks)
        left = -1
        while not len(draw.rows) and self._supply and self._supply.left != left:
            # A group that is not complete yet takes several draws.
            left = self._supply.left
            draw = self._draw_fresh(size)
        if not len(draw.rows):
            # What was drawn has to be read first.
            return self._read_step(now_s) if self.fates.desk.waiting(Why.FIRST) else None
        self._number += 1
        return self._send(draw, now_s)

    def _draw_fresh(self, size: int) -> Draw:
        """Rows nobody has touched: those to be read first go to the desk, the others are sent."""
        assert self._supply is not None
        if not self._supply.left or self.fates.desk.waiting(Why.FIRST) or self._is_ahead(size):
            return Draw(np.zeros(0, np.int64), [])
        rows = self._supply.draw(max(size, 1), self._locks)
        if not len(rows):
            return Draw(rows, [])
        look = self._work.looks_first(rows)
        if look.any():
            more = self._supply.draw(max(0, LOOK_ROWS - int(look.sum())), self._locks) if look.all() else rows[:0]
            looks_too = self._work.looks_first(more)
            self.fates.desk.ask(Why.FIRST, [*rows[look].tolist(), *more[looks_too].tolist()])
            self.fates.ready(more[~looks_too].tolist())
            rows = rows[~look]
        if self._groups is not None:
            self.fates.ready(rows.tolist())
            return self.fates.open.draw(size, self._sizer.size, self._locks)
        return Draw(rows, set_sizes(len(rows), self._sizer.size))

    def _is_ahead(self, size: int) -> bool:
        """Enough groups wait for their locks: what was found should not grow old.

        Rows that go by themselves need no such limit: nothing is drawn from a locked bucket, and the rows of a hub
        that wait for its lock must not hold up the others.
        """
        return self._groups is not None and self.fates.open.sendable > max(LOOK_ROWS, size * self._pace.limit)

    def _send(self, draw: Draw, now_s: float) -> Send:
        rows = draw.rows
        found = (
            [self.fates.open.found.get(row) for row in rows.tolist()] if self.fates.open.found else [None] * len(rows)
        )
        # A row that shares an operation is as much under way as the row that carries it.
        passengers = self.fates.riding.passengers(rows)
        journaled = np.append(rows, np.array([row for row, _ in passengers], np.int64))
        attempts = self.fates.open.count_attempt(journaled)
        boundary = f"batch_{self._settings.boundary}_{self._number}"
        whole = self._work.whole(rows)
        if whole is None:
            operations = self._work.operations(rows, found)
            whole = Whole("$batch", write_batch(boundary, operations, draw.sizes), batch_headers(boundary))
        buckets = np.unique(self._work.buckets[rows]).tolist()
        self._locks.take(buckets)
        is_whole = whole.path != "$batch"
        self._fly(_Flight(self._number, now_s, rows, draw.sizes, buckets, is_whole=is_whole), len(rows), now_s)
        self.batches_sent += 1
        self.operations_sent += len(rows)
        before, before_ids = before_columns([*found, *(found[place] for _, place in passengers)])
        ledger_columns = (journaled, before, before_ids, attempts)
        return Send(self._number, whole.body, whole.headers, *ledger_columns, len(rows), whole.path)

    def _fly(self, flight: _Flight, operations: int, now_s: float) -> None:
        self._flights[flight.number] = flight
        self._pace.sent(flight.number, operations, now_s)

    def _idle(self, now_s: float) -> Wait:
        due = [moment for moment in (self.fates.next_due_s(), self._refused_look_s) if moment is not None]
        until_s = min(due, default=inf)
        until_s = min(max(until_s, now_s), self._settings.deadline_s)
        if self._flights:
            return Wait(until_s, "waiting for answers", is_pause=False)
        return Wait(until_s, self.fates.why_waiting())
