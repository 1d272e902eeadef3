"""The gate: when, how many, how large."""

import pytest

from bulklink.core.pace import Pace, PaceSettings, ReplyFacts


class Client:
    """Sends whatever the gate lets through and answers on demand."""

    def __init__(self, **settings):
        self.pace = Pace(PaceSettings(**settings))
        self.now_s = 0.0
        self.number = 0
        self.flying = {}

    def send(self):
        """Fill the gate. Returns how many requests left."""
        before = self.number
        while self.pace.may_send(self.now_s):
            self.number += 1
            self.pace.sent(self.number, self.pace.batch_size, self.now_s)
            self.flying[self.number] = (self.pace.batch_size, self.now_s)
        return self.number - before

    def answer(self, count=None, status=200, after_s=0.1, **facts):
        """Answer so many requests, by default all."""
        self.now_s += after_s
        for number in list(self.flying)[:count]:
            operations, sent_s = self.flying.pop(number)
            self.pace.replied(ReplyFacts(number, operations, sent_s, self.now_s, status, **facts))

    def work(self, rounds, operation_s=0.001, **facts):
        for _ in range(rounds):
            self.send()
            self.answer(after_s=0.01 + operation_s * self.pace.batch_size, **facts)


def test_four_at_a_time_where_the_service_gives_no_hint():
    assert Client().send() == 4


def test_the_first_hint_sets_the_start_and_later_ones_do_not():
    client = Client()
    client.send()
    client.answer(1, dop_hint=10)
    assert client.pace.limit == 10
    client.answer(1, dop_hint=3)
    assert client.pace.limit == 10


def test_a_hint_known_before_is_the_start():
    assert Client(start=7).send() == 7


def test_parallelism_doubles_up_to_52_while_answers_stay_as_quick():
    client = Client()
    limits = set()
    for _ in range(60):
        client.work(1)
        limits.add(client.pace.limit)
    assert limits - {4} == {8, 16, 32, 52}


def test_a_set_concurrency_is_used_at_once_and_never_exceeded():
    client = Client(concurrency=20)
    assert client.send() == 20
    client.answer()
    client.work(50)
    assert client.pace.limit == 20


def test_after_a_429_nobody_sends_before_the_longest_pause_is_over():
    client = Client(concurrency=10)
    client.send()
    client.answer(1, status=429, throttled_code="0x80072321", retry_after_s=20.0)
    client.answer(1, status=429, throttled_code="0x80072321", retry_after_s=60.0, after_s=0.0)
    client.answer(1, status=429, throttled_code="0x80072321", retry_after_s=5.0, after_s=0.0)
    client.answer(7)
    over_s = 60.1
    for now_s in (1.0, 5.2, 20.2, over_s - 0.01):
        client.now_s = now_s
        assert client.send() == 0
        until_s, why = client.pace.wait_until(now_s)
        assert until_s == pytest.approx(over_s)
        assert "20 minutes of execution time" in why
    assert client.pace.throttled == 3
    assert client.pace.waited_s == pytest.approx(60.0)


def test_after_the_pause_one_request_finds_out_whether_the_limit_still_holds():
    client = Client(concurrency=10)
    client.send()
    client.answer(status=429, throttled_code="0x80072322", retry_after_s=30.0)
    client.now_s = 30.1
    assert client.send() == 1
    client.answer(status=429, throttled_code="0x80072322", retry_after_s=1.0, after_s=0.05)
    assert client.send() == 0


def test_after_the_pause_the_same_parallelism_comes_back():
    client = Client(concurrency=10)
    client.send()
    client.answer(status=429, throttled_code="0x80072321", retry_after_s=30.0)
    client.now_s = 30.1
    while client.pace.in_flight < 10:
        client.send()
        until = client.pace.wait_until(client.now_s)
        client.now_s = until[0] if until else client.now_s
    assert client.now_s < 31.5


def test_without_retry_after_each_refused_round_waits_twice_as_long_up_to_five_minutes():
    client = Client(concurrency=3)
    pauses = []
    for _ in range(10):
        client.send()
        client.answer(status=429)
        pauses.append(client.pace.wait_until(client.now_s)[0] - client.now_s)
        client.now_s += pauses[-1]
    assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


