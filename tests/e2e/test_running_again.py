"""Running the same command again: what goes on, what starts anew, what is refused, what is sent."""

import datetime
import threading
import time
from collections import Counter

import pytest

from bulklink.driving import Interruption
from bulklink.errors import ExitCode
from bulklink.files.about_run import RunState
from bulklink.files.run_directory import read_run
from bulklink.sandbox.access import Access
from tests.live import ADD, LOOKUP, MIXED, NN, QUICK, account, contact, lead, scene

ROWS = 120
PLUG_IN = '[[fault]]\nkind = "plugin-error"\ntable = "lead"\nshare_of_records = 0.1\n'
SEND = 'settle_after = "1s"\nbatch_size = 10\nconcurrency = 2'


def prepare(live, rows=ROWS, send=SEND, **sections):
    live.write_rows([(account(n % 60), lead(n), "+") for n in range(rows)])
    live.write_job(NN.format(action=ADD), send=send, **sections)


def interrupt(live, ordinal=9, code=ExitCode.SIGINT, **options):
    """A run that stops in the middle."""
    stop = Interruption()
    live.watch.on = lambda what, at: stop.request(code) if at >= ordinal else None
    assert live.call(interruption=stop, **options) == code
    live.watch.on = lambda what, at: None


def lose_answers(live, ordinal=9, **options):
    """A run that is killed when a batch was executed and nobody knows."""
    with live.start(*(f"--{name.replace('_', '-')}={value}" for name, value in options.items())) as process:
        live.watch.on = lambda what, at: process.kill() if what == "is executed" and at >= ordinal else None
        process.communicate()
    live.watch.on = lambda what, at: None
    assert process.returncode == -9


# -- the same work --------------------------------------------------------------------------------------------------


def test_an_unfinished_run_goes_on(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        interrupt(live)
        assert live.call() == 0
        assert len(live.run_dirs()) == 1
        assert live.summary()["resumed"] is True
        assert live.summary()["operations_sent"] == ROWS
        assert Counter(live.watch.sent).most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    "sections",
    [
        {"send": SEND + '\nhub_parallelism = 3\nshare = "90%"'},
        {"guard": "max_unresolved = 5"},
        {"report": 'html = false\noutcomes = ["csv", "parquet"]'},
    ],
)
def test_tuning_guards_and_report_do_not_make_it_another_work(tmp_path, sections):
    with scene(tmp_path) as live:
        prepare(live)
        interrupt(live)
        prepare(live, **{"send": SEND} | sections)
        assert live.call() == 0
        assert len(live.run_dirs()) == 1


