"""A run directory that is full, unwritable or damaged: a clear error, and nothing sent that could not be recorded."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bulklink.driving import Interruption
from bulklink.errors import ExitCode
from bulklink.files.journal import VERSION
from bulklink.files.run_directory import JOURNAL
from tests.live import ADD, NN, account, lead, scene

ROWS = 300


def prepare(live, send='settle_after = "1s"\nbatch_size = 10\nconcurrency = 2', **sections):
    live.write_rows([(account(n % 60), lead(n), "") for n in range(ROWS)])
    live.write_job(NN.format(action=ADD), send=send, **sections)


def arrived_and_not_recorded(live):
    recorded, _ = live.journaled()
    return set(live.watch.sent) - recorded


def finish_all(live):
    """Run the same command again until everything is done; the outcomes tell the truth."""
    assert live.call() == 0
    assert len(live.links()) == ROWS
    assert {row["outcome"] for row in live.rows()} <= {"associated", "already-associated"}
    assert all("lost" in row["message"] for row in live.rows() if row["outcome"] == "already-associated")


@pytest.mark.parametrize("kilobytes", [8, 48, 96, 160])
def test_no_file_may_grow_any_more(tmp_path, kilobytes):
    """The system's limit on the size of files stands for a full disk where nothing can be mounted."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    with scene(tmp_path) as live:
        prepare(live)
        command = [sys.executable, "-m", "bulklink", "run", "job.toml", "--quiet"]
        ran = subprocess.run(
            command, cwd=live.folder, env=live.env, preexec_fn=limited, capture_output=True, text=True, check=False
        )
        assert ran.returncode == ExitCode.STOPPED_EARLY, ran
        assert "cannot be written" in ran.stderr
        assert "again" in ran.stderr
        if live.watch.sent:
            assert arrived_and_not_recorded(live) == set()
        finish_all(live)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=240k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_is_full(tmp_path, small_disk):
    with scene(tmp_path) as live:
        prepare(live, report=f'html = false\ndir = "{small_disk}"')
        ran = live.run()
        assert ran.code == ExitCode.STOPPED_EARLY, ran
        assert "cannot be written" in ran.err
        where = next((small_disk / "job").iterdir())
        roomy = tmp_path / "runs" / "job" / where.name
        if live.watch.sent:
            shutil.copytree(where, roomy)
            assert arrived_and_not_recorded(live) == set()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        assert live.run().code == 0
        assert len(live.links()) == ROWS


def test_the_disk_is_full_before_the_first_row(tmp_path, small_disk):
    (small_disk / "other").write_bytes(bytes(236 * 1024))
    with scene(tmp_path) as live:
        prepare(live, report=f'html = false\ndir = "{small_disk}"')
        ran = live.run()
        assert ran.code == ExitCode.STOPPED_EARLY, ran
        assert live.watch.sent == []
        (small_disk / "other").unlink()


def test_the_run_directory_cannot_be_made(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with scene(tmp_path) as live:
        prepare(live)
        ran = live.run()
        assert ran.code == ExitCode.STOPPED_EARLY, ran
        assert "runs" in ran.err
        assert live.watch.sent == []


def test_the_disk_becomes_read_only(tmp_path, small_disk):
    with scene(tmp_path) as live:
        prepare(live, report=f'html = false\ndir = "{small_disk}"')
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        ran = live.run()
        assert ran.code == ExitCode.STOPPED_EARLY, ran
        assert live.watch.sent == []


# -- journals that are not as they were ------------------------------------------------------------------------------


def interrupted(live, **options):
    """A run that stopped in the middle. Its journal."""
    stop = Interruption()
    prepare(live)
    live.watch.on = lambda what, ordinal: stop.request(ExitCode.SIGINT) if ordinal == 12 else None
    assert live.call(interruption=stop, **options) == ExitCode.SIGINT
    live.watch.on = lambda what, ordinal: None
    return (options.get("run_dir") or live.run_dir) / JOURNAL


def no_journal_at_all(path):
    path.write_bytes(b"This is no journal. " * 100)


def cut_in_half(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def a_page_of_noise(path):
    """In every page but the first, so that the file still opens."""
    with path.open("r+b") as file:
        for offset in range(4096, path.stat().st_size, 4096):
            file.seek(offset)
            file.write(os.urandom(512))


def of_another_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()


DAMAGES = [no_journal_at_all, cut_in_half, a_page_of_noise, of_another_version]


@pytest.mark.parametrize("with_run_dir", [False, True], ids=["found", "--run-dir"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_journal_that_cannot_be_used_is_named_and_nothing_is_sent(tmp_path, damage, with_run_dir):
    options = {"run_dir": tmp_path / "here"} if with_run_dir else {}
    with scene(tmp_path) as live:
        path = interrupted(live, **options)
        damage(path)
        sent = len(live.watch.sent)
        assert live.call(**options) == ExitCode.UNUSABLE
        assert str(path) in str(live.last_error)
        assert "--fresh" in live.last_error.hint
        assert ("version" in str(live.last_error)) == (damage is of_another_version)
        assert len(live.watch.sent) == sent
        # The way out that the hint names.
        assert live.call(fresh=True, **options) == 0
        assert len(live.links()) == ROWS
        if not with_run_dir:
            assert live.call() == 0


def test_a_write_ahead_log_that_is_torn_at_its_end_loses_nothing_that_was_committed(tmp_path):
    with scene(tmp_path) as live:
        path = interrupted(live)
        # As after a power cut: half a frame that no commit ever followed.
        wal = Path(f"{path}-wal")
        with wal.open("ab") as file:
            file.write(os.urandom(5000))
        before = set(live.watch.sent)
        finish_all(live)
        assert len(live.watch.sent) == ROWS
        assert before < set(live.watch.sent)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_write_ahead_log_that_lost_its_end_never_makes_an_outcome_untrue(tmp_path, kept):
    """A disk that lies about synchronous writing: worse than the contract knows, and still nothing untrue."""
    with scene(tmp_path) as live:
        prepare(live)
        with live.start() as process:
            live.watch.on = lambda what, ordinal: process.kill() if ordinal == 14 else None
            process.wait()
        live.watch.on = lambda what, ordinal: None
        wal = Path(f"{live.run_dir / JOURNAL}-wal")
        with wal.open("r+b") as file:
            file.truncate(int(wal.stat().st_size * kept))
        assert live.call() == 0
        assert len(live.links()) == ROWS
        assert {row["outcome"] for row in live.rows()} <= {"associated", "already-associated"}
