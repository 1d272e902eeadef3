"""Where to sign in, and whom to believe about it."""

import pytest

from bulklink.errors import BulklinkError, SignInError, UsageError
from bulklink.service.connections import Origin
from bulklink.service.discovery import CLOUDS, KNOWN_AUTHORITIES, authority_url

CONTOSO = Origin.of("https://contoso.crm4.dynamics.com")
SANDBOX = Origin.of("http://127.0.0.1:8080")


def challenge(uri: str) -> str:
    return f"Bearer authorization_uri={uri}, resource_id=https://victim.crm4.dynamics.com/"


def never() -> str:
    raise AssertionError("the environment was asked although the settings say it all")


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("contoso.crm.dynamics.com", "login.microsoftonline.com"),
        ("contoso.api.crm4.dynamics.com", "login.microsoftonline.com"),
        ("contoso.crm9.dynamics.com", "login.microsoftonline.com"),
        ("contoso.crm.microsoftdynamics.us", "login.microsoftonline.us"),
        ("contoso.crm.appsplatform.us", "login.microsoftonline.us"),
        ("contoso.crm.dynamics.cn", "login.partner.microsoftonline.cn"),
    ],
)
def test_the_tenant_is_enough_in_every_cloud(host: str, authority: str) -> None:
    assert authority_url(Origin.of(f"https://{host}"), "t-1", "", never) == f"https://{authority}/t-1"


def test_every_cloud_has_a_known_authority() -> None:
    assert set(CLOUDS.values()) <= KNOWN_AUTHORITIES


@pytest.mark.parametrize(
    "authority",
    ["https://login.contoso.example/t-2", "login.contoso.example/t-2/", "HTTPS://LOGIN.contoso.example/t-2/oauth2"],
)
def test_a_given_authority_is_believed(authority: str) -> None:
    assert authority_url(CONTOSO, "", authority, never) == "https://login.contoso.example/t-2"
    assert authority_url(CONTOSO, "t-1", authority, never) == "https://login.contoso.example/t-1"


@pytest.mark.parametrize("host", sorted(KNOWN_AUTHORITIES))
def test_the_environment_may_name_microsofts_hosts(host: str) -> None:
    uri = f"https://{host}/t-1/oauth2/authorize"
    vanity = Origin.of("https://crm.contoso.example")
    assert authority_url(vanity, "", "", lambda: challenge(uri)) == f"https://{host}/t-1"


def test_the_tenant_that_is_given_counts_more_than_the_one_that_is_found() -> None:
    uri = "https://127.0.0.1:9443/t-1/oauth2/authorize"
    assert authority_url(SANDBOX, "t-2", "", lambda: challenge(uri)) == "https://127.0.0.1:9443/t-2"


@pytest.mark.parametrize(
    ("environment", "uri"),
    [
        (CONTOSO, "https://login.evil.example/t/oauth2/authorize"),
        (CONTOSO, "https://login.microsoftonline.com.evil.example/t/oauth2/authorize"),
        (CONTOSO, "https://login.microsoftonline.com@evil.example/t/oauth2/authorize"),
        (CONTOSO, "https://login.microsoftonline.com:8443/t/oauth2/authorize"),
        (CONTOSO, "http://login.microsoftonline.com/t/oauth2/authorize"),
        (CONTOSO, "https://127.0.0.1:9443/t/oauth2/authorize"),
        (SANDBOX, "http://127.0.0.1:9080/t/oauth2/authorize"),
        (SANDBOX, "https://login.evil.example/t/oauth2/authorize"),
        (CONTOSO, "https://login.microsoftonline.com/%2e%2e/oauth2"),
        (CONTOSO, "https://login.microsoftonline.com/"),
        (CONTOSO, "nonsense"),
    ],
)
def test_an_environment_is_not_believed_about_strangers(environment: Origin, uri: str) -> None:
    with pytest.raises(SignInError, match="none of Microsoft's") as refusal:
        authority_url(environment, "", "", lambda: challenge(uri))
    assert "tenant_id" in refusal.value.hint


@pytest.mark.parametrize(
    ("tenant", "authority"),
    [("../x", ""), ("a b", ""), ("t/../u", ""), ("", "http://login.contoso.example/t"), ("", "https://u:p@host/t")],
)
def test_settings_that_are_no_place_are_refused(tenant: str, authority: str) -> None:
    with pytest.raises(UsageError):
        authority_url(CONTOSO, tenant, authority, never)


def test_an_environment_that_says_nothing_is_told() -> None:
    with pytest.raises(BulklinkError, match="does not say where"):
        authority_url(SANDBOX, "", "", lambda: "Bearer")
