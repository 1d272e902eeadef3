"""A job file becomes one checked value, or every problem is named with file, line, key and nearest key."""

import json
import sys
import tomllib
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from bulklink.errors import ExitCode, JobError, UsageError
from bulklink.job import Job, JobFileError, LoadedJob, job_schema, next_deadline
from bulklink.job.toml_lines import TomlError, read_toml
from bulklink.job.values import Limit, parse_duration, parse_limit, parse_percent

SECRET = "planted-5ecret-value"

DATAVERSE = """
[dataverse]
url = "https://contoso.crm4.dynamics.com"
"""
LINK = """
[link]
relationship = "accountleads_association"
from = { table = "account", match = { accountnumber = "Account No" } }
to = { table = "lead", match = { leadid = "Lead Id" } }
"""
INPUT = """
[input]
file = "links.csv"
"""
RECORD = """
[record]
table = "opportunity"
action = "create"
id_from = ["Ref"]
columns = { name = "Title", estimatedvalue = "Value" }
lookups.customerid_account = { table = "account", match = { accountnumber = "Customer" } }
collections.opportunitycompetitors_association = { table = "competitor", match = { name = "Competitors" } }
children.Opportunity_Tasks = { columns = { subject = "First task" } }
"""
PARTIES = """
[parties]
table = "email"
match = { activityid = "Email Id" }
navigation_property = "email_activity_parties"
party = { table = "contact", match = { contactid = "Contact Id" } }
participation = "Role"
"""
WHOLE = """
version = 1
name = "account-leads"

[dataverse]
url = "https://contoso.crm4.dynamics.com"
auth = "client-secret"
tenant_id = "t"
client_id = "c"
client_secret = "${BULKLINK_CLIENT_SECRET}"
caller_object_id = ""
bypass = []
ca_file = ""

[input]
file = "exports/account-leads-*.xlsx"
sheet = "Links"
delimiter = "auto"
encoding = "auto"

[link]
relationship = "accountleads_association"
action = "associate"
from.table = "account"
from.match = { accountnumber = "Account No" }
from.where = "statecode eq 0"
from.ignore_case = true
from.trim = true
to   = { table = "lead",    match = { leadid = "Lead Id" } }
form = "auto"
scope = "from"
empty_to = "invalid"
skip_existing = "auto"

[guard]
max_removals = 200
max_removals_percent = 5
min_rows = 1
max_unresolved = 100
max_input_age = ""

[send]
isolation = "change-set"
group_by = ""
change_set_size = "auto"
batch_size = "auto"
concurrency = "auto"
share = "100%"
hub_parallelism = 1
deadline = ""
max_failures = "100%"
request_timeout = "300s"
settle_after = "5m"
resume_within = "24h"

[verify]
mode = "none"

[report]
dir = "runs"
keep = 30
outcomes = ["csv"]
html = true
"""


