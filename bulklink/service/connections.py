"""Which hosts may be talked to, through which proxy, and whose certificates count.

Owns: the rule "plain http on loopback only", the TLS context, the proxy that the environment variables name.
Does not know: tokens, Dataverse, aiohttp.
Source: the public contract (README, "Sign-in"); the `ssl` and `urllib.request` documentation.
"""

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from bulklink import __version__
from bulklink.errors import UsageError

USER_AGENT = f"bulklink/{__version__}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a bearer token is bound to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """The origin of an absolute http or https URL; UsageError for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as why:
            raise UsageError(f"{url!r} is no URL: {why}.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{url!r} is no absolute https URL.", hint="Write it as https://contoso.crm4.dynamics.com."
            )
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"The URL for {parts.hostname} carries a user name or password.", hint="Leave it out.")
        return cls(parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80))

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}" if usual else f"{self.scheme}://{host}:{self.port}"


def safe_origin(url: str) -> Origin:
    """The origin of `url`; UsageError when secrets would travel in the clear to another machine."""
    origin = Origin.of(url)
    if origin.scheme == "http" and not origin.is_loopback:
        raise UsageError(
            f"{origin} is plain http: the token would travel in the clear.",
            hint="Write https://. Plain http is taken for loopback hosts only.",
        )
    return origin


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy: its address without credentials, and the header that carries them, kept out of `repr`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def environment_proxy(origin: Origin) -> Proxy | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY prescribe for `origin`.

    Loopback never goes through a proxy. UsageError for a proxy that is not spoken to by http.
    """
    if origin.is_loopback or proxy_bypass(origin.host):
        return None
    proxies = getproxies()
    address = proxies.get(origin.scheme) or proxies.get("all")
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(
            f"The proxy for {origin.host} is given as {parts.scheme}://: only http:// proxies are supported.",
            hint="Correct HTTPS_PROXY or name the host in NO_PROXY.",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return Proxy(f"http://{host}:{parts.port or 80}", headers)


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """A verifying context: the system's authorities and, if given, those of `ca_file` (PEM) besides."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as why:
            raise UsageError(
                f"ca_file {ca_file!r} cannot be read as PEM certificates: {why}.", hint="Correct ca_file."
            ) from None
    return context
