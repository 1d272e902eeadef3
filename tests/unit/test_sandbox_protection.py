"""Service protection counts per user and server over a sliding window, and early sends are punished."""

import pytest

from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.protection import Admission, Limits, Protection, Throttled


def serve(protection, now_s, execution_s=0.0, user="u", server=0):
    admission = protection.arrive(user, server, now_s)
    if isinstance(admission, Admission):
        protection.leave(admission, now_s + execution_s, execution_s)
    return admission


def test_the_request_limit_holds_over_a_sliding_window():
    protection = Protection(Limits(requests=3))
    for now_s in (0.0, 100.0, 200.0):
        assert isinstance(serve(protection, now_s), Admission)
    refused = serve(protection, 250.0)
    assert refused == Throttled(
        "0x80072322", "Number of requests exceeded the limit of 3 over time window of 300 seconds.", 50
    )
    assert isinstance(serve(protection, 300.0), Admission)
    assert isinstance(serve(protection, 300.0), Throttled)


def test_the_documented_words_of_each_limit():
    protection = Protection(Limits(concurrency=1))
    assert isinstance(protection.arrive("u", 0, 0.0), Admission)
    refused = protection.arrive("u", 0, 0.0)
    assert (refused.code, refused.message) == ("0x80072326", "Number of concurrent requests exceeded the limit of 1.")
    protection = Protection(Limits())
    serve(protection, 0.0, execution_s=1200.0)
    refused = serve(protection, 1200.0)
    assert refused.code == "0x80072321"
    assert refused.message == (
        "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 "
        "seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
    )


def test_execution_time_is_let_go_when_enough_of_it_has_left_the_window():
    protection = Protection(Limits(execution_s=10.0))
    serve(protection, 0.0, execution_s=4.0)
    serve(protection, 10.0, execution_s=8.0)
    assert serve(protection, 20.0).retry_after_s == 304 - 20
    assert isinstance(serve(protection, 304.0), Admission)


def test_each_early_send_lengthens_the_wait():
    protection = Protection(Limits(requests=1, early_send_penalty_s=5.0))
    serve(protection, 0.0)
    waits = [serve(protection, 1.0).retry_after_s for _ in range(3)]
    assert waits == [299, 304, 309]
    assert isinstance(serve(protection, 309.9), Throttled)
    assert isinstance(serve(protection, 320.0), Admission)


def test_the_wait_never_exceeds_its_maximum():
    protection = Protection(Limits(requests=1, early_send_penalty_s=100.0, wait_max_s=450.0))
    serve(protection, 0.0)
    assert max(serve(protection, 1.0).retry_after_s for _ in range(20)) == 450


def test_a_request_that_waits_as_told_is_let_in():
    protection = Protection(Limits(requests=2))
    serve(protection, 0.0)
    serve(protection, 0.3)
    refused = serve(protection, 0.7)
    assert isinstance(serve(protection, 0.7 + refused.retry_after_s), Admission)


def test_the_concurrency_limit_asks_for_a_short_wait_and_blocks_nobody():
    protection = Protection(Limits(concurrency=2, concurrency_wait_s=2.0))
    first = protection.arrive("u", 0, 0.0)
    protection.arrive("u", 0, 0.0)
    assert protection.arrive("u", 0, 0.0).retry_after_s == 2
    protection.leave(first, 0.1, 0.1)
    assert isinstance(protection.arrive("u", 0, 0.1), Admission)


def test_users_and_servers_have_accounts_of_their_own():
    protection = Protection(Limits(requests=1, servers=2))
    assert isinstance(serve(protection, 0.0, user="u", server=0), Admission)
    assert isinstance(serve(protection, 0.0, user="u", server=1), Admission)
    assert isinstance(serve(protection, 0.0, user="v", server=0), Admission)
    assert isinstance(serve(protection, 0.0, user="u", server=0), Throttled)


def test_the_headers_tell_what_is_left_with_a_thousands_separator():
    protection = Protection(Limits())
    serve(protection, 0.0)
    assert protection.headers("u", 0) == [
        ("x-ms-ratelimit-burst-remaining-xrm-requests", "5999"),
        ("x-ms-ratelimit-time-remaining-xrm-requests", "1,200.00"),
        ("x-ms-dop-hint", "4"),
    ]


def test_limits_can_be_switched_off():
    protection = Protection(Limits.off())
    for _ in range(10_000):
        assert isinstance(protection.arrive("u", 0, 0.0), Admission)


def test_limits_are_read_by_name():
    assert Limits.parse({"requests": "60", "execution_s": "12.5"}) == Limits(requests=60, execution_s=12.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"request": "1"}, "There is no limit 'request'. Did you mean 'requests'?"),
        ({"requests": "many"}, "The limit 'requests' wants a number from 0 up, not 'many'."),
        ({"requests": "1.5"}, "The limit 'requests' wants a number from 0 up, not '1.5'."),
        ({"execution_s": "inf"}, "The limit 'execution_s' wants a number from 0 up, not 'inf'."),
        ({"servers": "0"}, "The limits 'servers' and 'window_s' must be above 0."),
    ],
)
def test_a_wrong_limit_is_refused_in_one_sentence(settings, message):
    with pytest.raises(SandboxUsageError) as refused:
        Limits.parse(settings)
    assert str(refused.value) == message
