"""What people and programs see of a run: on a terminal, in a pipe, quiet, as JSON, with and without colours."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.live import ADD, NN, Scene, account, lead, scene

pty = pytest.importorskip("pty", reason="needs POSIX")

SLOW = "[latency]\noperation_s = 0.004\n"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?!0?m)[0-9;]+m")


class Shown(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("terminal"), weather=SLOW) as stage:
        stage.write_rows([(account(n % 60), lead(n), "+") for n in range(300)] + [("no id", lead(1), "+")])
        stage.write_job(NN.format(action=ADD))
        yield stage


def typed(stage: Scene, flags: Sequence[str], *, terminal: Sequence[str] = (), **env: str) -> Shown:
    """Run the job; terminal: which of "out" and "err" are one."""
    ends = {name: pty.openpty() if name in terminal else os.pipe() for name in ("out", "err")}
    command = [sys.executable, "-m", "bulklink", "run", "job.toml", "--fresh", *flags]
    known = {name: value for name, value in stage.env.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    reading = {name: end[0] for name, end in ends.items()}
    writing = {name: end[1] for name, end in ends.items()}
    process = subprocess.Popen(
        command,
        cwd=stage.folder,
        env=known | {"TERM": "xterm-256color"} | env,
        stdout=writing["out"],
        stderr=writing["err"],
        stdin=subprocess.DEVNULL,
    )
    for end in writing.values():
        os.close(end)
    with ThreadPoolExecutor() as readers:  # a terminal that nobody reads stops whoever writes to it
        said = dict(zip(reading, readers.map(everything, reading.values()), strict=True))
    return Shown(process.wait(60), said["out"], said["err"])


def everything(end: int) -> str:
    """What comes until nobody can write any more; a terminal that was left says so by an error."""
    pieces = []
    with contextlib.suppress(OSError):
        while piece := os.read(end, 65_536):
            pieces.append(piece)
    os.close(end)
    return b"".join(pieces).decode().replace("\r\n", "\n")


def test_in_a_pipe_there_are_plain_lines_and_no_escape(stage: Scene) -> None:
    shown = typed(stage, [])
    assert shown.code == 3
    assert "\x1b" not in shown.out + shown.err
    assert "\r" not in shown.out + shown.err
    assert "job begins: 301 rows" in shown.err
    assert shown.out.startswith("job: 1 of 301 rows not as asked.\n")


def test_on_a_terminal_a_line_lives_and_the_summary_stays(stage: Scene) -> None:
    shown = typed(stage, [], terminal=("out", "err"), COLUMNS="120")
    assert shown.code == 3
    assert "\x1b[" in shown.err
    seen = ESCAPE.sub("", shown.err)
    assert re.search(r"[\d,]+ of 301 rows", seen)
    assert "in flight" in seen
    assert "job: 1 of 301 rows not as asked." in ESCAPE.sub("", shown.out)


@pytest.mark.parametrize("flags", [[], ["-v"], ["--retry-failed", "--fresh"]], ids=" ".join)
def test_no_color_means_no_colour(stage: Scene, flags: list[str]) -> None:
    with_colour = typed(stage, flags, terminal=("out", "err"))
    without = typed(stage, flags, terminal=("out", "err"), NO_COLOR="1")
    assert COLOUR.findall(without.out + without.err) == []
    if "--retry-failed" in flags:
        assert COLOUR.search(with_colour.err), "an error stands out"


JSON = [["--json"], ["--json", "-v"], ["--json", "--quiet"], ["--json", "--log-format", "json"]]


@pytest.mark.parametrize("terminal", [(), ("out", "err")], ids=" ".join)
@pytest.mark.parametrize("flags", JSON, ids=" ".join)
def test_json_is_the_whole_of_stdout(stage: Scene, flags: list[str], terminal: tuple[str, ...]) -> None:
    shown = typed(stage, flags, terminal=terminal)
    assert shown.code == 3, shown
    assert json.loads(shown.out)["outcomes"]
    if "--log-format" in flags:
        events = [json.loads(line)["event"] for line in shown.err.splitlines()]
        assert (events[0], events[-1]) == ("note", "ended")


@pytest.mark.parametrize("terminal", [(), ("out", "err")], ids=" ".join)
def test_quiet_says_nothing_but_the_summary(stage: Scene, terminal: tuple[str, ...]) -> None:
    shown = typed(stage, ["--quiet"], terminal=terminal)
    assert shown.err == ""
    assert shown.out.startswith("job: 1 of 301 rows not as asked.")
