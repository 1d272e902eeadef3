"""The loop: asks the engine what to do, does it, and tells the engine what happened.

Owns: the clock, the tasks in flight, the order "journal first, wire second", the reaction to signals.
Does not know: what a row is, what an answer means. It decides nothing.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup

from bulklink.core.engine import Engine
from bulklink.core.ledger import OutcomeBlock
from bulklink.core.steps import Finished, Halted, Send, Wait
from bulklink.errors import BulklinkError, ExitCode, Interrupted
from bulklink.files.entries import Event, EventKind, SentBatch
from bulklink.files.journal import Journal
from bulklink.listener import Listener, Progress
from bulklink.service.transport import FailureKind, HttpReply, Transport, TransportFailure

#: After a signal: how long answers under way are waited for. Then their rows are in doubt until the next run.
GRACE_S: Final = 30.0
#: A wait shorter than this is not worth a line for people.
WAIT_SHOWN_S: Final = 0.5
SAMPLE_EVERY_S: Final = 1.0

_Result = TypeVar("_Result")


class Clock(Protocol):
    """Time as the run sees it: `monotonic` for pauses, `wall` for what is written down. Both in seconds."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    def wall(self) -> float:
        """Seconds since 1970, UTC."""


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Interruption:
    """A request from outside to end the run; set from a signal handler."""

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        self._wake: Callable[[], object] = lambda: None

    def on_request(self, wake: Callable[[], object]) -> None:
        """What wakes the loop; at once, if the request came earlier."""
        self._wake = wake
        if self.exit_code is not None:
            wake()

    async def ends(self, do: Callable[[], Awaitable[_Result]]) -> _Result:
        """Do something that a request ends at its next pause, unless it says itself what is to wake it."""
        loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self.on_request(partial(loop.call_soon_threadsafe, scope.cancel))
            return await do()
        raise Interrupted(self.exit_code or ExitCode.SIGINT)

    def request(self, exit_code: ExitCode) -> None:
        """End the run with this exit code."""
        self.exit_code = self.exit_code or exit_code
        self._wake()


