"""What the engine does where two troubles meet, or one does not end: answered by hand, step by step."""

from functools import partial

import pytest

from bulklink.core.forms import operation_template
from bulklink.core.relationships import Cardinality
from bulklink.core.steps import EngineSettings, Finished, Halted, Send, Wait
from bulklink.core.work import Found
from bulklink.errors import StoppedEarly
from bulklink.vocabulary import Action, Before, Form, Isolation, Outcome
from tests.simulation import world
from tests.simulation.test_single_faults import DEADLOCK, Stepper
from tests.simulation.world import API_URL, SETTLE_AFTER_S, Plan, World, _b, guid

HTML = {"content-type": "text/html"}


def noted(run):
    """Row -> (outcome, status, code) as the journal would have it after a halt; later blocks count."""
    found = {}
    for block in [*run.engine.take_settled(), *run.engine.close()]:
        codes = [block.code] * len(block) if isinstance(block.code, str) else block.code
        for row, outcome, status, code in zip(
            block.rows.tolist(), block.outcome.tolist(), block.http_status.tolist(), codes, strict=True
        ):
            found[row] = Outcome(outcome), status, code
    return found


def to_the_end(run, answer, steps_max=2_000, seconds_max=7_200.0):
    """Answer every send by `answer(send)` until the run ends."""
    begun_s = run.now_s
    for _ in range(steps_max):
        step = run.step()
        if isinstance(step, Finished | Halted):
            return step
        if isinstance(step, Send):
            answer(step)
        else:
            assert step.until_s != float("inf"), step
            run.now_s = max(run.now_s + 1e-3, step.until_s)
        assert run.now_s - begun_s < seconds_max, "the run does not end"
    raise AssertionError("the run does not end")


def test_a_large_group_that_is_not_read_first_leaves_at_once():
    """More rows than a batch draws at a time: nobody waits for the rest of the group by the clock."""
    run = Stepper(rows=40, isolation=Isolation.GROUP, group_of=[0] * 25 + [1] * 15, batch_size=4)
    begun_s = run.now_s
    sends = [run.send()]
    run.answer(sends[0])
    sends.append(run.send())
    run.answer(sends[1])
    assert [len(send.rows) for send in sends] == [25, 15]
    assert run.now_s - begun_s < 1
    assert isinstance(run.step(), Finished)


def test_a_group_that_the_service_will_not_take_falls_and_does_not_go_round_for_ever():
    """A batch of one group cannot be halved."""
    run = Stepper(rows=12, isolation=Isolation.GROUP, group_of=[0] * 6 + [1] * 6)

    def answer(send):
        if send.is_read or 0 not in send.rows.tolist():
            run.answer(send)
        else:
            run.refuse(send, 413)

    assert isinstance(to_the_end(run, answer), Finished)
    found = run.outcomes()
    assert {found[row] for row in range(6)} == {Outcome.GROUP_FAILED}
    assert {found[row] for row in range(6, 12)} == {Outcome.ASSOCIATED}


@pytest.mark.parametrize("status", [401, 403])
def test_rows_of_a_refused_user_keep_the_words_of_the_service(status):
    run = Stepper()
    run.refuse(run.send(), status, "0x80040220")
    assert isinstance(run.step(), Halted)
    assert set(noted(run).values()) == {(Outcome.NOT_ATTEMPTED, status, "0x80040220")}


@pytest.mark.parametrize("status", [401, 403])
def test_a_row_in_doubt_stays_in_doubt_when_its_resending_is_refused_to_the_user(status):
    """The lost sending may have made the link, and the next run must not call it older than this one."""
    run = Stepper(rows=3)
    first = run.send()
    run.world._execute(first)
    run.engine.lost(first.number, "lost", run.now_s, may_have_arrived=True)
    run.refuse(run.send(), status)
    assert isinstance(run.step(), Halted)
    assert noted(run) == {}