def load(
    folder: Path, text: str, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> LoadedJob:
    (folder / "job.toml").write_text(text, encoding="utf-8")
    return Job.load(folder / "job.toml", env or {}, flags)


def problems(folder: Path, text: str, env: Mapping[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(JobFileError) as refused:
        load(folder, text, env, {key.replace("__", "."): value for key, value in flags.items()})
    assert refused.value.exit_code is ExitCode.UNUSABLE
    return str(refused.value)


# What a job says


def test_the_contracts_own_job_file_is_accepted_and_says_only_defaults_for_tuning(tmp_path: Path) -> None:
    whole = load(tmp_path, WHOLE, {"BULKLINK_CLIENT_SECRET": SECRET}).job
    shortest = load(tmp_path, DATAVERSE + LINK).job
    assert (whole.send, whole.verify, whole.report) == (shortest.send, shortest.verify, shortest.report)
    assert whole.send.request_timeout == 300.0
    assert whole.send.settle_after == 300.0
    assert whole.send.resume_within == 86_400.0
    assert whole.send.max_failures == Limit(share=1.0)
    assert whole.send.batch_size == "auto"
    assert whole.dataverse.client_secret is not None
    assert whole.dataverse.client_secret.get_secret_value() == SECRET


def test_limits_of_a_sync_differ_from_those_of_other_jobs(tmp_path: Path) -> None:
    guard = load(tmp_path, DATAVERSE + LINK).job.guard
    assert (guard.fewest_rows(is_sync=False), guard.most_unresolved(is_sync=False)) == (0, None)
    assert (guard.fewest_rows(is_sync=True), guard.most_unresolved(is_sync=True)) == (1, 100)
    said = load(tmp_path, DATAVERSE + LINK + "[guard]\nmin_rows = 7\nmax_unresolved = 0\n").job.guard
    assert (said.fewest_rows(is_sync=True), said.most_unresolved(is_sync=False)) == (7, 0)


def test_links_may_be_several_and_run_in_order(tmp_path: Path) -> None:
    second = LINK.replace("accountleads_association", "another")
    job = load(tmp_path, DATAVERSE + (LINK + second).replace("[link]", "[[link]]")).job
    assert [link.relationship for link in job.links] == ["accountleads_association", "another"]


@pytest.mark.parametrize(("section", "kind"), [(LINK, "link"), (RECORD, "record"), (PARTIES, "parties")])
def test_each_kind_of_job_is_known_by_its_section(tmp_path: Path, section: str, kind: str) -> None:
    assert load(tmp_path, DATAVERSE + section).job.kind == kind


def test_an_action_may_stand_in_a_column(tmp_path: Path) -> None:
    link = load(tmp_path, DATAVERSE + LINK + 'action = { column = "Action" }\n').job.links[0]
    assert link.action_header == "Action"
    assert link.headers == ("Account No", "Lead Id", "Action")


def test_clear_goes_without_a_to_record(tmp_path: Path) -> None:
    without_to = "\n".join(line for line in LINK.splitlines() if not line.startswith("to"))
    assert load(tmp_path, DATAVERSE + without_to + '\naction = "clear"\n').job.links[0].to is None
    assert 'only action = "clear" goes without' in problems(tmp_path, DATAVERSE + without_to)


def test_a_job_without_a_name_has_the_files_name(tmp_path: Path) -> None:
    assert load(tmp_path, DATAVERSE + LINK).job.name == "job"


def test_a_job_never_changes(tmp_path: Path) -> None:
    job = load(tmp_path, DATAVERSE + LINK).job
    with pytest.raises(ValueError, match="frozen"):
        job.send.batch_size = 3  # type: ignore[misc]


def test_paths_start_at_the_job_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, DATAVERSE + LINK)
    assert loaded.resolve("runs") == tmp_path / "runs"
    assert loaded.resolve("/elsewhere/runs") == Path("/elsewhere/runs")


def test_notepads_byte_order_mark_and_line_ends_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_bytes(b"\xef\xbb\xbf" + (DATAVERSE + LINK).replace("\n", "\r\n").encode())
    assert Job.load(tmp_path / "job.toml", {}).job.kind == "link"


# What is wrong with it

BASE_LINES = (DATAVERSE + LINK).count("\n")


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[send]\nconcurency = 4\n", "job.toml, line {2}: send.concurency: unknown key\n    nearest: concurrency"),
        ("concurency = 4\n", "job.toml, line {1}: link.concurency: unknown key"),
        ("batch_size = 4\n", "job.toml, line {1}: link.batch_size: unknown key here; it belongs in [send]"),
        ("[sned]\n", "job.toml, line {1}: sned: unknown key\n    nearest: send"),
        ('[send]\nbatch_size = "100"\n', 'send.batch_size: must be "auto" or a whole number from 1 to 1000'),
        ("[send]\nbatch_size = 1001\n", "from 1 to 1000"),
        ("[send]\nconcurrency = true\n", 'must be "auto" or a whole number'),
        ("[send]\nrequest_timeout = 300\n", "send.request_timeout: must be a duration"),
        ('[send]\nshare = "120%"\n', "send.share: must be a percentage"),
        ('[send]\ndeadline = "tomorrow"\n', "send.deadline: must be HH:MM, an ISO date and time, or a duration"),
        ('[send]\nisolation = "change_set"\n', "nearest: change-set"),
        ('[send]\nisolation = "group"\n', 'needs group_by = "HEADER"'),
        ('[send]\ngroup_by = "Order"\n', 'does nothing without isolation = "group"'),
        ("[send]\nmax_failures = -1\n", "send.max_failures: must be a number of rows"),
        ("[guard]\nmin_rows = 1.5\n", "guard.min_rows: must be a whole number"),
        ("[guard]\nmax_removals = -1\n", "guard.max_removals: must be at least 0"),
        ('[report]\nhtml = "yes"\n', "report.html: must be true or false"),
        ('[report]\noutcomes = ["pdf"]\n', "report.outcomes[1]: must be one of 'csv', 'xlsx' or 'parquet'"),
        ('[report]\noutcomes = "csv"\n', "report.outcomes: must be a list"),
        ("[report]\nkeep = 0\n", "report.keep: must be at least 1"),
        ("[input]\nfile = []\n", "input.file: must be text in quotes or a list"),
        ('[input]\nfile = "a"\ndelimiter = ";;"\n', "input.delimiter: must be"),
        ('action = "asociate"\n', "link.action: must be associate | disassociate | clear | sync"),
        ('action = "create"\n', "makes it a [record] job"),
        ('action = { colum = "A" }\n', 'or { column = "HEADER" }'),
        ('form = "ref_add"\n', 'nearest: "ref-add"'),
        ('form = "create"\n', "link.form: must be auto | ref-add"),
    ],
)
def test_a_problem_names_file_line_key_and_what_was_meant(tmp_path: Path, added: str, said: str) -> None:
    expected = said.replace("{1}", str(BASE_LINES + 1)).replace("{2}", str(BASE_LINES + 2))
    assert expected in problems(tmp_path, DATAVERSE + LINK + added)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"contoso.crm4.dynamics.com"', 'such as "https://contoso.crm4.dynamics.com"'),
        ('"http://contoso.crm4.dynamics.com"', "plain http:// is accepted for loopback hosts only"),
        ('"https://contoso.crm4.dynamics.com/main.aspx?appid=1"', 'alone: "https://contoso.crm4.dynamics.com"'),
        ('"https://user:pw@contoso.crm4.dynamics.com"', 'alone: "https://contoso.crm4.dynamics.com"'),
        ("4", "must be text in quotes"),
    ],
)
def test_an_address_that_is_no_environment_is_refused(tmp_path: Path, written: str, said: str) -> None:
    text = problems(tmp_path, f"[dataverse]\nurl = {written}\n" + LINK)
    assert said in text
    assert "pw@" not in text


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://Contoso.crm4.dynamics.com/", "https://contoso.crm4.dynamics.com"),
        ("https://contoso.crm4.dynamics.com/api/data/v9.2/", "https://contoso.crm4.dynamics.com"),
        ("http://localhost:8642", "http://localhost:8642"),
        ("http://127.0.0.1:8642/", "http://127.0.0.1:8642"),
        ("http://[::1]:8642", "http://[::1]:8642"),
    ],
)
def test_an_environment_is_its_scheme_and_host(tmp_path: Path, written: str, url: str) -> None:
    assert load(tmp_path, f'[dataverse]\nurl = "{written}"\n' + LINK).job.dataverse.url == url


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    text = problems(tmp_path, DATAVERSE + LINK + '[send]\nbatch_sise = 1\nshare = "x"\n[report]\nkeep = "y"\n')
    assert [text.count(key) for key in ("send.batch_sise", "send.share", "report.keep")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DATAVERSE, "says nothing to do: give [link], [record] or [parties]"),
        (DATAVERSE + LINK + RECORD, "[link] and [record] are two jobs"),
        (DATAVERSE + RECORD + PARTIES, "[record] and [parties] are two jobs"),
        (LINK, "dataverse.url: is missing"),
        (DATAVERSE + RECORD.replace('"create"', '"update"'), 'id_from does not go with action = "update"'),
        (DATAVERSE + RECORD + 'match = { a = "b" }\n', 'match does not go with action = "create"'),
        (DATAVERSE + RECORD.replace("wher", "x") + "[record.lookups.y]\ntable = 'a'\n", "record.lookups.y.match"),
        (DATAVERSE + '[record]\ntable = "a"\naction = "create"\n', "nothing to write"),
        (
            DATAVERSE + RECORD.replace('name = "Competitors"', 'name = "C", code = "D"'),
            "must name exactly one column",
        ),
        (DATAVERSE + PARTIES + 'mode = "apend"\n', "nearest: append"),
        ('name = "a/b"\n' + DATAVERSE + LINK, "job.toml, line 1: name: must do as the name of a folder"),
        ('name = ".."\n' + DATAVERSE + LINK, "name of a folder"),
        ("version = 2\n" + DATAVERSE + LINK, "version: must be one of 1"),
    ],
)
def test_mixed_up_jobs_are_told_what_belongs_where(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


def test_lines_inside_inline_tables_and_several_links_are_found(tmp_path: Path) -> None:
    broken = LINK.replace('table = "lead"', 'tabel = "lead"').replace("[link]", "[[link]]")
    text = problems(tmp_path, DATAVERSE + LINK.replace("[link]", "[[link]]") + broken)
    line = (DATAVERSE + LINK).count("\n") + 5
    assert f"job.toml, line {line}: link[2].to.tabel: unknown key\n    nearest: table" in text


@pytest.mark.parametrize(
    ("content", "line"), [(b"a = \n", 1), (b"[dataverse]\nurl = 'x'\nurl = 'y'\n", 3), (b"a = 1\nb = '\xff'\n", 2)]
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "job.toml").write_bytes(content)
    with pytest.raises(JobFileError, match=f"^job.toml, line {line}: "):
        Job.load(tmp_path / "job.toml", {})


def test_a_missing_job_file_is_answered_with_the_ones_beside_it(tmp_path: Path) -> None:
    (tmp_path / "nightly.toml").touch()
    with pytest.raises(JobError, match=r"No such file.*nightly\.toml"):
        Job.load(tmp_path / "nigthly.toml", {})


def test_a_file_that_is_far_too_large_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="larger than 1000000 bytes"):
        load(tmp_path, "#" * 1_000_001)