class Run:
    """One engine being driven to its end."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        journal: Journal,
        progress: Callable[[], Progress],
        listener: Listener,
        interruption: Interruption,
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._journal = journal
        self._progress = progress
        self._listener = listener
        self._interruption = interruption
        self._clock = clock or SystemClock()
        self._woken = anyio.Event()
        self._events: list[Event] = []
        self._sampled_s = -math.inf
        self._throttled = self._retried = self._rolled_back = 0
        self._waiting: tuple[float, str] | None = None
        self._failure: BulklinkError | None = None

    async def drive(self) -> BulklinkError | None:
        """Drive the engine until it ends. Returns why it stopped early, None if it finished."""
        # A signal handler may only leave word; the loop, which may be asleep, must be woken to hear it.
        loop = asyncio.get_running_loop()
        self._interruption.on_request(partial(loop.call_soon_threadsafe, self._wake))
        failure: BulklinkError | None = None
        stopped: BulklinkError | None = None
        async with anyio.create_task_group() as tasks:
            try:
                stopped = await self._loop(tasks)
            except BulklinkError as error:
                # The journal cannot be written: what was answered since is in doubt, and nothing more is sent.
                failure = error
            tasks.cancel_scope.cancel()
        if failure:
            raise failure
        self._note_wait(None)
        self._write_down([], self._engine.close() if stopped else [])
        return stopped

    async def _loop(self, tasks: TaskGroup) -> BulklinkError | None:
        grace_until_s = math.inf
        while True:
            now_s = self._clock.monotonic()
            if self._interruption.exit_code and grace_until_s == math.inf:
                grace_until_s = now_s + GRACE_S
                self._engine.stop(Interrupted(self._interruption.exit_code))
            if self._failure:
                self._engine.stop(self._failure)
            sends, end = self._steps(now_s)
            self._write_down(sends, self._engine.take_settled())
            for send in sends:
                tasks.start_soon(self._post, send)
            self._show(now_s)
            if isinstance(end, Finished):
                return None
            if isinstance(end, Halted):
                return end.error
            if now_s >= grace_until_s:
                return Interrupted(self._interruption.exit_code or ExitCode.SIGINT)
            self._note_wait(end)
            await self._sleep(min(end.until_s, grace_until_s, now_s + SAMPLE_EVERY_S) - now_s)

    def _steps(self, now_s: float) -> tuple[list[Send], Wait | Finished | Halted]:
        """Everything that can be sent now, and what comes then."""
        sends: list[Send] = []
        while isinstance(step := self._engine.next_step(now_s), Send):
            sends.append(step)
        return sends, step

    def _write_down(self, sends: list[Send], settled: list[OutcomeBlock]) -> None:
        """Outcomes and what is about to be sent, in one transaction: before anything goes over the wire."""
        wall_s = self._clock.wall()
        sent = [
            SentBatch(send.number, wall_s, send.rows, send.before, send.before_ids, send.attempts, send.operations)
            for send in sends
            if not send.is_read
        ]
        self._count_events(wall_s)
        if sent or settled or self._events:
            events, self._events = self._events, []
            self._journal.record(sent, settled, events)

    async def _post(self, send: Send) -> None:
        """Carry one batch there and its answer back."""
        try:
            reply: HttpReply | None = await self._transport.post(send.path, send.body, send.headers)
        except TransportFailure as failure:
            unknown = failure.kind is FailureKind.UNKNOWN
            self._engine.lost(send.number, failure.message, self._clock.monotonic(), may_have_arrived=unknown)
        except BulklinkError as error:
            self._failure = self._failure or error
            self._engine.lost(send.number, str(error), self._clock.monotonic(), may_have_arrived=False)
        else:
            assert reply is not None
            self._engine.replied(send.number, reply.status, reply.headers, reply.body, self._clock.monotonic())
        self._wake()

    def _wake(self) -> None:
        self._woken.set()

    async def _sleep(self, seconds: float) -> None:
        """Until something happens, at most `seconds`."""
        with anyio.move_on_after(max(0.0, seconds)):
            await self._woken.wait()
        self._woken = anyio.Event()

    # -- for people ------------------------------------------------------------------------------------------------

    def _count_events(self, wall_s: float) -> None:
        """What the engine's counters gained since the last transaction."""
        for kind, before, now in (
            (EventKind.THROTTLED, self._throttled, self._engine.throttled),
            (EventKind.RETRIED, self._retried, self._engine.retried),
            (EventKind.ROLLED_BACK, self._rolled_back, self._engine.change_sets_rolled_back),
        ):
            if now > before:
                self._events.append(Event(wall_s, kind, count=now - before))
        self._throttled, self._retried = self._engine.throttled, self._engine.retried
        self._rolled_back = self._engine.change_sets_rolled_back

    def _show(self, now_s: float) -> None:
        if now_s - self._sampled_s < SAMPLE_EVERY_S:
            return
        self._sampled_s = now_s
        progress = self._progress()
        self._listener.progress(progress)
        self._events.append(
            Event(self._clock.wall(), EventKind.PACE, in_flight=self._engine.in_flight, rate=progress.rate)
        )

    def _note_wait(self, wait: Wait | None) -> None:
        """Waits with nothing in flight, or behind the gate, are told and written down when they end."""
        now_s = self._clock.monotonic()
        is_wait = (
            wait is not None and wait.is_pause and math.isfinite(wait.until_s) and wait.until_s - now_s > WAIT_SHOWN_S
        )
        if self._waiting and (not is_wait or wait is None or wait.why != self._waiting[1]):
            since_s, why = self._waiting
            self._events.append(Event(self._clock.wall(), EventKind.WAIT, seconds=now_s - since_s, why=why))
            self._waiting = None
        if is_wait and wait is not None and self._waiting is None:
            self._waiting = (now_s, wait.why)
            self._listener.waiting(self._clock.wall() + wait.until_s - now_s, wait.why)
