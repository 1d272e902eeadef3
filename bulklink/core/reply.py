"""Read the service's answer to a batch and account for EVERY operation that was sent.

Owns: the duty that no operation is forgotten and none is called done that is not.
Does not know: retries, rows of the input, time, what a code means.
Source: OData 4.0 Part 1, 11.7.4; Microsoft Learn, "Execute batch operations using the Web API"; recorded answers in
MicrosoftDocs/powerapps-docs issues 2735, 2843; the open-source OData library that the endpoint is built on.

The answer as such
  multipart, whatever the status        the parts count, see below (outer 200, 400 and 500 are all seen with parts)
  no multipart; 401 403 413 415 429     refused before anything ran: all NOT_EXECUTED
  no multipart; any other from 300 on   refused, but the service reads lazily, items may have run: all UNKNOWN
  no multipart; 2xx                     not understood: all UNKNOWN

The parts. A part counts if a delimiter ends it; what breaks off was not said. A part speaks for the operation whose
Content-ID it echoes, wherever it stands. The parts that speak for one change set together mean:
  only 2xx                              those operations ANSWERED; the set's other operations UNKNOWN: nobody vouched
  one failure, nothing else             the culprit ANSWERED, the others ROLLED_BACK (a change set is a transaction)
  the same part twice                   as once
  anything else: different answers for one operation, two failures, a failure beside a success or beside an
  unreadable part, a failure of nobody
  among the set's parts                 contradiction: all of the set UNKNOWN
A part without Content-ID
  a 2xx                                 vouches for nobody
  a failure, alone in its item, and     its change set is found by position: all ROLLED_BACK and nobody to blame;
  positions can be trusted              a change set of one has only one to blame: ANSWERED
  a failure otherwise                   counts for nothing
Positions can be trusted if the answer is closed, each item speaks for the change set at its place or is such a
failure, and there are as many items as change sets or the service stopped at this item.
A Content-ID that was never sent, an unreadable part: counts for nothing.

Operations for which nothing counts
  the service stopped at a failure      NOT_EXECUTED behind it. Stopped = outer status from 400 on, the answer is
                                        closed, its items speak in order for the first change sets, each but the last
                                        succeeded as a whole, the last one failed
  otherwise                             UNKNOWN
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bulklink.core.answer import Answer, read_answer, request_id, retry_after_s, split_head
from bulklink.core.multipart import Parts, boundary_of, split_parts
from bulklink.core.parts import Part, item_around, not_plain, plain_successes, read_part, split_echoes

__all__ = ["Answer", "BatchReply", "Fate", "read_batch_reply", "read_read_reply"]


class Fate(IntEnum):
    """What is known of one operation."""

    ANSWERED = 0
    ROLLED_BACK = 1
    NOT_EXECUTED = 2
    UNKNOWN = 3


@dataclass(slots=True)
class BatchReply:
    """What an answer says about each operation of its batch.

    fates, statuses: (n,); status 0 = none. answers: by operation, each that is not a plain success without a body.
    unblamed: by the first operation of a change set that failed without a culprit. blame: the same, but the culprit.
    refused: the answer to the batch as such. trouble: in words, why operations are unknown.
    """

    fates: NDArray[np.uint8]
    statuses: NDArray[np.uint16]
    answers: dict[int, Answer] = field(default_factory=dict)
    unblamed: dict[int, Answer] = field(default_factory=dict)
    blame: dict[int, int] = field(default_factory=dict)
    refused: Answer | None = None
    all_succeeded: bool = False
    trouble: str = ""
    request_id: str = ""
    retry_after_s: float | None = None
    dop_hint: int | None = None
    requests_left: int | None = None
    time_left_s: float | None = None

    def rolled_back(self, sizes: Sequence[int]) -> int:
        """Change sets that fell because of one of their rows; a row that goes alone takes nobody with it."""
        if not (self.blame or self.unblamed):
            return 0
        starts = accumulate(sizes, initial=0)
        return sum(
            size > 1 and (start in self.blame or start in self.unblamed)
            for start, size in zip(starts, sizes, strict=False)
        )


#: Refused before the body was looked at, so nothing of it ran: sign-in, permission, too large, wrong type, throttled.
_NOTHING_RAN: Final = frozenset({401, 403, 413, 415, 429})


def read_batch_reply(status: int, headers: Mapping[str, str], body: bytes, sizes: Sequence[int]) -> BatchReply:
    """Account for every operation of a batch of change sets; never raises.

    headers: names in lower case. sizes: of the change sets, in the order in which they were sent.
    """
    reply = _begin(status, headers, body, sum(sizes))
    boundary = boundary_of(headers.get("content-type", ""))
    if boundary is not None:
        _Account(reply, status, headers, sizes).take(body, boundary)
    return reply


def read_read_reply(status: int, headers: Mapping[str, str], body: bytes, n: int) -> BatchReply:
    """The same for a batch of `n` reads: each stands alone, matched by position; their answers keep their bodies.

    Only a closed answer with all of its parts, or one that stopped at a failure, has positions to trust.
    """
    reply = _begin(status, headers, body, n)
    boundary = boundary_of(headers.get("content-type", ""))
    if boundary is None:
        return reply
    items = split_parts(body, boundary)
    parts = [read_part(item, n) for item in items.whole]
    has_stopped = status >= 400 and bool(parts) and parts[-1].is_failure and all(one.is_success for one in parts[:-1])
    if not items.is_closed or not (len(parts) == n or (has_stopped and len(parts) < n)):
        reply.trouble = f"{len(parts)} whole parts for {n} reads"
        return reply
    reply.fates[len(parts) :] = Fate.NOT_EXECUTED
    for index, part in enumerate(parts):
        if part.status:
            reply.fates[index], reply.statuses[index] = Fate.ANSWERED, part.status
            reply.answers[index] = read_answer(part.status, part.headers, part.body, headers, keep_body=True)
    reply.all_succeeded = len(parts) == n and all(part.is_success for part in parts)
    return reply


def _begin(status: int, headers: Mapping[str, str], body: bytes, n: int) -> BatchReply:
    """A reply in which nothing is known yet; if the batch as such was refused, it is complete."""
    reply = BatchReply(
        fates=np.full(n, Fate.UNKNOWN, np.uint8),
        statuses=np.zeros(n, np.uint16),
        request_id=request_id(headers),
        retry_after_s=retry_after_s(headers.get("retry-after"), headers.get("date")),
        dop_hint=_whole_number(headers.get("x-ms-dop-hint")),
        requests_left=_whole_number(headers.get("x-ms-ratelimit-burst-remaining-xrm-requests")),
        time_left_s=_number(headers.get("x-ms-ratelimit-time-remaining-xrm-requests")),
    )
    if boundary_of(headers.get("content-type", "")) is not None:
        return reply
    if status >= 300:
        reply.refused = read_answer(status, headers, body, headers, keep_body=False)
        if status in _NOTHING_RAN:
            reply.fates[:] = Fate.NOT_EXECUTED
    else:
        reply.trouble = f"status {status} with {headers.get('content-type') or 'no content type'} instead of parts"
    return reply


class _Account:
    """Who answered for whom in one batch of change sets."""

    def __init__(self, reply: BatchReply, status: int, headers: Mapping[str, str], sizes: Sequence[int]) -> None:
        self._reply = reply
        self._status = status
        self._headers = headers
        self._sizes = sizes
        self._starts = [0, *accumulate(sizes)][:-1]

    def take(self, body: bytes, boundary: bytes) -> None:
        """Fill in the reply."""
        if not self._take_straight(body, boundary):
            self._take_any(split_parts(body, boundary))

    def _take_straight(self, body: bytes, boundary: bytes) -> bool:
        """The usual answer, quickly: all done, or change sets of one, each with its answer, in order."""
        n = len(self._reply.fates)
        pieces = split_echoes(body, boundary, n, len(self._sizes))
        if pieces is None:
            return False
        others: dict[int, Part] = {}
        for operation in not_plain(pieces):
            parts = self._read_item(item_around(pieces, operation, boundary), is_whole=True)
            if len(self._sizes) < n or len(parts) != 1 or parts[0].operation != operation or not parts[0].status:
                return False
            others[operation] = parts[0]
        self._reply.fates[:], self._reply.statuses[:] = Fate.ANSWERED, 204
        for operation, part in others.items():
            self._answer(operation, part)
            if part.is_failure:
                self._reply.blame[operation] = operation
        if others:
            self._sum_up(is_closed=True)
        else:
            self._reply.all_succeeded = True
        return True

    def _take_any(self, items: Parts) -> None:
        """Any other answer, part by part."""
        plain = plain_successes(items.whole, self._sizes)
        self._settle_plain(plain)
        said: dict[int, list[Part]] = defaultdict(list)
        nameless: dict[int, Part] = {}
        disputed: set[int] = set()
        is_in_place = True
        for place, item in enumerate(items.whole):
            if place < len(plain) and plain[place]:
                continue
            parts = self._read_item(item, is_whole=True)
            spoken_for = self._listen(parts, said)
            if any(part.is_failure and part.operation in (None, -1) for part in parts):
                disputed |= spoken_for
            if len(parts) == 1 and parts[0].operation is None and parts[0].is_failure:
                nameless[place] = parts[0]
            else:
                is_in_place &= spoken_for == {place}
        self._listen(self._read_item(items.tail, is_whole=False), said)
        for place, parts in said.items():
            self._settle(place, parts, was_plain=place < len(plain) and plain[place], is_disputed=place in disputed)
        if items.is_closed and is_in_place:
            self._settle_by_position(len(items.whole), nameless)
        self._sum_up(is_closed=items.is_closed)

    def _sum_up(self, *, is_closed: bool) -> None:
        statuses = self._reply.statuses
        self._reply.all_succeeded = bool(((statuses >= 200) & (statuses < 300)).all())
        unknown = int((self._reply.fates == Fate.UNKNOWN).sum())
        if unknown:
            why = "contradicts itself or lacks parts" if is_closed else "breaks off"
            self._reply.trouble = f"the answer {why}: {unknown} of {len(statuses)} operations are not known"

    def _settle_plain(self, plain: Sequence[bool]) -> None:
        done = np.zeros(len(self._sizes), bool)
        done[: len(plain)] = plain
        operations = np.repeat(done, self._sizes)
        self._reply.fates[operations] = Fate.ANSWERED
        self._reply.statuses[operations] = 204

    def _read_item(self, item: bytes, *, is_whole: bool) -> list[Part]:
        """The parts of one item: those of a change set, or the item itself. Not the one that breaks off with it."""
        headers, rest = split_head(item)
        boundary = boundary_of(headers.get("content-type", ""))
        n = len(self._reply.fates)
        if boundary is None:
            return [read_part(item, n)] if is_whole else []
        parts = split_parts(rest, boundary)
        # If the item itself is whole, so is its last part, even if the change set was not closed.
        whole = [*parts.whole, parts.tail] if is_whole and parts.tail else parts.whole
        return [read_part(part, n) for part in whole]

    def _listen(self, parts: Iterable[Part], said: dict[int, list[Part]]) -> set[int]:
        """Note each part under the change set that it speaks for. Returns these change sets."""
        places = set()
        for part in parts:
            if part.operation is not None and part.operation >= 0:
                place = bisect_right(self._starts, part.operation) - 1
                said[place].append(part)
                places.add(place)
        return places

    def _settle(self, place: int, parts: Sequence[Part], *, was_plain: bool, is_disputed: bool) -> None:
        """Decide about a change set from the parts that speak for it."""
        start, stop = self._starts[place], self._starts[place] + self._sizes[place]
        by_operation: dict[int, Part] = {}
        for part in parts:
            assert part.operation is not None
            agrees = by_operation.setdefault(part.operation, part).agrees_with(part)
            is_disputed |= not agrees or (was_plain and part.status != 204)
        failures = [operation for operation, part in by_operation.items() if part.is_failure]
        if is_disputed or (failures and len(by_operation) > 1):
            self._reply.fates[start:stop] = Fate.UNKNOWN
            self._reply.statuses[start:stop] = 0
            return
        if was_plain:
            return
        if failures:
            self._reply.fates[start:stop] = Fate.ROLLED_BACK
            self._reply.blame[start] = failures[0]
        for operation, part in by_operation.items():
            if part.status:
                self._answer(operation, part)

    def _answer(self, operation: int, part: Part) -> None:
        self._reply.fates[operation], self._reply.statuses[operation] = Fate.ANSWERED, part.status
        if part.is_failure or part.body.strip():
            answer = read_answer(part.status, part.headers, part.body, self._headers, keep_body=part.is_success)
            self._reply.answers[operation] = answer

    def _settle_by_position(self, items: int, nameless: Mapping[int, Part]) -> None:
        """What only the order of the items tells: failures without a name, and where the service stopped."""
        has_stopped = 0 < items < len(self._sizes) and self._has_stopped(items - 1, nameless)
        if items == len(self._sizes) or has_stopped:
            for place, part in nameless.items():
                self._fail_without_culprit(place, part)
        if has_stopped:
            self._reply.fates[self._starts[items] :] = Fate.NOT_EXECUTED

    def _has_stopped(self, last: int, nameless: Mapping[int, Part]) -> bool:
        """Is the last item the first failure, and the outer status that of a failure?"""
        start = self._starts[last]
        earlier = self._reply.statuses[:start]
        is_first = bool(((earlier >= 200) & (earlier < 300)).all())
        return self._status >= 400 and is_first and (start in self._reply.blame or list(nameless) == [last])

    def _fail_without_culprit(self, place: int, part: Part) -> None:
        start, size = self._starts[place], self._sizes[place]
        if size == 1:
            self._answer(start, part)
            self._reply.blame[start] = start
            return
        self._reply.fates[start : start + size] = Fate.ROLLED_BACK
        self._reply.unblamed[start] = read_answer(part.status, part.headers, part.body, self._headers, keep_body=False)


def _parsed(convert: Callable[[str], float], text: str | None) -> float | None:
    try:
        # The service writes a thousands separator: "1,200.00".
        return convert((text or "").replace(",", ""))
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    return _parsed(float, text)


def _whole_number(text: str | None) -> int | None:
    value = _parsed(int, text)
    return int(value) if value is not None and value > 0 else None
