"""`kill -9` at any moment, and the same command again: nothing is lost, nothing is done twice.

The moments are counted in requests as the sandbox sees them, by seed: when one arrives, when it was executed and
nobody knows it yet, when its answer is on the way, and while the files are being written.
"""

import os
import random
import shutil
import signal
import threading
from collections import Counter

import pytest

from bulklink.files.run_directory import read_run
from tests.live import ADD, COLLECTION, LOOKUP, MIXED, NN, account, contact, end_of, lead, scene

KILLS_EACH = 7
REFUSING = """
[latency]
request_s = 0.01
operation_s = 0.001

[[fault]]
kind = "plugin-error"
table = "lead"
share_of_records = 0.05
"""


def many_to_many():
    """Adds and removals; some are so already, some refused, repeated, contradictory or wrong."""
    rows = [(account(n % 60), lead(n), "+") for n in range(150)]
    rows += [(account(n % 60), lead(n), "-") for n in range(150, 240)]
    rows += [rows[3], (account(5), "no id", "+"), (account(77), lead(1), "+"), (account(151 % 60), lead(151), "+")]
    linked = [(n % 60, n) for n in (*range(30), *range(150, 200))]
    return rows, {"linked": linked, "weather": REFUSING}


def lookups():
    """Set, cleared, moved, right already, pointing elsewhere."""
    rows = []
    for n in range(60):
        if n % 4 == 0:
            rows += [(account(n), contact(n), "-"), (account(n), contact(n + 1), "+")]
        else:
            rows.append((account(n), contact(n), "-" if n % 4 == 1 else "+"))
    held = {n: n if n % 3 else (n + 7) % 60 for n in range(0, 60, 2)} | {n: n for n in range(1, 60, 8)}
    return rows, {"held": held, "relationship": "account_primary_contact"}


def collections():
    rows = [(contact(n), account((n * 7) % 60), "-" if n % 3 == 0 else "+") for n in range(60)]
    held = {(n * 7) % 60: n for n in range(0, 60, 2)}
    return rows, {"held": held, "relationship": "account_primary_contact"}


SMALL = 'settle_after = "1s"\nbatch_size = {}\nconcurrency = 2'
GROUPED = SMALL.format(8) + '\nisolation = "group"\ngroup_by = "Group"'
JOBS = {
    "N:N": (many_to_many, NN, SMALL.format(5)),
    "N:N, three in a change set": (many_to_many, NN, SMALL.format(6) + "\nchange_set_size = 3"),
    "lookup": (lookups, LOOKUP, SMALL.format(2)),
    "1:N": (collections, COLLECTION, SMALL.format(1)),
    "groups": (many_to_many, NN, GROUPED),
}


class Killer:
    """Kills the command at a chosen event of a chosen request, counted from its start."""

    def __init__(self, watch, process, chance):
        self.process, self.is_used = process, False
        self.ordinal = watch.requests + chance.randint(2, 8)
        self.what = chance.choice(["arrives", "is executed", "is answered"])
        # An answer needs a moment to be read and written down: within that moment anything can be hit.
        self.delay_s = chance.uniform(0, 0.03) if self.what == "is answered" else 0.0
        watch.on = self.see

    def see(self, what, ordinal):
        if not self.is_used and what == self.what and ordinal >= self.ordinal:
            self.is_used = True
            threading.Timer(self.delay_s, self.kill).start() if self.delay_s else self.kill()

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)