def test_fresh_starts_anew_and_closes_the_old_run(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        interrupt(live)
        assert live.call(fresh=True) == 0
        old, new = live.run_dirs()
        assert read_run(old).end.state is RunState.SUPERSEDED
        assert live.summary(new)["resumed"] is False
        assert {"associated", "already-associated"} == set(live.outcomes(new))


def test_a_run_that_is_too_old_is_not_resumed(tmp_path):
    with scene(tmp_path) as live:
        prepare(live, send=SEND + '\nresume_within = "1s"')
        interrupt(live)
        until = time.monotonic() + 10
        while time.time() - read_run(live.run_dir).last_at <= 1.0:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert live.call() == 0
        assert len(live.run_dirs()) == 2
        assert read_run(live.run_dirs()[0]).end.state is RunState.SUPERSEDED


def test_a_finished_run_is_not_resumed_a_new_one_reads_first(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        assert live.call() == 0
        sent = len(live.watch.sent)
        assert live.call() == 0
        assert len(live.run_dirs()) == 2
        assert set(live.outcomes()) == {"already-associated"}
        assert len(live.watch.sent) == sent


# -- other work ------------------------------------------------------------------------------------------------------


def change_input(live):
    live.write_rows([(account(n % 60), lead(n), "+") for n in range(10, ROWS + 10)])


def change_job(live):
    live.write_job(NN.format(action=ADD), send=SEND + '\nisolation = "row"')


@pytest.mark.parametrize("change", [change_input, change_job])
def test_what_was_in_doubt_is_settled_by_reading_when_the_work_changed(tmp_path, change):
    with scene(tmp_path) as live:
        prepare(live)
        lose_answers(live)
        sent = len(live.watch.sent)
        change(live)
        assert live.call() == 0
        old, new = live.run_dirs()
        assert read_run(old).end.state is RunState.SUPERSEDED
        told = Counter(live.outcomes(old))
        assert told["in-doubt"] == 0
        # Executed, and read back: nobody sends them for the old run any more.
        true = {(row["From"], row["To"]) for row in live.rows(old) if row["outcome"].endswith("associated")}
        assert true <= live.links()
        assert len(true) >= 10
        assert live.summary(new)["resumed"] is False
        again = Counter(live.watch.sent[sent:]) & Counter(live.watch.sent[:sent])
        assert sum(again.values()) == 0, "what is there is found by reading"


def test_a_move_in_doubt_is_told_in_words_when_the_work_changed(tmp_path):
    with scene(tmp_path, held=dict.fromkeys(range(30), 50), relationship="account_primary_contact") as live:
        rows = [row for n in range(30) for row in ((account(n), contact(50), "-"), (account(n), contact(n), "+"))]
        live.write_rows(rows)
        live.write_job(LOOKUP.format(action=MIXED), send=SEND.replace("10", "4"))
        lose_answers(live)
        live.write_rows(rows[:20])
        assert live.call() == 0
        old = live.run_dirs()[0]
        for row in live.rows(old):
            if row["outcome"] in ("associated", "disassociated"):
                assert ((row["From"], row["To"]) in live.links()) == (row["outcome"] == "associated")
            assert row["outcome"] != "in-doubt"


def test_a_run_dir_of_other_work_is_refused_and_fresh_is_named(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        interrupt(live, run_dir=tmp_path / "here")
        change_input(live)
        sent = len(live.watch.sent)
        assert live.call(run_dir=tmp_path / "here") == ExitCode.UNUSABLE
        assert "--fresh" in live.last_error.hint
        assert len(live.watch.sent) == sent
        assert live.call(run_dir=tmp_path / "here", fresh=True) == 0
        assert len(live.rows(tmp_path / "here")) == ROWS


def test_a_run_dir_of_an_unfinished_run_goes_on_there(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        interrupt(live, run_dir=tmp_path / "here")
        assert live.call(run_dir=tmp_path / "here") == 0
        assert len(live.rows(tmp_path / "here")) == ROWS
        assert Counter(live.watch.sent).most_common(1)[0][1] == 1
        assert live.run_dirs() == []


@pytest.mark.parametrize(("weather", "code"), [(QUICK, 0), (PLUG_IN, 3)])
def test_a_run_dir_of_a_finished_run_sends_nothing_and_ends_the_same(tmp_path, weather, code):
    with scene(tmp_path, weather=weather) as live:
        prepare(live)
        assert live.call(run_dir=tmp_path / "here") == code
        sent, told = len(live.watch.sent), live.rows(tmp_path / "here")
        assert live.call(run_dir=tmp_path / "here") == code
        assert len(live.watch.sent) == sent
        assert live.rows(tmp_path / "here") == told


# -- --retry-failed --------------------------------------------------------------------------------------------------


def test_only_rows_not_as_asked_are_sent_again_and_one_file_tells_of_all(tmp_path):
    # The plug-in that refuses is gone after a while.
    weather = PLUG_IN + "until_s = 3600\n"
    with scene(tmp_path, weather=weather) as live:
        prepare(live)
        live.write_rows([*((account(n % 60), lead(n), "+") for n in range(ROWS)), (account(3), lead(3), "+")])
        assert live.call() == 3
        first = live.run_dir
        bad = {frozenset((row["From"], row["To"])) for row in live.rows() if row["outcome"] == "rejected"}
        assert 3 < len(bad) < 30
        sent = len(live.watch.sent)
        live.sandbox.reception._weather_began_s -= 3600
        assert live.call(retry_failed=True) == 0
        assert set(live.watch.sent[sent:]) == bad
        assert len(live.watch.sent) - sent == len(bad)
        assert live.summary()["retry_of"] == first.name
        assert Counter(live.outcomes()) == {"associated": ROWS, "duplicate": 1}
        assert [row["row"] for row in live.rows()] == [row["row"] for row in live.rows(first)]
        kept = [(a["request_id"], b["request_id"]) for a, b in zip(live.rows(first), live.rows(), strict=True)]
        assert sum(a == b for a, b in kept) == ROWS + 1 - len(bad)


def test_there_must_be_a_finished_run_to_retry(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        assert live.call(retry_failed=True) == ExitCode.UNUSABLE
        assert live.watch.sent == []


def test_a_retry_that_is_interrupted_goes_on(tmp_path):
    with scene(tmp_path, weather=PLUG_IN + "until_s = 3600\n" + QUICK) as live:
        prepare(live, send='settle_after = "1s"\nbatch_size = 1\nconcurrency = 1')
        assert live.call() == 3
        bad = Counter(live.outcomes())["rejected"]
        live.sandbox.reception._weather_began_s -= 3600
        before = live.watch.requests
        interrupt(live, ordinal=before + 8, retry_failed=True)
        sent = len(live.watch.sent)
        assert live.call() == 0
        assert len(live.run_dirs()) == 2
        assert Counter(live.outcomes()) == {"associated": ROWS}
        assert len(live.watch.sent) == ROWS + bad
        assert len(live.watch.sent) > sent


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_deadline_ends_the_run_and_it_goes_on_later(tmp_path):
    with scene(tmp_path, weather="[latency]\nrequest_s = 0.2\n") as live:
        prepare(live, send=SEND + '\ndeadline = "1s"')
        assert live.call() == ExitCode.STOPPED_EARLY
        assert "deadline" in live.summary()["why"]
        told = Counter(live.outcomes())
        assert 0 < told["not-attempted"] < ROWS
        prepare(live)
        assert live.call() == 0
        assert Counter(live.watch.sent).most_common(1)[0][1] == 1


def test_too_many_failures_stop_the_run_and_do_not_wedge_the_next_one(tmp_path):
    weather = QUICK + PLUG_IN.replace("0.1", "0.3")
    with scene(tmp_path, weather=weather) as live:
        prepare(live, send=SEND + "\nmax_failures = 10")
        codes = [live.call()]
        assert codes == [ExitCode.STOPPED_EARLY]
        assert "max_failures" in live.summary()["why"]
        while codes[-1] == ExitCode.STOPPED_EARLY:
            left = Counter(live.outcomes())["not-attempted"]
            codes.append(live.call())
            assert codes[-1] != ExitCode.STOPPED_EARLY or Counter(live.outcomes())["not-attempted"] < left
            assert len(codes) < 10
        assert codes[-1] == 3
        assert len(live.run_dirs()) == 1


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [('kind = "privilege"', ExitCode.REFUSED, "403"), ('kind = "plugin-error"', ExitCode.STOPPED_EARLY, "400")],
)
def test_two_hundred_equal_refusals_are_the_jobs_fault(tmp_path, fault, code, status):
    weather = f'{QUICK}[[fault]]\n{fault}\nmethod = "POST"\nuntil_s = 3600\n'
    with scene(tmp_path, weather=weather) as live:
        prepare(live, rows=300)
        assert live.call() == code
        told = [row for row in live.rows() if row["http_status"]]
        assert {row["outcome"] for row in live.rows()} == {"not-attempted"}
        assert len(told) >= 200
        assert {row["http_status"] for row in told} == {status}
        assert all(row["code"].startswith("0x") and row["message"] for row in told)
        assert len(live.watch.sent) < 260
        # Running again sends them, and once the job is right they are done.
        live.sandbox.reception._weather_began_s -= 3600
        assert live.call() == 0
        assert len(live.run_dirs()) == 1
        assert Counter(live.outcomes()) == {"associated": 300}


def test_fewer_than_two_hundred_equal_refusals_are_the_rows_own(tmp_path):
    with scene(tmp_path, weather=f'{QUICK}[[fault]]\nkind = "plugin-error"\nmethod = "POST"\n') as live:
        prepare(live, rows=150)
        assert live.call() == 3
        assert Counter(live.outcomes()) == {"rejected": 150}


# -- sign-in ---------------------------------------------------------------------------------------------------------


def test_a_token_that_was_renewed_in_its_file_costs_nothing(tmp_path):
    with scene(tmp_path, weather=f'{QUICK}[[fault]]\nkind = "expire-token"\nordinals = [9]\n') as live:
        prepare(live)
        token = tmp_path / "token"
        token.write_text("first")
        live.watch.on = lambda what, at: token.write_text("second") if at == 8 else None
        live.variables = {"BULKLINK_TOKEN_FILE": str(token)}
        assert live.call() == 0
        assert Counter(live.outcomes()) == {"associated": ROWS}
        assert Counter(live.watch.sent).most_common(1)[0][1] <= 2


def test_a_token_that_nobody_renews_ends_the_run_and_it_resumes(tmp_path):
    with scene(tmp_path, weather=f'{QUICK}[[fault]]\nkind = "expire-token"\nordinals = [9]\nfor_good = true\n') as live:
        prepare(live)
        assert live.call() == ExitCode.REFUSED
        told = Counter(live.outcomes())
        assert told["in-doubt"] == 0
        assert told["not-attempted"] > 0
        live.sandbox.reception._access = Access()
        assert live.call() == 0
        assert len(live.run_dirs()) == 1
        assert Counter(live.outcomes()) == {"associated": ROWS}
        # Twice at the closed door, once through it.
        assert Counter(live.watch.sent).most_common(1)[0][1] <= 3


# -- one at a time ---------------------------------------------------------------------------------------------------


def test_a_second_run_on_the_relationship_exits_at_once(tmp_path):
    slow = '[[fault]]\nkind = "slow"\nordinals = [8]\ndelay_s = 6.0\n'
    with scene(tmp_path, weather=QUICK + slow) as live:
        prepare(live)
        under_way = threading.Event()
        live.watch.on = lambda what, at: under_way.set() if live.watch.sent else None
        with live.start() as process:
            assert under_way.wait(30)
            begun_s = time.monotonic()
            ran = live.run()
            lasted_s = time.monotonic() - begun_s
            process.communicate()
        assert ran.code == ExitCode.LOCKED, ran
        assert "going on" in ran.err
        assert str(process.pid) in ran.err
        assert lasted_s < 10
        assert process.returncode == 0
        assert Counter(live.watch.sent).most_common(1)[0][1] == 1


def test_the_lock_of_a_killed_process_is_none(tmp_path):
    with scene(tmp_path) as live:
        prepare(live)
        lose_answers(live)
        assert live.run().code == 0


def test_old_runs_are_deleted_but_never_an_unfinished_one_or_a_run_dir(tmp_path):
    with scene(tmp_path) as live:
        prepare(live, report="html = false\nkeep = 2")
        kept = tmp_path / "runs" / "job" / "20200101T000000Z"
        kept.parent.mkdir(parents=True)
        assert live.call(run_dir=kept) == 0
        for _ in range(4):
            assert live.call() == 0
        names = [path.name for path in live.run_dirs()]
        assert len(names) == 3
        assert kept.name in names


def test_the_library_may_name_the_day(tmp_path):
    """A deadline in words of the clock: the next such time here."""
    with scene(tmp_path) as live:
        later = datetime.datetime.now().astimezone() + datetime.timedelta(hours=2)
        prepare(live, send=SEND + f'\ndeadline = "{later:%H:%M}"')
        assert live.call() == 0
