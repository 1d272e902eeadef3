"""Get the bearer token for an environment, however the user signs in.

Owns: which kind of sign-in is meant, and which setting or variable it reads.
Does not know: how msal is asked, when a token is renewed, how a prompt is shown.
Source: the public contract (README, "Sign-in"); Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from bulklink.errors import SignInError, UsageError, nearest
from bulklink.service.certificates import read_certificate
from bulklink.service.given_tokens import AzureCredential, GivenToken
from bulklink.service.renewed_tokens import RenewedTokens, patiently
from bulklink.service.sign_in_application import ClientCredentials, ManagedIdentity
from bulklink.service.sign_in_cache import Login, SignInCache
from bulklink.service.sign_in_person import Person
from bulklink.service.sign_in_place import Grant, Place
from bulklink.service.transport import TokenSource

_log = logging.getLogger(__name__)

Prompt = Callable[[str], None]
Sleep = Callable[[float], Awaitable[None]]


class Hidden(Protocol):
    """A secret that does not show itself, such as pydantic's SecretStr."""

    def get_secret_value(self) -> str:
        """The secret."""


class SignInSettings(Protocol):
    """What a job file says under ``[dataverse]`` about signing in. "" (or None) means: not set."""

    @property
    def url(self) -> str: ...  # noqa: D102
    @property
    def auth(self) -> str | None: ...  # noqa: D102
    @property
    def tenant_id(self) -> str: ...  # noqa: D102
    @property
    def client_id(self) -> str: ...  # noqa: D102
    @property
    def client_secret(self) -> "str | Hidden | None": ...  # noqa: D102
    @property
    def certificate_file(self) -> str: ...  # noqa: D102
    @property
    def certificate_password(self) -> "str | Hidden | None": ...  # noqa: D102
    @property
    def authority(self) -> str: ...  # noqa: D102
    @property
    def ca_file(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a one-line command; see `SignInSettings`."""

    url: str
    auth: str | None = None
    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    certificate_file: str = ""
    certificate_password: str = field(default="", repr=False)
    authority: str = ""
    ca_file: str = ""


class NamedTokenSource(TokenSource, Protocol):
    """A token source that can say who signs in, and how."""

    @property
    def kind(self) -> str:
        """How it signs in, as the job file spells it: ``client-secret``, ``token`` ..."""

    @property
    def who(self) -> str:
        """The application or user, as far as known."""


def token_source(
    dataverse: SignInSettings,
    env: Mapping[str, str],
    state_dir: Path,
    *,
    prompt: Prompt | None = None,
    credential: object = None,
    sleep: Sleep = anyio.sleep,
) -> NamedTokenSource:
    """The token source that the settings ask for.

    env: the environment variables. state_dir: the user's state directory, where `bulklink login` keeps its cache.
    prompt: shows a person what to do; without it nobody is ever asked. credential: an azure-identity credential (or
    anything with its `get_token`), which then is the only one used. sleep: how to wait for authority or person.
    SignInError names what is missing. Nothing is sent before the first token is asked for.
    """
    if credential is not None:
        return RenewedTokens(AzureCredential(credential, _place(dataverse, env)), sleep=sleep)
    kind = dataverse.auth or _kind_by_environment(dataverse, env, state_dir)
    if kind == "token":
        return _given_token(env)
    makers: dict[str, Callable[[], Grant]] = {
        "client-secret": lambda: _by_secret(dataverse, env),
        "certificate": lambda: _by_certificate(dataverse, env),
        "workload-identity": lambda: _by_federated_token(dataverse, env),
        "managed-identity": lambda: ManagedIdentity(_place(dataverse, env), dataverse.client_id),
        "device-code": lambda: _person(dataverse, env, state_dir, "device-code", prompt, sleep),
        "interactive": lambda: _person(dataverse, env, state_dir, "interactive", prompt, sleep),
    }
    if kind not in makers:
        like = nearest(kind, (*makers, "token"), 1)
        raise UsageError(f"auth = {kind!r} is no way to sign in.", hint=f"Nearest: {like[0]}." if like else None)
    return RenewedTokens(makers[kind](), sleep=sleep)


async def login(
    dataverse: SignInSettings,
    env: Mapping[str, str],
    state_dir: Path,
    kind: str,
    prompt: Prompt,
    sleep: Sleep = anyio.sleep,
) -> tuple[Login, SignInCache]:
    """Let a person sign in (kind: interactive or device-code) and keep it for later runs on this machine."""
    cache = SignInCache(state_dir)
    client_id = dataverse.client_id or env.get("BULKLINK_CLIENT_ID", "")
    person = Person(kind, _place(dataverse, env), client_id, cache, prompt, sleep)
    return await patiently(person.sign_in, sleep), cache


def _kind_by_environment(dataverse: SignInSettings, env: Mapping[str, str], state_dir: Path) -> str:
    """The contract's order where a command names no kind."""
    if env.get("BULKLINK_TOKEN") or env.get("BULKLINK_TOKEN_FILE"):
        return "token"
    if env.get("BULKLINK_CLIENT_SECRET") or _shown(dataverse.client_secret):
        return "client-secret"
    kept = SignInCache(state_dir).logins().get(str(_place(dataverse, env).environment))
    if kept is not None:
        return kept.kind
    raise SignInError(
        f"No sign-in for {dataverse.url}.",
        hint="Set BULKLINK_TOKEN or BULKLINK_TOKEN_FILE, or BULKLINK_TENANT_ID, BULKLINK_CLIENT_ID and "
        f"BULKLINK_CLIENT_SECRET, or sign in: bulklink login {dataverse.url}",
    )


def _place(dataverse: SignInSettings, env: Mapping[str, str]) -> Place:
    tenant_id = dataverse.tenant_id or env.get("BULKLINK_TENANT_ID", "")
    return Place(dataverse.url, tenant_id, dataverse.authority, dataverse.ca_file)


def _needed(value: str, setting: str, variable: str) -> str:
    if not value:
        raise SignInError(f"{setting} is missing.", hint=f"Set {variable}, or {setting} under [dataverse].")
    return value


def _shown(secret: str | Hidden | None) -> str:
    return secret if isinstance(secret, str) else secret.get_secret_value() if secret else ""


def _client_id(dataverse: SignInSettings, env: Mapping[str, str]) -> str:
    return _needed(dataverse.client_id or env.get("BULKLINK_CLIENT_ID", ""), "client_id", "BULKLINK_CLIENT_ID")


def _given_token(env: Mapping[str, str]) -> GivenToken:
    if env.get("BULKLINK_TOKEN"):
        return GivenToken(env["BULKLINK_TOKEN"])
    if env.get("BULKLINK_TOKEN_FILE"):
        return GivenToken(file=Path(env["BULKLINK_TOKEN_FILE"]))
    raise SignInError("There is no token.", hint="Set BULKLINK_TOKEN or BULKLINK_TOKEN_FILE.")


def _by_secret(dataverse: SignInSettings, env: Mapping[str, str]) -> ClientCredentials:
    secret = _shown(dataverse.client_secret) or env.get("BULKLINK_CLIENT_SECRET", "")
    secret = _needed(secret, "client_secret", "BULKLINK_CLIENT_SECRET")
    client_id = _client_id(dataverse, env)
    return ClientCredentials("client-secret", _place(dataverse, env), client_id, lambda: secret, (secret,))


def _by_certificate(dataverse: SignInSettings, env: Mapping[str, str]) -> ClientCredentials:
    file = _needed(dataverse.certificate_file, "certificate_file", "BULKLINK_DATAVERSE_CERTIFICATE_FILE")
    password = _shown(dataverse.certificate_password)

    def credential() -> dict[str, str]:
        certificate = read_certificate(Path(file), password)
        _log.info("certificate with thumbprint %s", certificate.thumbprint)
        return {"private_key": certificate.private_key_pem, "public_certificate": certificate.chain_pem}

    return ClientCredentials("certificate", _place(dataverse, env), _client_id(dataverse, env), credential, (password,))


def _by_federated_token(dataverse: SignInSettings, env: Mapping[str, str]) -> ClientCredentials:
    """Azure's variables count where the settings say nothing: the platform sets them for the workload."""
    file = Path(_needed(env.get("AZURE_FEDERATED_TOKEN_FILE", ""), "the federated token", "AZURE_FEDERATED_TOKEN_FILE"))
    client_id = _needed(dataverse.client_id or env.get("AZURE_CLIENT_ID", ""), "client_id", "AZURE_CLIENT_ID")
    tenant_id = dataverse.tenant_id or env.get("AZURE_TENANT_ID", "")
    authority = dataverse.authority or env.get("AZURE_AUTHORITY_HOST", "")

    def assertion() -> str:
        # The platform replaces the file while we run: it is read for each request to the authority.
        try:
            return file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as why:
            raise SignInError(f"AZURE_FEDERATED_TOKEN_FILE {file} cannot be read: {type(why).__name__}.") from None

    place = Place(dataverse.url, tenant_id, authority, dataverse.ca_file)
    return ClientCredentials("workload-identity", place, client_id, lambda: {"client_assertion": assertion})


def _person(
    dataverse: SignInSettings,
    env: Mapping[str, str],
    state_dir: Path,
    kind: str,
    prompt: Prompt | None,
    sleep: Sleep,
) -> Person:
    """Sign-in of a person; what was kept for the environment says which application it was."""
    cache = SignInCache(state_dir)
    place = _place(dataverse, env)
    client_id = dataverse.client_id or env.get("BULKLINK_CLIENT_ID", "")
    kept = cache.logins().get(str(place.environment))
    if kept is not None and client_id in ("", kept.client_id):
        authority = dataverse.authority or kept.authority
        place = Place(dataverse.url, dataverse.tenant_id, authority, dataverse.ca_file)
        client_id = kept.client_id
    return Person(kind, place, client_id, cache, prompt, sleep)
