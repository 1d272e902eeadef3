"""log.jsonl: an object per line, in order, and never a secret."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulklink.errors import RunDirectoryError
from bulklink.files.log import BLANK, EventLog, Redactor


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_event_is_a_line_with_its_moment(tmp_path):
    moments = iter([0.0, 1_795_437_900.25])
    with EventLog(tmp_path / "log.jsonl", clock=lambda: next(moments)) as log:
        log.write("started", job="é\nü", rows=3)
        log.write("batch", number=1, parts=("a", {"b": None}), path=tmp_path)
    assert lines(tmp_path / "log.jsonl") == [
        {"at": "1970-01-01T00:00:00.000Z", "event": "started", "job": "é\nü", "rows": 3},
        {
            "at": "2026-11-23T12:45:00.250Z",
            "event": "batch",
            "number": 1,
            "parts": ["a", {"b": None}],
            "path": str(tmp_path),
        },
    ]


def test_a_resumed_run_goes_on_writing(tmp_path):
    for event in ("first", "second"):
        with EventLog(tmp_path / "log.jsonl") as log:
            log.write(event)
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")] == ["first", "second"]
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "spelled", ["s3cr3t/+ &=%", "s3cr3t%2F%2B%20%26%3D%25", "s3cr3t/%2B%20%26%3D%25", "s3cr3t%2F%2B+%26%3D%25"]
)
def test_a_secret_is_blanked_wherever_and_however_it_stands(tmp_path, spelled):
    redact = Redactor()
    with EventLog(tmp_path / "log.jsonl", redact) as log:
        redact.add("s3cr3t/+ &=%")
        log.write(
            "refused", url=f"https://x/?key={spelled}", nested=[{spelled: {"deep": spelled}}], error=ValueError(spelled)
        )
    text = (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    assert "s3cr3t" not in text
    assert text.count(BLANK) == 4


def test_of_two_secrets_the_longer_goes_whole():
    assert Redactor(["abc", "abcdef"])("abcdef abc") == "*** ***"


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.text(), st.text())
def test_no_text_keeps_a_secret(secrets, before, after):
    redact = Redactor(secrets)
    for secret in secrets:
        if secret not in BLANK and not any(secret in part for part in (before, after)):
            blanked = redact(f"{before}{secret}{after}")
            assert secret not in blanked.replace(BLANK, "") or secret in f"{before}{after}"


def test_an_empty_secret_blanks_nothing():
    assert Redactor([""])("abc") == "abc"


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        EventLog(tmp_path / "missing" / "log.jsonl")
