"""The transport over real sockets, against a server that misbehaves on purpose."""

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from bulklink.errors import ExitCode, SignInError, UsageError
from bulklink.service.transport import FailureKind, ForeignUrl, HttpReply, Transport, TransportFailure
from tests.raw_server import RawServer, answer, hang, raw_server, reset, write

pytestmark = pytest.mark.anyio

BODY = b"--b\r\nrow\r\n" * 2_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class CountedTokens:
    """A token source that counts how often it is asked for a fresh token."""

    kind = "token"

    def __init__(self, refuse_fresh: bool = False) -> None:
        self.fresh = 0
        self.claims: list[str] = []
        self.refuse_fresh = refuse_fresh

    async def token(self, force: bool = False, claims: str = "") -> str:
        if force:
            await asyncio.sleep(0)  # give the other senders their chance to ask as well
            self.fresh += 1
            self.claims.append(claims)
            if self.refuse_fresh:
                raise SignInError("the secret has expired")
        return f"planted-secret-{self.fresh}"


@asynccontextmanager
async def transport_to(origin: str, tokens: CountedTokens | None = None, **options: object) -> AsyncIterator[Transport]:
    options.setdefault("request_timeout_s", 20.0)
    async with Transport(f"{origin}/api/data/v9.2", tokens or CountedTokens(), **options) as transport:  # type: ignore[arg-type]
        yield transport


async def failure_of(server: RawServer, **options: object) -> TransportFailure:
    async with transport_to(server.origin, **options) as transport:
        with pytest.raises(TransportFailure) as failure:
            await transport.post("$batch", BODY)
    return failure.value


async def test_a_request_arrives_as_given_and_the_reply_comes_back_whole() -> None:
    async with (
        raw_server(answer(200, b"hello", ["X-MS-Dop-Hint: 4"])) as server,
        transport_to(server.origin) as transport,
    ):
        reply = await transport.post("$batch", BODY, {"Content-Type": "multipart/mixed", "accept": "*/*"})
        assert reply == HttpReply(200, {"x-ms-dop-hint": "4", "content-length": "5"}, b"hello")
        assert server.requests[0].startswith(b"POST /api/data/v9.2/$batch HTTP/1.1\r\n")
        assert server.requests[0].endswith(b"\r\n\r\n" + BODY)
        assert server.header("Authorization") == ["Bearer planted-secret-0"]
        assert server.header("Accept") == ["*/*"], "the caller's header replaces ours whatever its case"
        assert server.header("OData-Version") == ["4.0"]
        assert server.header("User-Agent")[0].startswith("bulklink/")
        assert server.header("Transfer-Encoding") == [], "bytes are sent with their length, never in chunks"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("WhoAmI", "/api/data/v9.2/WhoAmI"),
        ("accounts?$filter=name eq 'a'", "/api/data/v9.2/accounts?$filter=name%20eq%20'a'"),
        ("accounts(k='a%2Fb%3A//c')", "/api/data/v9.2/accounts(k='a%2Fb%3A//c')"),
        ("/api/data/v9.1/$metadata", "/api/data/v9.1/$metadata"),
        ("//evil.example/x", "//evil.example/x"),
        ("{origin}/api/data/v9.2/a?$skiptoken=%253Ccookie%2520x", "/api/data/v9.2/a?$skiptoken=%253Ccookie%2520x"),
    ],
)
async def test_a_path_and_a_next_link_are_asked_for_letter_by_letter(url: str, target: str) -> None:
    async with raw_server() as server, transport_to(server.origin) as transport:
        await transport.get(url.format(origin=server.origin))
        assert server.requests[0].split(b" ")[1].decode() == target


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/data/v9.2/accounts",
        "http://127.0.0.1:1/api/data/v9.2/accounts",
        "https://127.0.0.1/api/data/v9.2/accounts",
        "http://127.0.0.1@evil.example/accounts",
        "http://user:password@127.0.0.1/accounts",
        "http://evil.example\\@127.0.0.1/accounts",
        "ftp://127.0.0.1/accounts",
        "HTTP://evil.example/accounts",
    ],
)
async def test_the_token_never_goes_to_another_host(url: str) -> None:
    async with raw_server() as server, transport_to(server.origin) as transport:
        with pytest.raises(ForeignUrl) as refusal:
            await transport.get(url)
        assert refusal.value.exit_code == ExitCode.STOPPED_EARLY
        assert "password" not in str(refusal.value)
        assert server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_returned_and_not_followed(status: int) -> None:
    async with raw_server() as other, raw_server(answer(status, b"", [f"Location: {other.origin}/x"])) as server:
        async with transport_to(server.origin) as transport:
            reply = await transport.post("$batch", BODY)
        assert (reply.status, len(server.requests), other.connections) == (status, 1, 0)


