"""One record that many rows touch: no deadlock with default settings, and the others are not held up."""

import pytest

from benchmarks.hubs import file_of, simulate

ROWS, HUB = 6_000, 1_500


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("hint", [4, 16])
def test_a_hub_causes_no_deadlock_with_default_settings(hint, shuffled):
    one = simulate(file_of(ROWS, HUB, shuffled=shuffled), hint=hint)
    assert one.deadlocks == 0
    assert one.together_max == 1


@pytest.mark.parametrize("hint", [4, 16])
def test_a_hub_does_not_hold_up_the_others(hint):
    with_hub = simulate(file_of(ROWS, HUB, shuffled=True), hint=hint)
    alone = simulate(file_of(ROWS - HUB, 0), hint=hint)
    # The hub takes a part of what the service can do; beyond that it costs the others nothing.
    assert with_hub.others_seconds <= 1.35 * alone.seconds


def test_the_model_shows_deadlocks_where_nothing_prevents_them():
    assert simulate(file_of(1_000, 250, shuffled=True), hint=8, hub_parallelism=52).deadlocks > 100
