"""One run at a time on a relationship, and no lock that outlives its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bulklink.errors import ExitCode, LockHeld
from bulklink.files.lock import locked, state_directory

ORGANISATION = "https://contoso.crm4.dynamics.com"
NOON = 1_795_437_900.0

HOLD = """
import sys
from pathlib import Path
from bulklink.files.lock import locked
with locked(sys.argv[1], "accountleads", Path("runs/theirs"), 1795437900.0, state=Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(tmp_path, relationship="accountleads", **more):
    return locked(ORGANISATION, relationship, tmp_path / "mine", NOON, state=tmp_path / "state", **more)


@pytest.fixture
def other_process(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, ORGANISATION, str(tmp_path / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_told_who_holds_the_lock(tmp_path, other_process):
    with pytest.raises(LockHeld) as caught, hold(tmp_path):
        pass
    assert caught.value.exit_code is ExitCode.LOCKED
    assert f"process {other_process.pid}" in str(caught.value)
    assert str(Path("runs", "theirs")) in str(caught.value)
    assert "accountleads of https://contoso" in str(caught.value)


def test_a_lock_left_by_a_dead_process_is_none(tmp_path, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    with hold(tmp_path):
        pass


def test_a_held_lock_is_held_in_the_same_process_too(tmp_path):
    with hold(tmp_path), pytest.raises(LockHeld, match=f"process {os.getpid()}"), hold(tmp_path):
        pass


def test_a_released_lock_can_be_taken_again_and_names_nobody(tmp_path):
    for _ in range(2):
        with hold(tmp_path):
            pass
    assert not list((tmp_path / "state" / "locks").glob("*.json"))


def test_a_lock_is_released_when_the_run_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    with hold(tmp_path):
        pass


@pytest.mark.parametrize(
    ("organisation", "relationship", "is_same"),
    [
        (ORGANISATION.upper(), "AccountLeads", True),
        (ORGANISATION, "contactleads", False),
        ("https://other.crm4.dynamics.com", "accountleads", False),
    ],
)
def test_the_lock_is_that_of_an_organisation_and_a_relationship(tmp_path, organisation, relationship, is_same):
    again = locked(organisation, relationship, tmp_path, NOON, state=tmp_path / "state")
    with hold(tmp_path):
        if is_same:
            with pytest.raises(LockHeld), again:
                pass
        else:
            with again:
                pass


def test_the_state_directory_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path))
    assert state_directory() == tmp_path
    monkeypatch.delenv("BULKLINK_STATE_DIR")
    assert state_directory().name == "bulklink" or state_directory().parent.name == "bulklink"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are a matter of Unix")
def test_lock_files_are_private(tmp_path):
    with hold(tmp_path):
        for path in (tmp_path / "state" / "locks").iterdir():
            assert path.stat().st_mode & 0o077 == 0, path
