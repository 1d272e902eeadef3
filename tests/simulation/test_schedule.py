"""What `Pace` makes of the service's limits, on a virtual clock."""

import heapq
import random

import pytest

from benchmarks.schedule import ideal_operations, simulate
from bulklink.core.pace import Pace, PaceSettings, ReplyFacts

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("operation_s", [0.010, 0.030, 0.100])
def test_pace_reaches_97_percent_of_the_ideal_schedule_and_keeps_its_manners(operation_s, seed):
    run = simulate(Pace(PaceSettings()), operation_s, seed)
    assert run.operations >= 0.97 * ideal_operations(operation_s)
    assert run.sent_against_orders == 0
    assert run.in_flight_max <= 52


def test_a_share_of_the_window_is_kept_to():
    half = simulate(Pace(PaceSettings(share=0.5)), 0.030, seed=1)
    assert half.refused == 0
    assert 0.40 * ideal_operations(0.030) <= half.operations <= 0.52 * ideal_operations(0.030)
    assert half.in_flight_max <= 26


def queue(pace, workers, operation_s, end_s, request_s=0.05, slow_from_s=float("inf")):
    """A service that never refuses: it works on so many requests at a time, the others wait. Returns (operations, seen).

    From `slow_from_s` on it has half the workers. seen: (moment, limit) after each answer.
    """
    rng = random.Random(1)
    free = [0.0] * workers
    events, seen = [], []
    now_s, number, done = 0.0, 0, 0
    while now_s < end_s:
        while pace.may_send(now_s):
            number += 1
            size = pace.batch_size
            pace.sent(number, size, now_s)
            start_s = max(now_s, heapq.heappop(free))
            slower = 2 if start_s >= slow_from_s else 1
            ends_s = start_s + (request_s + size * operation_s * slower) * rng.lognormvariate(-0.02, 0.2)
            heapq.heappush(free, ends_s)
            heapq.heappush(events, (ends_s, number, size, now_s))
        now_s, answered, size, sent_s = heapq.heappop(events)
        done += size
        pace.replied(ReplyFacts(answered, size, sent_s, now_s, 200))
        seen.append((now_s, pace.limit))
    return done, seen


@pytest.mark.parametrize("workers", [2, 6, 13])
def test_a_service_that_queues_without_429_is_not_flooded(workers):
    """Answers that only take longer are as good as a refusal: no more in flight than the service works on, or twice."""
    done, seen = queue(Pace(PaceSettings()), workers, operation_s=0.01, end_s=300.0)
    assert done >= 0.85 * workers * 300.0 / 0.01
    late = [limit for moment, limit in seen if moment > 60.0]
    assert sum(limit <= max(4, 2 * workers) for limit in late) >= 0.9 * len(late)


def test_when_the_service_slows_down_fewer_are_sent():
    pace = Pace(PaceSettings())
    _, seen = queue(pace, 52, operation_s=0.01, end_s=400.0, slow_from_s=100.0)
    assert max(limit for moment, limit in seen if moment < 100.0) == 52


def test_a_service_with_room_gets_all_52():
    pace = Pace(PaceSettings())
    queue(pace, 100, operation_s=0.01, end_s=60.0)
    assert pace.limit == 52
    assert 2.0 <= pace.batch_size * 0.01 <= 10.0
