"""No secret is left anywhere: every file and stream of runs that fail in many ways is searched for planted ones.

Searched for: client secret, certificate password, private key, and every bearer token that was shown to the
environment; as they are, percent-encoded, JSON-escaped, and in base64 (wherever in a longer text they may stand).
"""

import base64
import csv
import json
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

import bulklink
from bulklink import api
from bulklink.cli import main
from bulklink.core.engine import Engine
from bulklink.errors import BulklinkError
from bulklink.sandbox.access import Access
from bulklink.sandbox.authority import TENANT, Authority
from tests.live import ADD, NN, account, lead, scene
from tests.sign_in_world import CLIENT, key_pair
from tests.threaded_authority import serving

SECRET = "Pl4nted~client/secret+with=odd&signs%20"
PASSWORD = 'Pl4nted: certificate password "quoted" \\ ü'
TOKEN = "Pl4nted.bearer-token_" + "x" * 40
VOICES = ([], ["-v"], ["--json"], ["--log-format", "json", "-v"], ["--quiet", "--json", "--log-format", "json"])
REFUSING = '[[fault]]\nkind = "plugin-error"\ntable = "lead"\nshare_of_records = 0.3\nmessage = "{}"\n'
ROWS = [(account(n % 60), lead(n)) for n in range(30)] + [(account(1), "no id"), (account(1), lead(1))]


def spellings(secret: str) -> Iterator[bytes]:
    """Everything by which a secret could be read again."""
    yield secret.encode()
    yield from (spelt(secret).encode() for spelt in (quote, quote_plus, lambda text: quote(text, safe="")))
    yield json.dumps(secret)[1:-1].encode()
    for front in range(3):  # base64 of a longer text shows one of three spellings, but for its two ends
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"x" * front + secret.encode())[4 if front else 0 :].rstrip(b"=")[:-2]


def found_in(text: bytes, secrets: set[str]) -> list[bytes]:
    return [spelt for secret in secrets if len(secret) > 7 for spelt in spellings(secret) if spelt in text]


class Hunt:
    """A job, an environment that believes an authority, and everything that it was shown."""

    def __init__(self, stage, authority, shown, capfd, monkeypatch):
        self.stage, self.authority, self.folder = stage, authority, stage.folder
        self.shown, self.capfd, self.env = shown, capfd, monkeypatch
        self.secrets = {SECRET, PASSWORD, TOKEN}

    def types(self, *arguments: str) -> int:
        """What people type, and the search afterwards."""
        self.env.chdir(self.folder)
        code = main(list(arguments))
        self.search(" ".join(arguments))
        return code

    def search(self, what: str, *more: str) -> None:
        out, err = self.capfd.readouterr()
        self.said = out + err
        streams = {"stdout": out.encode(), "stderr": err.encode(), **{text: text.encode() for text in more}}
        files = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        planted_by_us = {str(self.folder / name) for name in ("app.pfx", "secret.txt", "job.toml")}
        for name, content in (streams | files).items():
            if name not in planted_by_us:
                assert found_in(content, self.secrets | self.shown) == [], f"{what}: {name}"


@pytest.fixture
def weather() -> str:
    return REFUSING.format("no")


@pytest.fixture
def hunt(
    tmp_path: Path, weather: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Hunt]:
    authority = Authority()
    shown: set[str] = set()

    def check(token: str) -> str | None:
        shown.add(token)
        return "user" if token == TOKEN else authority.user_of(token)

    access = Access(check, challenge=authority.challenge)
    with (
        scene(tmp_path / "work", access=access, weather=weather) as stage,
        serving(authority, tmp_path / "ca.pem"),
    ):
        for name in list(stage.env):
            monkeypatch.setenv(name, stage.env[name])
        monkeypatch.delenv("BULKLINK_TOKEN")
        stage.write_rows(ROWS, header=("From", "To"))
        found = Hunt(stage, authority, shown, capfd, monkeypatch)
        write_job(found, tmp_path, 'auth = "client-secret"\nclient_secret = "${PLANTED}"')
        yield found
        found.search("at the end")


def write_job(hunt: Hunt, ca_folder: Path, sign_in: str, **sections: str) -> None:
    where = f'url = "{hunt.stage.sandbox.url}"\nca_file = "{ca_folder / "ca.pem"}"'
    who = f'client_id = "{CLIENT}"\ntenant_id = "{TENANT}"'
    link = NN.format(action=ADD)
    hunt.stage.write_job(link, dataverse=f"{where}\n{who}\n{sign_in}", report="html = true", **sections)
    hunt.env.setenv("PLANTED", SECRET)
    hunt.env.setenv("PLANTED_PASSWORD", PASSWORD)


@pytest.mark.parametrize("voice", VOICES, ids=" ".join)
def test_wrong_expired_and_right_secrets(hunt: Hunt, voice: list[str]) -> None:
    hunt.authority.register(CLIENT, secrets={"another one"})
    assert hunt.types("run", "job.toml", *voice) == 6
    assert "client secret is wrong" in hunt.said
    hunt.authority.register(CLIENT, expired_secrets={SECRET})
    assert hunt.types("run", "job.toml", *voice) == 6
    assert "expired" in hunt.said
    hunt.authority.register(CLIENT, secrets={SECRET})
    assert hunt.types("run", "job.toml", *voice) == 3
    assert hunt.types("run", "job.toml", "--show-settings", *voice) == 0
    assert "(secret)" in hunt.said
    assert hunt.types("check", "job.toml", *[word for word in voice if word in ("-v", "--json")]) in (0, 3)
    assert {row["outcome"] for row in hunt.stage.rows()} == {"associated", "rejected", "invalid", "duplicate"}


