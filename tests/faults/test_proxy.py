"""Through a forward proxy, as in most companies: the tunnel, its password, and what the proxy can see."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request

import anyio.to_thread
import pytest
import trustme

from bulklink.service.authority_http import AuthorityHttp, Unreachable
from bulklink.service.transport import Transport
from tests.raw_server import RawServer, answer, raw_server

pytestmark = pytest.mark.anyio

HOST = "contoso.example"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class OneToken:
    async def token(self, force: bool = False, claims: str = "") -> str:
        return "planted-secret"


@dataclass
class Tunnel:
    """A CONNECT proxy that leads every name to one server, and keeps all it can read."""

    port: int
    url: str = ""
    seen: bytearray = field(default_factory=bytearray)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen += await reader.readuntil(b"\r\n\r\n")
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._copy(reader, onward_writer), self._copy(onward_reader, writer))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65_536):
                self.seen += piece
                target.write(piece)
        except ConnectionError:
            pass
        finally:
            target.close()


@dataclass
class Company:
    server: RawServer
    tunnel: Tunnel
    ca_file: str


@pytest.fixture
async def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    async with company_network(tmp_path) as company:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, company.tunnel.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield company


@asynccontextmanager
async def company_network(folder: Path) -> AsyncIterator[Company]:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(tls)
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.cert_pem.bytes())
    async with raw_server(answer(200, b"{}"), tls=tls) as server:
        tunnel = Tunnel(int(server.origin.rpartition(":")[2]))
        listening = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
        tunnel.url = f"http://user:planted-password@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield Company(server, tunnel, str(ca_file))
        listening.close()


async def test_the_service_is_reached_through_the_tunnel_and_the_proxy_reads_nothing(company: Company) -> None:
    async with Transport(f"https://{HOST}/api/data/v9.2", OneToken(), ca_file=company.ca_file) as transport:
        for _ in range(2):
            assert (await transport.post("$batch", b"rows")).status == 200
    head = bytes(company.tunnel.seen).partition(b"\r\n\r\n")[0]
    assert head.startswith(b"CONNECT contoso.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwbGFudGVkLXBhc3N3b3Jk" in head
    assert b"planted-secret" not in company.tunnel.seen
    assert company.server.connections == 1, "the tunnel is kept open"
    assert company.server.header("Authorization") == ["Bearer planted-secret"]
    assert company.server.header("Proxy-Authorization") == [], "the proxy's password goes no further"


async def test_the_authority_is_reached_through_the_tunnel_too(company: Company) -> None:
    client = AuthorityHttp(company.ca_file)
    reply = await anyio.to_thread.run_sync(client.fetch, Request(f"https://{HOST}/t-1/v2.0/.well-known/x"))
    assert (reply.status_code, reply.text) == (200, "{}")
    assert b"Proxy-Authorization: Basic dXNlcjpwbGFudGVkLXBhc3N3b3Jk" in company.tunnel.seen
    assert company.server.header("Proxy-Authorization") == []
    assert company.server.header("User-Agent")[0].startswith("bulklink/")


async def test_a_proxy_that_is_down_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, company: Company
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:planted-password@127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://user:planted-password@127.0.0.1:1")
    with pytest.raises(Unreachable) as trouble:
        await anyio.to_thread.run_sync(AuthorityHttp().fetch, Request(f"https://{HOST}/x"))
    assert "through the proxy http://127.0.0.1:1: Connection refused" in str(trouble.value)
    assert "planted-password" not in f"{trouble.value!r} {trouble.value.__context__!r}"


async def test_a_proxy_that_refuses_is_told_with_its_status(monkeypatch: pytest.MonkeyPatch, company: Company) -> None:
    async with raw_server(answer(407, b"")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
        monkeypatch.setenv("https_proxy", proxy.origin)
        with pytest.raises(Unreachable, match="407"):
            await anyio.to_thread.run_sync(AuthorityHttp().fetch, Request(f"https://{HOST}/x"))


async def test_a_page_in_place_of_json_is_no_answer_of_an_authority() -> None:
    """What a hotel's or a company's portal puts between."""
    async with raw_server(answer(200, b"<html>Please accept our terms</html>")) as portal:
        with pytest.raises(Unreachable, match="no JSON"):
            await anyio.to_thread.run_sync(AuthorityHttp().get, f"{portal.origin}/t-1/v2.0")