# Where values come from


def test_a_variable_outranks_the_file_and_a_flag_outranks_both(tmp_path: Path) -> None:
    text = DATAVERSE + LINK + "[send]\nbatch_size = 1\nconcurrency = 1\nhub_parallelism = 3\n"
    env = {"BULKLINK_SEND_BATCH_SIZE": "2", "BULKLINK_SEND_CONCURRENCY": "2"}
    loaded = load(tmp_path, text, env, {"send.concurrency": "3"})
    assert (loaded.job.send.hub_parallelism, loaded.job.send.batch_size, loaded.job.send.concurrency) == (3, 2, 3)
    sources = {setting.key: setting.source for setting in loaded.settings}
    assert sources["send.batch_size"] == "BULKLINK_SEND_BATCH_SIZE"
    assert sources["send.concurrency"] == "--concurrency"
    assert sources["send.hub_parallelism"] == f"job.toml, line {BASE_LINES + 4}"
    assert sources["send.share"] == "default"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("BULKLINK_SEND_BATCH_SIZE", "auto", "send.batch_size", "auto"),
        ("BULKLINK_SEND_SETTLE_AFTER", "0s", "send.settle_after", "0s"),
        ("BULKLINK_SEND_MAX_FAILURES", "20", "send.max_failures", "20"),
        ("BULKLINK_REPORT_OUTCOMES", "csv, xlsx", "report.outcomes", ["csv", "xlsx"]),
        ("BULKLINK_REPORT_HTML", "false", "report.html", False),
        ("BULKLINK_GUARD_MAX_REMOVALS_PERCENT", "2.5", "guard.max_removals_percent", 2.5),
        ("BULKLINK_GUARD_MIN_ROWS", "4", "guard.min_rows", 4),
        ("BULKLINK_LINK_FORM", "ref-add", "link.form", "ref-add"),
        ("BULKLINK_DATAVERSE_TENANT_ID", "123", "dataverse.tenant_id", "123"),
    ],
)
def test_a_variable_is_read_as_the_type_its_key_wants(
    tmp_path: Path, variable: str, text: str, key: str, value: object
) -> None:
    assert load(tmp_path, DATAVERSE + LINK, {variable: text}).settings_by_key()[key] == value


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BULKLINK_SEND_CONCURENCY": "4"}, "[send] has no key concurency\n    nearest: BULKLINK_SEND_CONCURRENCY"),
        ({"BULKLINK_SEND_BATCH_SIZE": "many"}, 'BULKLINK_SEND_BATCH_SIZE: send.batch_size: must be "auto"'),
        ({"BULKLINK_LINK_FROM": "account"}, "BULKLINK_LINK_FROM: link.from: is a table: set it in the job file"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, env: dict[str, str], said: str) -> None:
    assert said in problems(tmp_path, DATAVERSE + LINK, env)


