"""The exit codes of the contract, each from the situation that calls for it, with words that say what to do."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from bulklink.sandbox.access import Access, only
from bulklink.sandbox.weather_file import read_weather
from tests.desk import Desk, a_desk, account, contact, lead, outcomes, words

PAIR = 'relationship = "accountleads_association"\nfrom = { table = "account", match = { accountid = "A" } }\n'
PAIR += 'to = { table = "lead", match = { leadid = "L" } }'


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """A desk with one good pair in in.csv and a job for it."""
    desk.pairs("in.csv", (account(1), lead(1)))
    desk.job(PAIR)
    return desk


def test_0_and_3(ready: Desk) -> None:
    assert ready.bulklink("run", "job.toml").code == 0
    ready.pairs("in.csv", (account(1), lead(1)), (account(1), lead(99)))
    ran = ready.bulklink("run", "job.toml")
    assert (ran.code, "troubles.csv" in ran.out) == (3, True)


# 2: nothing can be sent, and it says why


def refused(desk: Desk, *said: str, job: str = "job.toml", **env: str) -> None:
    """`run` exits 2, says all this and leaves nothing behind."""
    ran = desk.bulklink("run", job, **env)
    assert ran.code == 2, ran
    assert [words for words in said if words not in ran.err] == [], ran.err
    assert ran.out == ""
    assert desk.links() == set()
    assert desk.run_dirs() == []


def test_2_for_an_unknown_key_with_file_line_key_and_nearest(ready: Desk) -> None:
    ready.job(PAIR, more="[send]\nbatch_sise = 5")
    refused(ready, "job.toml, line 11", "batch_sise", "batch_size")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[send]\nbatch_size = "many"', "send.batch_size"),
        ("[guard]\nmin_rows = -1", "guard.min_rows"),
        ('[guard]\nmax_input_age = "soon"', "guard.max_input_age"),
        ("[sned]\nbatch_size = 5", "send"),
        ('[send]\nisolation = "group"', "group_by"),
        ('[send]\nisolation = "group"\ngroup_by = "Ordre"', "Ordre"),
        ("[report]\nkeep = 0", "report.keep"),
    ],
)
def test_2_for_a_job_file_that_cannot_be_meant(more: str, said: str, ready: Desk) -> None:
    ready.job(PAIR, more=more)
    refused(ready, said)


def test_2_for_a_missing_header_with_the_nearest(ready: Desk) -> None:
    ready.write("in.csv", f"Account Id,Lead Id\n{account(1)},{lead(1)}\n")
    ready.job(PAIR.replace('"A"', '"AccountId"').replace('"L"', '"Lead Id"'))
    refused(ready, "in.csv", "AccountId", "Account Id")


def test_2_for_a_used_header_given_twice_but_not_for_an_unused_one(ready: Desk) -> None:
    ready.write("in.csv", f"A,L,A\n{account(1)},{lead(1)},{account(2)}\n")
    refused(ready, "A", "twice")
    ready.write("in.csv", f"A,L,N,N\n{account(1)},{lead(1)},1,2\n")
    assert ready.bulklink("run", "job.toml").code == 0


def test_2_for_an_empty_a_missing_and_an_unknown_file(ready: Desk) -> None:
    ready.write("in.csv", "")
    refused(ready, "in.csv", "empty")
    ready.job(PAIR, file='"inn.csv"')
    refused(ready, "inn.csv", "in.csv")
    ready.write("in.docx", "x")
    ready.job(PAIR, file='"in.docx"')
    refused(ready, ".docx")
    ready.job(PAIR, file='"none-*.csv"')
    refused(ready, "none-*.csv")
    refused(ready, "nowhere.toml", job="nowhere.toml")


def test_a_header_without_rows_is_no_error(ready: Desk) -> None:
    ready.write("in.csv", "A,L\n")
    assert ready.bulklink("run", "job.toml").code == 0
    assert outcomes(ready.run_dir()) == []


def test_2_for_plain_http_anywhere_but_here(ready: Desk) -> None:
    text = (ready.folder / "job.toml").read_text("utf-8").replace(ready.url, "http://contoso.example")
    ready.write("job.toml", text)
    refused(ready, "http://", "loopback")


def test_2_for_a_literal_secret(ready: Desk) -> None:
    text = (ready.folder / "job.toml").read_text("utf-8")
    ready.write("job.toml", text.replace("[input]", 'client_secret = "hunter2"\n[input]'))
    ran = ready.bulklink("run", "job.toml")
    assert (ran.code, "hunter2" in ran.err, "BULKLINK_CLIENT_SECRET" in ran.err) == (2, False, True)


@pytest.mark.parametrize(
    ("relationship", "sides", "said"),
    [
        ("accountleads_assosiation", ("account", "lead"), ["accountleads_association"]),
        ("accountleads_association", ("account", "contact"), ["contact", "account and lead"]),
        ("accountleads_association", ("acount", "lead"), ["acount", "account"]),
        # By schema or column name it cannot be told which account is which.
        ("account_parent_account", ("account", "account"), []),
        ("campaigncampaign_association_referencing", ("campaign", "campaign"), ["campaigncampaign_association"]),
        ("campaignitem", ("campaign", "campaign"), ["campaigncampaign_association_referenced", " means: "]),
    ],
)
def test_2_for_a_name_that_means_no_one_relationship(
    relationship: str, sides: tuple[str, str], said: list[str], ready: Desk
) -> None:
    ran = ready.link("associate", "in.csv", relationship, f"{sides[0]}=A", f"{sides[1]}=L")
    if said:
        assert ran.code == 2
        assert [words for words in said if words not in ran.err] == [], ran.err


def test_2_for_a_reflexive_schema_name_shows_both_spellings_each_with_a_sentence(ready: Desk) -> None:
    ran = ready.link("associate", "in.csv", "new_new_tag_new_tag", "new_tag=A", "new_tag=L")
    assert ran.code == 2
    lines = [line for line in ran.err.splitlines() if " means: " in line]
    assert [line.split()[0] for line in lines] == ["new_new_Tag_new_Tag", "new_new_Tag_new_Tag_referenced"]
    assert all("*from*" in line and "*to*" in line for line in lines)


def test_2_for_an_ambiguous_name_lists_the_candidates(ready: Desk) -> None:
    ran = ready.link("associate", "in.csv", "listmember", "list=L", "account=A")
    if ran.code == 2:
        assert "listaccount_association" in ran.err
    ran = ready.link("associate", "in.csv", "parentcustomerid", "contact=A", "account=L")
    assert ran.code == 2
    assert "parentcustomerid_account" in ran.err


# 4, 6, 7, 143


def test_4_when_the_service_is_not_there(ready: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ready.write("job.toml", (ready.folder / "job.toml").read_text("utf-8").replace(ready.url, url))
    ran = ready.bulklink("run", "job.toml")
    assert (ran.code, f"No connection to {url}" in ran.err, "waiting until" in ran.err) == (4, True, True)


def test_4_when_too_many_rows_fail_and_running_again_goes_on(ready: Desk) -> None:
    ready.pairs("in.csv", *((account(1), lead(90 + n)) for n in range(5)), (account(1), lead(1)))
    ready.job(PAIR, more="[send]\nmax_failures = 2\nbatch_size = 1\nconcurrency = 1\nchange_set_size = 1")
    ran = ready.bulklink("run", "job.toml")
    assert (ran.code, "again" in ran.err) == (4, True)
    found = words(ready.run_dir())
    assert set(found) == {"rejected", "not-attempted"}
    summary = ready.summary()
    assert (summary["exit_code"], summary["rows"]) == (4, 6)
    assert ready.bulklink("run", "job.toml").code == 3
    assert words(ready.run_dir()) == ["rejected"] * 5 + ["associated"]
    assert ready.summary()["resumed"] is True


def test_6_without_credentials_names_the_variables(ready: Desk) -> None:
    ran = ready.bulklink("run", "job.toml", BULKLINK_TOKEN="")
    assert ran.code == 6
    names = ("BULKLINK_TOKEN", "BULKLINK_TOKEN_FILE", "BULKLINK_TENANT_ID", "BULKLINK_CLIENT_ID",
             "BULKLINK_CLIENT_SECRET", "bulklink login")  # fmt: skip
    assert [name for name in names if name not in ran.err] == []
    assert ready.associate("in.csv", BULKLINK_TOKEN="").code == 6


def test_6_when_the_token_is_refused_and_a_token_file_is_read_again(tmp_path: Path) -> None:
    with a_desk(tmp_path, access=Access(only(["good"]))) as desk:
        desk.pairs("in.csv", (account(1), lead(1)))
        assert desk.associate("in.csv", BULKLINK_TOKEN="bad").code == 6
        token = desk.write("token", "good\n")
        assert desk.associate("in.csv", BULKLINK_TOKEN="", BULKLINK_TOKEN_FILE=str(token)).code == 0


def test_6_when_the_first_answers_are_all_one_refusal(tmp_path: Path) -> None:
    weather = read_weather('seed = 1\n[[fault]]\nkind = "privilege"\nmethod = "POST"\n', "no privilege", None)
    with a_desk(tmp_path, weather=weather) as desk:
        desk.pairs("in.csv", *((account(n % 9 + 1), lead(n // 9 % 9 + 1)) for n in range(81)),
                   *((account(n % 9 + 1), lead(100 + n)) for n in range(300)))  # fmt: skip
        ran = desk.associate("in.csv")
        assert ran.code == 6, ran
        found = outcomes(desk.run_dir())
        assert {row["outcome"] for row in found} == {"not-attempted"}
        assert {row["code"] for row in found} >= {"0x80040220"}


def test_7_while_another_run_on_the_relationship_goes_on_whatever_its_name(ready: Desk) -> None:
    assert ready.bulklink("run", "job.toml").code == 0
    (lock,) = (ready.folder / "state" / "locks").glob("*.lock")
    held = filelock.FileLock(lock)
    with held:
        ran = ready.bulklink("run", "job.toml")
        assert (ran.code, "accountleads_association" in ran.err) == (7, True)
        assert ready.associate("in.csv").code == 7
        # Another relationship is no matter.
        ready.write("p.csv", f"C,A\n{contact(1)},{account(1)}\n")
        assert ready.link("associate", "p.csv", "parentcustomerid_account", "contact=C", "account=A").code == 0
    assert ready.bulklink("run", "job.toml").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
def test_143_closes_the_journal_and_the_same_command_resumes(tmp_path: Path) -> None:
    weather = read_weather('seed = 1\n[latency]\nkind = "fixed"\nrequest_s = 0.3\n', "slow", None)
    with a_desk(tmp_path, weather=weather) as desk:
        desk.pairs("in.csv", *((account(a), lead(b)) for a in range(1, 10) for b in range(1, 10)))
        desk.job(PAIR, more="[send]\nbatch_size = 1\nconcurrency = 1")
        process = subprocess.Popen(
            [sys.executable, "-m", "bulklink", "run", "job.toml"],
            cwd=desk.folder,
            env={**os.environ, "BULKLINK_TOKEN": "any", "BULKLINK_STATE_DIR": str(tmp_path / "state")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not desk.links() and process.poll() is None:
            threading.Event().wait(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 143
        assert set(words(desk.run_dir())) >= {"associated", "not-attempted"}
        desk.job(PAIR, more="[send]\nbatch_size = 50\nconcurrency = 2")
        assert desk.bulklink("run", "job.toml").code == 0
        assert len(desk.links()) == 81
        assert set(words(desk.run_dir())) == {"associated"}
