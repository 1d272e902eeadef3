"""Manners under service protection, on real sockets, from the sandbox's own record.

How fast it goes is benchmarks/live_protection.py's: a ratio of times is no test on a machine that others use, too.
"""

import pytest

from benchmarks.live_protection import run
from bulklink.sandbox.protection import Limits


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(Limits(requests=0, execution_s=12.0, concurrency=8, window_s=4.0), id="execution time"),
        pytest.param(Limits(requests=60, execution_s=0.0, concurrency=8, window_s=3.0), id="requests"),
        pytest.param(Limits(requests=30, execution_s=5.0, concurrency=8, window_s=3.0, servers=2), id="two servers"),
    ],
)
def test_nothing_is_sent_while_blocked_and_never_more_at_a_time_than_allowed(limits, tmp_path):
    record = run(tmp_path, 1_500, limits, operation_s=0.01, batch_size=15)
    assert record.refused > 0
    assert record.sent_while_blocked() == 0
    assert record.in_flight_max <= limits.concurrency


def test_a_client_that_goes_on_sending_would_be_seen(tmp_path):
    limits = Limits(requests=20, execution_s=0.0, concurrency=8, window_s=3.0)
    record = run(tmp_path, 450, limits, operation_s=0.01, batch_size=15)
    refused_s, _, _ = next(one for one in record.answered if one[1] == 429)
    record.arrived_s.append(refused_s + 0.5)
    assert record.sent_while_blocked() == 1
