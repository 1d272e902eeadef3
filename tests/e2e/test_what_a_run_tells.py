"""What a run leaves for those who were not there: how to go on, what was noteworthy, what the outcomes mean."""

import json
import re
import shlex
from html import unescape

import pytest

from bulklink.cli import main
from tests.live import ADD, COLLECTION, NN, account, contact, lead, scene

ROWS = [(account(n % 60), lead(n), "+") for n in range(40)] + [(account(1), "no id", "+")]
SLOW = "[latency]\noperation_s = 0.04\n"
SEND = 'settle_after = "1s"\nbatch_size = 10\nconcurrency = 1'


@pytest.fixture
def stage(tmp_path, monkeypatch):
    with scene(tmp_path, weather=SLOW) as stage:
        stage.write_rows(ROWS)
        stage.write_job(NN.format(action=ADD), report="html = true", send=SEND)
        monkeypatch.chdir(tmp_path)
        for name, value in stage.env.items():
            monkeypatch.setenv(name, value)
        yield stage


def commands_of(page):
    return [unescape(words) for words in re.findall(r"<pre[^>]*><code>(.*?)</code>", page)]


def text_of(page):
    return unescape(re.sub(r"<[^>]*>", "", page))


def test_the_report_of_a_finished_run_names_the_command_that_sends_its_failed_rows_again(stage, capsys):
    assert main(["run", "job.toml", "--fresh", "--quiet"]) == 3
    page = (stage.run_dir / "report.html").read_text(encoding="utf-8")
    retry, again = commands_of(page)
    assert retry == "bulklink run job.toml --quiet --retry-failed"
    assert again == f"bulklink report {stage.run_dir}"
    assert "The row itself is wrong: no GUID" in text_of(page)
    first = stage.run_dir
    capsys.readouterr()
    assert main(shlex.split(retry)[1:]) == 3
    assert stage.summary()["retry_of"] == first.name
    assert stage.outcomes().count("associated") == 40
    for words in map(shlex.split, commands_of((stage.run_dir / "report.html").read_text(encoding="utf-8"))):
        assert main(words[1:]) == 3, words


def test_the_report_of_a_broken_run_names_the_command_that_goes_on_and_the_summary_says_that_it_did(stage):
    assert main(["run", "job.toml", "--fresh", "--deadline", "1s"]) == 4
    page = (stage.run_dir / "report.html").read_text(encoding="utf-8")
    again = commands_of(page)[0]
    assert again == "bulklink run job.toml --deadline 1s"
    assert "its turn did not come" in text_of(page)
    while (code := main(shlex.split(again)[1:])) == 4:
        pass
    assert code == 3
    assert len(stage.run_dirs()) == 1
    facts = stage.summary()
    assert facts["resumed"] is True
    assert [note for note in facts["notes"] if re.match(r"Resumed at \S+Z: [\d,]+ of 41 rows had their outcome", note)]
    page = (stage.run_dir / "report.html").read_text(encoding="utf-8")
    assert "Resumed at" in text_of(page)
    log = [json.loads(line) for line in (stage.run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in log if line["event"] in ("began", "ended")] == ["began", "ended"] * (
        1 + len(facts["notes"])
    )
    assert log[-1]["notes"] == facts["notes"]


def test_a_turned_pair_and_a_superseded_run_are_noted_where_people_look(stage):
    stage.write_rows([(contact(n), account(n), "+") for n in range(40)])
    turned = COLLECTION.format(action=ADD).replace("account_primary_contact", "primarycontactid")
    stage.write_job(turned, report="html = true", send=SEND)
    assert main(["run", "job.toml", "--deadline", "1s", "--quiet"]) == 4
    stage.write_rows([(contact(n), account(n), "+") for n in range(2)])
    assert main(["run", "job.toml", "--quiet"]) == 0
    notes = stage.summary()["notes"]
    assert [note for note in notes if "the pairs are turned" in note]
    assert [note for note in notes if "is closed: this run takes its place" in note]
    page = text_of((stage.run_dir / "report.html").read_text(encoding="utf-8"))
    assert all(note in page for note in notes)


def test_a_run_by_a_program_names_no_command_that_nobody_typed(stage):
    assert stage.call() == 3
    page = (stage.run_dir / "report.html").read_text(encoding="utf-8")
    assert commands_of(page) == [f"bulklink report {stage.run_dir}"]
