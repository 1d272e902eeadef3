"""Every operation of a batch is accounted for, whatever the service answers."""

import numpy as np
import pytest

from bulklink.core.reply import Fate, read_batch_reply, read_read_reply
from tests.batch_answers import MULTIPART, batch, change_set, done, error, failed, part

A, R, N, U = Fate.ANSWERED, Fate.ROLLED_BACK, Fate.NOT_EXECUTED, Fate.UNKNOWN


def read(body, sizes, status=200, **headers):
    return read_batch_reply(status, MULTIPART | headers, body, sizes)


def fates(reply):
    return [Fate(value) for value in reply.fates]


# -- the straight case -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [3], [2, 1, 3]])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_all_done(sizes, line_end):
    starts = np.cumsum([1, *sizes[:-1]])
    body = batch([done(first, size) for first, size in zip(starts, sizes, strict=True)])
    reply = read(body.replace(b"\r\n", line_end), sizes)
    assert reply.all_succeeded
    assert fates(reply) == [A] * sum(sizes)
    assert reply.statuses.tolist() == [204] * sum(sizes)
    assert (reply.answers, reply.unblamed, reply.blame, reply.refused, reply.trouble) == ({}, {}, {}, None, "")


def test_a_quoted_boundary_and_blanks_around_it_are_read():
    body = batch([done(1)])
    for content_type in (
        'multipart/mixed; boundary="batchresponse_6f2a3c51-0b6e-4d0e-9c55-2f0a4b1d7e11"',
        "Multipart/Mixed; charset=utf-8;  Boundary = batchresponse_6f2a3c51-0b6e-4d0e-9c55-2f0a4b1d7e11 ; x=y",
    ):
        assert read_batch_reply(200, {"content-type": content_type}, body, [1]).all_succeeded


def test_a_created_record_keeps_its_location_and_body():
    headers = [("Location", "https://x/accounts(1)"), ("OData-EntityId", "https://x/accounts(1)")]
    reply = read(batch([change_set([part(201, 1, b'{"name":"x"}', headers)])]), [1])
    assert reply.all_succeeded
    assert reply.answers[0].location == "https://x/accounts(1)"
    assert reply.answers[0].body == b'{"name":"x"}'


def test_what_the_headers_of_the_batch_tell():
    headers = {
        "x-ms-service-request-id": "one,two",
        "x-ms-dop-hint": "4",
        "x-ms-ratelimit-burst-remaining-xrm-requests": "7999",
        "x-ms-ratelimit-time-remaining-xrm-requests": "1,200.00",
    }
    reply = read(batch([done(1)]), [1], **headers)
    assert (reply.request_id, reply.dop_hint, reply.requests_left, reply.time_left_s) == ("one,two", 4, 7999, 1200.0)


# -- a change set fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_the_culprit_is_named_and_its_neighbours_were_rolled_back(status):
    reply = read(batch([failed(2)]), [3], status)
    assert fates(reply) == [R, A, R]
    assert reply.statuses.tolist() == [0, 404, 0]
    assert reply.blame == {0: 1}
    assert (reply.answers[1].code, reply.answers[1].message) == ("0x80040217", "Does Not Exist")
    assert not reply.all_succeeded


def test_other_change_sets_go_on():
    reply = read(batch([done(1, 2), failed(4, 412, error("0x80040237")), done(5)]), [2, 2, 1])
    assert fates(reply) == [A, A, R, A, A]
    assert reply.statuses.tolist() == [204, 204, 0, 412, 204]
    assert reply.blame == {2: 3}


@pytest.mark.parametrize(
    "item", [failed(None), part(500, None, error("0x80040255"))], ids=["nested", "a part of its own"]
)
def test_a_failure_without_a_name_rolls_back_the_change_set_at_its_place(item):
    reply = read(batch([done(1, 2), item, done(5)]), [2, 2, 1])
    assert fates(reply) == [A, A, R, R, A]
    assert list(reply.unblamed) == [2]
    assert (reply.blame, reply.answers) == ({}, {})


def test_a_change_set_of_one_has_only_one_to_blame():
    reply = read(batch([done(1), part(500, None, error("0x80040255"))]), [1, 1])
    assert fates(reply) == [A, A]
    assert (reply.statuses.tolist(), reply.answers[1].code, reply.unblamed) == ([204, 500], "0x80040255", {})


