"""The run's pace for requests that are made outside the engine: metadata, business keys, readings for people.

Owns: waiting for leave to send, and telling the pace what came back.
Does not know: what is read. The limits belong to the signed-in user, so that reads and writes share one `Pace`.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio

from bulklink.core.answer import read_answer
from bulklink.core.pace import Pace, ReplyFacts
from bulklink.service.transport import HttpReply

#: How often leave is asked for again while all allowed requests are in flight.
ASK_AGAIN_S: Final = 0.01
#: Numbers of requests that the engine never uses.
FIRST_NUMBER: Final = 1 << 40


class _Turn:
    """One request's leave; keeps what is to be told when it ends."""

    def __init__(self) -> None:
        self.reply: HttpReply | None = None

    def replied(self, reply: HttpReply) -> None:
        """The service answered."""
        self.reply = reply

    def lost(self) -> None:
        """No answer came."""
        self.reply = None


class PaceGate:
    """A `reading.Gate` over the run's pace."""

    def __init__(self, pace: Pace, now_s: Callable[[], float], waiting: Callable[[float, str], None]) -> None:
        """waiting: told (seconds, why) when the service makes everybody wait."""
        self._pace = pace
        self._now_s = now_s
        self._waiting = waiting
        self._numbers = itertools.count(FIRST_NUMBER)

    def __call__(self, operations: int) -> AbstractAsyncContextManager[_Turn]:
        """Leave for one request of so many operations."""
        return self._turn(operations)

    @asynccontextmanager
    async def _turn(self, operations: int) -> AsyncIterator[_Turn]:
        await self._wait()
        number, sent_s, turn = next(self._numbers), self._now_s(), _Turn()
        self._pace.sent(number, operations, sent_s)
        try:
            yield turn
        finally:
            self._pace.replied(self._facts(number, operations, sent_s, turn.reply))

    async def _wait(self) -> None:
        while not self._pace.may_send(now_s := self._now_s()):
            until = self._pace.wait_until(now_s)
            if until is not None:
                self._waiting(until[0] - now_s, until[1])
            await anyio.sleep(max(ASK_AGAIN_S, until[0] - now_s) if until else ASK_AGAIN_S)

    def _facts(self, number: int, operations: int, sent_s: float, reply: HttpReply | None) -> ReplyFacts:
        now_s = self._now_s()
        if reply is None:
            # A lost read left nothing in doubt, and says nothing about the size of batches.
            return ReplyFacts(number, operations, sent_s, now_s, status=0, is_read=True)
        answer = read_answer(reply.status, reply.headers, reply.body, reply.headers, keep_body=False)
        hint = reply.headers.get("x-ms-dop-hint", "")
        throttled = reply.status == 429
        return ReplyFacts(
            number,
            operations,
            sent_s,
            now_s,
            status=reply.status,
            throttled_code=answer.code if throttled else "",
            retry_after_s=answer.retry_after_s if throttled else None,
            dop_hint=int(hint) if hint.isdigit() else None,
            is_read=True,
        )
