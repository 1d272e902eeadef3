"""One HTTP answer: the shapes of an error, the spellings of Retry-After."""

import json

import pytest

from bulklink.core.answer import MESSAGE_CHARACTERS_MAX, read_answer, retry_after_s, split_head

SQL = " Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql Number: 1205"


def error_of(body):
    answer = read_answer(400, {}, body if isinstance(body, bytes) else json.dumps(body).encode(), {}, keep_body=False)
    return answer.code, answer.message


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "0x80040237", "message": "Cannot insert duplicate key."}}, "0x80040237", None),
        ({"error": {"code": "0X80040237", "message": SQL}}, "0x80040237", SQL.strip()),
        ({"error": {"code": "-2147220937", "message": "x"}}, "0x80040237", "x"),
        ({"error": {"code": -2147220937, "message": "x"}}, "0x80040237", "x"),
        ({"error": {"code": "", "message": "No HTTP resource was found"}}, "", "No HTTP resource was found"),
        ({"error": {"code": "0x0", "message": {"lang": "en-US", "value": "older"}}}, "", "older"),
        ({"Message": "An error has occurred.", "ExceptionMessage": "GET", "ErrorCode": "0x0"}, "", "GET"),
        ({"Message": "An error has occurred.", "ErrorCode": "0x80060888"}, "0x80060888", "An error has occurred."),
        ({"error": "invalid_grant"}, "", "invalid_grant"),
        ({"error": {"code": None, "message": ["x"]}}, "", ""),
        ({"error": None}, "", ""),
        (["a list"], "", '["a list"]'),
        (b"", "", ""),
        (b"\xef\xbb\xbf" + b'{"error":{"code":"0x1","message":"BOM"}}', "0x1", "BOM"),
        (b'{"error":{"code":"0x1","mess', "", '{"error":{"code":"0x1","mess'),
        (b"\xff\xfe broken", "", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} broken"),
        (b"<html><head><title>Service\n Unavailable &amp; so on</title></head>", "", "Service Unavailable & so on"),
        (b"<h1>Bad</h1><script>var x;</script><p>Gateway", "", "Bad Gateway"),
        (b"[" * 100_000, "", None),
    ],
)
def test_errors_in_every_shape(body, code, message):
    got = error_of(body)
    assert got[0] == code
    if message is not None:
        assert got[1] == message


def test_a_long_message_is_cut():
    _, message = error_of({"error": {"code": "0x1", "message": "x" * 100_000}})
    assert len(message) == MESSAGE_CHARACTERS_MAX
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("54", None, 54.0),
        (" 1.5 ", None, 1.5),
        ("0", None, 0.0),
        ("Mon, 23 Nov 2026 10:01:30 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 90.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", "Mon, 23 Nov 2026 10:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:01:30 GMT", None, None),
        ("Mon, 23 Nov 2026 10:01:30 GMT", "yesterday", None),
        ("-5", None, None),
        ("nan", None, None),
        ("inf", None, 86_400.0),
        ("1e300", None, 86_400.0),
        ("soon", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value, date, seconds):
    assert retry_after_s(value, date) == seconds


def test_a_part_is_measured_against_the_date_of_its_batch():
    answer = read_answer(
        429,
        {"retry-after": "Mon, 23 Nov 2026 10:00:07 GMT"},
        b"",
        {"date": "Mon, 23 Nov 2026 10:00:00 GMT", "retry-after": "300"},
        keep_body=False,
    )
    assert answer.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("block", "headers", "rest"),
    [
        (b"A: 1\r\nb:2\r\n\r\nrest\r\n", {"a": "1", "b": "2"}, b"rest\r\n"),
        (b"A: 1\nB: 2\n\nrest", {"a": "1", "b": "2"}, b"rest"),
        (b"A: 1\r\n", {"a": "1"}, b""),
        (b"\r\nrest", {}, b"rest"),
        (b"A: 1\r\nA: 2\r\n\r\n", {"a": "1, 2"}, b""),
        (b"no colon\r\nA: b: c\r\n\r\n", {"a": "b: c"}, b""),
        (b"", {}, b""),
    ],
)
def test_header_lines(block, headers, rest):
    assert split_head(block) == (headers, rest)