@pytest.mark.parametrize(
    "items",
    [
        [part(500, None, error()), done(1)],  # out of order: the failure may be anybody's
        [part(500, None, error())],  # one item is missing
        [done(1), part(500, None, error()), part(500, None, error())],  # the same twice
        [change_set([]), part(500, None, error())],  # an item that speaks for nobody
        [done(1), part(500, None, error()), b"the beginning of one more"],
    ],
)
def test_a_failure_without_a_name_counts_for_nothing_where_positions_cannot_be_trusted(items):
    reply = read(batch(items, close=items[-1] != b"the beginning of one more"), [1, 2])
    assert fates(reply)[1:] == [U, U]
    assert not reply.unblamed


def test_the_own_request_id_and_pause_of_a_part():
    headers = [("REQ_ID", "inner"), ("Retry-After", "17")]
    body = batch([failed(1, 429, error("0x80071151", "Too many"), headers=headers), failed(2, 429)])
    reply = read(body, [1, 1], **{"x-ms-service-request-id": "outer"})
    assert (reply.answers[0].request_id, reply.answers[0].retry_after_s) == ("inner", 17.0)
    assert (reply.answers[1].request_id, reply.answers[1].retry_after_s) == ("outer", None)


# -- the service stops at the first failure ---------------------------------------------------------------------------


@pytest.mark.parametrize("last", [failed(3), part(500, None, error())], ids=["named", "nameless"])
def test_what_stands_behind_the_failure_at_which_the_service_stopped_was_not_executed(last):
    reply = read(batch([done(1), done(2), last]), [1, 1, 1, 2, 1], 400)
    assert fates(reply) == [A, A, A, N, N, N]


@pytest.mark.parametrize(
    ("status", "items"),
    [
        (200, [done(1), failed(2)]),  # the outer status says that it went on
        (400, [done(1), done(2)]),  # no failure
        (400, [failed(1), failed(2)]),  # two failures: it did not stop at the first
        (400, [failed(1), done(2)]),  # it went on after the failure
        (400, [done(2), failed(3)]),  # a part is missing at the start
    ],
)
def test_missing_parts_are_unknown_where_nothing_shows_that_the_service_stopped(status, items):
    assert fates(read(batch(items), [1, 1, 1, 1], status))[3] is U


def test_missing_parts_are_unknown_when_the_answer_breaks_off():
    reply = read(batch([done(1), failed(2)], close=False), [1, 1, 1], 400)
    assert fates(reply) == [A, A, U]
    assert "breaks off" in reply.trouble


# -- damaged answers ---------------------------------------------------------------------------------------------------


def test_a_part_that_breaks_off_was_not_said():
    whole = batch([done(1), done(2)])
    cut = whole[: whole.rindex(b"\r\n--changeset")]
    assert fates(read(cut, [1, 1])) == [A, U]


def test_a_lone_part_that_breaks_off_was_not_said():
    assert fates(read(batch([part(204, 1), part(204, 2)], close=False), [1, 1])) == [A, U]


def test_a_change_set_without_its_closing_delimiter_is_read_up_to_the_end_of_its_item():
    reply = read(batch([change_set([part(204, 1), part(204, 2)], close=False), done(3)]), [2, 1])
    assert reply.all_succeeded


def test_only_operations_that_were_vouched_for_are_done():
    reply = read(batch([change_set([part(204, 1), part(204, 3)])]), [3])
    assert fates(reply) == [A, U, A]


def test_parts_speak_for_their_content_id_wherever_they_stand():
    reply = read(batch([done(3), failed(1), done(2)]), [1, 1, 1])
    assert (fates(reply), reply.statuses.tolist()) == ([A, A, A], [404, 204, 204])


def test_the_same_part_twice_counts_once():
    assert fates(read(batch([done(1), done(1), failed(2), failed(2)]), [1, 1])) == [A, A]


@pytest.mark.parametrize(
    "items",
    [
        [done(1, 2), failed(1)],  # done and refused
        [failed(1), failed(1, 412, error("0x80040237"))],  # refused in two ways
        [failed(1), failed(2)],  # two culprits of one change set
        [change_set([part(204, 1), part(404, 2, error())])],  # half a transaction
        [change_set([part(204, 1), part(204, 2), part(500, None, error())])],  # done, but a failure of nobody
        [change_set([part(204, 1), part(204, 2), part(500, 99, error())])],  # the same, of a stranger
        [change_set([part(404, 1, error()), b"Content-Type: application/http\r\nContent-ID: 2\r\n\r\ngarbage"])],
    ],
)
def test_a_contradiction_leaves_its_change_set_in_doubt(items):
    reply = read(batch(items), [2])
    assert fates(reply) == [U, U]
    assert (reply.statuses.tolist(), reply.answers, reply.blame) == ([0, 0], {}, {})


