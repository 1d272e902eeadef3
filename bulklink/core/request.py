"""Write the body of a ``$batch`` request.

Owns: the multipart grammar of requests, boundaries and Content-IDs.
Does not know: what an operation means; it gets each one as the bytes of an inner HTTP request.
Source: Microsoft Learn, "Execute batch operations using the Web API"; OData 4.0 Part 1, 11.7; RFC 2046, 5.1.

Every write stands in a change set, because only there the answer echoes its Content-ID. Content-IDs count 1..n
through the whole batch: numbers that start again in each change set would leave the answers ambiguous. Lines end
in CRLF, the body of an operation ends before the CRLF that belongs to the next delimiter, and a part without body
still has its blank line. A delimiter cannot occur inside an operation: header lines never start with ``--``, and
JSON writes a line end inside a text as ``\\n``.
"""

from collections.abc import Sequence
from typing import Final

#: Operations that one batch may hold, in change sets or not. Source: the page above, "at most 1000".
OPERATIONS_MAX: Final = 1000

_PREFIX: Final = "batch_"
_PUNCTUATION: Final = str.maketrans("", "", "-_")
#: A boundary has at most 70 characters (RFC 2046, 5.1.1); the longest of ours is ``changeset_<token>_1000``.
_TOKEN_CHARACTERS_MAX: Final = 50
_PART_HEADERS: Final = b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
_NUMBERS: Final = [b"%d" % number for number in range(OPERATIONS_MAX + 1)]
_CONTENT_IDS: Final = [b"%d\r\n\r\n" % number for number in range(OPERATIONS_MAX + 1)]


def write_batch(boundary: str, operations: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """Pack operations into change sets and these into one batch.

    boundary: of the batch, starts with ``batch_``; those of the change sets are derived from it.
    operations: inner requests, from the request line to the end of the body.
    sizes: change set k holds the next ``sizes[k]`` operations; together as many as there are.
    Operation i gets the Content-ID i + 1.
    """
    count = len(operations)
    if not 0 < count <= OPERATIONS_MAX or sum(sizes) != count or min(sizes) < 1:
        raise ValueError("a batch holds 1 to 1000 operations, and its change sets hold each of them once")
    batch, change_set = _boundaries(boundary)
    # Nine pieces for each operation. The list of all pieces is filled column by column (one slice assignment each)
    # and joined once: less than a tenth of a microsecond per operation, also with change sets of one.
    end_of_last, start_of_next = b"\r\n--%b_" % change_set, b'"\r\n\r\n--%b_' % change_set
    between = b'--\r\n\r\n--%b\r\nContent-Type: multipart/mixed; boundary="%b_' % (batch, change_set)
    part = b"\r\n" + _PART_HEADERS + b"Content-ID: "
    pieces = [end_of_last, b"", between, b"", start_of_next, b"", part, b"", b""] * count
    last_set = _number_change_sets(pieces, sizes, end_of_last)
    pieces[7::9] = _CONTENT_IDS[1 : count + 1]
    pieces[8::9] = operations
    # Before the first change set there is none to close.
    pieces[0:3] = [b"", b"", between.removeprefix(b"--\r\n\r\n")]
    pieces.append(b"%b%d--\r\n\r\n--%b--\r\n" % (end_of_last, last_set, batch))
    return b"".join(pieces)


def _number_change_sets(pieces: list[bytes], sizes: Sequence[int], delimiter: bytes) -> int:
    """Fill in the numbers of the change sets, counted by their first operation. Returns the last one."""
    count = len(pieces) // 9
    # As if every operation began a change set of its own ...
    pieces[3::9] = pieces[5::9] = _NUMBERS[1 : count + 1]
    if len(sizes) == count:
        pieces[10::9] = _NUMBERS[1:count]
        return count
    # ... then the openings inside larger ones are taken back.
    first = previous = 0
    for size in sizes:
        number = _NUMBERS[first + 1]
        if first:
            pieces[9 * first + 1] = _NUMBERS[previous + 1]
        inner = slice(9 * (first + 1), 9 * (first + size), 9)
        inside = size - 1
        for column, piece in enumerate((b"", b"", b"", b"", delimiter, number)):
            pieces[inner.start + column : inner.stop : 9] = [piece] * inside
        previous, first = first, first + size
    return previous + 1


def write_read_batch(boundary: str, operations: Sequence[bytes]) -> bytes:
    """Pack reads into one batch, outside change sets (a GET is refused inside one).

    Their answers carry no Content-ID: they are matched by position.
    """
    if not 0 < len(operations) <= OPERATIONS_MAX:
        raise ValueError("a batch holds 1 to 1000 operations")
    batch, _ = _boundaries(boundary)
    head = b"--%b\r\n%b\r\n" % (batch, _PART_HEADERS)
    return head + (b"\r\n" + head).join(operations) + b"\r\n--%b--\r\n" % batch


def batch_headers(boundary: str) -> dict[str, str]:
    """The headers of a batch itself; what an operation needs stands in the operation.

    ``odata.continue-on-error``: without it the service stops at the first refused change set.
    ``If-None-Match: null``: keeps intermediaries from answering out of a cache.
    """
    return {
        "Content-Type": f'multipart/mixed; boundary="{boundary}"',
        "Accept": "application/json",
        "OData-MaxVersion": "4.0",
        "OData-Version": "4.0",
        "If-None-Match": "null",
        "Prefer": "odata.continue-on-error",
    }


def _boundaries(boundary: str) -> tuple[bytes, bytes]:
    """The batch's boundary and the stem of its change sets'.

    Neither is the beginning of the other: a reader that looks only at how a line starts is not misled.
    """
    token = boundary.removeprefix(_PREFIX)
    plain = token.isascii() and token.translate(_PUNCTUATION).isalnum()
    if not boundary.startswith(_PREFIX) or not plain or len(token) > _TOKEN_CHARACTERS_MAX:
        raise ValueError(f"a batch boundary is {_PREFIX} and letters, digits, hyphens or underscores")
    return boundary.encode(), b"changeset_" + token.encode()
