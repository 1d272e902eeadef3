"""Readings outside the engine learn from the service's limits, and make others learn."""

import anyio
import pytest

from bulklink.core.pace import Pace, PaceSettings
from bulklink.gate import PaceGate
from bulklink.service.transport import HttpReply


def test_the_pause_of_a_throttled_reading_names_the_limit_that_was_met():
    pace = Pace(PaceSettings())
    gate = PaceGate(pace, lambda: 100.0, lambda *_: None)
    body = b'{"error":{"code":"0x80072321","message":"Combined execution time exceeded."}}'

    async def read():
        async with gate(1) as turn:
            turn.replied(HttpReply(429, {"content-type": "application/json", "retry-after": "9"}, body))

    anyio.run(read)
    until_s, why = pace.wait_until(100.0)
    assert until_s == pytest.approx(109.0)
    assert why != "service protection limit: status 429"