@pytest.mark.parametrize("content_id", [None, "3", "0", "-1", "01", "1, 1", "one", "", "١"])
def test_a_success_without_a_content_id_that_was_sent_vouches_for_nobody(content_id):
    assert fates(read(batch([change_set([part(204, content_id)])]), [1])) == [U]


@pytest.mark.parametrize("status", [b"", b"HTTP/1.1", b"HTTP/1.1 204", b"HTTP/1.1 99 X", b"HTTP/2 204 X", b"204"])
def test_an_unreadable_part_counts_for_nothing(status):
    item = change_set([b"Content-Type: application/http\r\nContent-ID: 1\r\n\r\n" + status + b"\r\n\r\n"])
    assert fates(read(batch([item]), [1])) == [A if status == b"HTTP/1.1 204" else U]


def test_a_text_that_looks_like_parts_is_no_part():
    """The body of an error may quote anything; only delimiters begin parts."""
    quoted = b"Content-ID: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    reply = read(batch([change_set([part(400, 1, quoted)])]), [2])
    assert fates(reply) == [A, R]


@pytest.mark.parametrize("sizes", [[2], [1, 1]])
def test_a_success_that_quotes_another_vouches_for_itself_alone(sizes):
    quoted = b"\r\nContent-ID: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    assert fates(read(batch([change_set([part(204, 1, quoted)])]), sizes)) == [A, U]


# -- the batch as such -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 413, 415, 429])
def test_refused_before_anything_ran(status):
    reply = read_batch_reply(status, {"content-type": "application/json", "retry-after": "5"}, error(), [1, 2])
    assert fates(reply) == [N, N, N]
    assert (reply.refused.status, reply.refused.code, reply.refused.retry_after_s) == (status, "0x80040217", 5.0)


@pytest.mark.parametrize("status", [302, 400, 404, 408, 500, 502, 503, 504])
def test_refused_but_the_first_items_may_have_run(status):
    reply = read_batch_reply(status, {"content-type": "text/html"}, b"<title>Bad &amp; worse</title>", [1, 2])
    assert fates(reply) == [U, U, U]
    assert (reply.refused.status, reply.refused.message) == (status, "Bad & worse")


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/html"}, {"content-type": "application/json"}])
def test_a_success_that_is_no_multipart_says_nothing(headers):
    reply = read_batch_reply(200, headers, b"<html>Welcome</html>", [1])
    assert (fates(reply), reply.refused) == ([U], None)
    assert "instead of parts" in reply.trouble


def test_a_multipart_without_boundary_says_nothing():
    reply = read_batch_reply(200, {"content-type": "multipart/mixed"}, batch([done(1)]), [1])
    assert fates(reply) == [U]


# -- reads -------------------------------------------------------------------------------------------------------------


def test_reads_are_matched_by_position_and_keep_their_bodies():
    body = batch([part(200, None, b'{"value":[]}'), part(404, None, error())])
    reply = read_read_reply(200, MULTIPART, body, 2)
    assert fates(reply) == [A, A]
    assert reply.answers[0].body == b'{"value":[]}'
    assert (reply.answers[1].status, reply.answers[1].code) == (404, "0x80040217")
    assert not reply.all_succeeded


@pytest.mark.parametrize(
    "body",
    [batch([part(200)]), batch([part(200), part(200)], close=False), batch([part(200), part(200), b"x"], close=False)],
)
def test_reads_with_missing_parts_have_no_positions(body):
    assert fates(read_read_reply(200, MULTIPART, body, 2)) == [U, U]


def test_reads_behind_the_failure_at_which_the_service_stopped():
    body = batch([part(200, None, b"{}"), part(404, None, error())])
    assert fates(read_read_reply(404, MULTIPART, body, 4)) == [A, A, N, N]


def test_refused_reads():
    assert read_read_reply(429, {"retry-after": "9"}, b"", 2).refused.retry_after_s == 9.0
