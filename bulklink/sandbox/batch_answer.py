"""Write the service's answer to a batch, byte for byte.

Owns: the layout of the multipart answer and the reason phrases.
Does not know: how the answers came about. It shares nothing with the client's own reader.
Source: protocol 2.6 and 2.7.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """One response inside a batch answer. `content_id` is None outside change sets and where nobody is to blame."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    content_id: str | None = None


def write_answer(items: Sequence[Answer | Sequence[Answer]], boundary: str, new_id: Callable[[], str]) -> bytes:
    """Write a batch answer: an `Answer` stands for a part of its own, a sequence for a change set.

    boundary: of the whole, without the leading dashes. new_id: gives the part of a change-set boundary that is unique.
    """
    pieces: list[str | bytes] = []
    for item in items:
        pieces.append(f"--{boundary}\r\n")
        if isinstance(item, Answer):
            _write_part(pieces, item)
            continue
        inner = f"changesetresponse_{new_id()}"
        pieces.append(f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n")
        for answer in item:
            pieces.append(f"--{inner}\r\n")
            _write_part(pieces, answer)
        pieces.append(f"--{inner}--\r\n")
    pieces.append(f"--{boundary}--\r\n")
    return b"".join([piece.encode() if isinstance(piece, str) else piece for piece in pieces])


#: As the library spells them; any other number is an "Unknown Status Code" (protocol 2.6).
_REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Time-out",
}


def _write_part(pieces: list[str | bytes], answer: Answer) -> None:
    content_id = "" if answer.content_id is None else f"Content-ID: {answer.content_id}\r\n"
    headers = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
    pieces.append(
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{content_id}\r\n"
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown Status Code')}\r\n{headers}\r\n"
    )
    if answer.body:
        pieces.append(answer.body)
    pieces.append(b"\r\n")
