"""samples/nightly: the job is a job, and each scheduler's file is what that scheduler reads."""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bulklink.errors import ExitCode
from bulklink.job import Job, job_schema

NIGHTLY = Path(__file__).parents[2] / "samples" / "nightly"
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
XS_DURATION = r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?"

#: MS-TSCH 2.5, the Task Scheduler's schema: what may stand below an element, as far as the sample uses it.
TASK_CHILDREN = {
    "Task": {"RegistrationInfo", "Triggers", "Principals", "Settings", "Data", "Actions"},
    "RegistrationInfo": {"URI", "SecurityDescriptor", "Source", "Date", "Author", "Version", "Description"},
    "Triggers": {"CalendarTrigger", "TimeTrigger", "BootTrigger", "LogonTrigger"},
    "CalendarTrigger": {"Enabled", "StartBoundary", "EndBoundary", "Repetition", "RandomDelay", "ScheduleByDay"},
    "ScheduleByDay": {"DaysInterval"},
    "Principals": {"Principal"},
    "Principal": {"UserId", "LogonType", "GroupId", "DisplayName", "RunLevel"},
    "Settings": {
        "AllowStartOnDemand", "RestartOnFailure", "MultipleInstancesPolicy", "DisallowStartIfOnBatteries",
        "StopIfGoingOnBatteries", "AllowHardTerminate", "StartWhenAvailable", "NetworkProfileName",
        "RunOnlyIfNetworkAvailable", "WakeToRun", "Enabled", "Hidden", "DeleteExpiredTaskAfter", "IdleSettings",
        "NetworkSettings", "ExecutionTimeLimit", "Priority", "RunOnlyIfIdle",
    },
    "Actions": {"Exec"},
    "Exec": {"Command", "Arguments", "WorkingDirectory"},
}  # fmt: skip
TASK_VALUES = {
    "Enabled": "true|false",
    "StartBoundary": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    "RandomDelay": XS_DURATION,
    "DaysInterval": r"\d+",
    "LogonType": "S4U|Password|InteractiveToken|InteractiveTokenOrPassword|ServiceAccount",
    "RunLevel": "LeastPrivilege|HighestAvailable",
    "AllowHardTerminate": "true|false",
    "DisallowStartIfOnBatteries": "true|false",
    "ExecutionTimeLimit": XS_DURATION,
    "MultipleInstancesPolicy": "Parallel|Queue|IgnoreNew|StopExisting",
    "RunOnlyIfNetworkAvailable": "true|false",
    "StartWhenAvailable": "true|false",
    "StopIfGoingOnBatteries": "true|false",
}


def test_the_job_is_accepted_and_its_schema_is_the_one_that_is_printed() -> None:
    loaded = Job.load(NIGHTLY / "job.toml", {"BULKLINK_CLIENT_SECRET": "s"})
    assert loaded.job.name == "account-leads"
    first_line = (NIGHTLY / "job.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first_line == "#:schema ./bulklink.schema.json"
    assert json.loads((NIGHTLY / "bulklink.schema.json").read_text(encoding="utf-8")) == job_schema()


# systemd


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in NIGHTLY.glob("bulklink-account-leads.*"):
        # The command need not be installed here; everything else is verified as it stands.
        text = unit.read_text(encoding="utf-8").replace("/usr/local/bin/bulklink", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    units = sorted(str(unit) for unit in tmp_path.iterdir())
    assert len(units) == 2
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def unit_values(name: str) -> dict[str, str]:
    lines = (NIGHTLY / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_systemd_tries_again_after_4_alone() -> None:
    service = unit_values("bulklink-account-leads.service")
    failures = {code for code in ExitCode if code not in (ExitCode.AS_ASKED, ExitCode.SIGINT, ExitCode.SIGTERM)}
    not_again = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert service["Restart"] == "on-failure"
    assert failures - not_again == {ExitCode.STOPPED_EARLY}
    assert service["SuccessExitStatus"] == str(int(ExitCode.SIGTERM))


# cron


def night(tmp_path: Path, exit_codes: list[int]) -> tuple[int, int]:
    """Run nightly.sh with a `bulklink` that ends with these codes, one after the other. Returns (code, calls)."""
    script = shutil.copy(NIGHTLY / "nightly.sh", tmp_path)
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in exit_codes))
    stub = tmp_path / "bin" / "bulklink"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\necho x >>calls\ncode=$(head -n 1 codes)\nsed -i 1d codes\nexit "$code"\n')
    stub.chmod(0o755)
    env = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "PAUSE_S": "0"}
    ended = subprocess.run(["/bin/sh", script], env=env, check=False, cwd="/")
    return ended.returncode, len((tmp_path / "calls").read_text().splitlines())


@pytest.mark.skipif(os.name == "nt", reason="cron's script is for POSIX shells")
@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0], (0, 1)),
        ([4, 0], (0, 2)),
        ([4, 4, 3], (3, 3)),
        ([4, 4, 4, 0], (4, 3)),
        *(([code, 0], (code, 1)) for code in (1, 2, 3, 5, 6, 7, 143)),
    ],
)
def test_crons_script_tries_again_after_4_alone(tmp_path: Path, codes: list[int], expected: tuple[int, int]) -> None:
    assert night(tmp_path, codes) == expected


def test_cron_has_five_times_and_a_command() -> None:
    lines = (NIGHTLY / "crontab").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|[A-Z]+=", line)]
    assert len(jobs) == 1
    assert re.match(r"([\d*/,-]+\s+){5}\S", jobs[0])
    assert "%" not in jobs[0], "cron turns % into a newline"


# Windows


def test_the_windows_task_is_utf_16_as_it_declares() -> None:
    raw = (NIGHTLY / "windows-task.xml").read_bytes()
    assert raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    assert raw.decode("utf-16").startswith('<?xml version="1.0" encoding="UTF-16"?>\r\n')


def test_the_windows_task_has_the_task_schedulers_shape() -> None:
    task = ET.fromstring((NIGHTLY / "windows-task.xml").read_bytes())
    assert task.tag == TASK + "Task"
    assert task.get("version") == "1.2"
    for element in task.iter():
        name = element.tag.removeprefix(TASK)
        children = [child.tag.removeprefix(TASK) for child in element]
        assert set(children) <= TASK_CHILDREN.get(name, set()), name
        assert len(children) == len(set(children)), name
        if name in TASK_VALUES:
            assert re.fullmatch(TASK_VALUES[name], element.text or ""), f"{name}: {element.text}"
    principal = task.find(f"{TASK}Principals/{TASK}Principal")
    actions = task.find(f"{TASK}Actions")
    assert principal is not None
    assert actions is not None
    assert actions.get("Context") == principal.get("id")


def test_the_windows_script_has_windows_line_ends_and_hands_the_code_on() -> None:
    raw = (NIGHTLY / "nightly.cmd").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert b'if not "%code%"=="4" exit /b %code%' in raw


# What each exit code should do


def test_the_page_says_for_every_exit_code_what_to_do() -> None:
    page = (NIGHTLY / "README.md").read_text(encoding="utf-8")
    told = {int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for code in cell.split(",")}
    assert told == {int(code) for code in ExitCode}
