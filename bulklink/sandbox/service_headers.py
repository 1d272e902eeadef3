"""The headers that stand on every answer, and the virtual web servers behind one address.

Owns: request ids, diagnostics, cookies, which server a request lands on.
Does not know: answers, limits.
Source: protocol 4.4, 4.5.
"""

import hashlib
import random
from typing import Final

from bulklink.sandbox.exchange import HttpRequest

_CONSTANT: Final = (
    ("Cache-Control", "no-cache"),
    ("Expires", "-1"),
    ("Allow", "OPTIONS,GET,HEAD,POST"),
    ("Public", "OPTIONS,GET,HEAD,POST"),
    ("CRM.ServiceId", "CRMAppPool"),
    # The service says a year; a browser must not keep that for localhost.
    ("Strict-Transport-Security", "max-age=0"),
)


class Ids:
    """GUIDs from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new(self) -> str:
        """A fresh GUID of version 4 as text."""
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Servers:
    """A request goes to the server of its ARRAffinity cookie, without one to each in turn."""

    def __init__(self, count: int) -> None:
        self._cookies = [hashlib.sha256(f"server {number}".encode()).hexdigest() for number in range(count)]
        self._turn = 0

    def choose(self, request: HttpRequest) -> int:
        """The number of the server that takes this request."""
        for pair in request.headers.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == "ARRAffinity" and value in self._cookies:
                return self._cookies.index(value)
        self._turn += 1
        return (self._turn - 1) % len(self._cookies)

    def cookie(self, server: int) -> str:
        """The value of ``Set-Cookie`` that pins a client to the server."""
        return f"ARRAffinity={self._cookies[server]};Path=/;HttpOnly"


def service_headers(ids: Ids) -> list[tuple[str, str]]:
    """What stands on every answer, with fresh request ids."""
    request_id = f"{ids.new()},{ids.new()}"
    return [
        ("x-ms-service-request-id", request_id),
        ("REQ_ID", request_id),
        ("AuthActivityId", ids.new()),
        ("mise-correlation-id", ids.new()),
        ("ms-cv", f"{ids.new()[:22]}.0"),
        *_CONSTANT,
    ]
