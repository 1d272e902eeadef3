"""Nothing that a person may type or read goes undocumented, and the pages name nothing that is not there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bulklink.cli.commands import COMMANDS
from bulklink.cli.entry import front_door
from bulklink.errors import ExitCode
from bulklink.job import Job, job_schema
from bulklink.vocabulary import OUTCOME_COLUMNS, Form, Outcome

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bulklink").rglob("*.py")))

#: Goes with the README's reference part; strict, so that it cannot outstay it.
WAITS_FOR_README = pytest.mark.xfail("## Job file" not in README, reason="the README's reference is not written yet")


def command(name: str) -> click.Command:
    found = front_door.get_command(click.Context(front_door), name)
    assert found is not None
    return found


def help_of(name: str) -> str:
    return command(name).get_help(click.Context(command(name), info_name=f"bulklink {name}"))


HELP = {name: help_of(name) for name in COMMANDS}
PAGES = "\n".join([README, *HELP.values()])


def code_words(text: str) -> set[str]:
    """What a page sets in backticks, word by word, and what its code blocks hold."""
    spans = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {word for span in spans for word in re.findall(r"[\w./-]+", span)}


# What there is


def job_keys() -> Iterator[tuple[str, str]]:
    """(section, key) of everything that a job file may say; "" for the top."""
    schema = job_schema()
    for key in schema["properties"]:
        yield "", key
    for section, table in schema["$defs"].items():
        for key in table.get("properties", ()):
            yield section.lower(), key


def documented_keys() -> set[str]:
    """Every key that a TOML block of the README sets, and every word in backticks."""

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, below in value.items():
                yield key
                yield from keys(below)
        elif isinstance(value, list):
            for below in value:
                yield from keys(below)

    return {key for block in toml_blocks() for key in keys(tomllib.loads(block))} | code_words(README)


def toml_blocks() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


#: What must be documented: the things, and the words that the pages have for them.
REFERENCE = {
    "commands": (set(COMMANDS), lambda: code_words(PAGES)),
    "job keys": ({key for _, key in job_keys()}, documented_keys),
    "outcomes": ({one.word for one in Outcome if one.word}, lambda: code_words(README)),
    "outcome columns": (set(OUTCOME_COLUMNS), lambda: code_words(README)),
    "wire forms": ({form.value for form in Form}, lambda: code_words(README)),
    "exit codes": (
        {str(int(code)) for code in ExitCode},
        lambda: set(re.findall(r"\d+", " ".join(re.findall(r"^\| ([\d, /]+) \|", README, re.MULTILINE)))),
    ),
    "files of a run": (
        {"outcomes.csv", "troubles.csv", "summary.json", "report.html", "journal.sqlite", "input.arrow", "log.jsonl"},
        lambda: code_words(README),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=WAITS_FOR_README) for kind in REFERENCE])
def test_everything_a_person_may_meet_is_documented(kind: str) -> None:
    things, documented = REFERENCE[kind]
    assert sorted(things - documented()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_its_commands_help_with_a_sentence(name: str) -> None:
    options = [one for one in command(name).params if isinstance(one, click.Option)]
    assert [one.opts for one in options if not one.help or one.opts[0] not in HELP[name]] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_in_its_commands_usage(name: str) -> None:
    arguments = [one for one in command(name).params if isinstance(one, click.Argument)]
    usage = HELP[name].split("\n\n")[0]
    assert [one.name for one in arguments if (one.metavar or one.name or "").upper() not in usage.upper()] == []


def test_exit_codes_are_in_the_help_of_the_whole() -> None:
    shown = front_door.get_help(click.Context(front_door, info_name="bulklink"))
    told = set(re.findall(r"\d+", shown[shown.index("Exit codes:") :]))
    assert {str(int(code)) for code in ExitCode} <= told


# What the pages name is there


def test_every_command_that_a_page_names_exists() -> None:
    pages = [README, *((ROOT / "samples").rglob("README.md"))]
    texts = [page if isinstance(page, str) else page.read_text(encoding="utf-8") for page in pages]
    named = {word for text in texts for word in re.findall(r"^\s*bulklink ([a-z]+)\b", text, re.MULTILINE)}
    assert named - set(COMMANDS) == set()


def test_every_option_that_the_readme_names_exists() -> None:
    known = {option for name in COMMANDS for one in command(name).params for option in one.opts} | {
        "--version",
        "--help",
    }
    of_others = {"--upgrade", "--index-url"}  # pip's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - known - of_others == set()


def test_every_variable_that_a_page_names_is_read_somewhere() -> None:
    sections = {section.upper() for section in job_schema()["properties"]}
    for variable in set(re.findall(r"(?<!_)BULKLINK_[A-Z_]+[A-Z]", PAGES)):
        is_override = variable.removeprefix("BULKLINK_").partition("_")[0] in sections
        assert is_override or f'{variable.removeprefix("BULKLINK_")}"' in CODE, variable


def test_every_whole_job_of_the_readme_is_accepted(tmp_path: Path) -> None:
    for number, block in enumerate(toml_blocks()):
        if not re.search(r"^version = ", block, re.MULTILINE):
            continue
        path = tmp_path / f"job{number}.toml"
        path.write_text(block, encoding="utf-8")
        Job.load(path, dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", block), "x"))