def test_a_refused_reading_of_many_rows_stops_the_run_and_exhausts_nobody():
    rows = [(k % 12, (k // 12 + k) % 12, Action.DISASSOCIATE) for k in range(12)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(f, t) for f, t, _ in rows}))
    run.engine = run.world.make_engine()
    end = to_the_end(run, lambda send: run.refuse(send, 403, "0x80040220"))
    assert isinstance(end, Halted)
    assert end.error.exit_code == 6
    assert Outcome.EXHAUSTED not in {outcome for outcome, _, _ in noted(run).values()}


def test_rows_in_doubt_that_can_never_be_read_stop_the_run():
    """Every reading is answered by something that is no answer to it: the run does not read for ever."""
    rows = [(k, k, Action.DISASSOCIATE) for k in range(3)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(k, k) for k in range(3)}))
    run.engine = run.world.make_engine()
    run.answer(run.send())
    lost = run.send()
    assert not lost.is_read
    run.engine.lost(lost.number, "lost", run.now_s, may_have_arrived=True)

    def answer(send):
        page = b'{"value": [{"of": "another table"}]}'
        part = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        run.now_s += 0.1
        run.engine.replied(
            send.number, 200, {"content-type": "multipart/mixed; boundary=b"}, part + page + b"\r\n--b--\r\n", run.now_s
        )

    end = to_the_end(run, answer, steps_max=20_000)
    assert isinstance(end, Halted)
    assert isinstance(end.error, StoppedEarly)
    assert noted(run) == {}


@pytest.mark.parametrize("first_works", [False, True])
def test_a_page_of_a_gateway_instead_of_answers_stops_the_run_after_a_while(first_works):
    """A sign-in page with status 200 says nothing of the service: as if it could not be reached."""
    run = Stepper(rows=3)
    if first_works:
        run.answer(run.send(), {0: DEADLOCK})

    def answer(send):
        run.now_s += 0.1
        run.engine.replied(send.number, 200, HTML, b"<html><title>Please sign in</title></html>", run.now_s)

    end = to_the_end(run, answer, steps_max=20_000)
    assert isinstance(end, Halted)
    assert end.error.exit_code == 4


def test_a_reading_of_several_pages_is_as_old_as_its_first_page():
    """A link that appears behind the first page's back, before the last page, must not be called missing."""
    rows = [(0, 0, Action.DISASSOCIATE)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(0, 0)}))
    run.engine = run.world.make_engine()
    run.answer(run.send())
    lost = run.send()
    run.engine.lost(lost.number, "lost", run.now_s, may_have_arrived=True)
    conclusive_s = run.now_s + SETTLE_AFTER_S

    def page(send, body):
        part = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        headers = {"content-type": "multipart/mixed; boundary=b"}
        run.engine.replied(send.number, 200, headers, part + body + b"\r\n--b--\r\n", run.now_s)

    ids = str(guid(1, 0)).encode(), str(guid(2, 0)).encode()
    there = b'{"value":[{"accountid":"%s","leadid":"%s"}]' % ids
    send = run.send()
    assert send.is_read
    run.now_s = conclusive_s - 1
    page(send, there + b',"@odata.nextLink":"http://sandbox.test/api/data/v9.2/accountleadscollection?p=2"}')
    run.now_s = conclusive_s + 1
    second = run.send()
    assert second.is_read
    page(second, b'{"value":[]}')
    assert run.send().is_read


def test_a_wait_never_ends_in_the_past_while_refusals_gather_to_be_read():
    """Otherwise the loop turns at full speed until somebody answers."""
    rows = [(k % 12, k // 12, Action.ASSOCIATE if k % 5 else Action.DISASSOCIATE) for k in range(60)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(k, 0) for k in range(12)}, skip_existing="never", batch_size=4))
    run.engine = run.world.make_engine()
    flying, unread = [], 2
    for _ in range(400):
        step = run.step()
        if isinstance(step, Send):
            flying.append(step)
        elif isinstance(step, Wait):
            assert step.until_s > run.now_s, step
            if flying and flying[0].is_read and unread:
                unread -= 1
                run.refuse(flying.pop(0), 503, headers=HTML)
            elif flying and step.until_s > run.now_s + 0.1:
                run.answer(flying.pop(0))
            else:
                run.now_s = step.until_s
        else:
            break
    assert isinstance(step, Finished)


def test_a_run_whose_last_answer_comes_after_the_deadline_is_finished(monkeypatch):
    monkeypatch.setattr(world, "EngineSettings", partial(EngineSettings, deadline_s=1050.0))
    run = Stepper(rows=3)
    send = run.send()
    run.now_s = 1060.0
    assert isinstance(run.step(), Wait)
    run.answer(send)
    assert isinstance(run.step(), Finished)


def test_a_doubt_from_a_clock_that_was_ahead_lasts_no_longer_than_settle_after():
    """The machine's clock was moved back between two runs of a job."""
    rows = [(0, 0, Action.DISASSOCIATE)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(0, 0)}))
    run.engine = run.world.make_engine()
    begun_s = run.now_s
    run.engine.resume_doubt([0], [Found(Before.PRESENT)], run.now_s + 1e6, run.now_s)
    assert isinstance(to_the_end(run, run.answer, seconds_max=1e9), Finished)
    assert run.now_s - begun_s < 2 * SETTLE_AFTER_S


