"""Cut a multipart body at its delimiters.

Owns: which part of a body is whole, and which breaks off.
Does not know: what the parts say.
Source: RFC 2046, 5.1.1. Tolerated beyond it: LF instead of CRLF, and a last line without a line end.
"""

import re
from typing import Final, NamedTuple

_BOUNDARY: Final = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;,"]+))', re.IGNORECASE)
_END_OF_DELIMITER: Final = re.compile(rb"(--)?[ \t]{0,100}(?:\r?\n|\Z)")


class Parts(NamedTuple):
    """The parts that end with a delimiter; `tail`: what follows the last delimiter if the closing one is missing."""

    whole: list[bytes]
    is_closed: bool
    tail: bytes


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a Content-Type names, b"" if it is multipart without one, None if it is not multipart."""
    if not content_type.lstrip().lower().startswith("multipart/"):
        return None
    match = _BOUNDARY.search(content_type)
    return (match[1] or match[2]).encode("utf-8", "replace") if match else b""


def split_parts(body: bytes, boundary: bytes) -> Parts:
    """Cut a body at every line that is a delimiter. What precedes the first or follows the closing one is no part."""
    if not boundary:
        return Parts([], is_closed=False, tail=b"")
    return _split_quickly(body, b"--" + boundary) or _split(body, b"--" + boundary)


def _split_quickly(body: bytes, delimiter: bytes) -> Parts | None:
    """The same for a body exactly as the service writes it: no preamble, CRLF, nothing odd. None for any other."""
    opening, closing = delimiter + b"\r\n", b"\r\n" + delimiter + b"--"
    end = body.rfind(closing)
    if not body.startswith(opening) or end < 0 or body[end + len(closing) :] not in (b"\r\n", b""):
        return None
    parts = body[len(opening) : end].split(b"\r\n" + opening)
    # A delimiter that the split did not see: another line end, blanks behind it, a closing one before the end.
    return Parts(parts, is_closed=True, tail=b"") if body.count(delimiter) == len(parts) + 1 else None


def _split(body: bytes, delimiter: bytes) -> Parts:
    whole: list[bytes] = []
    start = -1
    at = body.find(delimiter)
    while at >= 0:
        end = _END_OF_DELIMITER.match(body, at + len(delimiter)) if at == 0 or body[at - 1] == 0x0A else None
        # At the end of the body, a delimiter that does not close may be the beginning of a longer line.
        if end and (end[1] or end[0].endswith(b"\n")):
            if start >= 0:
                # The line end before a delimiter belongs to the delimiter.
                line_end = 2 if body[at - 2 : at - 1] == b"\r" else 1
                whole.append(body[start : max(start, at - line_end)])
            if end[1]:
                return Parts(whole, is_closed=True, tail=b"")
            start = end.end()
        at = body.find(delimiter, at + len(delimiter))
    return Parts(whole, is_closed=False, tail=body[start:] if start >= 0 else b"")