def test_a_variable_for_one_of_several_links_is_refused(tmp_path: Path) -> None:
    text = DATAVERSE + (LINK + LINK).replace("[link]", "[[link]]")
    assert "which of the 2 [[link]]?" in problems(tmp_path, text, {"BULKLINK_LINK_FORM": "bind"})


def test_variables_of_sign_in_and_of_others_are_left_alone(tmp_path: Path) -> None:
    env = {"BULKLINK_TOKEN": SECRET, "BULKLINK_TOKEN_FILE": "f", "BULKLINK_CLIENT_ID": "c", "PATH": "/bin"}
    assert load(tmp_path, DATAVERSE + LINK, env).job == load(tmp_path, DATAVERSE + LINK).job


def test_the_environment_may_come_from_a_variable(tmp_path: Path) -> None:
    loaded = load(tmp_path, LINK, {"BULKLINK_URL": "https://a.example"})
    assert loaded.job.dataverse.url == "https://a.example"
    assert load(tmp_path, DATAVERSE + LINK, {"BULKLINK_URL": "https://a.example"}).job.dataverse.url.endswith(".com")


def test_references_stand_for_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "tenant.txt").write_text("t-from-file\n")
    text = '[dataverse]\nurl = "https://${ORG}.example"\ntenant_id = "${file:tenant.txt}"\nclient_id = "$${kept}"\n'
    loaded = load(tmp_path, text + LINK, {"ORG": "contoso"})
    assert loaded.job.dataverse.url == "https://contoso.example"
    assert loaded.job.dataverse.tenant_id == "t-from-file"
    assert loaded.job.dataverse.client_id == "${kept}"
    assert {setting.source for setting in loaded.settings if setting.key == "dataverse.url"} == {
        "job.toml, line 2: https://${ORG}.example"
    }


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${NOT_SET}", "${NOT_SET}: there is no such environment variable"),
        ("${file:none.txt}", "${file:none.txt}: cannot read the file: No such file"),
        ("${vault:a}", "${vault:a}: neither ${VARIABLE}"),
        ("${keyring:name}", "${keyring:name}: must be written ${keyring:SERVICE/NAME}"),
    ],
)
def test_a_reference_to_nothing_is_named(tmp_path: Path, reference: str, said: str) -> None:
    text = DATAVERSE + f'client_secret = "{reference}"\n' + LINK
    assert f"job.toml, line 4: dataverse.client_secret: {said}" in problems(tmp_path, text)


