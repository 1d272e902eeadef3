"""Where to sign in for one environment, and what comes of it.

Owns: the authority's URL (found out once), the scope, how an msal application is made and its answer read.
Does not know: kinds of credentials, when a token is due.
Source: Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse"; the MSAL for Python reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread

from bulklink.service.authority_http import AuthorityHttp
from bulklink.service.connections import Origin, safe_origin
from bulklink.service.discovery import ask_environment, authority_url
from bulklink.service.sign_in_errors import refused

_T = TypeVar("_T")

#: RFC 6749 lets an authority leave out how long its token lasts.
LIFE_IF_UNSAID_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and how long it lasts."""

    token: str = field(repr=False)
    lasts_s: float


class Grant(Protocol):
    """A way to get a token. `who` names the identity for people."""

    kind: str

    @property
    def who(self) -> str:
        """The application or user, as far as known."""

    async def ask(self, force: bool, claims: str) -> Granted:
        """Get a token; with `force` not one from a cache. SignInError, Unreachable, StoppedEarly."""


class Place:
    """Where to sign in for one environment; found out once, when first needed."""

    def __init__(self, url: str, tenant_id: str = "", authority: str = "", ca_file: str = "") -> None:
        self.environment: Origin = safe_origin(url)
        self.http = AuthorityHttp(ca_file)
        self._tenant_id = tenant_id
        self._authority = authority
        self._url = ""

    @property
    def scope(self) -> str:
        """The one scope to ask for.

        Made from the environment's own URL, never from what its 401 says: that could name another environment, whose
        token would then be sent to this one.
        """
        return f"{self.environment}/.default"

    def url(self) -> str:
        """The authority's URL with its tenant. Blocks while the environment is asked."""
        if not self._url:
            self._url = authority_url(
                self.environment,
                self._tenant_id,
                self._authority,
                lambda: ask_environment(self.environment, self.http),
            )
        return self._url

    def granted(self, answer: Mapping[str, Any] | None, who: str, secrets: tuple[str, ...] = ()) -> Granted:
        """Read msal's answer; SignInError when it is an error."""
        if answer and answer.get("access_token"):
            return Granted(str(answer["access_token"]), float(answer.get("expires_in") or LIFE_IF_UNSAID_S))
        raise refused(answer or {}, f"{self._url.removeprefix('https://')} as {who}", secrets)

    def application(self, make: Callable[..., Any], client_id: str, **options: Any) -> Any:
        """An msal application at this place. Blocks: msal reads the authority's configuration.

        The host was checked by `discovery`, so msal need not ask another one whether it is known.
        """
        url = self.url()
        self.http.refusal = {}
        try:
            return make(client_id, authority=url, http_client=self.http, instance_discovery=False, **options)
        except (ValueError, KeyError) as why:  # all that msal says when the tenant's configuration cannot be had
            where = f"{url.removeprefix('https://')} as application {client_id}"
            raise refused(self.http.refusal or {"error_description": str(why)}, where) from None


async def in_thread(call: Callable[..., _T], *arguments: Any) -> _T:
    """Run a blocking call in a worker thread; cancelling does not wait for it."""
    return await anyio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
