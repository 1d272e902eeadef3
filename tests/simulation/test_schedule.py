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


def queue(pace, workers, operation_s, end_s, fewer=None):
    """A service that never refuses: it works on so many requests at a time, the others wait.

    fewer: (moment, workers from then on). Returns (operations done, (moment, limit) after each answer).
    """
    rng = random.Random(1)
    free = [0.0] * workers
    events, seen = [], []
    now_s, number, done = 0.0, 0, 0
    while now_s < end_s:
        if fewer and now_s >= fewer[0]:
            free, fewer = sorted(free)[: fewer[1]], None
        while pace.may_send(now_s):
            number += 1
            size = pace.batch_size
            pace.sent(number, size, now_s)
            start_s = max(now_s, heapq.heappop(free))
            ends_s = start_s + (0.05 + size * operation_s) * rng.lognormvariate(-0.02, 0.2)
            heapq.heappush(free, ends_s)
            heapq.heappush(events, (ends_s, number, size, now_s))
        now_s, answered, size, sent_s = heapq.heappop(events)
        done += size
        pace.replied(ReplyFacts(answered, size, sent_s, now_s, 200))
        seen.append((now_s, pace.limit))
    return done, seen


@pytest.mark.parametrize("workers", [2, 6, 13])
def test_a_service_that_queues_without_429_is_not_flooded(workers):
    """Answers that only take longer are as good as a refusal: what more in flight does not speed up is taken back."""
    done, seen = queue(Pace(PaceSettings()), workers, operation_s=0.01, end_s=300.0)
    assert done >= 0.95 * workers * 300.0 / 0.01
    assert sum(limit <= max(4, 2 * workers) for _, limit in seen) >= 0.75 * len(seen)


def test_when_the_service_gets_slower_fewer_are_sent():
    _, seen = queue(Pace(PaceSettings()), 60, operation_s=0.01, end_s=600.0, fewer=(100.0, 8))
    assert max(limit for moment, limit in seen if moment < 100.0) == 52
    late = [limit for moment, limit in seen if moment > 400.0]
    assert sorted(late)[len(late) // 2] <= 26


def test_a_service_with_room_gets_all_52():
    pace = Pace(PaceSettings())
    queue(pace, 100, operation_s=0.01, end_s=60.0)
    assert pace.limit == 52
    assert 2.0 <= pace.batch_size * 0.01 <= 10.0
