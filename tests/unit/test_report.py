"""report.html says what the journal knows, fits an e-mail, and runs nothing that a spreadsheet brought along."""

import re
from html.parser import HTMLParser

import pytest

from bulklink.cli.commands import COMMANDS
from bulklink.files.about_run import InputFacts, RunEnd, RunState, from_iso
from bulklink.files.journal import Event, EventKind, Journal
from bulklink.files.outcomes import write_outcomes
from bulklink.files.report import gather, render, write_report
from bulklink.files.report.charts import outcome_bars, percent, time_chart
from bulklink.files.report.facts import TROUBLES_MAX, TROUBLES_OF_A_KIND_MAX, UNFINISHED_OF_A_KIND_MAX
from bulklink.files.report.hubs import find_hubs
from bulklink.files.report.timeline import POINTS_MAX, timeline
from bulklink.files.report.words import duration, size, verdict
from bulklink.files.row_outcomes import Books
from bulklink.files.summary import summarise
from bulklink.vocabulary import UNFINISHED, Outcome
from tests.journaled_runs import Part, about, batch, block, make_spool

START = from_iso("2026-11-23T12:45:00Z")
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</td></table>\u202e\x00&amp;`"
FINISHED = RunEnd(RunState.FINISHED, 3, "2026-11-23T12:46:00Z")


def explain(word):
    known = {"0x80040217": ("One record does not exist", "Check the ids"), "invalid": ("Wrong `cell`", "Correct it")}
    return known.get(word)


def report(directory, *parts, header=("Contact", "Lead"), settled=(), sent=(), events=(), end=FINISHED, **facts):
    """The facts of the report of a run with these blocks."""
    spool = make_spool(directory / "input.arrow", list(header), *parts)
    with Journal.create(directory / "journal.sqlite", about(**facts).to_meta()) as journal:
        journal.record(sent)
        journal.record(settled=settled, events=events)
        journal.set_meta(**end.to_meta())
        written = write_outcomes(directory, spool, journal)
        return gather(directory, spool, journal, summarise(journal, written.books), explain)


def cells(n):
    return Part([[f"contact {i}", f"lead {i}"] for i in range(n)])


class Outline(HTMLParser):
    """What a browser would load or run, and the text of the page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.ids, self.references = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("for", "aria-labelledby")]

    def handle_data(self, data):
        self.text.append(data)


def test_a_mixed_run_tells_its_verdict_books_faults_and_next_steps(tmp_path):
    outcomes = [Outcome.ASSOCIATED, Outcome.REJECTED, Outcome.INVALID]
    facts = report(
        tmp_path,
        cells(3),
        settled=[block(range(3), outcomes, code=["", "0x80040217", ""], message=["", "gone", "no GUID"])],
        command="bulklink run 'my job.toml'",
        retry_command="bulklink run 'my job.toml' --retry-failed",
        settings={"dataverse.bypass": ["custom-sync"], "dataverse.caller_object_id": "user-7", "send.share": "50%"},
        environment={"Signed in as": "svc"},
        inputs=(InputFacts("links.csv", 3, "ab" * 32, "2026-11-22T10:00:00Z", format="csv", delimiter="\t"),),
    )
    page = render(facts)
    for words in (
        "1 of 3 rows are as asked; 2 are not.",
        "<strong>3</strong> input rows",
        "One record does not exist.",
        "Wrong <code>cell</code>.",
        "bulklink run &#39;my job.toml&#39; --retry-failed",
        "bulklink report ",
        '<strong class="named">custom-sync</strong>',
        "user-7",
        "50%",
        "Signed in as",
        "delimiter tab",
        "troubles.csv",
    ):
        assert words in page, words


def test_every_command_that_the_page_names_exists(tmp_path):
    for number, outcome in enumerate(set(Outcome) - {Outcome.NONE, Outcome.DUPLICATE}):
        directory = tmp_path / str(number)
        directory.mkdir()
        end = RunEnd(RunState.UNFINISHED if outcome in UNFINISHED else RunState.FINISHED)
        facts = report(directory, cells(1), settled=[block([0], outcome)], end=end, command="bulklink run a.toml")
        text = "".join(Outline(render(facts)).text)
        assert set(re.findall(r"\bbulklink ([a-z]+)\b", text)) <= set(COMMANDS), outcome


def test_nothing_in_the_page_is_loaded_from_elsewhere_or_run_but_its_own_script(tmp_path):
    facts = report(tmp_path, cells(2), settled=[block([0, 1], Outcome.REJECTED)])
    found = Outline(render(facts))
    assert found.tags.count("script") == found.tags.count("style") == 1
    assert not {"link", "img", "iframe", "object", "embed", "base", "video", "source"} & set(found.tags)
    assert not [
        one for one in found.attributes if one[1] in ("src", "style", "srcset", "action") or one[1].startswith("on")
    ]
    assert {value for _, name, value in found.attributes if name == "href"} == {"#main"}
    policy = next(value for _, name, value in found.attributes if name == "content" and "default-src" in value)
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; base-uri 'none'; form-action 'none'",
        policy,
    )


def test_hostile_texts_stay_texts_wherever_they_stand(tmp_path):
    facts = report(
        tmp_path,
        Part([[HOSTILE, HOSTILE], [HOSTILE, HOSTILE]], HOSTILE, HOSTILE),
        Part([[HOSTILE, HOSTILE]], "b.csv"),
        header=(HOSTILE, HOSTILE),
        settled=[block(range(3), Outcome.REJECTED, code=HOSTILE, message=HOSTILE)],
        events=[
            Event(START, EventKind.SESSION),
            *(Event(START + k, EventKind.PACE, 1, 10) for k in range(1, 9)),
            Event(START + 9, EventKind.WAIT, seconds=3, why=HOSTILE),
            Event(START + 9, EventKind.NOTE, why=HOSTILE),
        ],
        end=RunEnd(RunState.FINISHED, 3, "2026-11-23T12:46:00Z", HOSTILE, HOSTILE),
        job=HOSTILE,
        run_id=HOSTILE,
        organisation=HOSTILE,
        relationship=HOSTILE,
        task={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE, "dataverse.bypass": [HOSTILE]},
        environment={HOSTILE: HOSTILE},
        command=HOSTILE,
        retry_command=HOSTILE,
        inputs=(InputFacts(HOSTILE, 3, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
    )
    page = render(facts)
    found = Outline(page)
    assert found.tags.count("script") == 1
    assert "img" not in found.tags
    assert "alert(1)" in "".join(found.text)
    assert "<script>alert" not in page
    assert "49" not in re.findall(r"bdi>[^<]*", page)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page)


def test_every_label_and_reference_has_its_target_and_ids_are_unique(tmp_path):
    events = [Event(START, EventKind.SESSION), *(Event(START + k, EventKind.PACE, 2, 9) for k in range(1, 9))]
    facts = report(tmp_path, cells(2), settled=[block([0, 1], Outcome.REJECTED)], events=events)
    found = Outline(render(facts))
    assert len(found.ids) == len(set(found.ids))
    assert set(found.references) <= set(found.ids)


def test_a_run_without_trouble_asks_for_nothing(tmp_path):
    page = render(
        report(tmp_path, cells(2), settled=[block([0, 1])], end=RunEnd(RunState.FINISHED, 0, "2026-11-23T12:46:00Z"))
    )
    assert "All 2 rows are as asked." in page
    assert "What to do now" not in page
    assert "What went wrong" not in page


def test_an_unfinished_run_gives_the_exact_command_to_resume(tmp_path):
    facts = report(
        tmp_path,
        cells(4),
        sent=[batch(1, [0, 1, 2], at=START)],
        settled=[block([0])],
        end=RunEnd(RunState.UNFINISHED, 130, "", "interrupted", "Run it again: it resumes."),
        command="bulklink associate a.csv --run-dir out",
    )
    page = render(facts)
    assert "The run was interrupted. 1 of 4 rows have their outcome, 2 are in doubt, 1 was not attempted." in page
    assert "Run it again: it resumes." in page
    assert "bulklink associate a.csv --run-dir out" in page


def test_a_killed_run_can_be_reported(tmp_path):
    page = render(report(tmp_path, cells(2), sent=[batch(1, [0], at=START)], end=RunEnd()))
    assert "The run is unfinished." in page
    assert "it resumes" in page


def test_rows_of_trouble_are_capped_by_kind_and_in_all_and_it_is_said(tmp_path):
    n = 12 * TROUBLES_OF_A_KIND_MAX
    codes = [f"0x{i % 11:08x}" for i in range(n)]
    facts = report(tmp_path, cells(n), settled=[block(range(n), Outcome.REJECTED, code=codes)])
    assert len(facts.troubles) == TROUBLES_MAX
    assert [trouble.row for trouble in facts.troubles] == sorted(trouble.row for trouble in facts.troubles)
    assert sum(fault.rows for fault in facts.faults) == n
    assert {fault.names[0] for fault in facts.faults} == {f"row {i}" for i in range(1, 12)}
    assert f"shows 2,000 of {n:,} such rows" in render(facts)


def test_rows_not_attempted_do_not_crowd_out_the_faults(tmp_path):
    facts = report(tmp_path, cells(3000), settled=[block([2999], Outcome.REJECTED)], end=RunEnd())
    assert len(facts.troubles) == UNFINISHED_OF_A_KIND_MAX + 1
    assert [fault.outcome for fault in facts.faults] == ["rejected", "not-attempted"]


def test_the_largest_page_stays_below_two_megabytes(tmp_path):
    n = 2500
    rows = Part([[("<&\"'" * 100)] * 12 for _ in range(n)])
    events = [Event(START + k, EventKind.PACE, 16, k % 977) for k in range(5_000)]
    events += [Event(START + 5_000 + k, EventKind.WAIT, seconds=0.7, why=f"reason {k % 50}") for k in range(3000)]
    facts = report(
        tmp_path,
        rows,
        header=[f"column {k} " + "&" * 200 for k in range(12)],
        settled=[block(range(n), Outcome.REJECTED, code=[f"c{i % 500}" for i in range(n)], message=["<" * 900] * n)],
        events=events,
    )
    write_report(tmp_path / "report.html", facts)
    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_rows_of_several_sheets_are_named_with_them(tmp_path):
    parts = [Part([["a", "b"]], "x.xlsx", "One"), Part([["c", "d"]], "x.xlsx", "Two")]
    facts = report(tmp_path, *parts, settled=[block([0, 1], Outcome.INVALID)])
    assert facts.faults[0].names == ["row 1 of x.xlsx, sheet One", "row 1 of x.xlsx, sheet Two"]
    assert [trouble.origin for trouble in facts.troubles] == ["x.xlsx, sheet One", "x.xlsx, sheet Two"]


def test_of_many_columns_those_that_the_job_uses_are_shown(tmp_path):
    header = [f"c{k}" for k in range(9)]
    facts = report(
        tmp_path, Part([header]), header=header, settled=[block([0], Outcome.INVALID)], key_headers=("c8", "c6")
    )
    assert facts.headers == ["c0", "c1", "c2", "c6", "c8"]
    assert facts.troubles[0].cells == ("c0", "c1", "c2", "c6", "c8")


def test_hubs_are_counted_exactly_however_large_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("bulklink.files.report.hubs._BUCKETS", 7)
    spool = make_spool(tmp_path / "input.arrow", ["a"], Part([["x"]] * 40_000))
    records = [
        b"\1" * 16 if i % 8 == 5 else b"\2" * 16 if i % 1000 == 0 else i.to_bytes(16, "big") for i in range(40_000)
    ]
    import numpy as np

    ids = np.frombuffer(b"".join(records), np.uint8).reshape(-1, 16)
    spool.to_ids = lambda positions: ids[positions]
    found = [hub for hub in find_hubs(spool) if hub.side == "to"]
    assert [(hub.record[:2], hub.rows, hub.first_row) for hub in found] == [("01", 5000, 6), ("02", 40, 1)]


def test_time_between_sessions_is_not_drawn():
    events = [
        Event(START, EventKind.SESSION),
        *(Event(START + k, EventKind.PACE, k, 10 * k) for k in range(1, 11)),
        Event(START + 90_000, EventKind.SESSION),
        Event(START + 90_001, EventKind.WAIT, seconds=1, why="service protection limit: requests"),
        Event(START + 90_002, EventKind.PACE, 3, 30),
    ]
    found = timeline(events)
    assert (found.length_s, found.resumed_s) == (12.0, [10.0])
    assert [(pause.from_s, pause.to_s) for pause in found.pauses] == [(10.0, 11.0)]
    chart = time_chart(found)
    assert chart is not None
    assert chart.bands[0].is_throttle
    assert (chart.rate.top, chart.rate.peak, chart.in_flight.top) == ("100", "100", "10")
    assert "1 s of it waiting for the service protection limits" in chart.words


def test_a_long_run_is_drawn_with_few_points_that_keep_the_most_in_flight():
    events = [Event(START + k, EventKind.PACE, 52 if k == 20_000 else 4, 100) for k in range(30_000)]
    found = timeline(events)
    assert len(found.samples) <= POINTS_MAX
    assert max(sample.in_flight for sample in found.samples) == 52
    assert {round(sample.rate) for sample in found.samples} == {100}


def test_waits_are_summed_by_reason_longest_first():
    events = [Event(START + k, EventKind.WAIT, seconds=1 + k % 2, why=f"why {k % 2}") for k in range(10)]
    assert timeline(events).waits == {"why 1": (10.0, 5), "why 0": (5.0, 5)}


def test_a_run_too_short_to_draw_has_no_chart():
    assert time_chart(timeline([Event(START, EventKind.PACE, 1, 5)])) is None


def test_bars_show_small_counts_and_the_largest_fills_the_width():
    bars = outcome_bars({Outcome.ASSOCIATED: 999_999, Outcome.REJECTED: 1}, 1_000_000)
    assert [(bar.outcome, bar.width, bar.tone) for bar in bars] == [
        ("associated", 100.0, "good"),
        ("rejected", 0.4, "bad"),
    ]
    assert [bar.part for bar in bars] == ["99.9 %", "0.1 %"]


@pytest.mark.parametrize(("part", "whole", "words"), [(0, 0, "0 %"), (0, 9, "0 %"), (9, 9, "100 %"), (1, 3, "33.3 %")])
def test_percentages(part, whole, words):
    assert percent(part, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.44, "0.4 s"), (59.6, "1 min"), (130, "2 min 10 s"), (3900, "1 h 05 min"), (97_200, "1 d 3 h")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 bytes"), (1500, "1.5 KB"), (2_400_000, "2.4 MB")])
def test_sizes(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("rows", "as_asked", "counts", "exit_code", "words"),
    [
        (0, 0, {}, 0, "The input holds no rows; there was nothing to do."),
        (1, 1, {Outcome.ASSOCIATED: 1}, 0, "The one row is as asked."),
        (1, 0, {Outcome.INVALID: 1}, 3, "The one row is not as asked."),
        (5, 0, {Outcome.INVALID: 5}, 3, "None of the 5 rows is as asked."),
        (5, 4, {Outcome.ASSOCIATED: 4, Outcome.INVALID: 1}, 3, "4 of 5 rows are as asked; 1 is not."),
        (
            5,
            0,
            {Outcome.GUARDED: 5},
            5,
            "A guard rail stopped the run before anything was sent. 5 of 5 rows have their outcome.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(rows, as_asked, counts, exit_code, words):
    assert verdict(Books(rows, counts, as_asked, rows - as_asked), RunEnd(RunState.FINISHED, exit_code))[0] == words