def test_the_limit_on_concurrency_lowers_it_once_for_all_that_were_in_flight():
    client = Client(concurrency=40)
    client.send()
    client.answer(20, status=429, throttled_code="0x80072326", retry_after_s=1.0)
    assert client.pace.limit == 30


def test_lost_answers_lower_parallelism_and_batch_size_once():
    client = Client(start=40)
    client.work(30)
    limit, size = client.pace.limit, client.pace.batch_size
    client.send()
    client.answer(status=0, lost=True)
    assert client.pace.limit == limit // 2
    assert client.pace.batch_size == size // 2


def test_an_answer_lost_now_and_then_lowers_nothing():
    """A rough night once ended with one request at a time: every lost answer had halved what was allowed."""
    client = Client(start=40)
    client.work(30)
    before = client.pace.limit, client.pace.batch_size
    client.send()
    client.answer(1, status=0, lost=True)
    assert (client.pace.limit, client.pace.batch_size) == before


def test_after_an_outage_the_parallelism_from_before_comes_back_without_trials():
    client = Client(start=40, batch_size=10)
    client.work(30)
    before = client.pace.limit
    for _ in range(12):
        client.send()
        client.answer(status=503)
    assert client.pace.limit == 1
    client.now_s += 5
    client.work(40)
    assert client.pace.limit >= before


def test_a_small_batch_or_a_read_that_is_lost_says_nothing_about_the_size_of_batches():
    client = Client(batch_size=400)
    for facts in (
        ReplyFacts(1, 3, 0.0, 1.0, 0, lost=True),
        ReplyFacts(2, 400, 0.0, 1.0, 0, lost=True, is_read=True),
    ):
        client.pace.sent(facts.number, facts.operations, 0.0)
        client.pace.replied(facts)
    assert client.pace.batch_size == 400


def test_a_503_with_retry_after_is_a_pause_for_everybody():
    client = Client(concurrency=4)
    client.send()
    client.answer(1, status=503, retry_after_s=10.0)
    assert client.send() == 0
    assert "not available" in client.pace.wait_until(client.now_s)[1]


@pytest.mark.parametrize("operation_s", [0.004, 0.01, 0.1, 1.0])
def test_batches_grow_until_an_answer_takes_two_to_ten_seconds(operation_s):
    client = Client()
    client.work(80, operation_s)
    assert 2.0 <= client.pace.batch_size * operation_s <= 10.0


def test_batches_never_hold_more_than_a_thousand_operations():
    client = Client()
    client.work(100, operation_s=0.00001)
    assert client.pace.batch_size == 1000


def test_batches_shrink_when_answers_take_too_long():
    client = Client()
    client.work(60, operation_s=0.005)
    size = client.pace.batch_size
    client.work(10, operation_s=0.5)
    assert client.pace.batch_size * 0.5 <= 10.0 < size * 0.5


def test_a_database_time_out_halves_the_batch_and_it_does_not_grow_back_at_once():
    client = Client(concurrency=4)
    client.work(20, operation_s=0.004)
    size = client.pace.batch_size
    client.work(1, smaller=True)
    assert client.pace.batch_size == size // 2
    client.work(10, operation_s=0.001)
    assert client.pace.batch_size == size // 2


def test_a_set_batch_size_stays_whatever_it_takes():
    client = Client(batch_size=300)
    client.work(30, operation_s=0.5)
    assert client.pace.batch_size == 300


def test_the_maximum_that_the_service_names_is_kept_to():
    client = Client()
    client.pace.batch_size_refused(250)
    client.work(100, operation_s=0.00001)
    assert client.pace.batch_size == 250


def test_a_request_that_never_left_teaches_nothing():
    client = Client()
    client.send()
    client.answer(status=0)
    assert (client.pace.limit, client.pace.batch_size, client.pace.throttled) == (4, 10, 0)
    assert client.send() == 4


def test_a_share_of_the_window_is_not_exceeded():
    client = Client(concurrency=4, share=0.25, batch_size=10)
    while client.now_s < 299.0:
        if not client.send():
            break
        client.answer(after_s=10.0)
    until_s, why = client.pace.wait_until(client.now_s)
    # 30 requests of 10 s each are 25 % of 1,200 s; the first answer leaves the window 300 s after it came.
    assert (client.number, until_s) == (30, pytest.approx(310.0))
    assert "75%" in why
