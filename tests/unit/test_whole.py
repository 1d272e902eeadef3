"""What the one answer to a request for many rows says about each of them."""

import pytest

from bulklink.core.reply import Fate
from bulklink.core.verdict import is_understood
from bulklink.core.whole import read_whole_reply


def test_204_is_done_for_every_row():
    reply = read_whole_reply(204, {}, b"", 3)
    assert reply.fates.tolist() == [Fate.ANSWERED] * 3
    assert reply.statuses.tolist() == [204] * 3


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8"])
def test_a_page_of_a_gateway_with_status_200_does_nothing_for_anybody(content_type):
    reply = read_whole_reply(200, {"content-type": content_type}, b"<html><title>Please sign in</title></html>", 3)
    assert reply.fates.tolist() == [Fate.UNKNOWN] * 3
    assert reply.refused is None
    assert not is_understood(reply)