KEYRING = f"""
class errors:
    class KeyringError(Exception): ...

def get_password(service, name):
    if service == "locked":
        raise errors.KeyringError("the wallet is closed")
    return {SECRET!r} if (service, name) == ("bulklink/prod", "secret") else None
"""


def test_a_secret_may_come_from_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = types.ModuleType("keyring")
    exec(KEYRING, vars(keyring))
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    text = DATAVERSE + 'client_secret = "${keyring:bulklink/prod/secret}"\n' + LINK
    assert load(tmp_path, text).sign_in_words()["client_secret"] == SECRET
    assert "no such entry" in problems(tmp_path, text.replace("prod", "test"))
    assert "the keyring refuses: KeyringError" in problems(tmp_path, text.replace("bulklink/prod", "locked"))


def test_a_keyring_that_is_not_installed_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    text = DATAVERSE + 'client_secret = "${keyring:a/b}"\n' + LINK
    assert 'pip install "bulklink[keyring]"' in problems(tmp_path, text)


def test_a_secret_that_the_way_of_signing_in_does_not_use_need_not_be_there(tmp_path: Path) -> None:
    text = DATAVERSE + 'auth = "client-secret"\nclient_secret = "${NOT_SET}"\n' + LINK
    assert "no such environment variable" in problems(tmp_path, text)
    assert load(tmp_path, text, flags={"dataverse.auth": "token"}).job.dataverse.client_secret is None


