"""What only shows where the parts meet: journal and wire, the two passes, turned pairs."""

import sqlite3

from bulklink.files.run_directory import JOURNAL
from tests.live import ADD, COLLECTION, MIXED, NN, account, contact, lead, scene

ROWS = 100


def prepare(live, link=NN, action=ADD, **sections):
    live.write_rows([(account(n % 60), lead(n), "") for n in range(ROWS)])
    live.write_job(link.format(action=action), **sections)


def test_a_batch_stands_in_the_journal_before_it_arrives(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        missing = []

        def see(what, _):
            if what != "arrives" or not live.watch.sent:
                return
            with sqlite3.connect(f"file:{live.run_dir / JOURNAL}?mode=ro", uri=True) as connection:
                recorded = connection.execute("SELECT coalesce(sum(rows), 0) FROM batch").fetchone()[0]
            connection.close()
            if recorded < len(live.watch.sent):
                missing.append((recorded, len(live.watch.sent)))

        live.watch.on = see
        assert live.call() == 0
        assert missing == []
        assert len(live.watch.sent) == ROWS


def test_nobody_sends_before_retry_after_is_over_neither_keys_nor_links(tmp_path):
    """The sixth request asks what account numbers mean, the twelfth sends links."""
    weather = '[[fault]]\nkind = "throttle"\nretry_after_s = 1\nordinals = [6, 12]\n'
    with scene(tmp_path, weather=weather) as live:
        live.write_rows([(f"{n % 60:05}", lead(n), "") for n in range(ROWS)])
        live.write_job(NN.replace("accountid", "accountnumber").format(action=ADD))
        assert live.call() == 0
        refused = [one.at_s for one in live.sandbox.reception.tally.latest_refused]
        assert len(refused) == 2
        for at_s in refused:
            # What was on its way already may still arrive.
            early = [one for one in live.watch.arrivals_s if at_s + 0.1 < one < at_s + 1.0]
            assert early == []
        assert live.summary()["throttled"] >= 1


def test_a_pair_that_was_given_the_wrong_way_round_is_linked_the_right_way_round(tmp_path):
    """`primarycontactid` is read on the account; the job names the contact first."""
    wrong = COLLECTION.replace("account_primary_contact", "primarycontactid")
    held = {n: n + 1 for n in range(10, 20)}
    with scene(tmp_path, held=held, relationship="account_primary_contact") as live:
        rows = [(contact(n + 20), account(n), "+") for n in range(10)]
        rows += [(contact(n + 1), account(n), "-") for n in range(10, 20)]
        live.write_rows(rows)
        live.write_job(wrong.format(action=MIXED))
        assert live.call() == 0
        assert live.outcomes() == ["associated"] * 10 + ["disassociated"] * 10
        assert live.links() == {(account(n), contact(n + 20)) for n in range(10)}
        assert [row["From"] for row in live.rows()] == [row[0] for row in rows]
