"""The commands that send, and what their options promise."""

import json

import pytest

from tests.desk import Desk, account, contact, lead, outcomes, words

PAIR = 'relationship = "accountleads_association"\nfrom = { table = "account", match = { accountid = "A" } }\n'
PAIR += 'to = { table = "lead", match = { leadid = "L" } }'


@pytest.fixture
def mixed(desk: Desk) -> Desk:
    """A good pair, one there already, one repeated, one wrong, and a job for them."""
    desk.pairs("start.csv", (account(1), lead(2)))
    assert desk.associate("start.csv", "--run-dir", "start").code == 0
    desk.pairs("in.csv", (account(1), lead(1)), (account(1), lead(2)), (account(1), lead(1)), ("x", lead(1)))
    desk.job(PAIR)
    return desk


def test_json_puts_the_summary_on_stdout_and_nothing_else(mixed: Desk) -> None:
    ran = mixed.bulklink("run", "job.toml", "--json")
    assert ran.code == 3
    assert ran.json == mixed.summary(mixed.run_dirs("job")[0])
    again = mixed.bulklink("report", mixed.run_dirs("job")[0], "--json")
    assert (again.code, again.json["outcomes"]) == (3, ran.json["outcomes"])
    refused = mixed.bulklink("run", "nowhere.toml", "--json")
    assert (refused.code, refused.out) == (2, "")


def test_quiet_says_nothing_but_the_summary(mixed: Desk) -> None:
    ran = mixed.bulklink("run", "job.toml", "--quiet")
    assert (ran.code, ran.err) == (3, "")
    assert "troubles.csv" in ran.out


def test_log_format_json_writes_objects_only(mixed: Desk) -> None:
    ran = mixed.bulklink("run", "job.toml", "--log-format", "json")
    assert all(isinstance(json.loads(line), dict) for line in ran.err.splitlines())
    refused = mixed.bulklink("run", "nowhere.toml", "--log-format", "json")
    (line,) = refused.err.splitlines()
    assert (refused.code, json.loads(line)["exit_code"]) == (2, 2)


def test_a_dry_run_foresees_the_run_and_leaves_nothing(mixed: Desk) -> None:
    before = mixed.links()
    ran = mixed.bulklink("run", "job.toml", "--dry-run", "--json")
    assert ran.code == 3
    assert mixed.links() == before
    assert mixed.run_dirs("job") == []
    assert ran.json["outcomes"] == {"associated": 1, "already-associated": 1, "duplicate": 1, "invalid": 1}
    done = mixed.bulklink("run", "job.toml", "--json")
    assert (done.code, done.json["outcomes"]) == (ran.code, ran.json["outcomes"])
    shown = mixed.bulklink("run", "job.toml", "--dry-run")
    assert "already-associated" in shown.out


def test_a_dry_run_names_the_first_rows_that_would_not_be_sent(mixed: Desk) -> None:
    ran = mixed.bulklink("run", "job.toml", "--dry-run")
    assert "row 4: A: 'x' is not a GUID" in ran.out
    assert "row 3: same as row 1" in ran.out


def test_signs_of_damaged_keys_are_told_before_sending_and_in_the_summary(desk: Desk) -> None:
    desk.write("in.csv", f"A,L\n00001,{lead(1)}\n2,{lead(2)}\n#N/A,{lead(3)}\n")
    desk.job(PAIR.replace("accountid", "accountnumber"))
    for options in (("--dry-run",), ()):
        ran = desk.bulklink("run", "job.toml", *options)
        assert ran.code == 3
        assert [sign for sign in ("'#N/A' (row 3)", "zeros may be lost (row 2)") if sign not in ran.err] == []
    assert any("'#N/A' (row 3)" in note for note in desk.summary()["notes"])


def test_a_dry_run_exits_as_the_run_would(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)))
    assert desk.associate("in.csv", "--dry-run").code == 0
    desk.job(PAIR, more="[guard]\nmin_rows = 2")
    ran = desk.bulklink("run", "job.toml", "--dry-run")
    assert (ran.code, "min_rows" in ran.err) == (5, True)
    assert desk.bulklink("run", "job.toml").code == 5
    assert desk.bulklink("run", "job.toml", "--dry-run", BULKLINK_TOKEN="").code == 6
    assert desk.links() == set()


