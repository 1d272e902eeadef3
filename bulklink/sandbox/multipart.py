"""Read what a client sends to ``$batch``.

Owns: the multipart grammar of a request, the limits counted while reading and which mistake is met first.
Does not know: the words of a refusal (refusals.py), what an operation does, the answer. It shares nothing with the
client's own writer.
Source: protocol 2.3, 2.8, 2.9, and the reader of the OData .NET library that the service is built on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bulklink.sandbox.refusals import (
    BOUNDARY_TOO_LONG,
    CONTENT_LENGTH,
    DUPLICATE_CONTENT_ID,
    DUPLICATE_HEADER,
    END_OF_INPUT,
    HTTP_VERSION,
    INVALID_HEADER,
    INVALID_REQUEST_LINE,
    LINE_END,
    METHOD_IN_CHANGE_SET,
    NESTED_CHANGE_SET,
    NO_BOUNDARY,
    NO_CHANGE_SET_BOUNDARY,
    NO_CONTENT_ID,
    NO_CONTENT_TYPE,
    NO_PART_CONTENT_TYPE,
    NOT_BINARY,
    NOT_MULTIPART,
    TOO_MANY_IN_CHANGE_SET,
    TOO_MANY_PARTS,
    URL_TOO_LONG,
    WRONG_PART_CONTENT_TYPE,
    BatchError,
)

#: Longest URL of an operation inside a batch (protocol 2.8).
URL_CHARACTERS_MAX: Final = 65_536

_CRLF: Final = b"\r\n"
_ANY_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_ANY_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))', re.IGNORECASE)
_CHANGE_SET_METHODS: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})


@dataclass(frozen=True, slots=True)
class Grammar:
    """How strictly to read.

    operations_max: per batch and per change set.
    count_total: True counts every operation of the batch; False counts as the library does, items of the batch and
        operations of each change set.
    """

    operations_max: int = 1000
    count_total: bool = True
    lenient_line_ends: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One request inside a batch. Header names are in lower case; the URL is as it was sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeSetItem:
    """The operations of one change set, in order."""

    operations: tuple[Operation, ...]


def boundary_of(content_type: str | None) -> bytes:
    """The boundary that the outer Content-Type names. BatchError if it names none."""
    if not content_type:
        raise BatchError(NO_CONTENT_TYPE)
    if _media_type(content_type) != "multipart/mixed":
        raise BatchError(NOT_MULTIPART)
    boundary = _boundary_parameter(content_type)
    if boundary is None:
        raise BatchError(NO_BOUNDARY)
    return _checked_boundary(boundary)


def read_batch(body: bytes, boundary: bytes, grammar: Grammar) -> Iterator[Operation | ChangeSetItem]:
    """Yield the items of a batch one by one, in order.

    BatchError comes when the reader meets the mistake; the items before it have been yielded by then.
    """
    reader = _Reader(body, grammar)
    for count, (start, stop) in enumerate(reader.parts(boundary, 0, len(body)), start=1):
        if count > grammar.operations_max:
            raise BatchError(TOO_MANY_PARTS, grammar.operations_max)
        yield reader.item(start, stop, boundary)


class _Reader:
    """One pass over one body."""

    def __init__(self, body: bytes, grammar: Grammar) -> None:
        self._body = body
        self._grammar = grammar
        self._operations = 0

    def parts(self, boundary: bytes, floor: int, stop: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of what stands between the delimiters; the line end before a delimiter belongs to it."""
        mark = b"--" + boundary
        opened = -1
        at = self._body.find(mark, floor, stop)
        while at != -1:
            line_end = self._line_end_before(at, floor)
            tail = self._delimiter_tail(at + len(mark), stop) if line_end >= 0 else None
            if tail is None:  # the boundary's text inside some other text
                at = self._body.find(mark, at + 1, stop)
                continue
            if opened >= 0:
                yield opened, line_end
            opened, is_close = tail
            if is_close:
                return
            floor = opened
            at = self._body.find(mark, opened, stop)
        if opened >= 0:  # the library tolerates that the last delimiter is missing
            yield opened, stop

    def item(self, start: int, stop: int, boundary: bytes) -> Operation | ChangeSetItem:
        headers, content = self._part_headers(start, stop, boundary)
        content_type = headers["content-type"]
        if _media_type(content_type) != "multipart/mixed":
            self._count_operation()
            return self._operation(headers, content, stop, boundary, in_change_set=False)
        inner = _boundary_parameter(content_type)
        if inner is None:
            raise BatchError(NO_CHANGE_SET_BOUNDARY, content_type)
        return self._change_set(_checked_boundary(inner), content, stop)

    def _change_set(self, boundary: bytes, start: int, stop: int) -> ChangeSetItem:
        operations: list[Operation] = []
        seen: set[str] = set()
        for part_start, part_stop in self.parts(boundary, start, stop):
            headers, content = self._part_headers(part_start, part_stop, boundary)
            if _media_type(headers["content-type"]) == "multipart/mixed":
                raise BatchError(NESTED_CHANGE_SET)
            operation = self._operation(headers, content, part_stop, boundary, in_change_set=True)
            content_id = operation.content_id or ""
            if content_id in seen:
                raise BatchError(DUPLICATE_CONTENT_ID, content_id)
            seen.add(content_id)
            operations.append(operation)
            if len(operations) > self._grammar.operations_max:
                raise BatchError(TOO_MANY_IN_CHANGE_SET, self._grammar.operations_max)
            self._count_operation()
        return ChangeSetItem(tuple(operations))

    def _count_operation(self) -> None:
        self._operations += 1
        if self._grammar.count_total and self._operations > self._grammar.operations_max:
            raise BatchError(TOO_MANY_PARTS, self._grammar.operations_max)

    def _part_headers(self, start: int, stop: int, boundary: bytes) -> tuple[dict[str, str], int]:
        lines, content = self._lines(start, stop, boundary)
        headers = _headers(lines)
        content_type = headers.get("content-type")
        if content_type is None:
            raise BatchError(NO_PART_CONTENT_TYPE)
        media_type = _media_type(content_type)
        if media_type not in {"multipart/mixed", "application/http"}:
            raise BatchError(WRONG_PART_CONTENT_TYPE, content_type)
        encoding = headers.get("content-transfer-encoding", "")
        if media_type == "application/http" and encoding.lower() != "binary":
            raise BatchError(NOT_BINARY)
        return headers, content

    def _operation(
        self, part_headers: Mapping[str, str], start: int, stop: int, boundary: bytes, *, in_change_set: bool
    ) -> Operation:
        lines, content = self._lines(self._after_blank_lines(start, stop), stop, boundary)
        method, url = _request_line(lines[0] if lines else f"--{boundary.decode('latin-1')}")
        if in_change_set and method not in _CHANGE_SET_METHODS:
            raise BatchError(METHOD_IN_CHANGE_SET, method)
        headers = _headers(lines[1:])
        content_id = part_headers.get("content-id") or headers.get("content-id")
        if in_change_set and not content_id:
            raise BatchError(NO_CONTENT_ID)
        body = _sized(self._body[content:stop], headers.get("content-length"))
        return Operation(method, url, headers, body, content_id)

    def _lines(self, start: int, stop: int, boundary: bytes) -> tuple[list[str], int]:
        """The lines up to the next blank one, and where the text behind that begins."""
        body = self._body
        if self._grammar.lenient_line_ends:
            return self._lenient_lines(start, stop, boundary)
        if body.startswith(_CRLF, start, stop):
            return [], start + 2
        end = body.find(b"\r\n\r\n", start, stop)
        content = end + 4
        if end == -1:
            # The blank line may share its line end with the delimiter that follows.
            if not body.endswith(_CRLF, start, stop):
                raise _unfinished_headers(body[start:stop], boundary)
            end, content = stop - 2, stop
        text = body[start:end]
        if text.count(b"\n") + text.count(b"\r") != 2 * text.count(_CRLF):
            raise BatchError(LINE_END)
        return text.decode("utf-8", "replace").split("\r\n"), content

    def _lenient_lines(self, start: int, stop: int, boundary: bytes) -> tuple[list[str], int]:
        body = self._body
        leading = _ANY_LINE_END.match(body, start, stop)
        if leading:
            return [], leading.end()
        blank = _ANY_BLANK_LINE.search(body, start, stop)
        text, content = body[start : blank.start() if blank else stop], blank.end() if blank else stop
        if not blank:
            if not body.endswith((b"\n", b"\r"), start, stop):
                raise _unfinished_headers(text, boundary)
            text = text.rstrip(_CRLF)
        return [line.decode("utf-8", "replace") for line in _ANY_LINE_END.split(text)], content

    def _after_blank_lines(self, start: int, stop: int) -> int:
        """Blank lines between the part's headers and its request line are skipped."""
        lenient = self._grammar.lenient_line_ends
        while start < stop and (
            self._body.startswith(_CRLF, start, stop) or (lenient and self._body[start : start + 1] in {b"\n", b"\r"})
        ):
            start += 2 if self._body.startswith(_CRLF, start, stop) else 1
        return start

    def _line_end_before(self, at: int, floor: int) -> int:
        """Where the line end before a delimiter at `at` begins; -1 if the delimiter does not begin a line."""
        if at == floor:
            return floor
        if at - 2 >= floor and self._body.startswith(_CRLF, at - 2):
            return at - 2
        if self._body[at - 1 : at] not in {b"\n", b"\r"}:
            return -1
        if not self._grammar.lenient_line_ends:
            raise BatchError(LINE_END)
        return at - 1

    def _delimiter_tail(self, at: int, stop: int) -> tuple[int, bool] | None:
        """(where the next line begins, is it the closing delimiter); None if the line holds something else."""
        body = self._body
        is_close = body.startswith(b"--", at, stop)
        at += 2 if is_close else 0
        while at < stop and body[at] in b" \t":
            at += 1
        if at >= stop:
            return stop, is_close
        if body.startswith(_CRLF, at, stop):
            return at + 2, is_close
        if body[at] not in _CRLF:
            return None
        if not self._grammar.lenient_line_ends:
            raise BatchError(LINE_END)
        return at + 1, is_close


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _boundary_parameter(content_type: str) -> str | None:
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1:
        return None
    quoted, plain = found[0]
    return re.sub(r"\\(.)", r"\1", quoted) or plain or None


