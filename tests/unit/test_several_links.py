"""Several [[link]] in one job: one run each, in order, until one is stopped."""

import json
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

import bulklink
from bulklink.cli import main
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from tests.sandbox_client import guid

LINK = """
[[link]]
relationship = "{relationship}"
from = {{ table = "account", match = {{ accountid = "Account" }} }}
to = {{ table = "{to}", match = {{ {to}id = "{header}" }} }}
"""
LEADS = LINK.format(relationship="accountleads_association", to="lead", header="Lead")
CONTACTS = LINK.format(relationship="primarycontactid", to="contact", header="Contact")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.chdir(tmp_path)
    organisation = Organisation.sample()
    organisation.load_table("account", [{"accountid": guid(1)}, {"accountid": guid(2)}])
    organisation.load_table("lead", [{"leadid": guid(11)}, {"leadid": guid(12)}])
    organisation.load_table("contact", [{"contactid": guid(21)}])
    rows = [(guid(1), guid(11), guid(21)), (guid(2), guid(12), guid(22))]
    lines = ["Account,Lead,Contact", *(",".join(row) for row in rows)]
    Path("links.csv").write_text("\n".join(lines), encoding="utf-8")
    with Sandbox(organisation).serving() as serving:
        monkeypatch.setenv("BULKLINK_URL", serving.url)
        yield serving


def write_job(*links: str) -> str:
    Path("job.toml").write_text('[input]\nfile = "links.csv"\n' + "".join(links), encoding="utf-8")
    return "job.toml"


def run_directory() -> Path:
    (found,) = Path("runs/job").iterdir()
    return found


def test_each_link_is_a_run_with_outcomes_of_its_own(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write_job(LEADS, CONTACTS), "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert [(one["run_dir"], one["exit_code"], one["outcomes"]) for one in facts["runs"]] == [
        ("1-accountleads_association", 0, {"associated": 2}),
        ("2-primarycontactid", 3, {"associated": 1, "rejected": 1}),
    ]
    assert (facts["job"], facts["rows"], facts["outcomes"]) == ("job", 4, {"associated": 3, "rejected": 1})
    assert len(list(run_directory().glob("*/outcomes.csv"))) == 2
    assert json.loads((run_directory() / "summary.json").read_text("utf-8")) == facts
    assert len(set(sandbox.organisation.links("accountleads_association"))) == 2


def test_people_are_told_of_each_and_of_the_whole(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", write_job(LEADS, CONTACTS), "--run-dir", "here", "--quiet"])
    said = capsys.readouterr().out
    assert "job, link 1: 2 rows, everything is as asked." in said
    assert "job, link 2: 1 of 2 rows not as asked." in said
    assert "job: 1 of 4 rows not as asked." in said
    assert Path("here/1-accountleads_association/outcomes.csv").exists()
    assert main(["run", "job.toml", "--run-dir", "here", "--quiet"]) == 3
    assert "job: 1 of 4 rows not as asked." in capsys.readouterr().out


def test_nothing_is_sent_if_one_of_the_links_cannot_be(sandbox: Sandbox) -> None:
    wrong = CONTACTS.replace("primarycontactid", "primarycontact")
    with pytest.raises(bulklink.BulklinkError) as raised:
        bulklink.run(write_job(LEADS, wrong))
    assert raised.value.exit_code == 2
    assert set(sandbox.organisation.links("accountleads_association")) == set()
    assert not Path("runs").exists()


def stopped_at_the_second(sandbox: Sandbox) -> bulklink.Summary:
    """A run that does the first link and fails at the lock of the second."""
    locks = Path("state/locks")
    assert main(["associate", "links.csv", "--relationship", "primarycontactid", "--from", "account=Account",
                 "--to", "contact=Contact", "--run-dir", "elsewhere", "--quiet"]) == 3  # fmt: skip
    (lock,) = locks.glob("*.lock")
    with filelock.FileLock(lock):
        return bulklink.run(write_job(LEADS, CONTACTS))


def test_a_link_that_is_stopped_keeps_the_next_from_being_begun_and_running_again_goes_on(sandbox: Sandbox) -> None:
    summary = stopped_at_the_second(sandbox)
    assert (int(summary.exit_code), "another run" in str(summary.error)) == (7, True)
    assert summary.facts["outcomes"] == {"associated": 2, "not-attempted": 2}
    assert summary.outcomes["outcome"].tolist() == ["associated"] * 2 + ["not-attempted"] * 2
    assert summary.outcomes["attempts"].tolist() == ["1", "1", "0", "0"]
    assert len((run_directory() / "troubles.csv").read_text("utf-8").splitlines()) == 3
    again = bulklink.run("job.toml")
    assert again.run_dir == summary.run_dir
    # The first link's rows keep their outcome: they were not sent again.
    assert again.outcomes["outcome"].tolist() == ["associated", "associated", "already-associated", "rejected"]
    assert bulklink.run("job.toml").run_dir != summary.run_dir


def test_only_failed_rows_are_sent_again(sandbox: Sandbox) -> None:
    first = bulklink.run(write_job(LEADS, CONTACTS))
    sandbox.organisation.load_table("contact", [{"contactid": guid(22)}])
    second = bulklink.run("job.toml", retry_failed=True)
    assert (second.exit_code, second.facts["retry_of"]) == (0, first.facts["run_id"])
    assert (second.facts["operations_sent"], second.outcomes["outcome"].tolist()) == (1, ["associated"] * 4)


def test_the_files_can_be_written_again(sandbox: Sandbox) -> None:
    summary = bulklink.run(write_job(LEADS, CONTACTS))
    written = {path: path.read_bytes() for path in run_directory().glob("*.csv")}
    for path in written:
        path.unlink()
    again = bulklink.report(run_directory())
    assert again.facts["outcomes"] == summary.facts["outcomes"]
    assert {path: path.read_bytes() for path in written} == written


def test_a_run_dir_of_another_job_is_refused(sandbox: Sandbox) -> None:
    bulklink.run(write_job(LEADS, CONTACTS), run_dir=Path("here"))
    with pytest.raises(bulklink.BulklinkError) as raised:
        bulklink.run(write_job(CONTACTS, LEADS), run_dir=Path("here"))
    assert (raised.value.exit_code, "--fresh" in raised.value.hint) == (2, True)
    with pytest.raises(bulklink.BulklinkError, match="another"):
        bulklink.run(write_job(LEADS), run_dir=Path("here"))


def test_old_runs_are_deleted_as_any_other(sandbox: Sandbox) -> None:
    job = write_job(LEADS, CONTACTS)
    Path(job).write_text(Path(job).read_text("utf-8") + "[report]\nkeep = 2\n", "utf-8")
    for _ in range(4):
        bulklink.run(job)
    assert len(list(Path("runs/job").iterdir())) == 2


def test_check_and_dry_run_look_at_every_link(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(LEADS, CONTACTS.replace("primarycontactid", "primarycontact"))
    assert main(["check", job, "--json"]) == 2
    facts = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in facts["findings"] if one["topic"] == "link"] == ["1", "2"]
    assert main(["run", write_job(LEADS, CONTACTS), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
    assert not Path("runs").exists()
