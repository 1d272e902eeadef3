"""Where runs live, which one goes on, and which ones may be deleted."""

import stat

import pytest

from bulklink.errors import ExitCode, JournalError, RunDirectoryError
from bulklink.files.about_run import InputFacts, RunEnd, RunState, from_iso, iso
from bulklink.files.journal import Event, EventKind, Journal
from bulklink.files.run_directory import (
    JOURNAL,
    chosen_run_directory,
    job_directory,
    new_run_directory,
    newest,
    past_runs,
    prune,
    read_run,
    run_to_resume,
    run_to_retry,
    runs_to_supersede,
)
from tests.journaled_runs import about, batch, block

NOON = from_iso("2026-11-23T12:45:00Z")


def add_run(base, at, state=RunState.FINISHED, job="nightly", doubt=False, last_at=None, **more):
    """A run that began at `at`, on disk."""
    directory = new_run_directory(base, job, at)
    facts = about(job=job, run_id=directory.name, started=iso(at), **more)
    with Journal.create(directory / JOURNAL, facts.to_meta()) as journal:
        journal.record([batch(1, [0], at=last_at or at)])
        if not doubt:
            journal.record(settled=[block([0])])
        journal.set_meta(**RunEnd(state, 0).to_meta())
    return directory


def test_a_directory_is_named_by_job_and_utc_time_and_private(tmp_path):
    path = new_run_directory(tmp_path / "runs", "nightly", NOON)
    assert path == tmp_path / "runs" / "nightly" / "20261123T124500Z"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_two_runs_of_one_second_get_two_directories(tmp_path):
    names = [new_run_directory(tmp_path, "nightly", NOON + k / 10).name for k in range(3)]
    assert names == ["20261123T124500Z", "20261123T124500Z-2", "20261123T124500Z-3"]


@pytest.mark.parametrize("job", ["../../etc", "a/b", "a\\b", "con", "", ".", "x" * 300, "accounts: leads?"])
def test_no_job_name_leads_out_of_the_folder_or_breaks_it(tmp_path, job):
    path = new_run_directory(tmp_path, job, NOON)
    assert path.parent.parent == tmp_path
    assert len(path.parent.name) < 100
    assert path.parent.name.lower() != "con"


def test_names_that_look_alike_on_disk_do_not_share_runs(tmp_path):
    assert job_directory(tmp_path, "a/b") != job_directory(tmp_path, "a?b") != job_directory(tmp_path, "a-b")


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for make in (
        lambda: new_run_directory(tmp_path / "file", "nightly", NOON),
        lambda: chosen_run_directory(tmp_path / "file" / "x"),
    ):
        with pytest.raises(RunDirectoryError, match="cannot be written") as caught:
            make()
        assert caught.value.exit_code is ExitCode.STOPPED_EARLY


def test_the_facts_of_a_run_come_back(tmp_path):
    directory = tmp_path / "out"
    chosen_run_directory(directory)
    facts = about(
        inputs=(InputFacts("é.csv", 3, "ab", iso(NOON)),), settings={"send.share": "50%", "n": 3}, chosen=True
    )
    with Journal.create(directory / JOURNAL, facts.to_meta()) as journal:
        assert read_run(directory).end == RunEnd()
        journal.set_meta(**RunEnd(RunState.FINISHED, 3, iso(NOON), "why", "hint").to_meta())
        journal.record(events=[Event(NOON + 5, EventKind.END)])
    found = read_run(directory)
    assert found.about == facts
    assert found.end == RunEnd(RunState.FINISHED, 3, iso(NOON), "why", "hint")
    assert found.last_at == NOON + 5


def test_a_journal_that_says_nothing_of_a_run_is_refused(tmp_path):
    Journal.create(tmp_path / JOURNAL, {"about.job": "not json"}).close()
    with pytest.raises(JournalError, match="does not say"):
        read_run(tmp_path)


def test_runs_come_newest_first_and_what_is_no_run_is_passed_over(tmp_path):
    made = [add_run(tmp_path, NOON + k) for k in (0, 0, 5, 3)]
    (tmp_path / "nightly" / "notes").mkdir()
    new_run_directory(tmp_path, "nightly", NOON + 99)  # broke off before its journal was there
    (made[3] / JOURNAL).write_bytes(b"not a journal")
    assert [run.directory for run in past_runs(tmp_path, "nightly")] == [made[2], made[1], made[0]]
    assert past_runs(tmp_path, "another job") == []


def test_the_tenth_run_of_a_second_is_newer_than_the_second(tmp_path):
    made = [add_run(tmp_path, NOON) for _ in range(10)]
    assert past_runs(tmp_path, "nightly")[0].directory == made[-1]


def test_the_newest_unfinished_run_of_the_same_work_is_resumed(tmp_path):
    add_run(tmp_path, NOON, RunState.UNFINISHED)
    wanted = add_run(tmp_path, NOON + 1, RunState.UNFINISHED)
    add_run(tmp_path, NOON + 2, RunState.UNFINISHED, fingerprint="other")
    add_run(tmp_path, NOON + 3, RunState.UNFINISHED, organisation="https://other")
    add_run(tmp_path, NOON + 4, RunState.FINISHED)
    add_run(tmp_path, NOON + 5, RunState.SUPERSEDED)
    runs = past_runs(tmp_path, "nightly")
    facts = about()
    found = run_to_resume(runs, facts.organisation, "nightly", facts.fingerprint, NOON + 3600, 24 * 3600)
    assert found is not None
    assert found.directory == wanted
    assert run_to_retry(runs, facts.organisation, "nightly", facts.fingerprint).about.started == iso(NOON + 4)
    assert newest(runs, facts.organisation, "nightly", RunState.FINISHED, fingerprint="other") is None
    assert [run.about.started for run in runs_to_supersede(runs, facts.organisation, "nightly", found)] == [
        iso(NOON + 2),
        iso(NOON),
    ]


@pytest.mark.parametrize(("later", "resumes"), [(23.9, True), (24.1, False)])
def test_how_long_ago_counts_from_the_last_sign_of_life(tmp_path, later, resumes):
    add_run(tmp_path, NOON, RunState.UNFINISHED, last_at=NOON + 30 * 3600)
    now = NOON + (30 + later) * 3600
    facts = about()
    found = run_to_resume(
        past_runs(tmp_path, "nightly"), facts.organisation, "nightly", facts.fingerprint, now, 24 * 3600
    )
    assert (found is not None) is resumes


def test_pruning_keeps_the_newest_and_whatever_is_still_needed(tmp_path):
    unfinished = add_run(tmp_path, NOON, RunState.UNFINISHED)
    in_doubt = add_run(tmp_path, NOON + 1, doubt=True)
    chosen = add_run(tmp_path, NOON + 2, chosen=True)
    old = [add_run(tmp_path, NOON + k) for k in (3, 4)]
    broken = add_run(tmp_path, NOON + 5)
    (broken / JOURNAL).write_bytes(b"of another version, perhaps")
    superseded = add_run(tmp_path, NOON + 6, RunState.SUPERSEDED)
    other = tmp_path / "nightly" / "20261123-kept-by-hand"
    other.mkdir()
    kept = [add_run(tmp_path, NOON + k) for k in (7, 8)]
    assert prune(tmp_path, "nightly", keep=2) == [superseded, old[1], old[0]]
    for path in (unfinished, in_doubt, chosen, broken, other, *kept):
        assert path.exists(), path
    assert not any(path.exists() for path in (*old, superseded))
    assert prune(tmp_path, "nightly", keep=2) == []
