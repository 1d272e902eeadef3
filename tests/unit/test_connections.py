"""Where requests may go, and through what."""

import pytest

from bulklink.errors import UsageError
from bulklink.service.connections import Origin, environment_proxy, safe_origin, tls_context

DATAVERSE = Origin.of("https://contoso.crm4.dynamics.com")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Contoso.crm4.dynamics.com/main.aspx?x=1", "https://contoso.crm4.dynamics.com"),
        ("https://contoso:443/", "https://contoso"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.8.9.1:8080/api", "http://127.8.9.1:8080"),
        ("http://[::1]:5000/", "http://[::1]:5000"),
        ("http://box.localhost", "http://box.localhost"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert str(safe_origin(url)) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://contoso.com",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://0.0.0.0",
        "contoso.com",
        "",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        safe_origin(url)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_usual_variables_name_the_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "proxy.example:3128")
    proxy = environment_proxy(DATAVERSE)
    assert (proxy.url, proxy.headers) == ("http://proxy.example:3128", {})  # type: ignore[union-attr]


def test_a_proxy_keeps_its_password_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:planted%2Dsecret@proxy.example:3128")
    proxy = environment_proxy(DATAVERSE)
    assert proxy.url == "http://proxy.example:3128"  # type: ignore[union-attr]
    assert proxy.headers == {"Proxy-Authorization": "Basic dXNlcjpwbGFudGVkLXNlY3JldA=="}  # type: ignore[union-attr]
    assert "Basic" not in repr(proxy)


def test_no_proxy_and_loopback_go_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "dynamics.com")
    assert environment_proxy(DATAVERSE) is None
    assert environment_proxy(Origin.of("https://127.0.0.1:8443")) is None


def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:planted-secret@proxy.example:1080")
    with pytest.raises(UsageError, match="only http://") as refusal:
        environment_proxy(DATAVERSE)
    assert "planted-secret" not in str(refusal.value)


def test_a_ca_file_that_is_none_is_told(tmp_path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(UsageError, match="ca_file"):
            tls_context(str(file))


def test_certificates_are_always_verified() -> None:
    context = tls_context()
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
