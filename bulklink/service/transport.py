"""One request out, one reply or one named failure back. Nothing else.

Owns: the connection pool, the bearer header and where it may go, the size limit on answers, and the distinction that
everything above rests on: whether a request that failed can have reached the service at all.
Does not know: batches, rows, retries, pace, how a token is obtained.
Source: Microsoft Learn, "Send parallel requests" (no cookies, pool as wide as the parallelism), "Compose HTTP requests
and handle errors"; aiohttp's client reference. aiohttp repeats a request on a dropped keep-alive connection for
idempotent methods only: a GET may so be sent twice, a POST never is.
"""

import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import quote

import aiohttp
import anyio
from multidict import CIMultiDict
from yarl import URL

from bulklink.errors import StoppedEarly, UsageError
from bulklink.service.challenge import claims_of
from bulklink.service.connections import (
    USER_AGENT,
    Origin,
    environment_proxy,
    safe_origin,
    tls_context,
)

_log = logging.getLogger(__name__)

#: An answer larger than this is not read to its end. 1,000 operations answer with about half a megabyte,
#: `$metadata` with ten.
ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024

#: Longer than front ends keep a batch alive (4 to 5 minutes): giving up earlier only makes doubt.
REQUEST_TIMEOUT_S: Final = 300.0

#: Name resolution, TCP and TLS together. A failure in this phase is known not to have reached the service.
CONNECT_TIMEOUT_S: Final = 30.0

#: Idle connections are closed by us before front ends close them under us.
KEEP_ALIVE_S: Final = 15.0

#: On every request; the caller's headers replace them by name.
DEFAULT_HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "If-None-Match": "null",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
    "User-Agent": USER_AGENT,
}

#: A real token is longer by far.
TOKEN_BYTES_MIN: Final = 32
#: Stands in a request target as it is; what is percent-encoded already stays so (RFC 3986).
_AS_IT_IS: Final = "!#$%&'()*+,/:;=?@[]~"
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class TokenSource(Protocol):
    """Gives the bearer token for one environment."""

    async def token(self, force: bool = False, claims: str = "") -> str:
        """A token that is good for the next minutes; with `force` a fresh one, answering a claims challenge.

        SignInError if sign-in is refused, StoppedEarly if the authority can not be reached.
        """


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class FailureKind(Enum):
    """Whether a request without a reply can have been executed."""

    NOT_SENT = "not sent"  # no byte of it was written: known not executed
    UNKNOWN = "unknown"  # it may have been executed, or may still be