def test_show_settings_tells_each_value_and_who_said_so_and_sends_nothing(mixed: Desk) -> None:
    mixed.job(PAIR, more="[send]\nbatch_size = 7")
    ran = mixed.bulklink(
        "run", "job.toml", "--show-settings", "--json", "--concurrency", "3", BULKLINK_SEND_CHANGE_SET_SIZE="5"
    )
    assert ran.code == 0
    said = {one["key"]: (one["value"], one["source"]) for one in ran.json}
    assert said["send.batch_size"] == (7, "job.toml, line 11")
    assert said["send.concurrency"] == (3, "--concurrency")
    assert said["send.change_set_size"] == (5, "BULKLINK_SEND_CHANGE_SET_SIZE")
    assert said["send.share"] == ("100%", "default")
    text = mixed.bulklink("run", "job.toml", "--show-settings").out
    assert "send.batch_size" in text
    assert mixed.run_dirs("job") == []


def test_variables_override_the_file_and_flags_override_both(mixed: Desk) -> None:
    mixed.job(PAIR, more='[report]\ndir = "elsewhere"')
    assert mixed.bulklink("run", "job.toml", BULKLINK_REPORT_DIR="runs").code == 3
    assert len(mixed.run_dirs("job")) == 1
    ran = mixed.bulklink("run", "job.toml", BULKLINK_SEND_BATCHSIZE="3")
    assert (ran.code, "BULKLINK_SEND_BATCHSIZE" in ran.err, "BULKLINK_SEND_BATCH_SIZE" in ran.err) == (2, True, True)
    ran = mixed.bulklink("run", "job.toml", "--batch-size", "2", "--json", BULKLINK_SEND_BATCH_SIZE="1")
    assert ran.json["settings"]["send.batch_size"] == 2
    # The environment's address may come from a variable alone.
    text = (mixed.folder / "job.toml").read_text("utf-8").replace(f'url = "{mixed.url}"', "")
    mixed.write("job.toml", text)
    assert mixed.bulklink("run", "job.toml", BULKLINK_URL=mixed.url).code == 3


def test_a_run_dir_of_a_finished_run_sends_nothing_and_of_other_work_is_refused(mixed: Desk) -> None:
    assert mixed.associate("in.csv", "--run-dir", "here").code == 3
    requests = mixed.sandbox.reception.tally.batches
    ran = mixed.associate("in.csv", "--run-dir", "here", "--json")
    assert (ran.code, ran.json["outcomes"]["associated"]) == (3, 1)
    assert mixed.sandbox.reception.tally.operations >= requests
    mixed.pairs("in.csv", (account(5), lead(5)))
    refused = mixed.associate("in.csv", "--run-dir", "here")
    assert (refused.code, "--fresh" in refused.err) == (2, True)
    assert (account(5), lead(5)) not in mixed.links()
    assert mixed.associate("in.csv", "--run-dir", "here", "--fresh").code == 0
    assert words(mixed.folder / "here") == ["associated"]


def test_retry_failed_sends_only_what_was_not_as_asked_and_covers_all_rows(desk: Desk) -> None:
    desk.pairs("in.csv", (account(1), lead(1)), (account(2), lead(20)), ("x", lead(1)))
    assert desk.associate("in.csv").code == 3
    first = desk.summary()
    desk.organisation.create_record("lead", {"leadid": lead(20), "fullname": "late"})
    ran = desk.associate("in.csv", "--retry-failed", "--json")
    assert ran.code == 3
    assert (ran.json["retry_of"], ran.json["operations_sent"]) == (first["run_id"], 1)
    rows = outcomes(desk.run_dirs()[-1])
    assert [row["outcome"] for row in rows] == ["associated", "associated", "invalid"]
    assert len(rows) == ran.json["rows"] == 3


def test_report_writes_the_files_again_with_the_runs_own_exit_code(mixed: Desk) -> None:
    assert mixed.bulklink("run", "job.toml").code == 3
    (directory,) = mixed.run_dirs("job")
    before = (directory / "outcomes.csv").read_bytes()
    for name in ("outcomes.csv", "troubles.csv", "summary.json", "report.html"):
        (directory / name).unlink()
    assert mixed.bulklink("report", directory).code == 3
    assert (directory / "outcomes.csv").read_bytes() == before
    assert (directory / "troubles.csv").exists()
    nothing = mixed.bulklink("report", mixed.folder)
    assert nothing.code == 2


