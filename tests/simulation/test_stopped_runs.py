"""The laws hold for runs that are stopped, refused and lied to at any moment, and then run again.

Stopped: by a deadline, a signal, too many failures; the answers under way are awaited, or given up. Refused: the user,
a batch, a reading. Lied to: a gateway's page with status 200 instead of an answer.
"""

import random

import pytest

from bulklink.core.relationships import Cardinality
from bulklink.core.steps import Finished, Halted, Send
from bulklink.errors import StoppedEarly
from bulklink.vocabulary import Isolation
from tests.simulation.test_whole_runs import SEEDS, check_groups, check_laws, random_plan
from tests.simulation.world import World

JSON, HTML = {"content-type": "application/json"}, {"content-type": "text/html"}
TROUBLES = {"signed_out": 0.02, "forbidden": 0.01, "bad_request": 0.03, "sign_in_page": 0.04, "bare_500": 0.03}


class StoppedWorld(World):
    """Each process is stopped after some steps; then all answers are awaited, or none."""

    def __init__(self, plan):
        super().__init__(plan)
        self.stops = [self.random.randrange(1, 80) for _ in range(self.random.randrange(4))]

    def make_engine(self):
        engine = super().make_engine()
        for kind, entry in self.journal.entries:
            if kind == "block":
                engine.resume_attempts(entry.rows, entry.attempts)
        return engine

    def run_once(self, cut=None):
        # A new process has not heard of a pause; the service tells it at its first request.
        self.blocked_until_s = 0.0
        if not self.stops:
            return super().run_once(cut)
        engine = self.make_engine()
        self.in_flight_buckets.clear()
        stop_at, is_patient = self.stops.pop(), self.random.random() < 0.5
        for number in range(100_000):
            if number == stop_at:
                engine.stop(StoppedEarly("stopped"))
            step = engine.next_step(self.now_s)
            settled = engine.take_settled()
            if isinstance(step, Send):
                self.journal.record([self._recorded(step)] if not step.is_read else [], settled)
                self._send(engine, step)
                continue
            self.journal.record([], settled)
            if isinstance(step, Finished):
                return step
            if isinstance(step, Halted) or (number >= stop_at and not is_patient):
                self.journal.record([], engine.close())
                self._forget_answers()
                return step
            self._pass_time(step)
        raise AssertionError("the run does not end")

    # -- further weather -------------------------------------------------------------------------------------------

    def _do_signed_out(self, engine, step, latency_s):
        self._answer(engine, step, latency_s, (401, JSON, b'{"error":{"code":"","message":"No."}}'))

    def _do_forbidden(self, engine, step, latency_s):
        self._answer(engine, step, latency_s, (403, JSON, b'{"error":{"code":"0x80040220","message":"No."}}'))

    def _do_bad_request(self, engine, step, latency_s):
        if len(step.rows) <= 1:
            self._do_well(engine, step, latency_s)
            return
        self._answer(engine, step, latency_s, (400, JSON, b'{"error":{"code":"0x80048d19","message":"No."}}'))

    def _do_sign_in_page(self, engine, step, latency_s):
        if self.random.random() < 0.5:
            self._execute(step)
        self._answer(engine, step, latency_s, (200, HTML, b"<html><title>Please sign in</title></html>"))

    def _do_bare_500(self, engine, step, latency_s):
        if self.random.random() < 0.5:
            self._execute(step)
        self._answer(engine, step, latency_s, (500, JSON, b'{"error":{"code":"0x80040216","message":"No."}}'))

    def _fault(self, step, *rest):
        if step.is_read:
            for name in ("signed_out", "forbidden", "sign_in_page", "bare_500"):
                if self.random.random() < self.plan.weather.get(name, 0.0):
                    return name
        return super()._fault(step, *rest)


def troubled_plan(seed, **how):
    plan = random_plan(seed, **how)
    chance = random.Random(seed)
    plan.weather |= {name: p * chance.choice([0, 1, 3]) for name, p in TROUBLES.items()}
    if plan.cardinality is Cardinality.MANY_TO_MANY:
        plan.skip_existing = chance.choice(["auto", "always", "never"])
    return plan


@pytest.mark.parametrize("block", range(10))
def test_a_run_that_is_stopped_refused_and_lied_to_resumes_to_the_truth(block):
    for seed in range(300_000 + block * SEEDS // 10, 300_000 + (block + 1) * SEEDS // 10):
        isolation = Isolation.GROUP if seed % 4 == 0 else None
        world = StoppedWorld(troubled_plan(seed, isolation=isolation, cuts=seed % 3 == 0))
        try:
            world.run_until_settled()
            check_laws(world)
            if isolation:
                check_groups(world)
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