class TransportFailure(Exception):
    """A request got no usable reply. `kind` says whether it can have reached the service. No secret is in `message`."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class ForeignUrl(StoppedEarly):
    """The service pointed at another host. The token is not sent there."""

    hint = "Nothing was sent to that host. Check the environment's URL and any proxy in between."


class Transport:
    """Sends requests to one environment, each with a bearer token. Use as ``async with``.

    api_url: ``https://org/api/data/v9.2``. headers: go with every request (impersonation, bypass).
    Any error other than `TransportFailure` out of `get` or `post` (SignInError, StoppedEarly, UsageError) is raised
    before the request was sent or after a 401, so the request is known not executed.
    """

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        *,
        ca_file: str = "",
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._origin = safe_origin(api_url)
        self._base = api_url.rstrip("/") + "/"
        self._tokens = tokens
        self._answer_bytes_max = answer_bytes_max
        self._timeout = aiohttp.ClientTimeout(
            # The connection phase must end by its own limit: the total one cannot tell whether anything was written.
            total=request_timeout_s,
            connect=min(CONNECT_TIMEOUT_S, request_timeout_s / 2),
        )
        self._headers = CIMultiDict(DEFAULT_HEADERS)
        self._headers.update(headers or {})
        self._tls: ssl.SSLContext | bool = tls_context(ca_file) if self._origin.scheme == "https" else True
        self._proxy = environment_proxy(self._origin)
        self._token = ""
        self._renewing = anyio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # No limit here: core.pace is the one gate, and waiting in the pool would look like a slow service.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),  # ARRAffinity would pin every batch to one server
            timeout=self._timeout,
            # trust_env would look up proxy and .netrc again for each request, in a thread.
            trust_env=False,
            proxy=self._proxy.url if self._proxy else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpReply:
        """POST `body` to `path` below the API's URL. Sent once, or twice if the first was answered 401."""
        return await self._signed("POST", path, headers, body)

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> HttpReply:
        """GET a path below the API's URL, or an absolute URL (a nextLink) on the environment's own host."""
        return await self._signed("GET", url, headers, None)

    async def _signed(self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None) -> HttpReply:
        target = self._target(url)
        token = self._token = await self._tokens.token()
        reply = await self._once(method, target, headers, body, token)
        if reply.status != 401:
            return reply
        token = await self._renewed(token, claims_of(reply.headers.get("www-authenticate", "")))
        return await self._once(method, target, headers, body, token)

    async def _renewed(self, refused: str, claims: str) -> str:
        """A token other than the refused one; many 401s at once cause one refresh."""
        async with self._renewing:
            if self._token == refused:
                _log.info("401: asking for a fresh token")
                self._token = await self._tokens.token(force=True, claims=claims)
            return self._token

    def _target(self, url: str) -> URL:
        """Where `url` leads; ForeignUrl unless that is the environment's own host."""
        text = quote(url, safe=_AS_IT_IS)
        if text.startswith("/"):
            return URL(f"{self._origin}{text}", encoded=True)
        if not _ABSOLUTE.match(text):
            return URL(self._base + text, encoded=True)
        target = URL(text, encoded=True)
        try:
            # Two parsers must agree on the host, so that no spelling can mean another one to the second.
            own = Origin.of(text) == self._origin and target.host == self._origin.host
        except UsageError:
            own = False
        if not own:
            raise ForeignUrl(f"The service at {self._origin} pointed to another host: {target.host}.")
        return target

    async def _once(
        self, method: str, target: URL, headers: Mapping[str, str] | None, body: bytes | None, token: str
    ) -> HttpReply:
        if self._session is None:
            raise RuntimeError("Transport is used outside its `async with`.")
        merged = self._headers.copy()
        if headers:
            merged.update(headers)
        merged["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.request(
                method,
                target,
                data=body,
                headers=merged,
                allow_redirects=False,
                proxy_headers=self._proxy.headers if self._proxy else None,
            ) as response:
                answer = _without(token, await self._read(response))
                return HttpReply(response.status, {name.lower(): v for name, v in response.headers.items()}, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as why:
            raise self._failure(why) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body, unpacked; TransportFailure when it is larger than the limit."""
        pieces: list[bytes] = []
        size = 0
        while piece := await response.content.readany():
            size += len(piece)
            if size > self._answer_bytes_max:
                response.close()
                raise TransportFailure(
                    FailureKind.UNKNOWN,
                    f"The answer of {self._origin} is larger than {self._answer_bytes_max:,} bytes (ANSWER_BYTES_MAX).",
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _failure(self, why: BaseException) -> TransportFailure:
        """Name what happened, in words that hold no header, no body and no proxy password."""
        failure_kind, words = next((kind, words) for kinds, kind, words in _FAILURES if isinstance(why, kinds))
        message = words.format(host=str(self._origin), proxy=self._proxy.url if self._proxy else "", why=_reason(why))
        _log.debug("%s: %s", failure_kind.value, message)
        return TransportFailure(failure_kind, message)


def _without(token: str, answer: bytes) -> bytes:
    """The answer; a bearer token that it repeats is blanked, for answers get into files. No short one: it is a word."""
    secret = token.encode()
    return answer.replace(secret, b"***") if len(secret) >= TOKEN_BYTES_MIN and secret in answer else answer


#: First match counts. aiohttp raises the first six while it has no connection yet, so nothing was written.
_FAILURES: Final[tuple[tuple[tuple[type[BaseException], ...], FailureKind, str], ...]] = (
    ((aiohttp.ConnectionTimeoutError,), FailureKind.NOT_SENT, "No connection to {host} in time."),
    ((aiohttp.ClientProxyConnectionError,), FailureKind.NOT_SENT, "No connection to the proxy {proxy}: {why}."),
    ((aiohttp.ClientHttpProxyError,), FailureKind.NOT_SENT, "The proxy {proxy} refused the way to {host}: {why}."),
    ((aiohttp.ClientConnectorDNSError,), FailureKind.NOT_SENT, "The name of {host} cannot be resolved: {why}."),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError),
        FailureKind.NOT_SENT,
        "TLS with {host} failed: {why}. For a proxy that inspects TLS give its certificate with ca_file.",
    ),
    ((aiohttp.ClientConnectorError,), FailureKind.NOT_SENT, "No connection to {host}: {why}."),
    ((TimeoutError,), FailureKind.UNKNOWN, "{host} did not answer in time."),
    ((aiohttp.ClientPayloadError,), FailureKind.UNKNOWN, "The answer of {host} broke off."),
    ((aiohttp.ClientResponseError,), FailureKind.UNKNOWN, "The answer of {host} is not HTTP."),
    ((BaseException,), FailureKind.UNKNOWN, "{host} closed the connection without an answer: {why}."),
)


def _reason(why: BaseException) -> str:
    """The operating system's or TLS library's own words; never a URL or a header."""
    if isinstance(why, aiohttp.ClientHttpProxyError):
        return f"HTTP {why.status}"
    if isinstance(why, aiohttp.ClientConnectorCertificateError):
        return str(getattr(why.certificate_error, "verify_message", "")) or "certificate refused"
    if isinstance(why, aiohttp.ClientConnectorError):
        return why.os_error.strerror or type(why.os_error).__name__
    if isinstance(why, OSError) and why.strerror:
        return why.strerror
    return type(why).__name__
