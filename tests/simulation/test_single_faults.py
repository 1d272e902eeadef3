"""What the engine does about one fault, step by step, with the sandbox's own answers."""

import itertools

import pytest

from bulklink.core.open_rows import ROW_TIME_MAX_S
from bulklink.core.relationships import Cardinality
from bulklink.core.steps import Finished, Send, Wait
from bulklink.sandbox.errors import ODataError
from bulklink.sandbox.messages import error_answer
from bulklink.vocabulary import Action, Isolation, Outcome
from tests.simulation.world import SETTLE_AFTER_S, Plan, World

DEADLOCK = ODataError(500, "0x80044150", "Sql error: Generic SQL error. Sql Number: 1205")
SQL_TIMEOUT = ODataError(500, "0x80044151", "Sql error: Execution Timeout Expired.")
LIMIT = ODataError(429, "0x80072321", "Combined execution time of incoming requests exceeded limit of 1200000 ms.")
REFUSED = ODataError(400, "0x80040265", "The plug-in says no.")


class Stepper:
    """An engine whose sends are answered by hand."""

    def __init__(self, rows=12, **plan):
        # Rows 0.. link different records, so that nothing keeps them from travelling together.
        links = [(k % 12, (k // 12 + k) % 12, Action.ASSOCIATE) for k in range(rows)]
        self.world = World(Plan(seed=1, rows=links, **{"batch_size": 50, "skip_existing": "never"} | plan))
        self.engine = self.world.make_engine()
        self.now_s = self.world.now_s

    def step(self):
        return self.engine.next_step(self.now_s)

    def send(self):
        """The next send, after whatever pause."""
        while not isinstance(step := self.step(), Send):
            assert isinstance(step, Wait), step
            self.now_s = max(self.now_s + 1e-3, step.until_s)
        return step

    def answer(self, send, refusing=None, headers=None):
        """Execute and answer. refusing: ordinal of an operation -> the error it meets."""
        ordinals = itertools.count()

        def before_operation(request):
            error = (refusing or {}).get(next(ordinals))
            return error_answer(error, request) if error else None

        status, found, body = self.world._execute(send, before_operation)
        self.now_s += 0.1
        self.engine.replied(send.number, status, found | (headers or {}), body, self.now_s)

    def refuse(self, send, status, code="", headers=None):
        self.now_s += 0.1
        body = b'{"error":{"code":"%s","message":"No."}}' % code.encode()
        found = {"content-type": "application/json"} | (headers or {})
        self.engine.replied(send.number, status, found, body, self.now_s)

    def outcomes(self):
        found = {}
        for block in self.engine.take_settled():
            found |= dict(zip(block.rows.tolist(), map(Outcome, block.outcome.tolist()), strict=True))
        return found


def test_a_limit_named_inside_a_part_makes_everybody_wait():
    run = Stepper()
    send = run.send()
    run.answer(send, {2: LIMIT}, {"retry-after": "17"})
    told_s = run.now_s
    step = run.step()
    assert isinstance(step, Wait)
    assert step.until_s == told_s + 17
    again = run.send()
    assert run.now_s >= told_s + 17
    assert again.rows.tolist() == [send.rows.tolist()[2]]


def test_a_retry_after_without_a_429_is_kept_to():
    run = Stepper()
    run.refuse(run.send(), 503, headers={"retry-after": "40", "content-type": "text/html"})
    told_s = run.now_s
    run.send()
    assert run.now_s >= told_s + 40


def test_a_database_time_out_without_a_culprit_makes_batches_smaller():
    from bulklink.sandbox.toggles import Toggles

    run = Stepper(change_set_size=6, toggles=Toggles(unblamed="always"))
    run.answer(run.send(), {2: SQL_TIMEOUT})
    assert len(run.send().rows) <= 6


def test_a_refused_row_that_went_alone_counts_as_no_roll_back():
    run = Stepper(change_set_size=1)
    run.answer(run.send(), {2: REFUSED, 5: REFUSED})
    assert run.engine.change_sets_rolled_back == 0


def test_a_change_set_that_fell_because_of_one_row_counts_as_one_roll_back():
    run = Stepper(change_set_size=6)
    run.answer(run.send(), {2: REFUSED})
    assert run.engine.change_sets_rolled_back == 1


def test_a_row_that_meets_a_limit_for_ever_is_exhausted_in_the_end():
    run = Stepper(rows=1)
    begun_s = run.now_s
    for _ in range(10_000):
        run.answer(run.send(), {0: LIMIT}, {"retry-after": "60"})
        found = run.outcomes()
        if found:
            break
    assert found == {0: Outcome.EXHAUSTED}
    assert ROW_TIME_MAX_S <= run.now_s - begun_s <= ROW_TIME_MAX_S + 120
    assert isinstance(run.step(), Finished)


def test_a_reading_that_the_service_cannot_answer_is_repeated_and_nobody_exhausted():
    run = Stepper(rows=3, skip_existing="always")
    begun_s = run.now_s
    while run.now_s - begun_s < 60:
        send = run.send()
        assert send.is_read
        run.refuse(send, 503, headers={"content-type": "text/html"})
    run.answer(run.send())
    run.answer(run.send())
    assert set(run.outcomes().values()) == {Outcome.ASSOCIATED}


def test_a_passing_fault_inside_a_reading_is_repeated_after_a_pause():
    run = Stepper(rows=3, skip_existing="always")
    run.answer(run.send(), {0: DEADLOCK})
    told_s = run.now_s
    assert run.send().is_read
    assert run.now_s >= told_s + 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_user_who_is_refused_stops_the_run_and_nobody_is_in_doubt(status):
    run = Stepper()
    run.refuse(run.send(), status)
    step = run.step()
    assert step.error.exit_code == 6
    blocks = [*run.engine.take_settled(), *run.engine.close()]
    assert {outcome for block in blocks for outcome in block.outcome.tolist()} == {Outcome.NOT_ATTEMPTED}


def test_refusals_that_wait_to_be_read_do_not_keep_others_from_being_read():
    """More than one request's worth of duplicates beside removals, which are read first."""
    rows = [(k % 12, (k * 7) % 12, Action.DISASSOCIATE if k % 3 == 0 else Action.ASSOCIATE) for k in range(24)]
    world = World(Plan(seed=5, rows=rows, linked={(f, t) for f, t, _ in rows}, skip_existing="never"))
    world.run_until_settled()
    assert len(world.journal.outcomes()) == len(rows)


# -- what a mutation of the code must not survive (benchmarks/mutations.py) -------------------------------------------


def finish(run):
    """Answer everything until the run ends; the outcomes."""
    found = {}
    while not isinstance(step := run.step(), Finished):
        if isinstance(step, Send):
            run.answer(step)
        else:
            run.now_s = max(run.now_s + 1e-3, step.until_s)
        found |= run.outcomes()
    return found | run.outcomes()


def test_readings_wait_for_retry_after_as_writes_do():
    run = Stepper(rows=3, skip_existing="always")
    send = run.send()
    assert send.is_read
    run.refuse(send, 429, "0x80072322", {"retry-after": "30"})
    told_s = run.now_s
    assert isinstance(run.step(), Wait)
    run.send()
    assert run.now_s >= told_s + 30


def test_a_duplicate_does_not_vouch_for_its_siblings():
    run = Stepper(rows=6, change_set_size=6, linked={(2, 2)})
    found = finish(run)
    assert found == {row: Outcome.ALREADY_ASSOCIATED if row == 2 else Outcome.ASSOCIATED for row in range(6)}
    assert len(run.world.links()) == 6


def test_not_there_right_after_a_lost_answer_is_not_not_done():
    run = Stepper(rows=1, cardinality=Cardinality.LOOKUP, skip_existing="always")
    run.answer(run.send())
    write = run.send()
    assert not write.is_read
    run.engine.lost(write.number, "lost", run.now_s, may_have_arrived=True)
    lost_s = run.now_s
    while run.now_s < lost_s + SETTLE_AFTER_S - 1:
        step = run.step()
        if isinstance(step, Send):
            assert step.is_read, "sent again before the doubt was over"
            run.answer(step)
        else:
            run.now_s = max(run.now_s + 1e-3, min(step.until_s, lost_s + SETTLE_AFTER_S - 1))
        assert run.outcomes() == {}


def test_a_group_is_sent_whole_or_not_at_all():
    groups = [k // 4 for k in range(12)]
    run = Stepper(rows=12, isolation=Isolation.GROUP, group_of=groups, batch_size=6, skip_existing="always")
    found = {}
    while not isinstance(step := run.step(), Finished):
        if isinstance(step, Wait):
            run.now_s = max(run.now_s + 1e-3, step.until_s)
            continue
        if not step.is_read:
            sent = sorted(step.rows.tolist())
            whole = sorted(row for row in range(12) if groups[row] in {groups[one] for one in sent})
            assert sent == whole
        run.answer(step)
        found |= run.outcomes()
    assert set((found | run.outcomes()).values()) == {Outcome.ASSOCIATED}
