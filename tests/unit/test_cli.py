"""The front door: words in, exit code out; quick, and readable when something is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import bulklink
from bulklink.cli import main
from bulklink.cli.commands import COMMANDS, Entry
from bulklink.cli.entry import front_door
from bulklink.errors import ExitCode, Interrupted, JobError, LockHeld
from bulklink.explanations import EXIT_CODES, OUTCOMES
from bulklink.job import job_schema
from bulklink.vocabulary import Outcome

ONE_LINE = ["associate", "links.csv", "--url", "http://127.0.0.1:1", "--relationship", "accountleads_association"]
SIDES = ["--from", "account=Account Id", "--to", "lead=Lead Id"]
HEAVY = ("pandas", "numpy", "pyarrow", "aiohttp", "pydantic", "msal", "openpyxl", "rich", "asyncio", "jinja2")
JOB = """
[dataverse]
url = "http://127.0.0.1:1"
[input]
file = "links.csv"
[link]
relationship = "accountleads_association"
from = { table = "account", match = { accountid = "Account Id" } }
to = { table = "lead", match = { leadid = "Lead Id" } }
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(JOB, encoding="utf-8")
    return path


def fresh_python(code: str, **env: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **env}
    )
    return ran.stdout


# Quick


def test_the_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from bulklink.cli import main
assert main(["--help"]) == 0
assert main(["explain", "3"]) == 0
assert main(["associate", "--help"]) == 0
print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    assert fresh_python(code).splitlines()[-1] == "heavy: []"


def test_the_help_names_every_command_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert not [name for name, entry in COMMANDS.items() if name not in shown or entry.help.split()[0] not in shown]


