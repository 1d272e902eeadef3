"""The truth table, line by line."""

import pytest

from bulklink.core.answer import Answer
from bulklink.core.fault_codes import FAULT_CODES, STATUSES, Verdict
from bulklink.core.reply import read_batch_reply
from bulklink.core.verdict import (
    ATTEMPTS_MAX,
    backoff_s,
    explain,
    is_permanent,
    is_permission,
    throttling,
    too_many_limit,
    verdict_of,
)
from tests.batch_answers import MULTIPART, batch, error, failed

SQL = " Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: "
TOO_MANY = "The current change set contains too many operations. A maximum number of '250' operations are allowed"


@pytest.mark.parametrize(
    ("status", "code", "message", "verdict"),
    [
        (204, "", "", Verdict.DONE),
        (201, "", "", Verdict.DONE),
        # code first, then status
        (412, "0x80040237", "Cannot insert duplicate key.", Verdict.DUPLICATE),
        (404, "0x80040217", "Does Not Exist", Verdict.GONE),
        (404, "0x80060891", "", Verdict.GONE),
        (404, "0x8006088a", "Resource not found for the segment 'Account'.", Verdict.REJECT),
        (404, "", "No HTTP resource was found that matches the request URI", Verdict.REJECT),
        (412, "0x80060882", "", Verdict.STALE),
        (412, "0x80060892", "", Verdict.REJECT),
        (412, "", "", Verdict.REJECT),
        (403, "0x80040220", "", Verdict.REJECT),
        (403, "0x80072560", "", Verdict.SIGN_IN),
        (401, "0x80072560", "", Verdict.SIGN_IN),
        (401, "", "", Verdict.SIGN_IN),
        (400, "0x80040265", "", Verdict.REJECT),
        (500, "0x80040265", "", Verdict.REJECT),
        # the number in the message decides
        (500, "0x80044150", SQL + "1205", Verdict.RETRY),
        (500, "0x80044150", SQL + "10054", Verdict.RETRY),
        (500, "0x80044150", SQL + "-2", Verdict.RETRY_SMALLER),
        (500, "0x80044150", SQL + "547", Verdict.REJECT),
        (500, "0x80044150", "Generic SQL error.", Verdict.REJECT),
        (500, "0x80044151", "", Verdict.RETRY_SMALLER),
        (500, "0x80044339", "", Verdict.RETRY),
        (500, "0x8004ed47", "", Verdict.RETRY),
        (500, "0x80040224", "", Verdict.RETRY_ONCE),
        (412, "0x80048105", "", Verdict.RETRY),
        # 429 is 429, whatever the code
        (429, "0x80072322", "", Verdict.THROTTLED),
        (429, "0x80071151", "", Verdict.THROTTLED),
        (429, "", "", Verdict.THROTTLED),
        (503, "0x80072321", "", Verdict.THROTTLED),
        # too large
        (413, "", "", Verdict.HALVE),
        (400, "0x80060888", TOO_MANY, Verdict.HALVE),
        (400, "0x80060888", "Could not find a property named 'x'", Verdict.REJECT),
        # status alone
        (408, "", "", Verdict.DOUBT),
        (502, "", "", Verdict.DOUBT),
        (503, "", "", Verdict.DOUBT),
        (504, "", "", Verdict.DOUBT),
        (500, "", "", Verdict.RETRY),
        (501, "", "", Verdict.REJECT),
        (507, "", "", Verdict.RETRY),
        (418, "0x12345678", "I'm a teapot", Verdict.REJECT),
        (599, "0x12345678", "", Verdict.RETRY),
        (302, "", "", Verdict.DOUBT),
    ],
)
def test_truth_table(status, code, message, verdict):
    assert verdict_of(Answer(status, code, message)) is verdict


def test_the_maximum_that_a_refusal_names():
    assert too_many_limit(Answer(400, "0x80060888", TOO_MANY)) == 250
    assert too_many_limit(Answer(400, "", "A maximum number of '1000' query operations and change sets")) == 1000
    assert too_many_limit(Answer(400, "", "A maximum number of '0' operations")) == 1
    assert too_many_limit(Answer(400, "", "too large")) is None
    assert too_many_limit(Answer(500, "", TOO_MANY)) is None


@pytest.mark.parametrize(
    ("status", "code"), [(400, ""), (404, "0x80040217"), (403, "0x80040220"), (401, ""), (501, "")]
)
def test_permanent_answers(status, code):
    assert is_permanent(Answer(status, code))


@pytest.mark.parametrize(
    ("status", "code"), [(204, ""), (412, "0x80040237"), (429, ""), (500, ""), (503, ""), (413, "")]
)
def test_answers_that_may_change(status, code):
    assert not is_permanent(Answer(status, code))


def test_refusals_of_the_user():
    assert is_permission(Answer(403))
    assert is_permission(Answer(401))
    assert is_permission(Answer(400, "0x80072560"))
    assert not is_permission(Answer(404, "0x80040217"))


def test_what_makes_everybody_wait():
    def inside(*answers):
        parts = [
            failed(k + 1, 429, error(code), headers=[("Retry-After", str(seconds))])
            for k, (code, seconds) in enumerate(answers)
        ]
        return throttling(read_batch_reply(200, MULTIPART, batch(parts), [1] * len(parts)))

    assert inside(("0x80071151", 60)) is None
    assert inside(("0x80072321", 10), ("0x80072321", 20), ("0x80071151", 60)).retry_after_s == 20
    assert throttling(read_batch_reply(429, {"retry-after": "5"}, b"", [1])).retry_after_s == 5
    assert throttling(read_batch_reply(503, {"retry-after": "5"}, b"", [1])) is None


def test_pauses_double_up_to_a_minute_and_jitter_adds_up_to_a_half():
    assert [backoff_s(attempt, 0.0) for attempt in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_s(2, 0.5) == 2.5
    assert backoff_s(10_000, 0.0) == 60
    assert sum(backoff_s(attempt, 0.0) for attempt in range(1, ATTEMPTS_MAX)) > 120


def test_every_code_has_words_and_advice():
    for code, meaning in FAULT_CODES.items():
        assert code == code.lower()
        assert len(code) == 10
        assert meaning.words.endswith(".")
        assert meaning.advice.endswith(".")
    assert all(meaning.words.endswith(".") and meaning.name for meaning in STATUSES.values())


@pytest.mark.parametrize("spelling", ["0x80040237", "0X80040237", " 80040237 ", "-2147220937", "DuplicateRecord"])
def test_a_code_is_found_as_people_write_it(spelling):
    assert explain(spelling) is FAULT_CODES["0x80040237"]


def test_a_status_is_found_and_nonsense_is_not():
    assert explain("503") is STATUSES[503]
    assert explain("0x1") is None
    assert explain("nonsense") is None
    assert explain("") is None
