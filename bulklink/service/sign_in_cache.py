"""What `bulklink login` keeps between runs.

Owns: the directory (0700), the encrypted token cache, and the list of environments signed in to (no secrets in it).
Does not know: how tokens are obtained.
Source: msal-extensions: DPAPI on Windows, Keychain on macOS, libsecret on Linux. Where none of these works (a server
without a desktop session), the tokens lie in a file that only its owner can read (0600), not encrypted; `is_encrypted`
tells, and `bulklink login` says so.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulklink.errors import SignInError

if TYPE_CHECKING:
    from msal_extensions import PersistedTokenCache

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody is signed in to an environment. The tokens lie elsewhere, under `account`."""

    environment: str  # https://contoso.crm4.dynamics.com
    authority: str
    client_id: str
    account: str  # msal's home account id
    username: str
    kind: str  # interactive or device-code


class SignInCache:
    """The sign-ins of one user on one machine, below `state_dir`."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "sign-in"
        self._list = self.directory / "logins.json"
        self._tokens: PersistedTokenCache | None = None

    @property
    def tokens(self) -> "PersistedTokenCache":
        """The token cache for msal, encrypted where this machine can."""
        if self._tokens is None:
            self._make_directory()
            self._tokens = _token_cache(self.directory / "tokens.bin")
        return self._tokens

    @property
    def is_encrypted(self) -> bool:
        """Whether tokens are encrypted at rest."""
        return bool(self.tokens.is_encrypted)

    def logins(self) -> dict[str, Login]:
        """Who is signed in where, by environment."""
        try:
            listed = json.loads(self._list.read_text("utf-8"))
            return {environment: Login(**entry) for environment, entry in listed.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as why:
            raise SignInError(
                f"The list of sign-ins {self._list} cannot be read: {type(why).__name__}.",
                hint="Delete the file and sign in again: bulklink login URL.",
            ) from None

    def remember(self, login: Login) -> None:
        """Keep a sign-in; it replaces an older one to the same environment."""
        self._write({**self.logins(), login.environment: login})

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Turn what goes wrong with an unreadable, undecipherable or damaged cache into a SignInError."""
        try:
            yield
        except (OSError, ValueError) as why:
            raise SignInError(
                f"The sign-ins kept in {self.directory} cannot be read or written: {type(why).__name__}.",
                hint="Delete that directory and sign in again: bulklink login URL.",
            ) from None

    def forget(self, environment: str) -> Login | None:
        """Drop a sign-in, and its tokens unless another environment uses the same account; None if there was none."""
        logins = self.logins()
        dropped = logins.pop(environment, None)
        if dropped is None:
            return None
        if dropped.account not in {login.account for login in logins.values()}:
            with self.in_use():
                self._forget_tokens(dropped.account)
        self._write(logins)
        return dropped

    def _forget_tokens(self, account: str) -> None:
        cache = self.tokens
        kinds = cache.CredentialType
        for kind, remove in (
            (kinds.REFRESH_TOKEN, cache.remove_rt),
            (kinds.ACCESS_TOKEN, cache.remove_at),
            (kinds.ID_TOKEN, cache.remove_idt),
            (kinds.ACCOUNT, cache.remove_account),
        ):
            for entry in list(cache.search(kind, query={"home_account_id": account})):
                remove(entry)

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.directory.chmod(0o700)
        except OSError as why:
            raise SignInError(
                f"The sign-in cannot be kept in {self.directory}: {why.strerror}.", hint="Make the directory writable."
            ) from None

    def _write(self, logins: dict[str, Login]) -> None:
        self._make_directory()
        text = json.dumps({environment: asdict(login) for environment, login in logins.items()}, indent=2)
        fresh = self._list.with_suffix(".new")
        with (
            self.in_use(),
            os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file,
        ):
            file.write(text)
            file.close()  # Windows renames no open file
            fresh.replace(self._list)


def _token_cache(file: Path) -> "PersistedTokenCache":
    from msal_extensions import FilePersistence, PersistedTokenCache, build_encrypted_persistence

    try:
        persistence = build_encrypted_persistence(str(file))
    except Exception as why:  # noqa: BLE001 -- each platform has errors of its own for "no keyring here"
        _log.debug("no encryption for the token cache: %s", type(why).__name__)
        persistence = FilePersistence(str(file))
    return PersistedTokenCache(persistence)
