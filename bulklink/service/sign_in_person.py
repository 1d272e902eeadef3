"""Sign-in of a person, in the browser or by device code, and what is kept of it.

Owns: asking a person, silent sign-in from the cache.
Does not know: where the cache lies, how a prompt is shown, when a token is due.
Source: RFC 8628; the MSAL for Python reference; Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse".
"""

import asyncio
import functools
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import anyio

from bulklink.errors import SignInError
from bulklink.service.authority_http import Unreachable
from bulklink.service.sign_in_cache import Login, SignInCache
from bulklink.service.sign_in_errors import SIGN_IN_AGAIN, refused
from bulklink.service.sign_in_place import Granted, Place, in_thread

_T = TypeVar("_T")

#: Microsoft's public client for samples and development. Source: the last page named above.
SAMPLE_CLIENT_ID: Final = "51f81489-12ee-4a9e-aaae-a2591f45987d"
#: How long a person may take to sign in in the browser.
BROWSER_TIMEOUT_S: Final = 300


class Person:
    """A person signs in, in the browser or by device code; later runs use what was kept.

    prompt: tells the person what to do; None for a run that must not ask anybody.
    """

    def __init__(
        self,
        kind: str,
        place: Place,
        client_id: str,
        cache: SignInCache,
        prompt: Callable[[str], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.kind = kind
        self._place = place
        self._client_id = client_id or SAMPLE_CLIENT_ID
        self._cache = cache
        self._prompt = prompt
        self._sleep = sleep
        self._application: Any = None
        self._account: Mapping[str, Any] | None = None

    @property
    def who(self) -> str:
        """The user's name."""
        return str((self._account or {}).get("username", "")) or f"a user of application {self._client_id}"

    async def ask(self, force: bool, claims: str) -> Granted:
        """Get a token from what was kept; ask the person only if that fails and there is a prompt."""
        answer = await self._from_kept(force, claims)
        if answer is None or "access_token" not in answer:
            if self._prompt is None:
                raise self._not_signed_in(answer)
            await self.sign_in(claims)
            answer = await self._from_kept(False, "")
        return self._place.granted(answer, self.who)

    async def sign_in(self, claims: str = "") -> Login:
        """Let the person sign in and keep it; needs a prompt."""
        with self._cache.in_use():
            application = await in_thread(self._ready)
            answer = await (self._by_code if self.kind == "device-code" else self._by_browser)(application, claims)
            self._place.granted(answer, self.who)
            username = (answer.get("id_token_claims") or {}).get("preferred_username")
            accounts = await in_thread(application.get_accounts, username)
        self._account = account = accounts[0]
        login = Login(
            str(self._place.environment),
            self._place.url(),
            self._client_id,
            account["home_account_id"],
            account["username"],
            self.kind,
        )
        self._cache.remember(login)
        return login

    async def _from_kept(self, force: bool, claims: str) -> Mapping[str, Any] | None:
        with self._cache.in_use():
            return await in_thread(self._silently, force, claims)

    def _ready(self) -> Any:
        import msal

        if self._application is None:
            self._application = self._place.application(
                msal.PublicClientApplication, self._client_id, token_cache=self._cache.tokens
            )
        return self._application

    def _silently(self, force: bool, claims: str) -> Mapping[str, Any] | None:
        kept = self._cache.logins().get(str(self._place.environment))
        if kept is None or kept.client_id != self._client_id:
            return None
        application = self._ready()
        accounts = application.get_accounts()
        self._account = next((one for one in accounts if one["home_account_id"] == kept.account), None)
        answer: Mapping[str, Any] | None = application.acquire_token_silent_with_error(
            [self._place.scope], self._account, force_refresh=force, claims_challenge=claims or None
        )
        return answer

    def _not_signed_in(self, answer: Mapping[str, Any] | None) -> SignInError:
        following = f"Sign in: bulklink login {self._place.environment}. Then run the same command again: it resumes."
        if answer:
            told = refused(answer, f"{self._place.url().removeprefix('https://')} as {self.who}")
            return (
                told if told.hint not in (SIGN_IN_AGAIN, SignInError.hint) else SignInError(str(told), hint=following)
            )
        return SignInError(f"Nobody is signed in to {self._place.environment} on this machine.", hint=following)

    async def _by_code(self, application: Any, claims: str) -> Mapping[str, Any]:
        """RFC 8628. One poll at a time, so that the wait can be cancelled."""
        flow = await in_thread(
            functools.partial(application.initiate_device_flow, [self._place.scope], claims_challenge=claims or None)
        )
        if "user_code" not in flow:
            return dict(flow)
        self._tell(flow["message"])
        poll = functools.partial(
            application.acquire_token_by_device_flow,
            flow,
            claims_challenge=claims or None,
            exit_condition=lambda flow: True,
        )
        while True:
            await self._sleep(flow["interval"])
            try:
                answer: Mapping[str, Any] = await in_thread(poll)
            except Unreachable:
                if time.time() > flow["expires_at"]:
                    raise
                flow["interval"] *= 2  # RFC 8628, 3.5: poll less often, but do not lose the code
                continue
            if answer.get("error") not in ("authorization_pending", "slow_down"):
                return answer

    async def _by_browser(self, application: Any, claims: str) -> Mapping[str, Any]:
        import msal

        self._tell("Sign in in the browser window that opens now.")
        call = functools.partial(
            application.acquire_token_interactive,
            [self._place.scope],
            prompt="select_account",
            claims_challenge=claims or None,
            timeout=BROWSER_TIMEOUT_S,
            auth_uri_callback=lambda uri: self._tell(
                f"No browser could be opened. Open this address in one here: {uri}"
            ),
        )
        try:
            answer: Mapping[str, Any] = await in_daemon_thread(call)
        except msal.BrowserInteractionTimeoutError:
            raise SignInError(
                f"Nobody signed in within {BROWSER_TIMEOUT_S} s.", hint="Try again, or use --device-code."
            ) from None
        except (RuntimeError, ValueError):  # msal found another state or nonce than it had sent
            raise SignInError("The browser's answer does not belong to this sign-in.", hint="Try again.") from None
        return answer

    def _tell(self, words: str) -> None:
        if self._prompt is not None:
            self._prompt(words)


async def in_daemon_thread(call: Callable[[], _T]) -> _T:
    """The same for a call that may wait for a person: the program can end while it still waits."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[_T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: Any) -> None:
        if not ended.done():
            set_it(value)

    def work() -> None:
        try:
            result = call()
        except Exception as why:  # noqa: BLE001 -- handed over to the one who waits
            outcome: tuple[Callable[[Any], None], Any] = (ended.set_exception, why)
        else:
            outcome = (ended.set_result, result)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, name="sign-in", daemon=True).start()
    return await ended
