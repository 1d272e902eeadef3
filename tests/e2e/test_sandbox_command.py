"""`bulklink sandbox` serves until it is told to stop, and says in one sentence why it cannot."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest

from bulklink.cli import main
from bulklink.errors import ExitCode
from bulklink.sandbox.weather import Kind


@contextmanager
def sandbox(*arguments):
    """The installed command on a free port; (process, what it said, its URL)."""
    command = [sys.executable, "-m", "bulklink", "sandbox", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "stops it" in line:
                break
        text = "".join(said)
        found = re.search(r"environment\s+(\S+)", text)
        yield process, text, found and found[1]
    finally:
        process.kill()
        process.communicate()


def get(url, token="any"):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.fixture
def refused(capsys):
    """What the command says when it refuses to start."""

    def refuse(*arguments):
        assert main(["sandbox", *arguments]) == ExitCode.UNUSABLE
        return capsys.readouterr().err

    return refuse


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number):
    with sandbox("--limits", "requests=10", "--weather", "calm", "--seed", "1") as (process, said, url):
        assert "any text, e.g. BULKLINK_TOKEN=sandbox" in said
        assert get(f"{url}/api/data/v9.2/WhoAmI")["UserId"]
        assert get(f"{url}/__sandbox/", token="")["requests"] == 1
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_what_it_is_told_to_keep_is_there_the_next_time(tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "account.csv").write_text("name,accountnumber\nContoso,A-1\nFabrikam,A-2\n", encoding="utf-8")
    data = str(tmp_path / "organisation.sqlite")
    for arguments in (("--load", str(tables)), ()):
        with sandbox("--data", data, *arguments) as (_, _, url):
            found = get(f"{url}/api/data/v9.2/accounts?$select=name&$orderby=name")
            assert [account["name"] for account in found["value"]] == ["Contoso", "Fabrikam"]


def test_tokens_toggles_and_tls_are_taken(tmp_path):
    toggles = tmp_path / "toggles.toml"
    toggles.write_text('unblamed = "always"\nlenient_eol = true\n', encoding="utf-8")
    with sandbox("--tls", "--token", "mine", "--toggles", str(toggles), "--toggle", "operations-max=250") as (
        _,
        said,
        url,
    ):
        assert url.startswith("https://")
        assert re.search(r"trust\s+\S+ca\.pem", said)
        assert "one of those given" in said


def test_the_toggles_are_listed():
    command = [sys.executable, "-m", "bulklink", "sandbox", "--help-toggles"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert {f"U{number}" for number in range(1, 28)} <= set(listed.split())
    assert "malformed_part = validate-first*, lazy" in listed


def test_the_faults_are_listed(capsys):
    assert main(["sandbox", "--help-weather"]) == ExitCode.AS_ASKED
    listed = capsys.readouterr().out
    assert all(f"  {kind} " in listed for kind in Kind)
    assert 'delay_s = 20.0, answer = "504"' in listed


def test_a_port_in_use_is_refused(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"Port {port} on 127.0.0.1 is in use; give another." in refused("--port", port)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--toggle", "unblamd=always"), "There is no toggle 'unblamd'. Did you mean 'unblamed'?"),
        (("--toggle", "unblamed=sometimes"), "Toggle 'unblamed' is one of never, always, not 'sometimes'."),
        (("--toggle", "unblamed"), "--toggle wants NAME=VALUE, not 'unblamed'."),
        (("--weather", "rough"), "There is no weather 'rough'"),
        (("--limits", "request=1"), "There is no limit 'request'. Did you mean 'requests'?"),
        (("--metadata", __file__), "is not a $metadata document"),
        (("--load", "no-such-directory"), "no-such-directory is not a directory."),
        (("--data", __file__), "is not a data file of the sandbox"),
        (("--data", "no-such-directory/file"), "The data file no-such-directory/file cannot be used"),
        (("--toggles", "no-such-file"), "The toggles file no-such-file cannot be read"),
        (("--host", "256.1.1.1"), "Cannot listen on 256.1.1.1"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(arguments, sentence, refused):
    assert sentence in refused("--port", "0", *arguments)


@pytest.fixture
def unusable(tmp_path):
    """The four kinds of bad input, as the options that bring them."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "account.csv").write_text("nam\nContoso\n", encoding="utf-8")
    (tmp_path / "page.html").write_text("<html><body>Sign in</body></html>", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield {
            "a CSDL that is no CSDL": ("--metadata", str(tmp_path / "page.html")),
            "a table file with unknown columns": ("--load", str(tmp_path / "tables")),
            "a toggle that does not exist": ("--toggle", "unblamd=always"),
            "a port in use": ("--port", str(taken.getsockname()[1])),
        }


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a CSDL that is no CSDL", "page.html is not a $metadata document"),
        ("a table file with unknown columns", "table 'account' has no column 'nam'. Did you mean 'name'?"),
        ("a toggle that does not exist", "There is no toggle 'unblamd'. Did you mean 'unblamed'?"),
        ("a port in use", "is in use; give another."),
    ],
)
def test_the_installed_command_says_in_one_sentence_what_is_wrong_with(what, words, unusable):
    command = [sys.executable, "-m", "bulklink", "sandbox", "--port", "0", *unusable[what]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    said, following = done.stderr.splitlines()
    assert said.startswith("Error: ")
    assert words in said
    assert following.startswith("Next: ")


def test_a_table_file_with_unknown_columns_is_refused(tmp_path, refused):
    (tmp_path / "account.csv").write_text("nam\nContoso\n", encoding="utf-8")
    assert "'nam'" in refused("--port", "0", "--load", str(tmp_path))