async def test_cookies_are_not_kept() -> None:
    async with raw_server(answer(200, b"", ["Set-Cookie: ARRAffinity=pinned"])) as server:
        async with transport_to(server.origin) as transport:
            await transport.get("WhoAmI")
            await transport.get("WhoAmI")
        assert server.header("Cookie") == []
        assert server.connections == 1, "the connection is kept, the cookie is not"


@pytest.mark.parametrize("deed", [reset, write(b"", then_close=True)], ids=["reset", "closed"])
async def test_a_connection_lost_after_the_request_leaves_doubt_and_a_post_is_sent_once(deed: object) -> None:
    async with raw_server(deed) as server:  # type: ignore[arg-type]
        failure = await failure_of(server)
        assert failure.kind is FailureKind.UNKNOWN
        assert len(server.requests) == 1


async def test_a_post_on_a_kept_connection_that_drops_is_not_sent_again() -> None:
    """aiohttp repeats idempotent methods here; a repeated POST would execute rows twice."""
    async with raw_server(answer(), reset, answer()) as server, transport_to(server.origin) as transport:
        await transport.get("WhoAmI")
        with pytest.raises(TransportFailure) as failure:
            await transport.post("$batch", BODY)
        assert failure.value.kind is FailureKind.UNKNOWN
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_get_on_a_kept_connection_that_drops_is_repeated_once() -> None:
    """Harmless for a read, and written down here so that nobody takes it for our doing."""
    async with raw_server(answer(), reset, answer(204, b"")) as server, transport_to(server.origin) as transport:
        await transport.get("WhoAmI")
        assert (await transport.get("WhoAmI")).status == 204
        assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf",
        b"HTTP/1.1 200 O",
        b"this is not HTTP\r\n\r\n",
    ],
    ids=["length", "chunks", "bad chunk", "bad gzip", "head", "garbage"],
)
async def test_half_an_answer_is_no_answer(half: bytes) -> None:
    async with raw_server(write(half, then_close=True)) as server:
        assert (await failure_of(server)).kind is FailureKind.UNKNOWN


async def test_a_slow_answer_leaves_doubt() -> None:
    async with raw_server(hang) as server:
        failure = await failure_of(server, request_timeout_s=0.2)
        assert failure.kind is FailureKind.UNKNOWN
        assert "in time" in failure.message


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_an_answer_over_the_limit_is_not_read_to_its_end(packed: bool) -> None:
    body = b"x" * 3_000_000
    deed = answer(200, gzip.compress(body), ["Content-Encoding: gzip"]) if packed else answer(200, body)
    async with raw_server(deed) as server:
        failure = await failure_of(server, answer_bytes_max=1_000_000)
        assert failure.kind is FailureKind.UNKNOWN
        assert "ANSWER_BYTES_MAX" in failure.message
    async with raw_server(deed) as server, transport_to(server.origin) as transport:
        assert (await transport.post("$batch", b"")).body == body


