"""The journal keeps what was committed, and says plainly when it cannot."""

import shutil
import sqlite3
import stat
import sys

import pytest

from bulklink.errors import ExitCode, JournalError, RunDirectoryError
from bulklink.files.journal import Event, EventKind, Journal, read_meta
from bulklink.vocabulary import Outcome
from tests.journaled_runs import batch, block


@pytest.fixture
def journal(tmp_path):
    with Journal.create(tmp_path / "journal.sqlite", {"job": "nightly"}) as made:
        yield made


def reopened(journal):
    """The journal as a new process finds it after a kill: the old connection is simply left."""
    return Journal.open(journal.path)


def test_facts_are_kept_and_replaced(journal):
    journal.set_meta(state="unfinished", job="other")
    assert read_meta(journal.path) == {"job": "other", "state": "unfinished"}
    assert journal.meta("nothing of this name") == ""


def test_the_journal_is_for_its_owner_only(journal):
    journal.record([batch(1, [0])])
    for file in journal.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_commit_is_synced_in_full(journal):
    with reopened(journal) as other:
        assert other._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert other._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_sent_rows_without_an_outcome_are_open(journal):
    journal.record([batch(1, [0, 1, 2], at=1000.0), batch(2, [3, 4], at=1001.0)])
    journal.record(settled=[block([0, 2])])
    left = reopened(journal).unsettled_batches()
    assert [(b.number, b.at, b.rows.tolist()) for b in left] == [(1, 1000.0, [1]), (2, 1001.0, [3, 4])]


def test_a_row_sent_twice_is_open_once_in_its_last_batch(journal):
    journal.record([batch(1, [0, 1])])
    journal.record([batch(2, [1], at=1009.0, attempts=2)])
    left = journal.unsettled_batches()
    assert [(b.number, b.rows.tolist(), b.attempts.tolist()) for b in left] == [(1, [0], [1]), (2, [1], [2])]


def test_a_row_known_not_to_have_been_executed_is_not_open_until_it_is_sent_again(journal):
    journal.record([batch(1, [0, 1])])
    journal.record(settled=[block([0, 1], Outcome.NOT_ATTEMPTED)])
    assert journal.unsettled_batches() == []
    journal.record([batch(2, [1])])
    assert [(b.number, b.rows.tolist()) for b in journal.unsettled_batches()] == [(2, [1])]


def test_rows_set_free_and_sent_again_in_one_call_are_open(journal):
    journal.record([batch(1, [0])])
    journal.record([batch(2, [0])], [block([0], Outcome.NOT_ATTEMPTED)])
    assert [b.number for b in journal.unsettled_batches()] == [2]


def test_a_row_called_in_doubt_stays_open(journal):
    journal.record([batch(1, [0, 1])])
    journal.record(settled=[block([0], Outcome.IN_DOUBT)])
    assert [b.rows.tolist() for b in journal.unsettled_batches()] == [[0, 1]]


def test_an_outcome_outlasts_a_later_batch_of_the_row(journal):
    journal.record([batch(1, [0])])
    journal.record([batch(2, [0])])
    journal.record(settled=[block([0])])
    assert journal.unsettled_batches() == []


def test_numbers_of_batches_go_on_after_a_restart(journal):
    assert journal.last_batch_number() == 0
    journal.record([batch(7, [0])])
    again = reopened(journal)
    assert again.last_batch_number() == 7
    again.record([batch(8, [1])])
    assert [b.number for b in again.unsettled_batches()] == [7, 8]


def test_totals_sum_over_all_sessions(journal):
    journal.record([batch(1, [0, 1, 2], operations=2)], events=[Event(1.0, EventKind.WAIT, seconds=2.5, why="429")])
    reopened(journal).record(
        [batch(2, [3])],
        events=[
            Event(2.0, EventKind.WAIT, seconds=1.0),
            Event(2.0, EventKind.THROTTLED, count=3),
            Event(2.0, EventKind.RETRIED, count=5),
            Event(2.0, EventKind.ROLLED_BACK, count=1),
        ],
    )
    assert journal.totals() == (2, 3, 3, 5, 1, 3.5)


def test_events_come_back_in_order(journal):
    events = [Event(float(i), EventKind.PACE, in_flight=i, rate=i / 3, why="é") for i in range(5000)]
    journal.record(events=events[:3000])
    journal.record(events=events[3000:])
    assert list(reopened(journal).events()) == events


def test_empty_blocks_and_batches_leave_no_trace(journal):
    journal.record([batch(1, [])], [block([])])
    assert journal.unsettled_batches() == []
    assert list(journal.blocks()) == []


def test_a_journal_is_never_overwritten(journal):
    with pytest.raises(RunDirectoryError, match="exists already"):
        Journal.create(journal.path, {})


def test_a_log_left_by_another_journal_is_not_replayed(tmp_path):
    old = Journal.create(tmp_path / "old.sqlite", {"job": "old"})
    old.record(settled=[block([0])])
    for beside in ("journal.sqlite-wal", "journal.sqlite.partial-wal"):
        shutil.copy(tmp_path / "old.sqlite-wal", tmp_path / beside)
    with Journal.create(tmp_path / "journal.sqlite", {"job": "new"}) as made:
        assert made.meta("job") == "new"
        assert list(made.blocks()) == []


def foreign_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE meta (key, value)")


def other_version(path):
    Journal.create(path, {}).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=7")


def damaged_pages(path):
    with Journal.create(path, {}) as made:
        made.record(settled=[block([*range(0, 20_000, 2), 1], message=[str(i) for i in range(10_001)])])
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = b"\xff" * (2 * 4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no journal"),
        (lambda path: path.write_bytes(b""), "not a journal of bulklink"),
        (lambda path: path.write_bytes(b"row,from,to\n" * 500), "not a database"),
        (foreign_database, "not a journal of bulklink"),
        (other_version, "version 7; this bulklink reads and writes version 1"),
        (damaged_pages, "damaged"),
    ],
)
def test_what_is_no_journal_of_ours_is_refused_in_words(tmp_path, make, words):
    path = tmp_path / "journal.sqlite"
    make(path)
    with pytest.raises(JournalError, match=words) as caught:
        Journal.open(path)
    assert caught.value.exit_code is ExitCode.UNUSABLE
    assert str(path) in str(caught.value)


def test_a_changed_byte_inside_a_block_is_noticed(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal.create(path, {}) as made:
        made.record(settled=[block([3, 1], message="the words of the service")])
    path.write_bytes(path.read_bytes().replace(b"the words of", b"the worms of"))
    with Journal.open(path) as again, pytest.raises(JournalError, match="check sum"):
        list(again.blocks())


def fill(journal):
    for number in range(2, 200):
        journal.record([batch(number, [2])], [block([0], message="x" * 9000)])


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
def test_a_full_disk_is_told_and_leaves_what_was_committed(journal):
    import resource

    journal.record([batch(1, [0, 1])])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, hard))
    try:
        with pytest.raises(RunDirectoryError, match="cannot be written") as caught:
            fill(journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code is ExitCode.STOPPED_EARLY
    kept = reopened(journal)
    assert kept.last_batch_number() == len(list(kept.blocks())) + 1
    journal.record([batch(500, [4])])  # space was made: it goes on
    assert reopened(journal).last_batch_number() == 500


def test_a_journal_that_became_read_only_is_told(journal):
    journal._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(RunDirectoryError, match="readonly"):
        journal.record([batch(1, [0])])


def test_a_directory_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        Journal.create(tmp_path / "missing" / "journal.sqlite", {})
