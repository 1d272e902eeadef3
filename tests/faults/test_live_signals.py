"""SIGINT and SIGTERM: no new batches, all files, 130 or 143; a second one leaves at once. Both resume.

Ctrl-C and Ctrl-Break on Windows take the same way through `signal.signal`; nothing here runs on Windows, so that it is
not tested there.
"""

import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest

from bulklink import driving
from bulklink.errors import ExitCode
from bulklink.files.journal import Journal
from bulklink.files.run_directory import JOURNAL
from tests.live import ADD, NN, account, end_of, lead, scene

ROWS = 200
#: The fourth batch takes so long that a run which waits for it is found waiting.
ONE_HANGS = """
[latency]
request_s = 0.01
operation_s = 0.001

[[fault]]
kind = "slow"
delay_s = {}
ordinals = [9]
"""


def prepare(live):
    live.write_rows([(account(n % 60), lead(n), "") for n in range(ROWS)])
    live.write_job(NN.format(action=ADD), send='settle_after = "1s"\nbatch_size = 10\nconcurrency = 2')


def signal_at(live, process, ordinal, *numbers):
    """Send a signal when that request arrives; an Event that is set then."""
    sent = threading.Event()

    def see(what, at):
        if what == "arrives" and at == ordinal and not sent.is_set():
            sent.set()
            for number in numbers:
                process.send_signal(number)

    live.watch.on = see
    return sent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_cleanly_and_it_resumes(tmp_path, number, code):
    with scene(tmp_path) as live:
        prepare(live)
        with live.start() as process:
            signal_at(live, process, 9, number)
            ran = end_of(process)
        assert ran.code == code
        requests = live.watch.requests
        assert requests <= 9 + 2, "no new batches"
        told = Counter(live.outcomes())
        # The answers under way were waited for, so that nothing is in doubt.
        assert set(told) == {"associated", "not-attempted"}
        assert told["associated"] == len(live.links())
        assert live.summary()["exit_code"] == code
        assert "again" in ran.err
        assert live.run().code == 0
        assert Counter(live.outcomes()) == {"associated": ROWS}
        assert set(Counter(live.watch.sent).values()) == {1}
        assert len(live.run_dirs()) == 1
        assert live.summary()["resumed"] is True


def test_a_second_signal_leaves_at_once_and_the_journal_resumes(tmp_path):
    with scene(tmp_path, weather=ONE_HANGS.format(20)) as live:
        prepare(live)
        with live.start() as process:
            first = signal_at(live, process, 9, signal.SIGTERM)
            assert first.wait(30)
            begun_s = time.monotonic()
            while process.poll() is None and time.monotonic() - begun_s < 15:
                # Two signals of one kind that are not handled yet are one signal to the operating system.
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.3)
            ran = end_of(process)
        assert ran.code == 143
        assert time.monotonic() - begun_s < 5
        assert integrity(live.run_dir / JOURNAL) == "ok"
        assert live.run().code == 0
        assert len(live.links()) == ROWS
        assert set(live.outcomes()) <= {"associated", "already-associated"}
        assert all("lost" in row["message"] for row in live.rows() if row["outcome"] == "already-associated")


def integrity(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def test_when_the_grace_is_over_rows_are_in_doubt_and_the_run_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(driving, "GRACE_S", 0.3)
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    with scene(tmp_path, weather=ONE_HANGS.format(3)) as live:
        prepare(live)
        asked = []

        def see(what, at):
            if what == "arrives" and at == 9:
                asked.append(interruption)
                interruption.request(ExitCode.SIGINT)

        live.watch.on = see
        interruption = driving.Interruption()
        assert live.call(interruption=interruption) == 130
        assert asked
        told = Counter(live.outcomes())
        assert told["in-doubt"] == 10
        assert live.call() == 0
        assert len(live.links()) == ROWS


def test_a_signal_before_anything_was_sent_ends_at_once(tmp_path):
    """Here the service makes everybody wait for ten minutes before the first key was resolved."""
    weather = '[[fault]]\nkind = "throttle"\nretry_after_s = 600\nordinals = [6]\n'
    by_number = NN.replace("accountid", "accountnumber")
    with scene(tmp_path, weather=weather) as live:
        live.write_rows([(f"{n % 60:05}", lead(n), "") for n in range(ROWS)])
        live.write_job(by_number.format(action=ADD))
        with live.start() as process:
            signal_at(live, process, 6, signal.SIGINT)
            begun_s = time.monotonic()
            ran = end_of(process)
        assert ran.code == 130
        assert time.monotonic() - begun_s < 15
        assert live.watch.sent == []
        assert live.run().code == 0
        assert len(live.links()) == ROWS


def test_the_journal_of_an_interrupted_run_says_why_it_ended(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        with live.start() as process:
            signal_at(live, process, 8, signal.SIGINT)
            end_of(process)
        with Journal.open(live.run_dir / JOURNAL) as journal:
            assert journal.unsettled_batches() == []
        assert live.summary()["state"] == "unfinished"
        assert "interrupted" in live.summary()["why"]