def test_one_row_that_no_batch_may_hold_does_not_make_all_later_batches_small():
    run = Stepper(rows=100)

    def answer(send):
        if 7 in send.rows.tolist():
            run.refuse(send, 400, "0x80048d19")
        else:
            run.answer(send)

    assert isinstance(to_the_end(run, answer), Finished)
    found = run.outcomes()
    assert found[7] is Outcome.REJECTED
    assert len(found) == 100
    assert run.engine.batches_sent < 60
    assert run.engine.operations_sent < 300


def test_nothing_to_do_is_done_at_once():
    run = Stepper(rows=0)
    assert isinstance(run.step(), Finished)
    assert run.outcomes() == {}


def test_adds_beside_removals_are_not_read_first_where_the_job_says_never():
    rows = [(f, t, Action.DISASSOCIATE if f < 6 else Action.ASSOCIATE) for f in range(12) for t in range(6 - f // 6)]
    run = Stepper()
    linked = {(f, t) for f, t, _ in rows}
    run.world = World(Plan(seed=1, rows=rows, linked=linked, skip_existing="never", batch_size=12))
    run.engine = run.world.make_engine()
    attempts = {}

    def answer(send):
        run.answer(send)
        for block in run.engine.take_settled():
            attempts.update(zip(block.rows.tolist(), block.attempts.tolist(), strict=True))

    assert isinstance(to_the_end(run, answer), Finished)
    assert set(attempts.values()) == {1}


def test_a_reading_that_is_too_large_is_asked_in_smaller_ones():
    """A gateway takes no more than three rows at a time: that counts as nobody's fault, and nobody pauses for it."""
    rows = [(k % 12, k // 12, Action.DISASSOCIATE) for k in range(24)]
    run = Stepper()
    run.world = World(Plan(seed=1, rows=rows, linked={(f, t) for f, t, _ in rows}))
    run.engine = run.world.make_engine()

    def answer(send):
        if send.is_read and send.body.count(b"leadid%20eq") > 3:
            run.refuse(send, 413)
        else:
            run.answer(send)

    assert isinstance(to_the_end(run, answer), Finished)
    assert set(run.outcomes().values()) == {Outcome.DISASSOCIATED}
    assert run.engine.retried == 0


def test_a_redirection_of_every_request_stops_the_run_and_exhausts_nobody():
    run = Stepper(rows=3, skip_existing="always")
    end = to_the_end(run, lambda send: run.refuse(send, 302, headers=HTML), steps_max=20_000)
    assert isinstance(end, Halted)
    assert end.error.exit_code == 4
    assert noted(run) == {}


class Rival(World):
    """Our first write is refused by service protection; while we wait, somebody points the lookup elsewhere."""

    def _fault(self, step, latency_s):
        if step.is_read or self.blocked_until_s:
            return "well"
        relationship = self.relationship
        template = operation_template(Form.BIND, relationship, API_URL, Action.ASSOCIATE)
        self._execute_plainly(template.render([_b(1, 1)], [_b(2, 5)], [b"*"])[0])
        self.blocked_until_s = self.now_s
        return "throttle"


@pytest.mark.parametrize("form", [Form.REF_CLEAR, Form.AUTO])
def test_a_removal_that_waited_for_the_service_does_not_clear_what_somebody_set_meanwhile(form):
    plan = Plan(
        seed=7,
        cardinality=Cardinality.LOOKUP,
        rows=[(1, 2, Action.DISASSOCIATE)],
        linked={(1, 2)},
        forms={Action.DISASSOCIATE: form},
    )
    world = Rival(plan)
    world.run_until_settled()
    assert world.links() == {(str(guid(1, 1)), str(guid(2, 5)))}
    assert world.journal.outcomes()[0][0] is Outcome.ALREADY_DISASSOCIATED