def test_a_revoked_token_and_an_authority_that_is_busy(hunt: Hunt) -> None:
    hunt.authority.register(CLIENT, secrets={SECRET})
    for request in (2, 5):
        hunt.stage.watch.requests = 0

        def revoke(what: str, ordinal: int, at: int = request) -> None:
            if ordinal == at:
                hunt.authority.grants.revoke_everything()
                hunt.authority.register(CLIENT, secrets={"changed meanwhile"})

        hunt.stage.watch.on = revoke
        assert hunt.types("run", "job.toml", "-v", "--fresh") == 6
        hunt.authority.register(CLIENT, secrets={SECRET})
    hunt.stage.watch.on = lambda *_: None
    hunt.authority.throttle(1, retry_after="0")
    assert hunt.types("run", "job.toml", "-v") == 3


@pytest.mark.parametrize("voice", VOICES, ids=" ".join)
def test_a_crash(hunt: Hunt, voice: list[str]) -> None:
    hunt.authority.register(CLIENT, secrets={SECRET})
    hunt.env.setattr(Engine, "replied", lambda *_: {}["no such key"])
    assert hunt.types("run", "job.toml", *voice) == 1
    assert "This is a bug in bulklink" in hunt.said


def test_a_certificate_with_its_password(hunt: Hunt, tmp_path: Path) -> None:
    pair = key_pair()
    (hunt.folder / "app.pfx").write_bytes(pair.pfx(PASSWORD))
    hunt.secrets.add(pair.pem().decode().split("-----")[-3].strip()[:60])  # the private key's first line
    sign_in = 'auth = "certificate"\ncertificate_file = "app.pfx"\ncertificate_password = "${PLANTED_PASSWORD}"'
    write_job(hunt, tmp_path, sign_in)
    hunt.authority.register(CLIENT, certificates=[])
    assert hunt.types("run", "job.toml", "-v") == 6
    hunt.authority.register(CLIENT, certificates=[pair.certificate])
    assert hunt.types("run", "job.toml", "-v") == 3
    assert hunt.types("run", "job.toml", "--show-settings", "--json") == 0
    (hunt.folder / "app.pfx").write_bytes(pair.pfx("another"))
    assert hunt.types("run", "job.toml", "-v", "--fresh") == 6
    assert "password is wrong" in hunt.said


@pytest.mark.parametrize("weather", [REFUSING.format(f"Authorization: Bearer {TOKEN} was no good")], ids=["echo"])
def test_tokens_from_variable_and_file_also_where_the_service_repeats_them(hunt: Hunt, tmp_path: Path) -> None:
    write_job(hunt, tmp_path, 'auth = "token"')
    hunt.env.setenv("BULKLINK_TOKEN", TOKEN)
    assert hunt.types("run", "job.toml", "-v", "--log-format", "json") == 3
    assert "Authorization: Bearer *** was no good" in {row["message"] for row in hunt.stage.rows()}
    hunt.env.setenv("BULKLINK_TOKEN", f"{TOKEN}-refused")
    assert hunt.types("run", "job.toml", "-v", "--fresh") == 6
    hunt.env.delenv("BULKLINK_TOKEN")
    (hunt.folder / "secret.txt").write_text(f"{TOKEN}\n", encoding="utf-8")
    hunt.env.setenv("BULKLINK_TOKEN_FILE", str(hunt.folder / "secret.txt"))
    assert hunt.types("run", "job.toml", "-v", "--fresh") == 3
    (hunt.folder / "secret.txt").write_text(f"{TOKEN}\n{TOKEN}\n", encoding="utf-8")
    assert hunt.types("run", "job.toml", "-v", "--fresh") in (2, 6)


@pytest.mark.parametrize(
    "line",
    [
        f'client_secret = "{SECRET}"',
        'client_secret = "${file:secret.txt}"\nclient_secrte = "x"',
        f'certificate_password = "{SECRET}"',
        f'url = "https://user:{TOKEN}@contoso.crm4.dynamics.com"',
        f'url = "user:{TOKEN}@contoso.crm4.dynamics.com"',
        f'client_secret = ["{TOKEN}"]',
        f'client_secret = "${{{TOKEN}}} ${{PLANTED}}"',
    ],
)
def test_job_files_that_are_wrong(hunt: Hunt, line: str) -> None:
    (hunt.folder / "secret.txt").write_text(SECRET, encoding="utf-8")
    job = (hunt.folder / "job.toml").read_text(encoding="utf-8")
    key = line.split(" = ", maxsplit=1)[0]
    kept = [one for one in job.splitlines() if not one.startswith(f"{key} = ")]
    place = kept.index("[dataverse]") + 1
    (hunt.folder / "job.toml").write_text("\n".join([*kept[:place], line, *kept[place:]]), encoding="utf-8")
    for voice in (["-v"], ["--log-format", "json"], ["--show-settings"]):
        assert hunt.types("run", "job.toml", *voice) == 2


def test_exceptions_of_the_library(hunt: Hunt) -> None:
    for secrets in ({"another one"}, {SECRET}):
        hunt.authority.register(CLIENT, secrets=secrets)
        loaded = api.load(hunt.folder / "job.toml")
        texts = [repr(loaded), str(loaded.job), repr(loaded.settings)]
        with suppress(BulklinkError):
            texts.append(repr(bulklink.run(loaded)))
        try:
            bulklink.run(loaded, frame=csv)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001
            texts += [repr(error), *traceback.format_exception(error)]
        hunt.search("the library", *texts)
