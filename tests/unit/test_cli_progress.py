"""How a run is shown while it goes on, and what it says last."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulklink.cli.closing import closing_block
from bulklink.cli.progress import JsonListener, LiveListener, PlainListener, ShownListener, listener_for
from bulklink.cli.running import say_summary
from bulklink.cli.session import Session
from bulklink.cli.wording import columns, count, duration, outcome_counts, progress_line
from bulklink.errors import ExitCode, StoppedEarly
from bulklink.listener import Listener, Progress, RunFacts
from bulklink.summary import Summary

FACTS = RunFacts("account-leads", "20261123T020000Z", Path("runs/x"), "contoso.crm4.dynamics.com", 8715)
HALF = Progress(8715, 4300, {"associated": 4200, "rejected": 100, "invalid": 0}, 1240.4, 6, None, "", 12.2)


class Clock:
    """A clock that a test turns."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_of_progress_names_rows_rate_flight_outcomes_and_time_left() -> None:
    line = progress_line(HALF)
    assert line == ("4,300 of 8,715 rows · 1,240 rows/s · 6 in flight · associated 4,200, rejected 100 · 12 s left")


def test_while_waiting_the_line_says_until_when_and_why() -> None:
    line = progress_line(replace(HALF, waiting_until=1_800_000_000.0, why="service protection limit"))
    assert re.search(r"waiting until \d\d:\d\d:\d\d \(service protection limit\)", line)
    assert "rows/s" not in line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (130, "2 min 10 s"), (3900, "1 h 05 min"), (-3, "0 s")],
)
def test_durations_are_worded_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_counts_agree_with_their_nouns() -> None:
    assert (count(1, "row"), count(0, "row"), count(2, "batch", "batches")) == ("1 row", "0 rows", "2 batches")
    assert outcome_counts({"a": 1, "b": 0, "c": 2000}) == "c 2,000, a 1"


def test_columns_line_up_and_a_very_wide_cell_pushes_only_its_own_line() -> None:
    assert columns([("a", "1"), ("bbb", "2"), ("c" * 9, "3")], width_max=4) == ["a     1", "bbb   2", "ccccccccc  3"]


def test_plain_lines_come_every_ten_seconds_and_at_once_for_notes_and_pauses() -> None:
    stream, clock = io.StringIO(), Clock()
    with PlainListener(stream, clock) as listener:
        listener.started(FACTS)
        for second in range(25):
            clock.now_s = float(second)
            listener.progress(HALF)
        listener.waiting(1_800_000_000.0, "told to")
        listener.waiting(1_800_000_000.0, "told to")
        listener.note("The pair was turned.")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "account-leads begins: 8,715 rows, contoso.crm4.dynamics.com, runs/x"
    assert [line.split(" ")[0] for line in lines[1:]] == ["4,300", "4,300", "waiting", "The"]


def test_json_lines_are_json_and_carry_the_figures() -> None:
    stream, clock = io.StringIO(), Clock()
    with JsonListener(stream, clock) as listener:
        listener.started(FACTS)
        listener.progress(HALF)
        listener.progress(HALF)
        listener.waiting(5.0, "why")
        listener.note("é")
        listener.ended({"exit_code": 3})
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["started", "progress", "waiting", "note", "ended"]
    assert events[1]["rows_done"] == 4300
    assert events[1]["outcomes"] == {"associated": 4200, "rejected": 100, "invalid": 0}
    assert events[4]["exit_code"] == 3


def test_a_live_line_shows_progress_and_leaves_notes_behind() -> None:
    stream = Terminal()
    with LiveListener(stream, color=False) as listener:
        listener.started(FACTS)
        listener.progress(HALF)
        listener.note("[b]kept as typed[/b]")
    shown = stream.getvalue()
    assert "account-leads begins" in shown
    assert "4,300 of 8,715 rows" in shown
    assert "[b]kept as typed[/b]" in shown
    assert "\x1b[3" not in shown, "colour in spite of color=False"