# Secrets


@pytest.mark.parametrize("key", ["client_secret", "certificate_password"])
@pytest.mark.parametrize("value", [SECRET, SECRET + "${X}"])
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path, key: str, value: str) -> None:
    text = problems(tmp_path, DATAVERSE + f'{key} = "{value}"\n' + LINK, {"X": "x"})
    assert f"job.toml, line 4: dataverse.{key}: a literal secret is refused" in text
    assert SECRET not in text


def test_a_secret_is_in_no_text_of_the_job(tmp_path: Path) -> None:
    loaded = load(tmp_path, WHOLE, {"BULKLINK_CLIENT_SECRET": SECRET})
    shown = [repr(loaded), str(loaded.job), json.dumps(loaded.settings_by_key()), loaded.job.fingerprint_parts()]
    assert not [text for text in shown if SECRET in text]
    assert loaded.sign_in_words()["client_secret"] == SECRET


def test_a_secret_of_the_wrong_type_is_not_repeated(tmp_path: Path) -> None:
    text = problems(tmp_path, DATAVERSE + f'client_secret = ["{SECRET}"]\n' + LINK)
    assert "dataverse.client_secret: must be text in quotes" in text
    assert SECRET not in text


def test_broken_toml_around_a_secret_does_not_repeat_it(tmp_path: Path) -> None:
    with pytest.raises(JobFileError) as refused:
        load(tmp_path, f'[dataverse]\nclient_secret = "{SECRET}\n')
    assert SECRET not in str(refused.value)


# The fingerprint


@pytest.mark.parametrize(
    "change",
    [
        '[send]\nbatch_size = 7\nconcurrency = 3\nshare = "50%"\ndeadline = "2h"\n',
        '[send]\nisolation = "change-set"\n',
        "[guard]\nmin_rows = 3\n",
        '[report]\ndir = "elsewhere"\nhtml = false\n',
        '[verify]\nmode = "all"\n',
        'form = "auto"\naction = "associate"\n',
    ],
)
def test_tuning_and_said_defaults_leave_the_fingerprint_alone(tmp_path: Path, change: str) -> None:
    before = load(tmp_path, DATAVERSE + LINK).job.fingerprint_parts()
    assert load(tmp_path, DATAVERSE + LINK + change).job.fingerprint_parts() == before


@pytest.mark.parametrize(
    "change",
    [
        'action = "disassociate"\n',
        'form = "ref-add"\n',
        '[send]\nisolation = "row"\n',
        '[send]\nisolation = "group"\ngroup_by = "Order"\n',
        'empty_to = "none"\n',
    ],
)
def test_what_is_asked_changes_the_fingerprint(tmp_path: Path, change: str) -> None:
    before = load(tmp_path, DATAVERSE + LINK).job.fingerprint_parts()
    assert load(tmp_path, DATAVERSE + LINK + change).job.fingerprint_parts() != before


