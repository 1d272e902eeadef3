"""The HTTP client that msal is given, and that asks an environment where to sign in.

Owns: one blocking request with the run's own certificates, proxies and limits; what counts as "cannot be reached now".
Does not know: tokens, retries, Dataverse.
Source: msal's `oauth2cli.http.HttpClient` (the duck type it asks for). The standard library is used so that the same
TLS context serves here and in the transport, and no .netrc or other bundle of certificates comes in by the back door.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from bulklink.errors import StoppedEarly
from bulklink.service.connections import USER_AGENT, Origin, Proxy, environment_proxy, safe_origin, tls_context

#: Sign-in answers are small and quick.
TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


class Unreachable(Exception):
    """The authority gave no usable answer, or asked to come back later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the shape that msal reads."""

    status_code: int
    headers: Mapping[str, str]
    text: str = field(repr=False)

    def raise_for_status(self) -> None:
        """msal calls this for 5xx, which never get here."""
        if self.status_code >= 400:
            raise Unreachable(f"HTTP {self.status_code}")


class AuthorityHttp:
    """msal's HTTP client. `refusal` is the last error that an authority gave in JSON: msal drops some of them."""

    def __init__(self, ca_file: str = "") -> None:
        self._tls = tls_context(ca_file)
        self.refusal: Mapping[str, Any] = {}

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> Answer:
        """GET for msal; Unreachable unless the answer is JSON."""
        return self._json(Request(_with(url, params), headers=dict(headers or {})))  # noqa: S310 -- see `fetch`

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> Answer:
        """POST a form for msal; Unreachable unless the answer is JSON."""
        form = data if isinstance(data, str) else urlencode(data or {})
        request = Request(_with(url, params), form.encode(), dict(headers or {}))  # noqa: S310 -- see `fetch`
        return self._json(request)

    def close(self) -> None:
        """Nothing is kept open."""

    def fetch(self, request: Request) -> Answer:
        """Send one request, without following redirects; Unreachable for no answer, 429 and 5xx.

        UsageError for plain http beyond loopback.
        """
        origin = safe_origin(request.full_url)
        request.add_header("User-Agent", USER_AGENT)
        proxy = environment_proxy(origin)
        try:
            with self._opener(request, origin, proxy).open(request, timeout=TIMEOUT_S) as response:
                body = response.read(ANSWER_BYTES_MAX)
                answer = Answer(response.status, dict(response.headers.items()), body.decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException) as why:
            raise _no_answer(origin, proxy, why) from None
        raise_if_busy(origin.host, answer.status_code, answer.headers)
        return answer

    def _opener(self, request: Request, origin: Origin, proxy: Proxy | None) -> OpenerDirector:
        opener = OpenerDirector()  # bare: no redirects, no cookies, no .netrc, no file: or ftp:
        handlers = [HTTPHandler(), HTTPSHandler(context=self._tls)]
        if proxy:
            for name, value in proxy.headers.items():
                request.add_header(name, value)
            handlers.append(ProxyHandler({origin.scheme: proxy.url}))  # type: ignore[arg-type]
        for handler in handlers:
            opener.add_handler(handler)
        return opener

    def _json(self, request: Request) -> Answer:
        answer = self.fetch(request)
        try:
            content = json.loads(answer.text)
        except ValueError:
            host = Origin.of(request.full_url).host
            raise Unreachable(f"{host} answered with something that is no JSON (HTTP {answer.status_code})") from None
        if answer.status_code >= 400 and isinstance(content, dict):
            self.refusal = content
        return answer


def raise_if_busy(host: str, status: int, headers: Mapping[str, str]) -> None:
    """Unreachable for the answers that mean "come back later"."""
    if status == 429 or status >= 500:
        raise Unreachable(f"{host} is busy (HTTP {status})", retry_after_s(headers))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait that a Retry-After header asks for, in seconds or as an HTTP date; None if there is none."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None


def _no_answer(origin: Origin, proxy: Proxy | None, why: Exception) -> Exception:
    reason = why.reason if isinstance(why, URLError) else why
    if isinstance(reason, ssl.SSLCertVerificationError):
        # Waiting does not mend a certificate, so this is not Unreachable.
        return StoppedEarly(
            f"The certificate of {origin.host} is not trusted: {reason.verify_message}.",
            hint="For a proxy that inspects TLS give its certificate with ca_file, then run the same command again.",
        )
    # An HTTPException may quote what the other side sent; an OSError speaks for itself, also for a proxy that says 407.
    words = (getattr(reason, "strerror", "") or str(reason)) if isinstance(reason, OSError) else type(reason).__name__
    through = f" through the proxy {proxy.url}" if proxy else ""
    return Unreachable(f"{origin.host} cannot be reached{through}: {words}")


def _with(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
