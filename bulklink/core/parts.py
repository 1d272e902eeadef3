"""Read one ``application/http`` part of an answer, and know the usual ones at a glance.

Owns: whose part it is (Content-ID) and the response inside; what a success looks like as the service writes it.
Does not know: what parts mean together.
Source: recorded answers in the fixtures of AleksandrRogov/DynamicsWebApi and in MicrosoftDocs/powerapps-docs.
"""

from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import contains
from typing import Final, NamedTuple

from bulklink.core.answer import split_head, split_status
from bulklink.core.multipart import boundary_of, split_parts
from bulklink.core.request import OPERATIONS_MAX

_OPERATIONS: Final = {str(index + 1): index for index in range(OPERATIONS_MAX)}
#: How the service says of an operation that it is done: its Content-ID, then the status, with no body.
_ECHO: Final = [b"\r\nContent-ID: %d" % (index + 1) for index in range(OPERATIONS_MAX)]
_STATUS: Final = b"\r\n\r\nHTTP/1.1 "
_DONE: Final = [echo + _STATUS + b"204 " for echo in _ECHO]


class Part(NamedTuple):
    """One inner response. operation: whose Content-ID it echoes, None without one, -1 for one never sent.

    status: 0 if the response is unreadable.
    """

    operation: int | None
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """The service says that the operation is done."""
        return 200 <= self.status < 300

    @property
    def is_failure(self) -> bool:
        """The service says that the operation is not done."""
        return self.status >= 300

    def agrees_with(self, other: "Part") -> bool:
        """Both say the same, the request id and other headers aside."""
        return self.status == other.status and self.body == other.body


def read_part(part: bytes, operations: int) -> Part:
    """Read a part of the answer to a batch of so many operations."""
    about, response = split_head(part)
    status, rest = split_status(response)
    headers, body = split_head(rest) if status else ({}, b"")
    content_id = about.get("content-id", headers.get("content-id"))
    operation = None if content_id is None else _OPERATIONS.get(content_id, -1)
    return Part(-1 if operation is not None and operation >= operations else operation, status, headers, body)


# -- at a glance: no step of Python for each operation ---------------------------------------------------------------


def split_echoes(body: bytes, boundary: bytes, operations: int, change_sets: int) -> list[bytes] | None:
    """Cut a body at its statuses, if it is complete and each status stands behind the next Content-ID; else None.

    Piece i + 1 begins with the status of operation i.
    """
    delimiter = b"--" + boundary
    pieces = body.split(_STATUS)
    is_straight = (
        operations <= OPERATIONS_MAX
        and len(pieces) == operations + 1
        and all(map(bytes.endswith, pieces[:-1], _ECHO))
        and body.startswith(delimiter + b"\r\n")
        and body.endswith((b"\r\n" + delimiter + b"--\r\n", b"\r\n" + delimiter + b"--"))
        and body.count(delimiter) == change_sets + 1
        # Where parts share an item, each has its own delimiter, and each change set one more to open and to close it.
        and (change_sets == operations or body.count(b"\r\n--") == operations + 2 * change_sets)
    )
    return pieces if is_straight else None


def not_plain(pieces: Sequence[bytes]) -> list[int]:
    """The operations whose status is not 204, from the pieces of `split_echoes`."""
    plain = list(map(bytes.startswith, pieces[1:], repeat(b"204 ")))
    return [] if all(plain) else [operation for operation, is_plain in enumerate(plain) if not is_plain]


def item_around(pieces: Sequence[bytes], operation: int, boundary: bytes) -> bytes:
    """The item of a change set of one, from the pieces of `split_echoes`."""
    opening, closing = b"--" + boundary + b"\r\n", b"\r\n--" + boundary
    before, after = pieces[operation], pieces[operation + 1]
    return before[before.rfind(opening) + len(opening) :] + _STATUS + after.partition(closing)[0]


def plain_successes(items: Sequence[bytes], sizes: Sequence[int]) -> list[bool]:
    """For each item that has a change set at its place: is it that one, done, and nothing else?"""
    if len(sizes) > OPERATIONS_MAX or max(sizes, default=1) > 1:
        starts = [0, *accumulate(sizes)][:-1]
        return list(map(_is_plain_set, items, starts, sizes))
    done = map(contains, items, _DONE[: len(sizes)])
    alone = map(bytes.count, items, repeat(b"HTTP/1."))
    closed = map(bytes.endswith, items, repeat(b"--"))
    return [one and count == 1 and end for one, count, end in zip(done, alone, closed, strict=False)]


def _is_plain_set(item: bytes, start: int, size: int) -> bool:
    headers, rest = split_head(item)
    parts = split_parts(rest, boundary_of(headers.get("content-type", "")) or b"")
    return (
        parts.is_closed
        and len(parts.whole) == size
        and all(map(contains, parts.whole, _DONE[start : start + size]))
        and item.count(b"HTTP/1.") == size
    )
