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
    delimiter = b"\r\n--%b_" % change_set
    start = b'--%b\r\nContent-Type: multipart/mixed; boundary="%b_' % (batch, change_set)
    part = b"\r\n" + _PART_HEADERS + b"Content-ID: "
    fill = _frame_ones if len(sizes) == count else _frame_sets
    # All pieces of the body, so many for each operation; the last two of these are its Content-ID and itself.
    pieces = fill(sizes, delimiter, start, part)
    columns = len(pieces) // count
    pieces[columns - 2 :: columns] = _CONTENT_IDS[1 : count + 1]
    pieces[columns - 1 :: columns] = operations
    pieces.append(b"%b%d--\r\n\r\n--%b--\r\n" % (delimiter, count - sizes[-1] + 1, batch))
    return b"".join(pieces)


def _frame_ones(sizes: Sequence[int], delimiter: bytes, start: bytes, part: bytes) -> list[bytes]:
    """What stands around operations that each have a change set to themselves.

    Filled column by column, one slice assignment each: less than a tenth of a microsecond per operation.
    """
    count = len(sizes)
    pieces = [delimiter, b"", b"--\r\n\r\n" + start, b"", b'"\r\n' + delimiter, b"", part, b"", b""] * count
    pieces[10::9] = _NUMBERS[1:count]
    pieces[3::9] = pieces[5::9] = _NUMBERS[1 : count + 1]
    # Before the first change set there is none to close.
    pieces[:3] = [b"", b"", start]
    return pieces


def _frame_sets(sizes: Sequence[int], delimiter: bytes, start: bytes, part: bytes) -> list[bytes]:
    """The same for change sets of any size, which are numbered by their first operation."""
    pieces: list[bytes] = []
    number, close = 1, b""
    for size in sizes:
        pieces += [b'%b%b%d"\r\n%b%d%b' % (close, start, number, delimiter, number, part), b"", b""]
        pieces += [b"%b%d%b" % (delimiter, number, part), b"", b""] * (size - 1)
        close = b"%b%d--\r\n\r\n" % (delimiter, number)
        number += size
    return pieces


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
