"""How many operations a change set holds."""

import pytest

from benchmarks.policies import POLICIES, measure
from bulklink.core.change_set_size import SIZE_MAX, ChangeSetSizer


def feed(sizer, batches, commit=0.5, operations=500, rolled_back=False):
    """Batches as a service answers them whose transactions cost `commit` operations each. Returns the sizes used."""
    sizes = []
    for _ in range(batches):
        sizes.append(sizer.size)
        server_s = 0.01 * (operations + commit * operations / sizer.size)
        sizer.learned(sizer.size, operations, server_s, rolled_back)
    return sizes


def test_it_starts_at_one():
    assert ChangeSetSizer(None).size == 1


@pytest.mark.parametrize("setting", [1, 7, 500])
def test_a_setting_stays(setting):
    sizer = ChangeSetSizer(setting)
    feed(sizer, 50)
    feed(sizer, 1, rolled_back=True)
    assert sizer.size == setting


def test_it_grows_while_that_measurably_helps():
    sizes = feed(ChangeSetSizer(None), 60, commit=50)
    assert sizes[0] == 1
    assert sizes == sorted(sizes)
    assert sizes[-1] == SIZE_MAX


def test_a_size_that_does_not_help_is_taken_back():
    sizer = ChangeSetSizer(None)
    assert max(feed(sizer, 60, commit=0)) == 4
    assert sizer.size == 1


def test_the_first_roll_back_puts_it_back_to_one_for_a_while():
    sizer = ChangeSetSizer(None)
    feed(sizer, 60, commit=50)
    feed(sizer, 1, rolled_back=True)
    assert sizer.size == 1
    assert set(feed(sizer, 7, commit=50)) == {1}
    assert max(feed(sizer, 60, commit=50)) == SIZE_MAX


def test_each_roll_back_makes_it_more_patient():
    sizer = ChangeSetSizer(None)

    def batches_until_it_grows():
        batches = 0
        while sizer.size == 1:
            feed(sizer, 1, commit=50)
            batches += 1
        feed(sizer, 1, rolled_back=True)
        return batches

    waits = [batches_until_it_grows() for _ in range(4)]
    assert waits == sorted(waits)
    assert waits[3] > 6 * waits[0]


def test_batches_that_grow_are_not_mistaken_for_change_sets_that_help():
    """What a request costs by itself is spread over more operations: that is no merit of the change sets."""
    sizer = ChangeSetSizer(None)
    sizes = []
    for operations in [10, 20, 40, 80, 160, 320, 640, 1000, *[1000] * 40]:
        for _ in range(4):
            sizes.append(sizer.size)
            sizer.learned(sizer.size, operations, 2.0 + 0.001 * operations, False)
    assert max(sizes) == 4
    assert sizer.size == 1


@pytest.mark.parametrize("bad_share", [0.001, 0.01, 0.05])
def test_the_default_executes_at_most_1_3_operations_per_row(bad_share):
    operations_per_row, _ = measure("auto", bad_share, rows=20_000, commit=0.5)
    assert operations_per_row <= 1.3


def test_every_policy_settles_every_row():
    """A policy that forgot rows would look cheap."""
    for policy in POLICIES:
        assert measure(policy, 0.01, rows=2_000, commit=0.0)[0] >= 1.0
