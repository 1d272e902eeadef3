"""`bulklink login`, `whoami` and `logout` as people type them, against the sandbox and its authority."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulklink.cli import main
from bulklink.sandbox.access import Access
from bulklink.sandbox.authority import Authority
from bulklink.sandbox.server import Sandbox
from tests.threaded_authority import serving

USER = "adele@contoso.example"
CLIENT = "aaaaaaaa-1111-4111-8111-aaaaaaaaaaaa"


class World:
    def __init__(self, authority: Authority, sandbox: Sandbox, ca_file: Path) -> None:
        self.authority = authority
        self.url = sandbox.url
        self.ca = ("--ca-file", str(ca_file))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    for name in ("URL", "TOKEN", "TOKEN_FILE", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"BULKLINK_{name}", raising=False)
    authority = Authority(user=USER)
    authority.device_code_interval_s = 0
    authority.register(CLIENT)
    sandbox = Sandbox(access=Access(authority.user_of, challenge=authority.challenge))
    with serving(authority, tmp_path / "ca.pem"), sandbox.serving():
        yield World(authority, sandbox, tmp_path / "ca.pem")


def test_login_whoami_logout(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["login", world.url, "--device-code", "--client-id", CLIENT, *world.ca]) == 0
    said = capsys.readouterr()
    assert "enter the code" in said.err
    assert f"Signed in to {world.url} as {USER}." in said.out

    assert main(["whoami", "--json", *world.ca]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["environment"] == world.url
    assert facts["sign-in"] == f"device-code, {USER}"
    assert len(facts["user"]) >= 36
    assert len(facts["organisation"]) >= 36

    assert main(["whoami", "--url", f"{world.url}/main.aspx?appid=1", *world.ca]) == 0
    assert f"sign-in        device-code, {USER}" in capsys.readouterr().out
    assert world.authority.requests["device_code"] == 1

    kept = tmp_path / "state" / "sign-in"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (kept, *sorted(kept.iterdir()))] == [0o700, 0o600, 0o600]

    assert main(["logout"]) == 0
    assert f"Signed out of {world.url} ({USER})." in capsys.readouterr().out
    assert "secret" not in "".join(file.read_text() for file in kept.iterdir())
    assert main(["whoami", "--url", world.url, *world.ca]) == 6
    assert "BULKLINK_TOKEN_FILE" in capsys.readouterr().err
    assert main(["logout", world.url]) == 0
    assert "Nobody was signed in to" in capsys.readouterr().out


def test_whoami_without_an_environment_asks_which(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whoami"]) == 2
    assert "Give --url" in capsys.readouterr().err


def test_whoami_with_a_token_that_is_refused_exits_6(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKLINK_TOKEN", "planted-secret-token")
    assert main(["whoami", "-v", "--url", world.url]) == 6
    said = capsys.readouterr()
    assert "refused the token (HTTP 401)" in said.err
    assert "planted-secret" not in said.out + said.err


def test_whoami_where_nobody_answers_exits_4(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKLINK_TOKEN", "planted-secret-token")
    assert main(["whoami", "--url", "http://127.0.0.1:1"]) == 4
    assert "No connection to http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["login", "logout", "whoami"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"bulklink {command}" in capsys.readouterr().out


def test_plain_http_to_another_machine_exits_2(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", "http://contoso.crm4.dynamics.com"]) == 2
    assert "in the clear" in capsys.readouterr().err
