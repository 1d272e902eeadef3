"""What a 401 says."""

import base64
import json

import pytest

from bulklink.service.challenge import authorization_uri_of, claims_of

DATAVERSE = (
    "Bearer authorization_uri=https://login.microsoftonline.com/t-1/oauth2/authorize, "
    "resource_id=https://contoso.crm4.dynamics.com/"
)
CLAIMS = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1>?é"}}}, ensure_ascii=False)


@pytest.mark.parametrize(
    "header", [DATAVERSE, DATAVERSE.replace("=https", '="https').replace(", ", '", '), DATAVERSE.upper()]
)
def test_the_authorization_uri_is_found_quoted_or_not(header: str) -> None:
    assert authorization_uri_of(header).lower() == "https://login.microsoftonline.com/t-1/oauth2/authorize"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["=", ""])
def test_claims_are_read_in_both_alphabets_with_or_without_padding(encode, padding) -> None:
    packed = encode(CLAIMS.encode()).decode()
    packed = packed if padding else packed.rstrip("=")
    assert claims_of(f'{DATAVERSE}, error="insufficient_claims", claims="{packed}"') == CLAIMS


@pytest.mark.parametrize(
    "header",
    ["", "Basic realm=x", 'Bearer claims=""', 'Bearer claims="@@"', 'Bearer claims="//79"', 'Bearer claims="W10"'],
)
def test_a_challenge_that_cannot_be_read_is_none(header: str) -> None:
    assert claims_of(header) == ""
    assert authorization_uri_of(header) == ""
