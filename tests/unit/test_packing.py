"""No two batches in flight touch one busy record, and nobody waits longer than that needs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bulklink.core.packing import BusySide, GroupPool, Line, Locks, Pool, Supply, bucket_count, bucket_of, set_sizes


def ids(numbers):
    return np.array([list(number.to_bytes(16, "big")) for number in numbers], np.uint8).reshape(-1, 16)


@given(st.lists(st.integers(0, 6), max_size=80), st.integers(1, 9), st.integers(1, 2))
def test_every_row_is_drawn_once_and_no_bucket_by_more_batches_than_allowed(buckets, size, hub_parallelism):
    deal = np.array(buckets, np.uint16)
    supply, locks = Supply(deal, np.arange(len(deal))), Locks(hub_parallelism)
    drawn, flights = [], []
    while supply.left or flights:
        rows = supply.draw(size, locks)
        if len(rows):
            mine = np.unique(deal[rows]).tolist()
            for bucket in mine:
                assert sum(bucket in flight for flight in flights) < hub_parallelism
            locks.take(mine)
            flights.append(mine)
            drawn += rows.tolist()
        else:
            assert flights, "rows are left, nothing is in flight, and nothing can be drawn"
            locks.give_back(flights.pop(0))
    assert sorted(drawn) == list(range(len(deal)))


def test_the_longest_queue_goes_first_and_in_input_order():
    deal = np.array([3, 5, 5, 3, 5], np.uint16)
    assert Supply(deal, np.arange(5)).draw(3, Locks(1)).tolist() == [1, 2, 4]


def test_the_busier_side_is_the_one_whose_records_repeat():
    side = BusySide()
    side.add(ids(range(100)), ids([7] * 60 + list(range(40))))
    assert side.is_to
    side = BusySide()
    side.add(ids([7] * 100), ids(range(100)))
    assert not side.is_to


@given(st.integers(0, 20_000_000))
def test_bucket_numbers_fit_two_bytes(rows):
    count = bucket_count(rows)
    assert 256 <= count <= 65_536
    assert bucket_of(ids([1, 2, 3]), count).dtype == np.uint16


def test_rows_that_go_alone_get_change_sets_of_one_behind_the_others():
    pool = Pool(np.zeros(6, np.uint16))
    pool.put([0, 1], alone=True)
    pool.put([2, 3, 4])
    draw = pool.draw(10, 2, Locks(1))
    assert draw.rows.tolist() == [2, 3, 4, 0, 1]
    assert draw.sizes == [2, 1, 1, 1]


def test_a_group_is_one_change_set_and_is_never_split():
    pool = GroupPool(np.arange(8, dtype=np.uint16))
    for group in ([0, 1, 2], [3, 4], [5, 6, 7]):
        pool.put_group(group)
    first = pool.draw(5, Locks(1))
    assert (first.rows.tolist(), first.sizes) == ([0, 1, 2, 3, 4], [3, 2])
    assert pool.draw(2, Locks(1)).sizes == [3], "a group larger than a batch goes by itself"


def test_a_group_waits_for_a_record_in_flight():
    pool, locks = GroupPool(np.array([1, 2, 2], np.uint16)), Locks(1)
    pool.put_group([0, 1])
    locks.take([2])
    assert not len(pool.draw(5, locks).rows)
    locks.give_back([2])
    assert pool.draw(5, locks).rows.tolist() == [0, 1]


def test_a_line_gives_rows_in_its_order():
    line = Line(np.array([4, 2, 0]))
    assert line.draw(2, Locks(1)).tolist() == [4, 2]
    assert line.left == 1


def test_change_sets_are_filled_and_the_last_one_takes_the_rest():
    assert set_sizes(7, 3) == [3, 3, 1]
    assert set_sizes(0, 3) == []