async def test_a_refused_connection_is_known_not_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failure = await failure_of(RawServer([], f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert failure.kind is FailureKind.NOT_SENT


async def test_a_name_that_does_not_resolve_is_known_not_sent() -> None:
    failure = await failure_of(RawServer([], "https://nowhere.invalid"), request_timeout_s=2.0)
    assert failure.kind is FailureKind.NOT_SENT


async def test_a_connection_that_is_not_accepted_in_time_is_known_not_sent() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # fill the backlog: the next SYN is dropped
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        failure = await failure_of(RawServer([], f"http://127.0.0.1:{full.getsockname()[1]}"), request_timeout_s=0.4)
    assert failure.kind is FailureKind.NOT_SENT


async def test_a_tls_handshake_that_hangs_is_known_not_sent() -> None:
    async with raw_server(hang) as server:
        server.origin = server.origin.replace("http://", "https://")
        assert (await failure_of(server, request_timeout_s=0.4)).kind is FailureKind.NOT_SENT
        assert server.requests == []


async def test_an_unknown_certificate_is_known_not_sent_and_ca_file_lets_it_pass() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with raw_server(tls=tls) as server:
        failure = await failure_of(server)
        assert failure.kind is FailureKind.NOT_SENT
        assert "ca_file" in failure.message
        assert server.requests == []
        with authority.cert_pem.tempfile() as ca_file:
            async with transport_to(server.origin, ca_file=ca_file) as transport:
                assert (await transport.get("WhoAmI")).status == 200


async def test_one_401_is_answered_by_one_fresh_token_and_one_repeat() -> None:
    challenge = 'WWW-Authenticate: Bearer error="insufficient_claims", claims="eyJhIjogIsO8In0"'
    async with raw_server(answer(401, b"", [challenge]), answer(204, b"")) as server:
        tokens = CountedTokens()
        async with transport_to(server.origin, tokens) as transport:
            assert (await transport.post("$batch", BODY)).status == 204
        assert server.header("Authorization", 0) == ["Bearer planted-secret-0"]
        assert server.header("Authorization", 1) == ["Bearer planted-secret-1"]
        assert tokens.claims == ['{"a": "ü"}'], "the claims challenge reaches the token source"


async def test_the_second_401_is_returned() -> None:
    async with raw_server(answer(401, b"who?")) as server, transport_to(server.origin) as transport:
        assert (await transport.post("$batch", BODY)).status == 401
        assert len(server.requests) == 2


async def test_many_401s_at_once_ask_for_one_fresh_token() -> None:
    async def by_token(writer: asyncio.StreamWriter) -> None:
        stale = b"planted-secret-0" in server.requests[-1]
        await answer(401 if stale else 204, b"")(writer)

    async with raw_server(by_token) as server:
        tokens = CountedTokens()
        async with transport_to(server.origin, tokens) as transport:
            replies = await asyncio.gather(*(transport.post("$batch", b"") for _ in range(52)))
        assert {reply.status for reply in replies} == {204}
        assert tokens.fresh == 1


async def test_sign_in_trouble_after_a_401_stops_the_run() -> None:
    async with (
        raw_server(answer(401)) as server,
        transport_to(server.origin, CountedTokens(refuse_fresh=True)) as transport,
    ):
        with pytest.raises(SignInError):
            await transport.post("$batch", BODY)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url", ["http://contoso.crm4.dynamics.com/api", "contoso", "ftp://x/", "https://u:p@host/", "https://h:x/"]
)
def test_a_url_that_would_expose_the_token_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Transport(url, CountedTokens())
    assert "u:p" not in str(refusal.value)


async def test_the_proxy_of_the_environment_is_used_and_its_password_kept_quiet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bulklink")
    async with raw_server(answer(407, b"")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin.replace("//", "//user:planted-secret@"))
        monkeypatch.setenv("NO_PROXY", "")
        failure = await failure_of(RawServer([], "https://contoso.example"))
        assert failure.kind is FailureKind.NOT_SENT, "the proxy opened no way to the service"
        assert "407" in failure.message
        assert "planted-secret" not in failure.message + caplog.text
        assert proxy.requests[0].startswith(b"CONNECT contoso.example:443 ")
        assert proxy.header("Proxy-Authorization") == ["Basic dXNlcjpwbGFudGVkLXNlY3JldA=="]
        assert proxy.header("Authorization") == []


async def test_loopback_goes_past_the_proxy_and_netrc_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with raw_server() as server, transport_to(server.origin) as transport:
        assert (await transport.get("WhoAmI")).status == 200
        assert server.header("Authorization") == ["Bearer planted-secret-0"]


async def test_no_failure_shows_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bulklink")
    for deed in (reset, hang, write(b"HTTP/1.1 200 O", then_close=True), write(b"garbage\r\n\r\n", then_close=True)):
        async with raw_server(deed) as server:
            failure = await failure_of(server, request_timeout_s=0.3)
            assert "planted-secret" not in f"{failure!r} {failure} {failure.__cause__!r} {failure.__dict__}"
    async with raw_server(answer(401, b"planted-secret")) as server, transport_to(server.origin) as transport:
        assert "planted-secret" not in repr(await transport.post("$batch", BODY))
        assert "planted-secret" not in repr(transport)
    assert "planted-secret" not in caplog.text