def _checked_boundary(boundary: str) -> bytes:
    if len(boundary) > 70:  # RFC 2046, 5.1.1
        raise BatchError(BOUNDARY_TOO_LONG, boundary)
    return boundary.encode("utf-8", "surrogateescape")


def _headers(lines: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon or not key:
            raise BatchError(INVALID_HEADER, line)
        if key in headers:
            raise BatchError(DUPLICATE_HEADER, name.strip())
        headers[key] = value.strip()
    return headers


def _request_line(line: str) -> tuple[str, str]:
    method, first, rest = line.partition(" ")
    url, last, version = rest.rpartition(" ")
    if not (first and last and method and url.strip()):
        raise BatchError(INVALID_REQUEST_LINE, line)
    if version != "HTTP/1.1":
        raise BatchError(HTTP_VERSION, version)
    if len(url) > URL_CHARACTERS_MAX:
        raise BatchError(URL_TOO_LONG, len(url), URL_CHARACTERS_MAX)
    return method.upper(), url.strip()


def _sized(body: bytes, content_length: str | None) -> bytes:
    """A given Content-Length rules: what is over is not read, what is missing is an end of input."""
    if content_length is None:
        return body
    if not (content_length.isascii() and content_length.isdigit()):
        raise BatchError(CONTENT_LENGTH, content_length)
    length = int(content_length)
    if length > len(body):
        raise BatchError(END_OF_INPUT)
    return body[:length]


def _unfinished_headers(text: bytes, boundary: bytes) -> BatchError:
    """No blank line ends the headers: the library takes the delimiter behind them for one more header."""
    if not text.strip():
        return BatchError(END_OF_INPUT)
    return BatchError(INVALID_HEADER, "--" + boundary.decode("utf-8", "replace"))
