"""Keep one token, renew it before it expires, be patient with a busy authority.

Owns: when a token is renewed; how often and how long the authority is waited for.
Does not know: how a token is obtained, who uses it.
Source: Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse"; Microsoft's ServiceClient (two minutes).
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from bulklink.errors import StoppedEarly
from bulklink.service.authority_http import Unreachable
from bulklink.service.sign_in_place import Grant, Granted

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: A token is renewed this long before it expires, or at half of a short life.
RENEW_BEFORE_S: Final = 120.0
#: Waits between attempts to reach the authority, where it does not say how long.
PATIENCE_S: Final = (1.0, 2.0, 4.0)
#: An authority that asks for a longer wait than this ends the run; it resumes.
RETRY_AFTER_MAX_S: Final = 120.0
#: With a token still in hand, a failed renewal is tried again after this.
RETRY_RENEWAL_S: Final = 30.0


class RenewedTokens:
    """Keeps one token and renews it before it expires: never one request to the authority per batch.

    clock: monotonic seconds. sleep: how to wait for a busy authority.
    """

    def __init__(
        self,
        grant: Grant,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._grant = grant
        self._clock = clock
        self._sleep = sleep
        self._granted = Granted("", 0)
        self._renew_at_s = float("-inf")
        self._expires_at_s = float("-inf")
        self._asking = anyio.Lock()

    @property
    def kind(self) -> str:
        """The kind of sign-in, as the job file spells it."""
        return self._grant.kind

    @property
    def who(self) -> str:
        """The application or user, as far as known."""
        return self._grant.who

    async def token(self, force: bool = False, claims: str = "") -> str:
        """The token; renewed when it is due, or at once with `force`."""
        if not force and self._clock() < self._renew_at_s:
            return self._granted.token
        async with self._asking:  # many senders, one request
            if force or self._clock() >= self._renew_at_s:
                await self._renew(force, claims)
            return self._granted.token

    async def _renew(self, force: bool, claims: str) -> None:
        asked_s = self._clock()
        try:
            granted = await patiently(lambda: self._grant.ask(force, claims), self._sleep)
        except StoppedEarly:
            if force or self._clock() >= self._expires_at_s:
                raise
            _log.warning("The token could not be renewed yet; the present one is used while it lasts.")
            self._renew_at_s = min(self._clock() + RETRY_RENEWAL_S, self._expires_at_s)
            return
        self._granted = granted
        self._expires_at_s = asked_s + granted.lasts_s
        self._renew_at_s = self._expires_at_s - min(RENEW_BEFORE_S, granted.lasts_s / 2)
        _log.info("signed in: %s, token for %d s", self.kind, granted.lasts_s)


async def patiently(ask: Callable[[], Awaitable[_T]], sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> _T:
    """Ask, and ask again while the authority is busy or cannot be reached; StoppedEarly when that does not help."""
    for pause_s in (*PATIENCE_S, None):
        try:
            return await ask()
        except Unreachable as why:
            wait_s = pause_s if why.retry_after_s is None else why.retry_after_s
            if pause_s is None or wait_s is None or wait_s > RETRY_AFTER_MAX_S:
                raise _stopped(why) from None
            _log.warning("Sign-in: %s. Next attempt in %d s.", why, wait_s)
            await sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _stopped(why: Unreachable) -> StoppedEarly:
    asked = f", and asks to wait {why.retry_after_s:.0f} s" if why.retry_after_s else ""
    return StoppedEarly(f"No sign-in: {why}{asked}.")
