"""Several [[link]] in one job: one run each, in order, until one is stopped."""

import json
from collections.abc import Iterator
from pathlib import Path

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


def test_each_link_is_a_run_with_outcomes_of_its_own(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", write_job(LEADS, CONTACTS), "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert [(one["job"], one["exit_code"], one["outcomes"]) for one in facts["runs"]] == [
        ("job-1", 0, {"associated": 2}),
        ("job-2", 3, {"associated": 1, "rejected": 1}),
    ]
    assert (facts["job"], facts["rows"], facts["outcomes"]) == ("job", 4, {"associated": 3, "rejected": 1})
    assert len(list(Path("runs").glob("job-[12]/*/outcomes.csv"))) == 2
    assert len(set(sandbox.organisation.links("accountleads_association"))) == 2


def test_people_are_told_of_each(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", write_job(LEADS, CONTACTS), "--run-dir", "here", "--quiet"])
    said = capsys.readouterr().out
    assert "job-1: 2 rows, everything is as asked." in said
    assert "job-2: 1 of 2 rows not as asked." in said
    assert Path("here/1/outcomes.csv").exists()
    assert Path("here/2/outcomes.csv").exists()


def test_a_link_that_is_stopped_keeps_the_next_from_being_begun(sandbox: Sandbox) -> None:
    wrong = CONTACTS.replace("primarycontactid", "primarycontact")
    summary = bulklink.run(write_job(LEADS, wrong, CONTACTS), fresh=True)
    assert [int(part.exit_code) for part in summary.parts] == [0, 2]
    assert (int(summary.exit_code), str(summary.error)) == (2, str(summary.parts[1].error))
    assert summary.parts[0].outcomes["outcome"].tolist() == ["associated"] * 2
    with pytest.raises(ValueError, match="each part"):
        _ = summary.outcomes


def test_check_and_dry_run_look_at_every_link(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    job = write_job(LEADS, CONTACTS.replace("primarycontactid", "primarycontact"))
    assert main(["check", job, "--json"]) == 2
    facts = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in facts["findings"] if one["topic"] == "link"] == ["job-1", "job-2"]
    assert main(["run", write_job(LEADS, CONTACTS), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 4
    assert not Path("runs").exists()
