"""Tokens that somebody else obtains: an environment variable, a file, an azure-identity credential.

Owns: reading them, and keeping what is in them out of every message.
Does not know: when a token is due.
Source: the public contract (README, "Sign-in"); azure-core's `TokenCredential` protocol.
"""

import inspect
import time
from pathlib import Path
from typing import Any

from bulklink.errors import SignInError, UsageError
from bulklink.service.authority_http import Unreachable
from bulklink.service.sign_in_errors import refused
from bulklink.service.sign_in_place import Granted, Place, in_thread


class GivenToken:
    """A token obtained elsewhere: BULKLINK_TOKEN, or a file that is read again when the token is refused."""

    kind = "token"

    def __init__(self, token: str = "", file: Path | None = None) -> None:
        self._file = file
        self._token = _checked_token(token, "BULKLINK_TOKEN") if file is None else self._read(file)

    @property
    def who(self) -> str:
        """Nothing is known: the token is not looked into."""
        return "a token obtained elsewhere"

    async def token(self, force: bool = False, claims: str = "") -> str:
        """The token; with `force` as the file holds it now."""
        if force and self._file is not None:
            self._token = await in_thread(self._read, self._file)
        return self._token

    @staticmethod
    def _read(file: Path) -> str:
        try:
            return _checked_token(file.read_text("utf-8-sig"), f"BULKLINK_TOKEN_FILE {file}")
        except OSError as why:
            raise SignInError(f"BULKLINK_TOKEN_FILE {file} cannot be read: {why.strerror}.") from None
        except UnicodeDecodeError:
            raise SignInError(f"BULKLINK_TOKEN_FILE {file} is no text.") from None


def _checked_token(text: str, where: str) -> str:
    token = text.strip().removeprefix("Bearer ").strip()
    if not token:
        raise SignInError(f"{where} holds no token.")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SignInError(f"{where} holds something that is no bearer token.")
    return token


class AzureCredential:
    """Any azure-identity credential, synchronous or asynchronous, known by its `get_token` alone."""

    kind = "azure-identity"

    def __init__(self, credential: object, place: Place) -> None:
        self._get_token: Any = getattr(credential, "get_token", None)
        if not callable(self._get_token):
            raise UsageError(f"A {type(credential).__name__} has no get_token: it is no azure-identity credential.")
        self._name = type(credential).__name__
        self._place = place

    @property
    def who(self) -> str:
        """The credential's class."""
        return self._name

    async def ask(self, force: bool, claims: str) -> Granted:
        """Get a token. The credential has a cache of its own: only claims make it ask the authority anew."""
        options = {"claims": claims} if claims else {}
        try:
            answer = await in_thread(lambda: self._get_token(self._place.scope, **options))
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as why:  # noqa: BLE001 -- somebody else's code: azure-core need not be installed to name its errors
            raise self._translated(why) from None
        return Granted(str(answer.token), float(answer.expires_on) - time.time())

    def _translated(self, why: Exception) -> Exception:
        if type(why).__name__ in ("ServiceRequestError", "ServiceResponseError"):
            return Unreachable(f"{self._name} cannot reach the authority")
        return refused({"error_description": str(why)}, f"{self._place.environment} with {self._name}")
