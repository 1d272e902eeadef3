"""Reading from the service: many GETs in one batch, or one GET with its pages.

Owns: the repetition of reads that failed in passing, the splitting of batches that are too large, following pages on
the environment's own host only.
Does not know: what is read and why; how fast it may go (the gate's).
Source: Microsoft Learn, "Execute batch operations using the Web API", "Page results using OData".
"""

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio

from bulklink.core.answer import Answer, read_answer
from bulklink.core.looking import absolute_next_link, next_page
from bulklink.core.reply import read_read_reply
from bulklink.core.request import batch_headers, write_read_batch
from bulklink.core.verdict import ATTEMPTS_MAX, Verdict, backoff_s, is_permission, verdict_of
from bulklink.errors import BulklinkError, JobError, SignInError, StoppedEarly
from bulklink.service.transport import HttpReply, TransportFailure

#: HTTP requests on their way at most; the gate allows fewer when the service is busy.
IN_FLIGHT_MAX: Final = 8

_PASSING: Final = frozenset(
    {Verdict.THROTTLED, Verdict.RETRY, Verdict.RETRY_SMALLER, Verdict.RETRY_ONCE, Verdict.DOUBT}
)
_Item = TypeVar("_Item")


class Turn(Protocol):
    """The leave to send one request. Exactly one of the two is told before it ends."""

    def replied(self, reply: HttpReply) -> None:
        """The service answered; a 429 among the replies makes everybody wait."""

    def lost(self) -> None:
        """No answer came."""


class Gate(Protocol):
    """Gives leave to send: ``async with gate(operations=20) as turn``. Entering waits as long as needed."""

    def __call__(self, operations: int) -> AbstractAsyncContextManager[Turn]:
        """operations: how many the request carries."""


class Sender(Protocol):
    """What a `Transport` does."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpReply:
        """One POST below the API's URL."""

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> HttpReply:
        """One GET."""


