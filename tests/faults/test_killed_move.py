"""A move is two rows and one operation: a kill leaves both of them in doubt, and the same command settles both."""

import os
import signal

from bulklink import api
from tests.live import LOOKUP, MIXED, account, contact, end_of, scene


def test_a_killed_move_is_in_doubt_as_a_whole_and_settled_as_a_whole(tmp_path):
    with scene(tmp_path, held={1: 1}, relationship="account_primary_contact") as stage:
        stage.write_rows([(account(1), contact(1), "-"), (account(1), contact(2), "+")])
        stage.write_job(LOOKUP.format(action=MIXED))
        process = stage.start()
        watch = stage.watch
        watch.on = lambda what, _: what == "is executed" and watch.sent and os.kill(process.pid, signal.SIGKILL)
        assert end_of(process).code == -signal.SIGKILL
        watch.on = lambda what, _: None
        api.report(stage.run_dir)
        assert stage.outcomes() == ["in-doubt", "in-doubt"]
        assert stage.summary()["operations_sent"] == 1
        assert stage.run().code == 0
        assert stage.outcomes() == ["disassociated", "associated"]
        assert {row["attempts"] for row in stage.rows()} == {"1"}
        assert stage.links() == {(account(1), contact(2))}