@pytest.mark.parametrize(
    ("session", "stream", "kind"),
    [
        (Session(), Terminal(), LiveListener),
        (Session(), io.StringIO(), PlainListener),
        (Session(verbose=True), Terminal(), PlainListener),
        (Session(quiet=True), Terminal(), ShownListener),
        (Session(json=True), io.StringIO(), PlainListener),
        (Session(log_format="json"), Terminal(), JsonListener),
    ],
)
def test_the_listener_fits_the_terminal_and_the_wish(session: Session, stream: io.StringIO, kind: type) -> None:
    assert type(listener_for(session, stream)) is kind


def test_a_listener_may_leave_everything_as_it_is() -> None:
    listener = Listener()
    listener.started(FACTS)
    listener.progress(HALF)
    listener.waiting(0.0, "")
    listener.note("")
    listener.ended({})


# The last words


def summary(exit_code: ExitCode, outcomes: dict[str, int], **facts: Any) -> dict[str, Any]:
    return {"job": "account-leads", "exit_code": int(exit_code), "rows": sum(outcomes.values()), "outcomes": outcomes, **facts}  # fmt: skip # noqa: E501


def test_a_good_end_is_one_sentence_the_counts_and_no_advice(tmp_path: Path) -> None:
    (tmp_path / "outcomes.csv").touch()
    facts = summary(ExitCode.AS_ASKED, {"associated": 10, "already-associated": 5}, operations_sent=10, batches_sent=1)
    lines = closing_block(facts, tmp_path).splitlines()
    assert lines[0] == "account-leads: 15 rows, everything is as asked."
    assert [line.split() for line in lines[1:3]] == [["associated", "10"], ["already-associated", "5"]]
    assert lines[3] == "  10 operations in 1 batch"
    assert lines[4].split() == ["outcomes.csv", str(tmp_path / "outcomes.csv")]
    assert len(lines) == 5


def test_troubles_are_counted_as_the_books_count_them_and_lead_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "troubles.csv").touch()
    facts = summary(ExitCode.TROUBLES, {"associated": 10, "invalid": 2, "rejected": 1, "duplicate": 4}, not_as_asked=4)
    lines = closing_block(facts, tmp_path).splitlines()
    assert lines[0] == "account-leads: 4 of 17 rows not as asked."
    assert lines[-2].split()[0] == "troubles.csv"
    assert lines[-1] == "Next: Read troubles.csv, correct it and feed it back. (exit code 3)"


def test_waits_retries_and_removals_are_named() -> None:
    effort = {"operations_sent": 3, "batches_sent": 2, "rows_per_s": 12.3, "throttled": 2, "waited_s": 65, "retried": 1}
    block = closing_block(summary(ExitCode.AS_ASKED, {"associated": 3}, removals={"disassociated": 7}, **effort), None)
    assert "  3 operations in 2 batches, 12 rows/s, throttled 2 times, waited 1 min 05 s, 1 sent again" in block
    assert re.search(r"links removed that had no row:\n  disassociated +7", block)


@pytest.mark.parametrize("exit_code", [code for code in ExitCode if code not in (0, 3)])
def test_every_other_end_says_what_to_do_next(exit_code: ExitCode) -> None:
    last = closing_block(summary(exit_code, {"not-attempted": 3}), None).splitlines()[-1]
    assert last.startswith("Next: ")
    assert last.endswith(f"(exit code {int(exit_code)})")


def test_what_stopped_a_run_is_said_on_stderr_and_its_advice_only_once(capsys: pytest.CaptureFixture[str]) -> None:
    error = StoppedEarly("The service does not answer.")
    ended = Summary(summary(ExitCode.STOPPED_EARLY, {"in-doubt": 3}), None, ExitCode.STOPPED_EARLY, error)
    assert say_summary(ended, Session()) == ExitCode.STOPPED_EARLY
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "Error: The service does not answer.",
        "Next: Run the same command again: it resumes. (exit code 4)",
    ]
    assert "Next:" not in out
    assert say_summary(ended, Session(json=True)) == ExitCode.STOPPED_EARLY
    assert json.loads(capsys.readouterr().out)["outcomes"] == {"in-doubt": 3}


def test_a_dry_run_says_that_nothing_was_sent() -> None:
    block = closing_block(summary(ExitCode.TROUBLES, {"invalid": 3}), None, dry_run=True)
    assert block.startswith("account-leads: a dry run over 3 rows; nothing was sent.")
