"""`bulklink init` against the sandbox: what it proposes runs, and what it cannot decide it lists."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulklink.cli import main
from bulklink.cli.demo_files import write_demo_files
from bulklink.job import Job
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("demo")
    write_demo_files(folder)
    organisation = Organisation.sample()
    organisation.load(folder / "organisation")
    with Sandbox(organisation).serving() as sandbox:
        yield folder, sandbox.url


@pytest.fixture
def folder(demo: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_URL", demo[1])
    monkeypatch.chdir(tmp_path)
    return demo[0]


def dry_run(job: str, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    capsys.readouterr()
    main(["run", job, "--dry-run", "--json"])
    outcomes: dict[str, int] = json.loads(capsys.readouterr().out)["outcomes"]
    return outcomes


def test_guids_under_table_names_become_a_job_that_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(folder / "account-leads.csv")]) == 0
    text = Path("account-leads.toml").read_text(encoding="utf-8")
    assert text.startswith("#:schema ./bulklink.schema.json\n")
    link = Job.load("account-leads.toml", {}).job.links[0]
    assert (link.relationship, link.from_.match, link.to.match if link.to else {}) == (
        "accountleads_association",
        {"accountid": "Account"},
        {"leadid": "Lead"},
    )
    assert dry_run("account-leads.toml", capsys)["associated"] == 4_015


def test_business_keys_are_found_by_probing_and_the_relationship_by_its_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--relationship", "contact_customer_accounts", "--out", "job.toml", "--yes"]
    assert main(["init", str(folder / "account-contacts.xlsx"), *flags]) == 0
    link = Job.load("job.toml", {}).job.links[0]
    assert link.from_.match == {"accountnumber": "Account No"}
    # The header says E-mail and no more: contacts are related to accounts, and there the sample is found.
    assert link.to is not None
    assert (link.to.table, link.to.match) == ("contact", {"emailaddress1": "E-mail"})
    assert dry_run("job.toml", capsys)["associated"] == 1_500


def test_what_it_cannot_decide_it_lists_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(folder / "opportunity-accounts.xlsx"), "--out", "job.toml"]) == 2
    said = capsys.readouterr().err
    assert "opportunity_customer_accounts" in said
    assert "opportunity_parent_account" in said
    assert '--to "account=Account" (25 of 25 found)' in said
    assert not Path("job.toml").exists()


def test_every_answer_can_be_an_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = ["--from", "opportunity=Opportunity", "--to", "account=Account", "--relationship", "parentaccountid"]
    assert main(["init", str(folder / "opportunity-accounts.xlsx"), *sides, "--out", "job.toml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["job"], facts["kind"], facts["from_key"]["found"]) == ("job.toml", "N:1", 25)


def test_a_file_that_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("job.toml").write_text("mine", encoding="utf-8")
    command = ["init", str(folder / "account-leads.csv"), "--out", "job.toml"]
    assert main(command) == 2
    assert Path("job.toml").read_text(encoding="utf-8") == "mine"
    assert main([*command, "--force"]) == 0


class Terminal(io.StringIO):
    """Somebody sits there."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "relationship"), [("2\n", "opportunity_parent_account"), ("0\n", "")])
def test_on_a_terminal_the_person_chooses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str, relationship: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(["init", str(folder / "opportunity-accounts.xlsx"), "--out", "job.toml"]) == 0
    if relationship:
        assert Job.load("job.toml", {}).job.links[0].relationship == relationship
    else:
        assert not Path("job.toml").exists()


def test_an_action_column_is_recognised(folder: Path) -> None:
    lines = (folder / "account-leads.csv").read_text(encoding="utf-8").splitlines()[1:40]
    rows = [f"{'add' if n % 2 else 'remove'};{line}" for n, line in enumerate(lines)]
    Path("links.csv").write_text("\n".join(["What;Account;Lead;Comment", *rows]), encoding="utf-8")
    assert main(["init", "links.csv"]) == 0
    assert Job.load("links.toml", {}).job.links[0].action_header == "What"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Colour,Size\nred,1\n", "No two columns"),
        ("Account,Lead\n", "no rows"),
    ],
)
def test_an_input_that_means_nothing_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    Path("links.csv").write_text(text, encoding="utf-8")
    assert main(["init", "links.csv"]) == 2
    assert said in capsys.readouterr().err
