"""Every way to sign in, with the real msal against a local authority over TLS."""

import asyncio
import logging
import re
import stat
import threading
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, build_opener

import pytest

from bulklink.errors import BulklinkError, ExitCode, SignInError, StoppedEarly
from bulklink.sandbox.authority import TENANT, Authority
from bulklink.sandbox.authority_grants import Federation
from bulklink.service import sign_in
from bulklink.service.connections import tls_context
from bulklink.service.sign_in_cache import SignInCache
from tests.sign_in_world import CLIENT, SECRET, KeyPair, World, key_pair, sign_in_world

pytestmark = pytest.mark.anyio
USER = "adele@contoso.example"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return key_pair()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with sign_in_world(tmp_path) as world:
        yield world


async def statuses(world: World, source: Any, count: int = 1) -> list[int]:
    async with world.transport(source) as transport:
        return [(await transport.get("WhoAmI")).status for _ in range(count)]


async def refusal(act: Callable[[], Awaitable[object]]) -> BulklinkError:
    with pytest.raises(BulklinkError) as raised:
        await act()
    return raised.value


# ---------------------------------------------------------------------- applications


async def test_a_client_secret_signs_in_once_for_many_requests(world: World) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    source = world.source("client-secret", client_id=CLIENT, client_secret=SECRET)
    assert await statuses(world, source, 20) == [204] * 20
    assert world.authority.requests == {"openid": 1, "token": 1}
    assert len(set(world.tokens_seen)) == 2, "one unsigned question for the authority, then one token"
    assert world.authority.grants.holder(world.tokens_seen[-1]).resource == world.environment  # type: ignore[union-attr]
    assert (source.kind, source.who) == ("client-secret", f"application {CLIENT}")


