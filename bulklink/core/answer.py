"""Read one HTTP answer: the batch's own, or one that stands in a part of it.

Owns: status line, headers, the shapes of an error body, Retry-After.
Does not know: multipart, which operation the answer belongs to, what it means.
Source: protocol of the Web API: "Compose HTTP requests and handle errors"; the older shape with ``ErrorCode`` as
recorded in rezanid/PSDataverse; RFC 9110, 10.2.3 (Retry-After).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from html import unescape
from typing import Final

#: Longer texts of the service (stack traces, whole pages) are cut: each row keeps its own copy.
MESSAGE_CHARACTERS_MAX: Final = 2_000
#: The longest pause that a service may ask for. Longer ones are a broken clock, not a limit of 300 s windows.
RETRY_AFTER_S_MAX: Final = 86_400.0

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([2-5][0-9][0-9])(?:[ \t][^\r\n]*)?(?:\r?\n|\Z)")
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
_NEGATIVE: Final = re.compile(r"-[0-9]{1,10}\Z")
_HTML_NOISE: Final = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_HTML_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered, to a batch or to one operation of it.

    code: lower-case hex as in ``0x80040237``, "" if there is none. location: the URL of a record that was written.
    retry_after_s: as asked for, None if the service did not say.
    """

    status: int
    code: str = ""
    message: str = ""
    request_id: str = ""
    retry_after_s: float | None = None
    location: str = ""
    body: bytes = b""


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, outer: Mapping[str, str], *, keep_body: bool
) -> Answer:
    """Make an answer of its three parts. headers, outer: names in lower case; `outer` are those of the batch.

    keep_body: the body is wanted as it is; the body of an error is always read for its code and message.
    """
    code, message = _read_error(body) if status >= 300 else ("", "")
    return Answer(
        status=status,
        code=code,
        message=message,
        request_id=request_id(headers) or request_id(outer),
        retry_after_s=retry_after_s(headers.get("retry-after"), headers.get("date") or outer.get("date")),
        location=headers.get("odata-entityid") or headers.get("location", ""),
        body=body if keep_body else b"",
    )


def split_status(block: bytes) -> tuple[int, bytes]:
    """The status of an inner response and what follows its first line; 0 if this is no status line."""
    match = _STATUS_LINE.match(block)
    return (int(match[1]), block[match.end() :]) if match else (0, block)


def split_head(block: bytes) -> tuple[dict[str, str], bytes]:
    """The header lines at the start of a block, names in lower case, and what follows the blank line.

    Without a blank line all of the block is headers. A repeated header holds both values, as in "1, 2".
    """
    if block.startswith((b"\r\n", b"\n")):
        return {}, block[block.index(b"\n") + 1 :]
    blank = _BLANK_LINE.search(block)
    head, rest = (block[: blank.start()], block[blank.end() :]) if blank else (block, b"")
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            key, text = name.strip().lower(), value.strip()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers, rest


def request_id(headers: Mapping[str, str]) -> str:
    """The id under which the service's support finds this request."""
    return headers.get("req_id") or headers.get("x-ms-service-request-id", "")


def retry_after_s(value: str | None, date: str | None) -> float | None:
    """Seconds to wait. value: seconds or an HTTP date, which is compared with the answer's own date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until, since = _read_date(value), _read_date(date or "")
        if until is None or since is None:
            return None
        seconds = max(0.0, until - since)
    # Written this way round, "nan" is refused too.
    return min(seconds, RETRY_AFTER_S_MAX) if seconds >= 0 else None


def _read_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


@lru_cache(maxsize=256)  # a file that was linked yesterday is answered a million times in the same words
def _read_error(body: bytes) -> tuple[str, str]:
    """Code and message of an error body: JSON in its two shapes, else the words of a page."""
    text = body.decode("utf-8-sig", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "", _words(text)
    if not isinstance(document, dict):
        return "", _words(text)
    error = document.get("error")
    if isinstance(error, dict):
        message = error.get("message")
        if isinstance(message, dict):
            # OData 2 and 3: {"lang": …, "value": …}
            message = message.get("value")
        return _code(error.get("code")), _cut(message)
    code = _code(document.get("ErrorCode"))
    return code, _cut(document.get("ExceptionMessage") or document.get("Message") or error or "")


def _code(value: object) -> str:
    """A code in one spelling. Signed decimals are the same numbers (-2147220937 = 0x80040237)."""
    text = str(value).strip().lower() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if _NEGATIVE.match(text):
        return f"0x{int(text) & 0xFFFFFFFF:08x}"
    # "0x0" is what older services say for "no code".
    return "" if text in ("0x0", "0") else _cut(text)


def _words(text: str) -> str:
    """The words of a page: its title if it has one, else its text."""
    # Cut before the search: the patterns need the square of the length on a hostile text.
    text = text[: 4 * MESSAGE_CHARACTERS_MAX]
    title = _HTML_TITLE.search(text)
    return _cut(" ".join(unescape(title[1] if title else _HTML_NOISE.sub(" ", text)).split()))


def _cut(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"