def test_the_fingerprint_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    lines = LINK.strip().splitlines()
    turned = "\n".join([lines[0], *reversed(lines[1:])])
    jobs = [load(tmp_path, DATAVERSE + text).job for text in (LINK, turned)]
    assert jobs[0].fingerprint_parts() == jobs[1].fingerprint_parts()


# One line


def one_line(**changes: object) -> LoadedJob:
    words = {
        "relationship": "accountleads_association",
        "from_side": "account=Account Id",
        "to_side": "lead.emailaddress1=E-mail = work",
        "env": {},
        "overrides": {"dataverse.url": "http://127.0.0.1:1"},
        **changes,
    }
    return Job.from_one_line("associate", "links.csv", **words)  # type: ignore[arg-type]


def test_one_line_is_a_whole_job() -> None:
    loaded = one_line()
    link = loaded.job.links[0]
    assert loaded.job.name == "associate-accountleads_association"
    assert loaded.job.input is not None
    assert loaded.job.input.file == ("links.csv",)
    assert link.to is not None
    assert (link.from_.table, link.from_.match) == ("account", {"": "Account Id"})
    assert (link.to.table, link.to.match) == ("lead", {"emailaddress1": "E-mail = work"})
    assert loaded.base_dir == Path.cwd()


@pytest.mark.parametrize("side", ["account", "=Id", "account=", "account.=Id", "ac count=Id"])
def test_a_side_that_is_none_is_answered_with_an_example(side: str) -> None:
    with pytest.raises(UsageError, match="is not TABLE=HEADER") as refused:
        one_line(from_side=side)
    assert '--from "account=Account Id"' in refused.value.hint


def test_what_the_line_says_outright_is_not_for_a_variable_to_change() -> None:
    env = {"BULKLINK_INPUT_FILE": "other.csv", "BULKLINK_LINK_ACTION": "disassociate", "BULKLINK_SEND_BATCH_SIZE": "7"}
    assert one_line(env=env).job.links[0].action == "associate"
    assert one_line(env=env).job.send.batch_size == 7


def test_a_wrong_flag_is_named_as_it_was_typed() -> None:
    with pytest.raises(JobFileError, match=r"^--batch-size: send\.batch_size: must be"):
        one_line(overrides={"dataverse.url": "http://localhost", "send.batch_size": "0"})
    with pytest.raises(JobFileError, match=r"^--form: link\.form: must be"):
        one_line(overrides={"dataverse.url": "http://localhost", "link.form": "fastest"})


def test_a_mapping_is_a_job_as_well() -> None:
    values = tomllib.loads(DATAVERSE + INPUT + LINK)
    loaded = Job.from_mapping(values, {})
    assert loaded.required_input().file == ("links.csv",)
    del values["input"]
    with pytest.raises(JobFileError, match="input: is missing"):
        Job.from_mapping(values, {}).required_input()


