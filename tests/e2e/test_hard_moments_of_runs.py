"""Whole runs at moments that nobody plans for: clocks set back, records gone between two runs, inputs with nothing."""

import sqlite3

import pytest

from bulklink.files.run_directory import JOURNAL
from bulklink.sandbox.toggles import Toggles
from tests.live import ADD, COLLECTION, LOOKUP, MIXED, NN, account, contact, lead, scene

GROUPED = 'settle_after = "1s"\nisolation = "group"\ngroup_by = "Group"'
BY_NUMBER = """
[link]
relationship = "accountleads_association"
action = "associate"
from = { table = "account", match = { accountnumber = "From" } }
to = { table = "lead", match = { leadid = "To" } }
"""


def lose_an_answer(live):
    """A run that is killed when a batch was executed and nobody knows."""
    with live.start() as process:
        live.watch.on = lambda what, at: process.kill() if what == "is executed" and live.watch.sent else None
        process.communicate()
    live.watch.on = lambda what, at: None
    assert process.returncode == -9


def set_clock_back(live, seconds):
    """As if the machine's clock had been ahead while the run was going on."""
    with sqlite3.connect(live.run_dir / JOURNAL) as journal:
        assert journal.execute("UPDATE batch SET at = at + ?", (seconds,)).rowcount > 0
    journal.close()


@pytest.mark.parametrize("is_other_work", [False, True])
def test_a_clock_that_was_set_back_keeps_nobody_waiting(tmp_path, is_other_work):
    with scene(tmp_path) as live:
        live.write_rows([(account(n), lead(n), "+") for n in range(20)])
        live.write_job(NN.format(action=ADD))
        lose_an_answer(live)
        set_clock_back(live, 86_400.0)
        if is_other_work:
            live.write_rows([(account(n), lead(n), "+") for n in range(21)])
        with live.start() as process:
            try:
                process.communicate(timeout=20)
            finally:
                process.kill()
        assert process.returncode == 0
        assert len(live.links()) == 20 + is_other_work


def test_a_row_as_asked_keeps_its_outcome_in_a_retry_although_its_record_has_another_key_now(tmp_path):
    with scene(tmp_path) as live:
        live.write_rows([("00001", lead(1), "+"), ("00002", lead(9_999), "+"), ("00003", lead(3), "+")])
        live.write_job(BY_NUMBER)
        assert live.call() == 3
        assert live.outcomes() == ["associated", "rejected", "associated"]
        held = live.sandbox.organisation
        assert held.update(held.table("account"), account(1), {"accountnumber": "elsewhere"})
        assert live.call(retry_failed=True) == 3
        assert live.outcomes() == ["associated", "rejected", "associated"]
        assert len(live.watch.sent) == 4


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], 0),
        ([("", "", "+", "g")], 3),
        ([("no id", "neither", "+", "g"), ("x", account(1), "-", "g")], 3),
        ([("", "", "", "")] * 3, 0),
    ],
)
@pytest.mark.parametrize(("link", "send"), [(NN, 'settle_after = "1s"'), (LOOKUP, GROUPED)])
def test_an_input_with_nothing_to_send_ends_at_once(tmp_path, rows, code, link, send):
    with scene(tmp_path) as live:
        live.write_rows(rows, ("From", "To", "Action", "Group"))
        live.write_job(link.format(action=MIXED), send=send)
        assert live.call() == code
        assert live.watch.sent == []
        assert set(live.outcomes()) <= {"invalid", "group-failed"}


@pytest.mark.parametrize("link", [LOOKUP, COLLECTION])
def test_one_row_of_a_group_larger_than_the_service_takes_does_not_stop_the_others(tmp_path, link):
    """The service's own maximum is smaller than the group: it falls, with the service's words."""
    with scene(tmp_path, relationship="account_primary_contact", toggles=Toggles(operations_max=5)) as live:
        ends = (lambda n: (account(n), contact(n))) if link is LOOKUP else (lambda n: (contact(n), account(n)))
        rows = [(*ends(n), "+", "large" if n < 8 else f"small {n // 2}") for n in range(20)]
        live.write_rows(rows, ("From", "To", "Action", "Group"))
        live.write_job(link.format(action=MIXED), send=GROUPED)
        assert live.call() == 3
        assert live.outcomes() == ["group-failed"] * 8 + ["associated"] * 12
        assert "maximum" in live.rows()[0]["message"]