def as_told(row):
    """A row's outcome without what may differ after a kill: attempts, ids of requests, words of doubt."""
    doubt = "lost" in row["message"]
    outcome = row["outcome"]
    if doubt and outcome == "already-associated":
        outcome = "associated"  # what was there before nobody had read, and the answer was lost
    words = "" if doubt else row["message"]
    return row["row"], outcome, "" if doubt else row["code"], words


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Job -> (outcomes, links) of a run that nobody disturbed."""
    found = {}
    for name, (make, link, send) in JOBS.items():
        rows, world = make()
        with scene(tmp_path_factory.mktemp("undisturbed"), **world) as live:
            prepare(live, rows, link, send)
            assert live.run().code == (3 if make is many_to_many else 0)
            found[name] = [as_told(row) for row in live.rows()], live.links()
    return found


def prepare(live, rows, link, send):
    live.write_rows([(*row, f"group {n // 4}") for n, row in enumerate(rows)], ("From", "To", "Action", "Group"))
    live.write_job(link.format(action=MIXED), send=send)


@pytest.mark.parametrize("name", JOBS)
def test_a_run_that_is_killed_again_and_again_ends_as_if_nobody_had_touched_it(name, told, tmp_path):
    make, link, send = JOBS[name]
    rows, world = make()
    chance = random.Random(f"kill {name}")
    kills = 0
    with scene(tmp_path / "work", **world) as live:
        prepare(live, rows, link, send)
        settled = set()
        while True:
            before = len(live.watch.sent)
            with live.start() as process:
                if kills < KILLS_EACH:
                    Killer(live.watch, process, chance)
                ran = end_of(process)
            again = [one for one in live.watch.sent[before:] if any(one <= pair for pair in settled)]
            assert again == [], f"settled, and sent again after {kills} kills"
            if ran.code >= 0:
                break
            kills += 1
            settled = settled_after_kill(live, tmp_path, settled)
        assert ran.code in (0, 3), ran
        assert len(live.run_dirs()) - unbegun(live) == 1
        assert [as_told(row) for row in live.rows()] == told[name][0]
        assert live.links() == told[name][1]
        sent = set(live.watch.sent)
        forgotten = [row for row in live.rows() if row["attempts"] == "0" and {row["From"], row["To"]} in sent]
        assert [row for row in forgotten if row["outcome"] not in ("duplicate", "conflicting")] == []
        most = Counter(row["attempts"] for row in live.rows())
    print(f"{name}: killed {kills} times; attempts {dict(most)}")
    assert kills == KILLS_EACH


def settled_after_kill(live, tmp_path, settled):
    """What the journal calls settled now; what arrived at the sandbox stands in it."""
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    if not live.run_dirs() or not (live.run_dir / "journal.sqlite").exists() or not live.watch.sent:
        return settled
    shutil.copytree(live.run_dir, copy)
    recorded, now_settled = live.journaled(copy)
    unrecorded = [one for one in live.watch.sent if not any(one <= pair for pair in recorded)]
    assert unrecorded == [], "sent, and not in the journal"
    assert settled <= now_settled
    return now_settled


def unbegun(live):
    """Runs that were killed before they had anything to send: they are closed, and nothing is in them."""
    return sum(not (path / "outcomes.csv").exists() or not any(live.rows(path)) for path in live.run_dirs())


def test_a_kill_while_the_files_are_written_leaves_a_run_whose_files_are_written_next_time(tmp_path):
    chance = random.Random("files")
    for number in range(4):
        with scene(tmp_path / f"work{number}") as live:
            live.write_rows([(account(n % 60), lead(n), "") for n in range(100)])
            live.write_job(NN.format(action=ADD))
            with live.start() as process:
                timers = []

                def see(what, ordinal, live=live, process=process, timers=timers):
                    if what == "is answered" and len(live.links()) == 100 and not timers:
                        timers.append(threading.Timer(chance.uniform(0.0, 0.15), process.kill))
                        timers[0].start()

                live.watch.on = see
                ran = end_of(process)
            if ran.code == 0 or read_run(live.run_dir).end.exit_code is not None:
                continue  # it was quicker
            operations = len(live.watch.sent)
            assert live.run().code == 0
            assert {as_told(row)[1] for row in live.rows()} == {"associated"}
            assert len(live.links()) == 100
            # The last batch may have been answered and not written down: it is in doubt, and sent again at the most.
            assert len(live.watch.sent) - operations <= 20