# Values


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["90", "2 h", "1d", "-5s", "", "s", 5, None, "1h30m"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_limit_is_a_number_of_rows_or_a_part_of_them() -> None:
    assert parse_limit(20).rows_of(1000) == 20
    assert parse_limit("20").rows_of(10) == 20
    assert parse_limit("5%").rows_of(1000) == 50
    assert parse_limit("100%").rows_of(7) == 7
    assert parse_limit("0%").rows_of(7) == 0
    assert str(parse_limit("2.5%")) == "2.5%"
    assert parse_percent("25%") == 0.25
    with pytest.raises(ValueError, match="percentage"):
        parse_percent("0%")


NOW = datetime(2026, 11, 23, 22, 30, tzinfo=UTC).astimezone()


def test_a_deadline_is_the_next_such_time_here_a_moment_or_a_span() -> None:
    assert next_deadline("", NOW) is None
    assert next_deadline("2h", NOW) == NOW + timedelta(hours=2)
    for text in ("00:00", "06:00", "23:59"):
        deadline = next_deadline(text, NOW)
        assert deadline is not None
        assert NOW < deadline <= NOW + timedelta(hours=25)
        assert deadline.strftime("%H:%M") == text
    assert next_deadline("2026-11-24T06:00:00+00:00", NOW) == datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert next_deadline("2026-11-24T06:00", NOW) == datetime(2026, 11, 24, 6).astimezone()
    with pytest.raises(ValueError, match="HH:MM"):
        next_deadline("6 o'clock", NOW)


# The schema


def described(schema: dict[str, object]) -> list[tuple[str, object]]:
    found = []
    for table in (schema, *schema["$defs"].values()):  # type: ignore[attr-defined]
        found += [(key, value) for key, value in table.get("properties", {}).items()]
    return found


def test_the_schema_is_valid_and_describes_every_key() -> None:
    schema = job_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [key for key, value in described(schema) if not value.get("description")] == []  # type: ignore[attr-defined]


def test_the_schema_knows_no_null() -> None:
    assert "null" not in json.dumps(job_schema())


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        DATAVERSE + LINK,
        DATAVERSE + (LINK + LINK).replace("[link]", "[[link]]"),
        DATAVERSE + RECORD,
        DATAVERSE + PARTIES,
        DATAVERSE + INPUT.replace('"links.csv"', '["a.csv", "b.csv"]') + LINK + 'action = { column = "A" }\n',
        DATAVERSE + LINK + '[send]\nmax_failures = 3\nbatch_size = 100\ndeadline = "06:00"\n',
    ],
)
def test_schema_and_models_accept_the_same_jobs(tmp_path: Path, text: str) -> None:
    jsonschema.validate(tomllib.loads(text), job_schema())
    load(tmp_path, text, {"BULKLINK_CLIENT_SECRET": "s"})


@pytest.mark.parametrize(
    "text",
    [
        DATAVERSE,
        DATAVERSE + LINK + RECORD,
        DATAVERSE + LINK + "[send]\nconcurency = 1\n",
        DATAVERSE + LINK + '[send]\nrequest_timeout = "5"\n',
        DATAVERSE + LINK + "[send]\nbatch_size = 1001\n",
        DATAVERSE + LINK + '[report]\noutcomes = ["pdf"]\n',
        DATAVERSE + LINK + 'form = "create"\n',
        DATAVERSE + f'client_secret = "{SECRET}"\n' + LINK,
    ],
)
def test_schema_and_models_refuse_the_same_jobs(tmp_path: Path, text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), job_schema())
    problems(tmp_path, text)


# Lines of TOML


def test_every_key_has_the_line_it_stands_in() -> None:
    text = '''# [not.a.table]
top = """
[nor.this] = 1
"""
a.b = 1 # c = 2
[t."quoted key"]
list = [
  1, { x = "}]", y = [2] },
  \'\'\'
k = v\'\'\',
]
[[many]]
one = 1979-05-27 07:32:00
[[many]]
[many.below]
two = 1.5
'''
    lines = read_toml(text).lines
    assert lines["top",] == 2
    assert lines["a", "b"] == 5
    assert lines["t", "quoted key"] == 6
    assert lines["t", "quoted key", "list"] == 7
    assert lines["t", "quoted key", "list", 1, "y", 0] == 8
    assert lines["t", "quoted key", "list", 2] == 9
    assert lines["many", 0, "one"] == 13
    assert lines["many", 1, "below", "two"] == 16
    assert ("nor", "this") not in lines
    assert read_toml(text).line_of(("many", 1, "below", "three")) == 15


def test_a_toml_error_carries_its_line() -> None:
    with pytest.raises(TomlError) as wrong:
        read_toml("a = 1\n\nb = [1,\n")
    assert wrong.value.line == 4
