"""`bulklink check` against the sandbox: what it finds, its exit codes, and that it writes nothing."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulklink.cli import main
from bulklink.cli.demo_files import LEADS, record_id
from bulklink.files.lock import locked
from bulklink.sandbox.access import Access, only
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox

JOB = """
[input]
file = "links.csv"
[link]
relationship = "accountleads_association"
from = {{ table = "account", match = {{ accountnumber = "Account No" }} }}
to = {{ table = "lead", match = {{ leadid = "Lead" }} }}
{more}
"""


def lead(n: int) -> str:
    return record_id("lead", n)


ROWS = [
    ("00001", lead(1)), ("00002", lead(2)), ("00001", lead(1)), ("00077", lead(3)), ("0000X", lead(4)),
    (" 00002", lead(5)), ("00003", "#N/A"), ("3", lead(LEADS - 1)),
]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    organisation = Organisation.sample()
    organisation.load_table(
        "account", [{"accountid": record_id("account", n), "accountnumber": f"{n:05}"} for n in range(9)]
    )
    organisation.load_table("lead", [{"leadid": lead(n)} for n in range(9)])
    with Sandbox(organisation).serving() as serving:
        yield serving


@pytest.fixture
def job(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_URL", sandbox.url)
    sandbox.organisation.missing_privileges.clear()
    lines = ["Account No,Lead", *(",".join(row) for row in ROWS)]
    (tmp_path / "links.csv").write_text("\n".join(lines), encoding="utf-8")
    return write_job(tmp_path)


def write_job(folder: Path, more: str = "", **changes: str) -> Path:
    text = JOB.format(more=more)
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / "job.toml").write_text(text, encoding="utf-8")
    return folder / "job.toml"


def checked(job: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], dict[str, object]]:
    """Exit code, what is said by topic, and all facts."""
    code = main(["check", str(job), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["exit_code"] == code
    topics: dict[str, str] = {}
    for one in facts["findings"]:
        topics[one["topic"]] = topics.get(one["topic"], "") + one["text"] + "\n"
    return code, topics, facts


def test_a_job_that_nothing_stops_is_described_on_one_screen(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, topics, facts = checked(job, capsys)
    assert code == 0
    assert (facts["rows"], facts["to_send"]) == (8, 3)
    assert facts["outcomes"] == {"duplicate": 1, "invalid": 1, "unresolved": 3}
    assert "row 4: from: accountnumber '00077' matches no account" in topics["rows"]
    assert "Account No" in topics["keys"]
    assert topics["kind"] == "N:N\n"
    assert "all there" in topics["privileges"]
    assert "requests" in topics["limits"]
    assert main(["check", str(job)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("job: nothing would stop it.\n")
    assert len(shown.splitlines()) <= 24


def test_checking_writes_nothing(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    checked(job, capsys)
    assert list(sandbox.organisation.links("accountleads_association")) == []
    assert {path.name for path in job.parent.iterdir()} == {"job.toml", "links.csv", "state"}


@pytest.mark.parametrize(
    ("changes", "more", "code", "topic", "said"),
    [
        ({"links.csv": "link.csv"}, "", 2, "input", "link.csv"),
        ({'"Lead"': '"Leed"'}, "", 2, "columns", "Nearest: 'Lead'"),
        ({"accountleads": "acountleads"}, "", 2, "relationship", "Did you mean accountleads_association"),
        ({"accountnumber": "acountnumber"}, "", 2, "relationship", "no column 'acountnumber'"),
        ({}, "[guard]\nmin_rows = 9", 5, "guard", "min_rows asks for 9"),
        ({}, "[guard]\nmax_unresolved = 2", 5, "guard", "max_unresolved allows 2"),
        ({}, '[dataverse]\nauth = "client-secret"', 6, "sign-in", ""),
    ],
)
def test_the_exit_code_is_the_one_that_the_run_would_have(
    job: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], more: str, code: int, topic: str, said: str
) -> None:
    write_job(job.parent, more, **changes)
    found, topics, _ = checked(job, capsys)
    assert found == code
    assert said in topics[topic]
    assert main(["run", str(job), "--quiet", "--run-dir", str(job.parent / "run")]) == code


def test_a_missing_privilege_is_named_and_stops_the_run(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.organisation.missing_privileges.add(("AppendTo", "lead"))
    code, topics, _ = checked(job, capsys)
    assert code == 6
    assert "prvAppendToLead (AppendTo on lead) is missing" in topics["privileges"]
    # The guard is met before the first row is sent.
    write_job(job.parent, "[guard]\nmin_rows = 9")
    assert checked(job, capsys)[0] == 5


def test_a_lock_that_somebody_holds_is_seen(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(sandbox.url, "accountleads_association", job.parent, time.time()):
        code, topics, _ = checked(job, capsys)
    assert code == 7
    assert str(os.getpid()) in topics["other runs"]


def test_a_deadline_that_is_too_near_is_a_warning(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_job(job.parent, '[send]\ndeadline = "1s"\nshare = "1%"')
    code, topics, facts = checked(job, capsys)
    assert code == 0
    assert "the deadline is" in topics["time"]
    assert isinstance(facts["findings"], list)
    assert facts["findings"][-1]["level"] == "warning"


def test_a_refused_token_stops_it_and_the_file_is_looked_at_all_the_same(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(access=Access(only({"secret-of-somebody-else"}))).serving() as closed:
        monkeypatch.setenv("BULKLINK_URL", closed.url)
        code, topics, facts = checked(job, capsys)
    assert code == 6
    assert "sign-in" in topics
    assert facts["hygiene"]