async def test_the_three_variables_are_enough_and_nothing_is_logged_of_them(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # everybody's log, msal's and aiohttp's too
    world.authority.register(CLIENT, secrets={SECRET})
    world.env = {"BULKLINK_TENANT_ID": TENANT, "BULKLINK_CLIENT_ID": CLIENT, "BULKLINK_CLIENT_SECRET": SECRET}
    source = world.source()
    async with world.transport(source) as transport:
        assert (await transport.get("WhoAmI")).status == 204
        world.authority.grants.revoke_everything()
        assert (await transport.get("WhoAmI")).status == 204
    assert "signed in: client-secret" in caplog.text
    for secret in (SECRET, *filter(None, world.tokens_seen)):
        assert secret not in caplog.text + repr(source) + repr(transport)


async def test_a_given_authority_is_not_asked_for(world: World) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    source = world.source(
        "client-secret", client_id=CLIENT, client_secret=SECRET, authority=world.authority.origin, tenant_id=TENANT
    )
    assert await statuses(world, source) == [204]
    assert len(world.tokens_seen) == 1


@pytest.mark.parametrize(
    ("name", "password"),
    [("app.pem", ""), ("locked.pem", SECRET), ("app.pfx", SECRET)],
    ids=["PEM", "locked PEM", "PFX"],
)
async def test_a_certificate_signs_in(world: World, pair: KeyPair, tmp_path: Path, name: str, password: str) -> None:
    world.authority.register(CLIENT, certificates=[pair.certificate])
    file = tmp_path / name
    file.write_bytes(pair.pfx(password) if name.endswith("pfx") else pair.pem(password))
    source = world.source("certificate", client_id=CLIENT, certificate_file=str(file), certificate_password=password)
    assert await statuses(world, source) == [204]


async def test_a_certificate_that_cannot_be_used_is_told_before_asking_the_authority(
    world: World, pair: KeyPair, tmp_path: Path
) -> None:
    def written(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    certificate, _, key = pair.pem().partition(b"-----BEGIN PRIVATE")
    stranger = key_pair()
    cases = {
        str(tmp_path / "missing.pem"): "No such file",
        written("locked.pfx", pair.pfx("other")): "password is wrong",
        written("public.pem", certificate): "no private key",
        written("key.pem", b"-----BEGIN PRIVATE" + key): "no certificate",
        written(
            "mixed.pem",
            certificate + stranger.pem().partition(b"-----BEGIN PRIVATE")[2].join([b"-----BEGIN PRIVATE", b""]),
        ): ("belongs to none"),
        written("old.pem", key_pair(days=-3).pem()): "expired on",
        written("noise.pfx", b"noise"): "cannot be opened",
    }
    for file, words in cases.items():
        source = world.source("certificate", client_id=CLIENT, certificate_file=file, certificate_password=SECRET)
        trouble = await refusal(source.token)
        assert (trouble.exit_code, words in str(trouble)) == (ExitCode.REFUSED, True), str(trouble)
        assert SECRET not in str(trouble) + trouble.hint
    assert world.authority.requests["token"] == 0


async def test_a_federated_token_is_read_again_for_each_request(world: World, pair: KeyPair, tmp_path: Path) -> None:
    federation = Federation("https://cluster.example", "system:job", "api://AzureADTokenExchange", pair.public_pem)
    world.authority.register(CLIENT, federations=[federation])
    file = tmp_path / "projected"
    claims = {"iss": federation.issuer, "sub": federation.subject, "aud": federation.audience}
    file.write_text(pair.assertion(**claims))
    world.env = {"AZURE_FEDERATED_TOKEN_FILE": str(file), "AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT}
    source = world.source("workload-identity")
    assert await statuses(world, source) == [204]
    file.write_text(pair.assertion(**{**claims, "sub": "somebody else"}))
    assert "AADSTS700213" in str(await refusal(lambda: source.token(force=True)))
    file.unlink()
    assert "cannot be read" in str(await refusal(lambda: source.token(force=True)))


async def test_a_managed_identity_signs_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Authority()
    async with machine.serving(None) as origin:
        machine.grants = world.authority.grants
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", origin)
        source = world.source("managed-identity")
        assert await statuses(world, source, 3) == [204] * 3
        assert machine.requests == {"managed_identity": 1}
        first = await source.token()
        assert await source.token(force=True) != first
        assert world.authority.requests == {}, "no authority is asked for a machine's own identity"


async def test_no_managed_identity_on_this_machine_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    trouble = await refusal(world.source("managed-identity").token)
    assert (trouble.exit_code, "is this machine in Azure?" in str(trouble)) == (ExitCode.STOPPED_EARLY, True)


# ---------------------------------------------------------------------- persons


async def test_a_device_code_signs_in_and_later_runs_ask_nobody(world: World) -> None:
    world.authority.register(CLIENT)

    async def approve_meanwhile(seconds: float) -> None:
        world.waited_s.append(seconds)
        if len(world.waited_s) == 2:
            world.authority.grants.decide(next(iter(world.authority.grants.user_codes)), USER)

    world.wait = approve_meanwhile  # type: ignore[method-assign]
    settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
    login, cache = await sign_in.login(settings, {}, world.state_dir, "device-code", world.told.append, world.wait)
    assert (login.username, login.environment, login.authority) == (USER, world.environment, world.authority.url)
    assert "enter the code" in world.told[0]
    assert world.waited_s == [1, 1]

    for auth in (None, "device-code"):
        source = world.source(auth)
        assert await statuses(world, source) == [204]
        assert (source.kind, source.who) == ("device-code", USER)
    assert world.authority.requests["device_code"] == 1
    first = await source.token()
    assert await source.token(force=True) != first, "the refresh token gives a fresh one"

    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    for file in cache.directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    world.authority.grants.revoke_everything()
    trouble = await refusal(lambda: source.token(force=True))
    assert "revoked (AADSTS50173" in str(trouble)
    assert f"bulklink login {world.environment}" in trouble.hint


async def test_a_device_code_outlives_a_busy_authority(tmp_path: Path) -> None:
    async with sign_in_world(tmp_path, user=USER) as world:
        world.authority.register(CLIENT)
        world.authority.throttle(2, 503, "")
        settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
        login, _ = await sign_in.login(settings, {}, tmp_path, "device-code", world.told.append, world.wait)
        assert (login.username, len(world.told), world.waited_s) == (USER, 1, [1, 2, 4])


async def test_a_login_where_the_authority_is_out_of_reach_ends_with_4(world: World) -> None:
    settings = sign_in.Settings(world.environment, authority="https://127.0.0.1:1/t-1", ca_file=world.ca_file)
    trouble = await refusal(lambda: sign_in.login(settings, {}, world.state_dir, "device-code", print, world.wait))
    assert (trouble.exit_code, world.waited_s) == (ExitCode.STOPPED_EARLY, [1, 2, 4])


async def test_a_declined_device_code_is_told(world: World) -> None:
    world.authority.register(CLIENT)

    async def decline(seconds: float) -> None:
        world.authority.grants.decide(next(iter(world.authority.grants.user_codes)), USER, approved=False)

    settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
    trouble = await refusal(lambda: sign_in.login(settings, {}, world.state_dir, "device-code", print, decline))
    assert "declined (AADSTS70017" in str(trouble)
    assert SignInCache(world.state_dir).logins() == {}


def person_at_browser(ca_file: str) -> Callable[[str], bool]:
    """A browser with somebody in front of it who signs in at once; a thread stands for its process."""
    opener = build_opener(HTTPSHandler(context=tls_context(ca_file)))

    def visit(url: str) -> None:
        with opener.open(url, timeout=10) as page:
            html = page.read().decode()
        action = unescape(re.search('action="([^"]*)"', html)[1])  # type: ignore[index]
        fields = {name: unescape(value) for name, value in re.findall('name="([^"]*)" value="([^"]*)"', html)}
        opener.open(action, urlencode(fields).encode(), timeout=10).close()

    def open_browser(url: str) -> bool:
        threading.Thread(target=visit, args=(url,)).start()
        return True

    return open_browser


async def test_a_person_signs_in_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sign_in_world(tmp_path, user=USER) as world:
        world.authority.register(CLIENT)
        monkeypatch.setattr(webbrowser, "open", person_at_browser(world.ca_file))
        settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
        login, _ = await sign_in.login(settings, {}, world.state_dir, "interactive", world.told.append)
        assert (login.username, login.kind) == (USER, "interactive")
        world.tokens_seen.clear()
        assert await statuses(world, world.source()) == [204]
        assert "" not in world.tokens_seen, "where to sign in is remembered, not asked again"


async def test_a_run_never_asks_anybody(world: World) -> None:
    trouble = await refusal(world.source("interactive", client_id=CLIENT).token)
    assert (trouble.exit_code, trouble.hint.split(".")[0]) == (ExitCode.REFUSED, "Sign in: bulklink login http://127")
    assert world.authority.requests == {}


async def test_a_sign_in_of_another_application_does_not_count(tmp_path: Path) -> None:
    async with sign_in_world(tmp_path, user=USER) as world:
        world.authority.register(CLIENT)
        settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
        await sign_in.login(settings, {}, world.state_dir, "device-code", world.told.append, world.wait)
        assert await statuses(world, world.source("device-code")) == [204]
        world.authority.requests.clear()
        trouble = await refusal(world.source("device-code", client_id="another").token)
        assert "Nobody is signed in" in str(trouble)
        assert world.authority.requests == {}


async def test_a_prompt_lets_the_library_sign_a_person_in(tmp_path: Path) -> None:
    async with sign_in_world(tmp_path, user=USER) as world:
        world.authority.register(CLIENT)
        assert await statuses(world, world.source("device-code", client_id=CLIENT, prompt=True)) == [204]
        assert len(world.told) == 1


async def test_forgetting_one_environment_keeps_the_account_of_another(tmp_path: Path) -> None:
    async with sign_in_world(tmp_path, user=USER) as world:
        world.authority.register(CLIENT)
        cache = SignInCache(tmp_path)
        cache.directory.mkdir(mode=0o755)
        for environment in (world.environment, "https://other.example"):
            authority = {"authority": world.authority.url}
            settings = sign_in.Settings(environment, client_id=CLIENT, ca_file=world.ca_file, **authority)
            await sign_in.login(settings, {}, tmp_path, "device-code", world.told.append, world.wait)
        assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700, "also where it was there before, for everybody"
        assert cache.forget(world.environment).username == USER  # type: ignore[union-attr]
        assert list(cache.logins()) == ["https://other.example"]
        assert '"secret"' in (cache.directory / "tokens.bin").read_text()
        cache.forget("https://other.example")
        assert cache.forget("https://other.example") is None
        assert '"secret"' not in (cache.directory / "tokens.bin").read_text()


async def test_a_damaged_cache_is_told(world: World) -> None:
    world.authority.register(CLIENT)
    world.authority.user = USER
    settings = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
    _, cache = await sign_in.login(settings, {}, world.state_dir, "device-code", print, world.wait)
    (cache.directory / "tokens.bin").write_text("{")
    assert "cannot be read" in str(await refusal(world.source().token))
    with pytest.raises(SignInError, match="cannot be read"):
        SignInCache(world.state_dir).forget(world.environment)
    (cache.directory / "logins.json").write_text("[]")
    with pytest.raises(SignInError, match="cannot be read"):
        world.source()


# ---------------------------------------------------------------------- tokens from elsewhere


async def test_a_token_file_is_read_again_after_a_401(world: World, tmp_path: Path) -> None:
    grants = world.authority.grants
    first, second = (grants.managed(world.environment)["access_token"] for _ in range(2))
    file = tmp_path / "token"
    file.write_text(first + "\n")
    world.env = {"BULKLINK_TOKEN_FILE": str(file)}
    async with world.transport(world.source()) as transport:
        assert (await transport.get("WhoAmI")).status == 204
        file.write_text(f"Bearer {second}")
        del grants.tokens[first]
        assert (await transport.get("WhoAmI")).status == 204
        del grants.tokens[second]
        assert (await transport.get("WhoAmI")).status == 401
    assert world.tokens_seen == [first, first, second, second, second]


async def test_a_token_in_a_variable_counts_first(world: World) -> None:
    world.env = {"BULKLINK_TOKEN": world.authority.grants.managed(world.environment)["access_token"]}
    world.env |= {"BULKLINK_TOKEN_FILE": "/nowhere", "BULKLINK_CLIENT_ID": CLIENT, "BULKLINK_CLIENT_SECRET": SECRET}
    source = world.source()
    assert (source.kind, await statuses(world, source)) == ("token", [204])


async def test_nothing_given_names_the_variables(world: World) -> None:
    with pytest.raises(SignInError) as raised:
        world.source()
    for variable in ("TOKEN", "TOKEN_FILE", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        assert f"BULKLINK_{variable}" in raised.value.hint


async def test_an_azure_identity_credential_signs_in(world: World) -> None:
    from azure.core.pipeline.transport import RequestsTransport
    from azure.identity import ClientSecretCredential

    world.authority.register(CLIENT, secrets={SECRET})
    options = {
        "authority": world.authority.origin,
        "disable_instance_discovery": True,
        "transport": RequestsTransport(connection_verify=world.ca_file),
    }
    source = world.source(credential=ClientSecretCredential(TENANT, CLIENT, SECRET, **options))
    assert await statuses(world, source, 5) == [204] * 5
    assert source.kind == "azure-identity"
    wrong = world.source(credential=ClientSecretCredential(TENANT, CLIENT, "planted-wrong", **options))
    trouble = await refusal(wrong.token)
    assert "the client secret is wrong (AADSTS7000215" in str(trouble)


async def test_an_asynchronous_credential_signs_in_and_is_told_of_claims(world: World) -> None:
    asked: list[dict[str, str]] = []

    class Credential:
        async def get_token(self, scope: str, **options: str) -> SimpleNamespace:
            assert scope == f"{world.environment}/.default"
            asked.append(options)
            token = world.authority.grants.managed(world.environment)["access_token"]
            return SimpleNamespace(token=token, expires_on=2**33)

    source = world.source(credential=Credential())
    assert await statuses(world, source, 2) == [204, 204]
    await source.token(force=True, claims='{"a":1}')
    assert asked == [{}, {"claims": '{"a":1}'}]


# ---------------------------------------------------------------------- renewal


async def test_a_revoked_token_is_renewed_once_for_all_senders(world: World) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    source = world.source("client-secret", client_id=CLIENT, client_secret=SECRET)
    async with world.transport(source) as transport:
        assert (await transport.get("WhoAmI")).status == 204
        world.authority.grants.revoke_everything()
        replies = await asyncio.gather(*(transport.post("$batch", b"rows") for _ in range(20)))
    assert {reply.status for reply in replies} == {204}
    assert world.authority.requests["token"] == 2


async def test_a_claims_challenge_reaches_the_authority(world: World) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    world.extra_challenge = ', error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7fX19"'
    source = world.source("client-secret", client_id=CLIENT, client_secret=SECRET)
    async with world.transport(source) as transport:
        await transport.get("WhoAmI")
        world.authority.grants.revoke_everything()
        assert (await transport.get("WhoAmI")).status == 204
    assert world.authority.grants.holder(await source.token()).claims == '{"access_token":{"nbf":{}}}'  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_authority_is_waited_for_as_long_as_it_asks(world: World, status: int) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    world.authority.throttle(2, status, "7")
    source = world.source("client-secret", client_id=CLIENT, client_secret=SECRET)
    assert await statuses(world, source) == [204]
    assert world.waited_s == [7, 7]


@pytest.mark.parametrize(("times", "retry_after", "waits"), [(99, "7", 3), (99, "", 3), (1, "3600", 0)])
async def test_an_authority_that_stays_busy_ends_the_run(
    world: World, times: int, retry_after: str, waits: int
) -> None:
    world.authority.register(CLIENT, secrets={SECRET})
    world.authority.throttle(times, 429, retry_after)
    trouble = await refusal(world.source("client-secret", client_id=CLIENT, client_secret=SECRET).token)
    assert isinstance(trouble, StoppedEarly)
    assert "it resumes" in trouble.hint
    assert len(world.waited_s) == waits


async def test_an_authority_that_cannot_be_reached_ends_the_run(world: World) -> None:
    settings = {"client_id": CLIENT, "client_secret": SECRET, "tenant_id": TENANT}
    trouble = await refusal(world.source("client-secret", **settings, authority="https://127.0.0.1:1").token)
    assert (type(trouble), world.waited_s) == (StoppedEarly, [1, 2, 4])


async def test_an_authority_with_an_unknown_certificate_ends_the_run(world: World) -> None:
    trouble = await refusal(world.source("client-secret", client_id=CLIENT, client_secret=SECRET, ca_file="").token)
    assert (type(trouble), "not trusted" in str(trouble), "ca_file" in trouble.hint) == (StoppedEarly, True, True)


# ---------------------------------------------------------------------- refusals

REFUSED = {
    "wrong secret": (7000215, "secret's value"),
    "expired secret": (7000222, "Create a new secret"),
    "unknown tenant": (90002, "Check tenant_id"),
    "unknown application": (700016, "Check client_id"),
    "unknown resource": (500011, "Check the URL"),
    "no consent": (65001, "grant consent"),
    "no credential": (7000218, "Give one"),
}


async def refused_source(world: World, case: str) -> Any:
    application = world.authority.register(CLIENT, secrets={SECRET}, expired_secrets={f"{SECRET}-old"})
    settings: dict[str, str] = {"client_id": CLIENT, "client_secret": SECRET}
    match case:
        case "wrong secret":
            settings["client_secret"] = f"{SECRET}-wrong"
        case "expired secret":
            settings["client_secret"] = f"{SECRET}-old"
        case "unknown tenant":
            settings["tenant_id"] = "nowhere.example"
        case "unknown application":
            settings["client_id"] = "another"
        case "unknown resource":
            world.authority.grants.resources = {"https://contoso.crm4.dynamics.com"}
        case "no consent":
            application.consented = False
        case "no credential":
            world.authority.user = USER
            login = sign_in.Settings(world.environment, client_id=CLIENT, ca_file=world.ca_file)
            application.secrets, application.expired_secrets = set(), set()
            await sign_in.login(login, {}, world.state_dir, "device-code", print, world.wait)
            application.secrets = {SECRET}
            return world.source("device-code")
    return world.source("client-secret", **settings)


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_says_what_where_and_what_next(
    world: World, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    number, following = REFUSED[case]
    source = await refused_source(world, case)
    trouble = await refusal(lambda: source.token(force=True))
    assert isinstance(trouble, SignInError)
    assert f"AADSTS{number}" in str(trouble)
    assert f"127.0.0.1:{world.authority.origin.rpartition(':')[2]}/" in str(trouble), "where"
    assert following in trouble.hint
    assert SECRET not in f"{trouble} {trouble!r} {trouble.hint} {trouble.__context__!r} {source!r} {caplog.text}"


async def test_an_environment_may_not_send_the_secret_to_a_stranger(world: World) -> None:
    world.authority.challenge = lambda environment: "Bearer authorization_uri=https://evil.example/t/oauth2/authorize"  # type: ignore[method-assign]
    trouble = await refusal(world.source("client-secret", client_id=CLIENT, client_secret=SECRET).token)
    assert (trouble.exit_code, "evil.example" in str(trouble)) == (ExitCode.REFUSED, True)
    world.authority.challenge = lambda environment: "Bearer"  # type: ignore[method-assign]
    trouble = await refusal(world.source("client-secret", client_id=CLIENT, client_secret=SECRET).token)
    assert (trouble.exit_code, "tenant_id" in trouble.hint) == (ExitCode.REFUSED, True)