def test_every_key_of_the_job_file_is_in_its_schema(desk: Desk) -> None:
    schema = desk.bulklink("schema").json
    text = json.dumps(schema)
    keys = ("dataverse", "input", "link", "guard", "send", "verify", "report", "record", "parties", "skip_existing",
            "max_input_age", "hub_parallelism", "resume_within", "caller_object_id", "bypass", "ca_file")  # fmt: skip
    assert [key for key in keys if f'"{key}"' not in text] == []


@pytest.mark.parametrize("code", ["0x80040237", "412", "rejected", "in-doubt", "3", "143"])
def test_explain_knows_codes_outcomes_and_exit_codes(code: str, desk: Desk) -> None:
    ran = desk.bulklink("explain", code)
    assert (ran.code, bool(ran.out.strip())) == (0, True)


def test_relationships_lists_name_kind_other_table_and_both_navigation_properties(desk: Desk) -> None:
    ran = desk.bulklink("relationships", "account", "--url", desk.url, "--json")
    assert ran.code == 0
    text = json.dumps(ran.json)
    assert [name for name in ("accountleads_association", "primarycontactid", "contact_customer_accounts",
                              "parentcustomerid_account") if name not in text] == []  # fmt: skip
    assert desk.bulklink("relationships", "acount", "--url", desk.url).code == 2
    assert desk.bulklink("relationships", "account", BULKLINK_URL=desk.url).code == 0


LINKS = f"""
[[link]]
{PAIR}
[[link]]
relationship = "contact_customer_accounts"
from = {{ table = "account", match = {{ accountid = "A" }} }}
to = {{ table = "contact", match = {{ contactid = "C" }} }}
[[link]]
relationship = "accountleads_association"
action = "disassociate"
from = {{ table = "account", match = {{ accountid = "A" }} }}
to = {{ table = "lead", match = {{ leadid = "Old" }} }}
"""


def test_several_links_run_in_order(desk: Desk) -> None:
    desk.pairs("start.csv", (account(1), lead(8)), (account(2), lead(8)))
    assert desk.associate("start.csv", "--run-dir", "start").code == 0
    desk.write(
        "in.csv",
        f"A,L,C,Old\n{account(1)},{lead(1)},{contact(1)},{lead(8)}\n{account(2)},{lead(2)},x,{lead(2)}\n",
    )
    desk.job(LINKS)
    ran = desk.bulklink("run", "job.toml", "--json")
    assert ran.code == 3
    assert ran.json["outcomes"] == {"associated": 3, "disassociated": 2, "invalid": 1}
    assert (ran.json["rows"], ran.json["exit_code"], ran.json["input"]["rows"]) == (6, 3, 2)
    # In order: the second row's lead was linked by the first link and unlinked by the third.
    assert desk.links() == {(account(1), lead(1)), (account(2), lead(8))}
    assert desk.links("contact_customer_accounts") == {(account(1), contact(1))}
    (directory,) = (desk.folder / "runs" / "job").iterdir()
    assert json.loads((directory / "summary.json").read_text("utf-8"))["outcomes"] == ran.json["outcomes"]
    rows = outcomes(directory)
    assert [(row["row"], row["link"], row["outcome"]) for row in rows] == [
        ("1", "1", "associated"),
        ("2", "1", "associated"),
        ("1", "2", "associated"),
        ("2", "2", "invalid"),
        ("1", "3", "disassociated"),
        ("2", "3", "disassociated"),
    ]
    assert (directory / "troubles.csv").read_bytes().count(b"\r\n") == 2


def test_several_links_are_all_checked_before_anything_is_sent(desk: Desk) -> None:
    desk.write("in.csv", f"A,L,C,Old\n{account(1)},{lead(1)},{contact(1)},{lead(8)}\n")
    for bad, good in (("contact_customer_acounts", "contact_customer_accounts"), ('"Olde"', '"Old"')):
        desk.job(LINKS.replace(good, bad))
        ran = desk.bulklink("run", "job.toml")
        assert (ran.code, desk.links()) == (2, set()), ran.err
    desk.job(LINKS.replace('contactid = "C"', 'emailaddress1 = "C"'), more="[guard]\nmax_unresolved = 0")
    ran = desk.bulklink("run", "job.toml", "--json")
    assert (ran.code, desk.links()) == (5, set())
    assert ran.json["outcomes"] == {"guarded": 2, "unresolved": 1}
    dry = desk.bulklink("run", "job.toml", "--json", "--dry-run")
    assert (dry.code, dry.json["outcomes"]) == (5, ran.json["outcomes"])