def test_completion_knows_commands_and_options() -> None:
    words = {"_BULKLINK_COMPLETE": "bash_complete", "COMP_WORDS": "bulklink ass", "COMP_CWORD": "1"}
    assert "plain,associate" in fresh_python("from bulklink.cli import main; main([])", **words)
    words |= {"COMP_WORDS": "bulklink associate --rel", "COMP_CWORD": "2"}
    assert "plain,--relationship" in fresh_python("from bulklink.cli import main; main([])", **words)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shells_understand_the_completion_that_the_readme_names(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    script = fresh_python("from bulklink.cli import main; main([])", _BULKLINK_COMPLETE=f"{shell}_source")
    (tmp_path / "completion").write_text(script, encoding="utf-8")
    stub = "compdef() { echo known: $*; }\n" if shell == "zsh" else ""
    asked = "; complete -p bulklink" if shell == "bash" else ""
    line = f"{stub}source {tmp_path / 'completion'}{asked}"
    ran = subprocess.run([shell, "-c", line], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "_bulklink_completion" in ran.stdout


# Every command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: bulklink {name}")
    context = click.Context(front_door)
    command = front_door.get_command(context, name)
    assert command is not None
    assert not [one.name for one in command.params if isinstance(one, click.Option) and not one.help]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_how_it_is_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    _, mark, examples = re.split(r"\n *(Examples?:)\n", capsys.readouterr().out, maxsplit=1)
    assert re.search(rf"^ +(\w+=\S+ )?bulklink {name}\b", examples, re.MULTILINE), mark


RUN_OPTIONS = (
    "--run-dir", "--dry-run", "--concurrency", "--batch-size", "--change-set-size", "--isolation", "--deadline",
    "--max-failures", "--allow-removals", "--fresh", "--retry-failed", "--json", "--quiet", "--log-format",
    "--show-settings", "-v",
)  # fmt: skip


@pytest.mark.parametrize("name", ["associate", "disassociate", "run"])
def test_commands_that_send_have_the_common_options(name: str) -> None:
    command = front_door.get_command(click.Context(front_door), name)
    assert command is not None
    assert set(RUN_OPTIONS) <= {option for one in command.params for option in one.opts}


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bulklink {bulklink.__version__}\n"


# Errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["assciate"], "No such command 'assciate'. Did you mean 'associate'?"),
        (["run"], "Missing argument 'JOB.toml'."),
        (["run", "none.toml", "--no-such"], "No such option '--no-such'"),
        ([*ONE_LINE], "Missing option '--from'."),
        ([*ONE_LINE, *SIDES, "--batch-size", "many"], "--batch-size: send.batch_size: must be"),
        ([*ONE_LINE, *SIDES, "--isolation", "rows"], "--isolation: send.isolation: must be one of"),
        ([*ONE_LINE, *SIDES, "--form", "create"], "--form: link.form: must be"),
        ([*ONE_LINE, *SIDES, "--deadline", "late"], "--deadline: send.deadline: must be"),
        ([*ONE_LINE, *SIDES, "--max-failures", "x%"], "--max-failures: send.max_failures: must be"),
        ([*ONE_LINE, *SIDES, "--fresh", "--retry-failed"], "contradict each other"),
        ([*ONE_LINE, "--from", "account", "--to", "lead=L"], '--from "account" is not TABLE=HEADER'),
        (["explain", "no-such-thing"], "is no code of the service that is known here"),
    ],
)
def test_what_cannot_be_used_exits_2_and_says_what_and_what_next(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == ExitCode.UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    first, *_, last = err.splitlines()
    assert first.startswith("Error: ")
    assert said in err
    assert last.startswith("Next: ")
    assert last.endswith("(exit code 2)")


def test_a_wrong_job_is_told_with_file_line_key_and_nearest_key(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.write_text(JOB + "[send]\nconcurency = 1\n", encoding="utf-8")
    assert main(["run", str(job)]) == ExitCode.UNUSABLE
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Error: job.toml, line 11: send.concurency: unknown key"
    assert lines[1].strip() == "nearest: concurrency"


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """A command `boom` beside the others, which raises what a test wants."""

    def install(error: BaseException) -> None:
        @click.command()
        @click.option("-v", "verbose", is_flag=True)
        @click.pass_obj
        def boom(obj: object, verbose: bool) -> None:
            obj.verbose = verbose  # type: ignore[attr-defined]
            raise error

        module = types.ModuleType("bulklink.cli.boom")
        module.boom = boom  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "bulklink.cli.boom", module)
        monkeypatch.setitem(front_door.entries, "boom", Entry("Links", "boom", "Raise."))  # type: ignore[attr-defined]

    return install


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (JobError("first\nsecond", hint="Do this."), 2, ["Error: first", "  second", "Next: Do this. (exit code 2)"]),
        (LockHeld("held"), 7, ["Error: held", "Next: Wait until it has ended. (exit code 7)"]),
        (Interrupted(ExitCode.SIGTERM), 143, ["Error: interrupted"]),
        (KeyboardInterrupt(), 130, ["Error: interrupted"]),
        (click.Abort(), 130, ["Error: interrupted"]),
        (click.FileError("x.csv", "broken"), 2, ["Error: Could not open file 'x.csv': broken"]),
    ],
)
def test_an_error_becomes_a_block_and_its_exit_code(
    error: BaseException,
    code: int,
    said: list[str],
    boom: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    boom(error)
    assert main(["boom"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in said if line not in lines] == []


def test_a_bug_exits_1_shortly_and_with_its_trace_on_request(
    boom: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    boom(ZeroDivisionError("by zero"))
    assert main(["boom"]) == ExitCode.BUG
    err = capsys.readouterr().err
    assert re.match(r"Error: ZeroDivisionError at \w+\.py:\d+: by zero\n", err)
    assert "This is a bug in bulklink" in err
    assert "Traceback" not in err
    assert main(["boom", "-v"]) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err


def test_errors_are_json_where_the_log_is(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job.write_text(JOB + "[send]\nshare = 5\n", encoding="utf-8")
    assert main(["run", str(job), "--log-format", "json"]) == ExitCode.UNUSABLE
    error = json.loads(capsys.readouterr().err)
    assert (error["event"], error["exit_code"]) == ("error", 2)
    assert "send.share" in error["message"]


def test_a_colour_appears_on_no_pipe_and_with_no_color_nowhere(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "none.toml"]) == ExitCode.UNUSABLE
    assert "\x1b" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["run", "none.toml"]) == ExitCode.UNUSABLE
    assert "\x1b" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["run", "none.toml"]) == ExitCode.UNUSABLE
    assert "\x1b" not in capsys.readouterr().err


def test_a_reader_of_the_output_that_has_gone_is_no_bug() -> None:
    command = f"{sys.executable} -m bulklink schema | head -c 1"
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("{", "")


# Settings


def test_settings_are_shown_with_their_origin_and_nothing_is_done(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BULKLINK_SEND_CONCURRENCY", "7")
    assert main(["run", str(job), "--batch-size", "50", "--show-settings", "--json"]) == 0
    sources = {row["key"]: (row["value"], row["source"]) for row in json.loads(capsys.readouterr().out)}
    assert sources["send.batch_size"] == (50, "--batch-size")
    assert sources["send.concurrency"] == (7, "BULKLINK_SEND_CONCURRENCY")
    assert sources["input.file"] == ("links.csv", "job.toml, line 5")
    assert sources["send.share"] == ("100%", "default")
    assert main(["run", str(job), "--show-settings"]) == 0
    assert "send.concurrency" in capsys.readouterr().out
    assert [path.name for path in job.parent.iterdir()] == ["job.toml"]


def test_a_path_that_is_typed_starts_where_it_is_typed(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["run", "../job.toml", "--ca-file", "ca.pem", "--show-settings", "--json"]) == 0
    settings = {row["key"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert settings["dataverse.ca_file"] == str(tmp_path / "elsewhere" / "ca.pem")


# Help with words


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == job_schema()


@pytest.mark.parametrize("code", [*(str(int(code)) for code in ExitCode), *(one.word for one in OUTCOMES)])
def test_every_outcome_and_exit_code_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code]) == 0
    title, meaning, advice = capsys.readouterr().out.splitlines()
    assert title in (f"Exit code {code}", f"Outcome {code}")
    assert len(meaning) > 10
    assert advice.startswith("  Next: ")


def test_no_outcome_and_no_exit_code_is_left_out_of_the_tables() -> None:
    assert set(OUTCOMES) == set(Outcome) - {Outcome.NONE}
    assert set(EXIT_CODES) == set(ExitCode)


@pytest.mark.parametrize("code", ["0x80040237", "0X80040237", "80040237", "-2147220937", "DuplicateRecord"])
def test_a_service_code_is_explained_however_it_is_written(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code]) == 0
    shown = capsys.readouterr().out
    assert "DuplicateRecord" in shown
    assert "Next: " in shown


def test_a_word_that_is_nearly_an_outcome_is_answered_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "unresolvd"]) == ExitCode.UNUSABLE
    assert "Nearest: unresolved" in capsys.readouterr().err