class Reader:
    """Reads from one environment. Any number of tasks may use it."""

    def __init__(
        self,
        sender: Sender,
        api_url: str,
        gate: Gate,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
        waiting: Callable[[float, str], None] = lambda _seconds, _why: None,
    ) -> None:
        """api_url: e.g. ``https://contoso.crm4.dynamics.com/api/data/v9.2``. pause: waits, in seconds.

        waiting: told (seconds, why) before a passing fault is waited out.
        """
        self.api_path = urlsplit(api_url).path.rstrip("/")
        self._sender = sender
        self._gate = gate
        self._pause = pause
        self._waiting = waiting

    async def get(self, url: str, headers: Mapping[str, str] | None = None, *, attempts: int = ATTEMPTS_MAX) -> Answer:
        """The answer to one GET: a success or a lasting refusal. Raises StoppedEarly if neither comes."""
        attempt = 0
        while True:
            answer = await self._get_once(url, headers)
            if _is_final(answer):
                return answer
            attempt = await self._wait(attempt, [answer], attempts)

    async def _get_once(self, url: str, headers: Mapping[str, str] | None) -> Answer:
        reply = await self._take_turn(1, lambda: self._sender.get(url, headers))
        if isinstance(reply, Answer):
            return reply
        return read_answer(reply.status, reply.headers, reply.body, reply.headers, keep_body=True)

    async def pages(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """The pages of a collection, in order. Raises `refusal` if one is refused."""
        link: str | None = url
        while link is not None:
            body = checked(await self.get(link, headers), link).body
            yield body
            link = absolute_next_link(body)

    async def ask(self, requests: Sequence[bytes]) -> list[Answer]:
        """The answers to inner GETs, in order: each a success or a lasting refusal.

        One HTTP request, as long as nothing fails. Raises StoppedEarly if one of them gets neither.
        """
        answers = [_LOST] * len(requests)
        left = list(range(len(requests)))
        attempt = 0
        while left:
            for k, answer in zip(left, await self._ask_once([requests[k] for k in left]), strict=True):
                answers[k] = answer
            still = [k for k in left if not _is_final(answers[k])]
            if still:
                # A round that settled something shows a service at work: patience starts anew.
                attempt = await self._wait(attempt if still == left else 0, [answers[k] for k in still])
            left = still
        return answers

    async def ask_pages(self, requests: Sequence[bytes], take: Callable[[int, bytes], None]) -> None:
        """Hand every page of every GET to `take(k, page)`; the pages of one GET come in order.

        Raises `refusal` if one is refused, StoppedEarly if `take` raises ValueError: a page is not understood.
        """
        following = list(enumerate(requests))
        while following:
            answers = await self.ask([request for _, request in following])
            following = [
                (k, page)
                for (k, request), answer in zip(following, answers, strict=True)
                if (page := _take(take, k, checked(answer, _target(request)).body)) is not None
            ]

    async def _ask_once(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send one batch, and then halves of it if it is too large. An operation without an answer is lost."""
        boundary = f"batch_{uuid.uuid4().hex}"
        body = write_read_batch(boundary, requests)
        reply = await self._take_turn(len(requests), lambda: self._sender.post("$batch", body, batch_headers(boundary)))
        if isinstance(reply, Answer):
            return [reply] * len(requests)
        batch = read_read_reply(reply.status, reply.headers, reply.body, len(requests))
        if batch.refused is None:
            return [batch.answers.get(k, _LOST) for k in range(len(requests))]
        if verdict_of(batch.refused) is Verdict.HALVE and len(requests) > 1:
            half = len(requests) // 2
            return [*await self._ask_once(requests[:half]), *await self._ask_once(requests[half:])]
        if verdict_of(batch.refused) in (Verdict.REJECT, Verdict.GONE):
            # A proxy or gateway that knows no $batch: each GET by itself says the same, only slower.
            return [await self._ask_alone(request) for request in requests]
        return [batch.refused] * len(requests)

    async def _ask_alone(self, request: bytes) -> Answer:
        """One inner GET as a request of its own."""
        lines = request.decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return await self._get_once(lines[0].split(" ")[1], headers)

    async def _take_turn(self, operations: int, send: Callable[[], Awaitable[HttpReply]]) -> HttpReply | Answer:
        """The reply; an answer without status, with the words for it, where none came."""
        async with self._gate(operations) as turn:
            try:
                reply = await send()
            except TransportFailure as failure:
                turn.lost()
                return Answer(0, message=failure.message)
            turn.replied(reply)
            return reply

    async def _wait(self, attempt: int, answers: Sequence[Answer], attempts: int = ATTEMPTS_MAX) -> int:
        """Wait before the next attempt; returns its number. Throttling is no failure, however long it lasts."""
        throttled = [answer for answer in answers if verdict_of(answer) is Verdict.THROTTLED]
        if throttled:
            # The gate makes everybody wait for a refused batch; for a refusal inside one nobody told it.
            await self._pause(max(answer.retry_after_s or 0.0 for answer in throttled))
            return attempt
        if attempt + 1 >= attempts:
            raise StoppedEarly(f"The service could not be read in {attempts} attempts. Last: {_words(answers[0])}")
        pause_s = backoff_s(attempt + 1, random.random())  # noqa: S311 - spreads retries, guards nothing
        self._waiting(pause_s, _words(answers[0]))
        await self._pause(pause_s)
        return attempt + 1


def checked(answer: Answer, what: str) -> Answer:
    """The answer, if it is a success. Raises `refusal` otherwise."""
    if not 200 <= answer.status < 300:
        raise refusal(answer, what)
    return answer


def refusal(answer: Answer, what: str) -> BulklinkError:
    """The error that a lasting refusal of a read means. what: what was asked for, for people."""
    if is_permission(answer):
        return SignInError(f"The service refuses to let this user read {what}: {_words(answer)}")
    if _is_redirect(answer):
        hint = "Redirects are not followed, so that the token goes nowhere else. Check the environment's address."
        return StoppedEarly(f"Asked for {what}, the service points elsewhere (HTTP {answer.status}).", hint=hint)
    return JobError(f"The service cannot answer {what}: {_words(answer)}")


async def in_parallel(
    items: Iterable[_Item], do: Callable[[_Item], Awaitable[None]], width: int = IN_FLIGHT_MAX
) -> None:
    """Do something for every item, `width` at a time; items are drawn when their turn comes.

    The first BulklinkError ends it and is raised as it is, not in a group.
    """
    drawn = iter(items)
    errors: list[BulklinkError] = []

    async def work() -> None:
        try:
            for item in drawn:
                await do(item)
        except BulklinkError as error:
            errors.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(width):
            tasks.start_soon(work)
    if errors:
        raise errors[0]


#: Stands where no answer came.
_LOST: Final = Answer(0)


def _is_final(answer: Answer) -> bool:
    return verdict_of(answer) not in _PASSING or _is_redirect(answer)


def _is_redirect(answer: Answer) -> bool:
    """It is never followed: the token would go along. A gateway that sends people to a page of its own says this."""
    return 300 <= answer.status < 400


def _take(take: Callable[[int, bytes], None], k: int, body: bytes) -> bytes | None:
    """Hand on a page; returns the GET for the next one."""
    try:
        take(k, body)
        return next_page(body)
    except ValueError as error:
        raise StoppedEarly(f"An answer of the service is not understood: {error}") from error


def _target(request: bytes) -> str:
    """The URL of an inner GET, short enough for a message."""
    url = request.split(b" ", 2)[1].decode("ascii", "replace")
    return url if len(url) <= 200 else url[:199] + "…"


def _words(answer: Answer) -> str:
    if not answer.status:
        return answer.message or "no answer"
    return f"{answer.status} {answer.code} {answer.message}".strip()
