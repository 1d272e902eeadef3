"""summary.json has the keys of the contract, and its sums are those of the journal."""

import json
import stat

from bulklink.files.about_run import InputFacts, RunEnd, RunState, from_iso
from bulklink.files.journal import Event, EventKind, Journal
from bulklink.files.row_outcomes import RowOutcomes
from bulklink.files.summary import summarise, write_summary
from bulklink.vocabulary import Outcome
from tests.journaled_runs import about, batch, block

CONTRACT = [
    "job",
    "run_id",
    "started",
    "ended",
    "exit_code",
    "input",
    "rows",
    "outcomes",
    "removals",
    "operations_sent",
    "batches_sent",
    "change_sets_rolled_back",
    "throttled",
    "retried",
    "waited_s",
    "rows_per_s",
    "resumed",
    "retry_of",
    "settings",
]
START = from_iso("2026-11-23T12:45:00Z")


def summary_of(tmp_path, *, end=None, rows=4, settled=(), events=(), sent=(), **facts):
    with Journal.create(tmp_path / "journal.sqlite", about(**facts).to_meta()) as journal:
        journal.record(sent)
        journal.record(settled=settled, events=events)
        if end:
            journal.set_meta(**end.to_meta())
        return summarise(journal, RowOutcomes(journal, rows).books())


def test_the_keys_of_the_contract_come_first_and_in_its_order(tmp_path):
    assert list(summary_of(tmp_path))[: len(CONTRACT)] == CONTRACT


def test_a_finished_run(tmp_path):
    found = summary_of(
        tmp_path,
        end=RunEnd(RunState.FINISHED, 3, "2026-11-23T12:45:10Z"),
        settled=[block([0, 1, 2]), block([3], Outcome.REJECTED)],
        sent=[batch(1, [0, 1, 2, 3], at=START + 1)],
        events=[Event(START, EventKind.SESSION), Event(START + 8, EventKind.END)],
        inputs=(InputFacts("a.csv", 4, "abc", "2026-11-22T00:00:00Z"),),
        settings={"send.concurrency": "auto"},
    )
    assert found["exit_code"] == 3
    assert (found["started"], found["ended"]) == ("2026-11-23T12:45:00Z", "2026-11-23T12:45:10Z")
    assert found["input"] == {"file": "a.csv", "modified": "2026-11-22T00:00:00Z", "sha256": "abc", "rows": 4}
    assert (found["rows"], found["outcomes"]) == (4, {"associated": 3, "rejected": 1})
    assert (found["as_asked"], found["not_as_asked"]) == (3, 1)
    assert (found["operations_sent"], found["batches_sent"], found["rows_per_s"]) == (4, 1, 0.5)
    assert (found["resumed"], found["retry_of"], found["removals"]) == (False, None, {})
    assert found["settings"] == {"send.concurrency": "auto"}


def test_time_between_a_kill_and_the_resuming_is_not_work(tmp_path):
    found = summary_of(
        tmp_path,
        settled=[block([0, 1, 2, 3])],
        events=[
            Event(START, EventKind.SESSION),
            Event(START + 2, EventKind.PACE),
            Event(START + 90_000, EventKind.SESSION),
            Event(START + 90_001, EventKind.PACE),
            Event(START + 90_002, EventKind.WAIT, seconds=0.5),
        ],
    )
    assert (found["resumed"], found["rows_per_s"], found["waited_s"]) == (True, 1.0, 0.5)


def test_a_killed_run_says_that_it_goes_on(tmp_path):
    found = summary_of(tmp_path, sent=[batch(1, [0], at=START + 7)])
    assert (found["exit_code"], found["state"], found["ended"]) == (4, "unfinished", "2026-11-23T12:45:07Z")
    assert found["outcomes"] == {"in-doubt": 1, "not-attempted": 3}


def test_several_files_are_one_input_and_told_one_by_one(tmp_path):
    inputs = (
        InputFacts("a.csv", 1, "aa", "2026-11-01T00:00:00Z"),
        InputFacts("b.xlsx", 2, "bb", "2026-11-02T00:00:00Z", "Links"),
        InputFacts("b.xlsx", 1, "bb", "2026-11-02T00:00:00Z", "More"),
    )
    found = summary_of(tmp_path, inputs=inputs)
    assert found["input"]["file"] == "a.csv, b.xlsx"
    assert found["input"]["modified"] == "2026-11-02T00:00:00Z"
    assert found["input"]["rows"] == 4
    assert len(found["input"]["sha256"]) == 64
    assert [(one["file"], one["sheet"], one["rows"]) for one in found["inputs"]] == [
        ("a.csv", "", 1),
        ("b.xlsx", "Links", 2),
        ("b.xlsx", "More", 1),
    ]


def test_notes_are_told_once(tmp_path):
    notes = [Event(START, EventKind.NOTE, why=why) for why in ("turned", "resumed", "turned")]
    assert summary_of(tmp_path, events=notes)["notes"] == ["turned", "resumed"]


def test_the_file_is_json_for_its_owner(tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, {"job": "é", "settings": {"path": tmp_path}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"job": "é", "settings": {"path": str(tmp_path)}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
