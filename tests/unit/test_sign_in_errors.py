"""Refused sign-ins in words."""

import pytest

from bulklink.errors import SignInError
from bulklink.service.authority_http import retry_after_s
from bulklink.service.sign_in_errors import MEANINGS, environment_refused, refused

WHERE = "login.microsoftonline.com/t-1 as application app-1"


def test_every_meaning_says_what_to_do() -> None:
    for number, (what, following) in MEANINGS.items():
        assert what, number
        assert following.endswith((".", "?")), number


def test_the_number_is_found_in_the_description_alone() -> None:
    trouble = refused({"error": "invalid_client", "error_description": "AADSTS7000222: The provided ..."}, WHERE)
    assert str(trouble) == f"Sign-in at {WHERE} was refused: the client secret has expired (AADSTS7000222)."
    assert "Create a new secret" in trouble.hint


def test_an_unknown_number_is_told_in_the_authoritys_words_without_its_trace() -> None:
    answer = {
        "error_description": "AADSTS99: Something new.\r\nMore. Trace ID: t Correlation ID: c",
        "error_codes": [99],
        "correlation_id": "c-1",
    }
    trouble = refused(answer, WHERE)
    assert str(trouble) == f"Sign-in at {WHERE} was refused: AADSTS99: Something new., correlation id c-1"
    assert trouble.hint == SignInError.hint


@pytest.mark.parametrize("answer", [{}, {"error": "server_error"}, {"error_description": None, "error_codes": []}])
def test_an_authority_of_few_words_is_no_bug(answer: dict[str, object]) -> None:
    assert "was refused" in str(refused(answer, WHERE))


def test_a_secret_that_the_authority_repeats_is_blotted_out() -> None:
    trouble = refused({"error_description": "secret planted-secret is wrong"}, WHERE, ("planted-secret", ""))
    assert "planted-secret" not in str(trouble)
    assert "***" in str(trouble)


def test_a_missing_application_user_is_told() -> None:
    trouble = environment_refused(403, "0x80072560", "The user is not a member of the organization.", "https://org")
    assert "not a member of the environment" in str(trouble)
    assert "application user" in trouble.hint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 0 ", 0.0), ("", None), ("soon", None), ("-1", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": value}) == seconds
