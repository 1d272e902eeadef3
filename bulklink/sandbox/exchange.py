"""One HTTP request and its response as plain values.

Owns: `HttpRequest`, `HttpAnswer`. Does not know: any server, what is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came in.

    path: still percent-encoded, e.g. ``/api/data/v9.2/$batch``. query: raw, without ``?``. headers: lower-case names.
    origin: scheme and host that the client used, e.g. ``http://127.0.0.1:8080``.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    origin: str


@dataclass(slots=True)
class HttpAnswer:
    """A whole response."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
