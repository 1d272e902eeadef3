"""On a real socket the sandbox breaks connections as its weather says, and the work is done or not as it says."""

import asyncio
import gzip
import json
import socket
import ssl

import aiohttp
import pytest

from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.weather_file import read_weather

ACCOUNT = "00000000-0000-4000-8000-0000000000a1"
LEADS = [f"00000000-0000-4000-8000-0000000000b{n}" for n in range(1, 6)]
TOKEN = {"Authorization": "Bearer any"}


def organisation():
    made = Organisation.sample()
    made.create_record("account", {"accountid": ACCOUNT, "name": "Contoso"})
    for lead in LEADS:
        made.create_record("lead", {"leadid": lead, "lastname": "Lead"})
    return made


def links(sandbox):
    return set(sandbox.organisation.links("accountleads_association"))


def link_batch(api_url, leads=LEADS):
    """One change set that links the leads with the account."""
    lines = ["--b", "Content-Type: multipart/mixed; boundary=cs", ""]
    for number, lead in enumerate(leads, start=1):
        lines += ["--cs", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [
            f"Content-ID: {number}",
            "",
            f"POST {api_url}/accounts({ACCOUNT})/accountleads_association/$ref HTTP/1.1",
        ]
        lines += ["Content-Type: application/json", "", json.dumps({"@odata.id": f"{api_url}/leads({lead})"})]
    lines += ["--cs--", "--b--", ""]
    return "\r\n".join(lines).encode()


async def send_batch(session, sandbox, **settings):
    headers = TOKEN | {"Content-Type": "multipart/mixed; boundary=b"}
    url = f"{sandbox.api_url}/$batch"
    async with session.post(url, data=link_batch(sandbox.api_url), headers=headers, **settings) as response:
        return response.status, await response.read()


def attempt(weather, visit):
    """Serve in this weather and visit; what the visit returned or raised, and the sandbox."""

    async def served():
        sandbox = Sandbox(organisation(), weather=read_weather(weather, "test.toml"))
        async with sandbox, aiohttp.ClientSession() as session:
            try:
                return await visit(session, sandbox), sandbox
            except (aiohttp.ClientError, TimeoutError) as error:
                return error, sandbox

    return asyncio.run(served())


@pytest.mark.parametrize(("when", "done"), [("before", 0), ("after", 5)])
def test_a_reset_comes_before_or_after_the_commit(when, done):
    result, sandbox = attempt(f'[[fault]]\nkind = "reset"\nwhen = "{when}"\n', send_batch)
    assert isinstance(result, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
    assert len(links(sandbox)) == done


def test_a_truncated_answer_announces_more_than_it_holds_and_the_work_is_done():
    result, sandbox = attempt('[[fault]]\nkind = "truncate"\nkeep = 0.4\n', send_batch)
    assert isinstance(result, aiohttp.ClientPayloadError)
    assert len(links(sandbox)) == 5


def test_the_bytes_before_the_cut_arrive():
    async def raw(_, sandbox):
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        body = link_batch(sandbox.api_url)
        writer.write(
            b"POST /api/data/v9.2/$batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer any\r\n"
            b"Content-Type: multipart/mixed; boundary=b\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        received = await reader.read()
        writer.close()
        return received

    received, _ = attempt('[[fault]]\nkind = "truncate"\nkeep = 0.5\n', raw)
    head, _, body = received.partition(b"\r\n\r\n")
    announced = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split()[1])
    assert body.startswith(b"--batchresponse_")
    assert len(body) == announced // 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hanging_answer_times_the_client_out(when):
    async def impatient(session, sandbox):
        return await send_batch(session, sandbox, timeout=aiohttp.ClientTimeout(total=0.2))

    result, sandbox = attempt(f'[[fault]]\nkind = "hang"\nwhen = "{when}"\ndelay_s = 0.3\n', impatient)
    assert isinstance(result, TimeoutError)
    assert len(links(sandbox)) == (5 if when == "after" else 0)


def test_a_late_commit_happens_although_the_client_was_told_504():
    async def asked(session, sandbox):
        status, _ = await send_batch(session, sandbox)
        return status, len(links(sandbox))

    result, sandbox = attempt('[[fault]]\nkind = "late-commit"\ndelay_s = 3600\n', asked)
    assert result == (504, 0)
    # Stopping the server does not stop the service: what it had to do is done.
    assert len(links(sandbox)) == 5


def test_a_client_that_gives_up_does_not_stop_the_service():
    async def impatient(session, sandbox):
        with pytest.raises(TimeoutError):
            await send_batch(session, sandbox, timeout=aiohttp.ClientTimeout(total=0.1))
        before = len(links(sandbox))
        async with session.get(f"{sandbox.api_url}/WhoAmI", headers=TOKEN) as response:
            assert response.status == 200
        return before, len(links(sandbox))

    weather = '[[fault]]\nkind = "slow"\ndelay_s = 0.3\n'
    assert attempt(weather, impatient)[0] == (0, 5)


def test_a_server_that_stops_finishes_what_is_in_flight():
    async def left_alone(session, sandbox):
        asked = asyncio.create_task(send_batch(session, sandbox))
        while sandbox.reception.tally.in_flight == 0:  # noqa: ASYNC110  the sandbox tells nobody
            await asyncio.sleep(0.001)
        await sandbox.stop()
        return await asked

    result, sandbox = attempt('[[fault]]\nkind = "slow"\ndelay_s = 3600\n', left_alone)
    assert isinstance(result, aiohttp.ClientError)
    assert len(links(sandbox)) == 5


def test_a_page_of_a_front_end_is_html():
    async def asked(session, sandbox):
        async with session.get(f"{sandbox.api_url}/WhoAmI", headers=TOKEN) as response:
            return response.status, response.content_type, await response.text()

    (status, kind, text), _ = attempt('[[fault]]\nkind = "unavailable"\n', asked)
    assert (status, kind) == (503, "text/html")
    assert "<html>" in text


def test_a_long_answer_is_compressed_for_a_client_that_asks():
    async def asked(session, sandbox):
        headers = TOKEN | {"Content-Type": "multipart/mixed; boundary=b", "Accept-Encoding": "gzip"}
        url, body = f"{sandbox.api_url}/$batch", link_batch(sandbox.api_url)
        async with session.post(url, data=body, headers=headers) as response:
            return response.headers["Content-Encoding"], await response.read()

    async def without(session, sandbox):
        session._auto_decompress = False
        return await asked(session, sandbox)

    (encoding, body), _ = attempt("", without)
    assert encoding == "gzip"
    assert gzip.decompress(body).count(b"HTTP/1.1 204 No Content") == 5


def test_tls_is_trusted_through_the_throwaway_authority():
    async def served():
        async with Sandbox(organisation(), tls=True) as sandbox, aiohttp.ClientSession() as session:
            trust = ssl.create_default_context(cafile=str(sandbox.certificate.ca_file))
            url = f"{sandbox.api_url}/WhoAmI"
            async with session.get(url, headers=TOKEN, ssl=trust) as response:
                assert (sandbox.url[:8], response.status) == ("https://", 200)
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url, headers=TOKEN)
            return sandbox.certificate.ca_file

    assert not asyncio.run(served()).exists()


def test_a_port_in_use_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SandboxUsageError, match=rf"^Port {port} on 127\.0\.0\.1 is in use; give another\.$"):
            asyncio.run(Sandbox().start(port))


def test_the_state_can_be_looked_at_reset_and_taken_home():
    async def looked(session, sandbox):
        await send_batch(session, sandbox)
        base = f"{sandbox.url}/__sandbox"
        async with session.get(f"{base}/") as response:
            state = await response.json()
        async with session.get(f"{base}/", headers={"Accept": "text/html"}) as response:
            page = await response.text()
        async with session.get(f"{base}/links/accountleads_association") as response:
            csv = await response.text()
        async with session.get(f"{base}/links/nothing") as response:
            missing = response.status, await response.text()
        async with session.get(f"{base}/dump.zip") as response:
            archive = await response.read()
        async with session.post(f"{base}/reset") as response:
            assert response.status == 204
        return state, page, csv, missing, archive, len(links(sandbox))

    (state, page, csv, missing, archive, left), _ = attempt("", looked)
    assert (state["requests"], state["batches"], state["operations"]) == (1, 1, 5)
    assert state["tables"]["lead"] == 5
    [relationship] = [r for r in state["relationships"] if r["name"] == "accountleads_association"]
    assert (relationship["links"], relationship["tables"]) == (5, ["account", "lead"])
    assert "<h2>Links</h2>" in page
    assert csv.splitlines()[0] == "account_id,lead_id"
    assert sorted(csv.splitlines()[1:]) == [f"{ACCOUNT},{lead}" for lead in LEADS]
    assert missing[0] == 404
    assert "There is no relationship 'nothing'" in missing[1]
    assert archive.startswith(b"PK")
    assert left == 0


def test_the_sandbox_serves_callers_without_an_event_loop():
    import urllib.request

    with Sandbox(organisation()).serving() as sandbox:
        request = urllib.request.Request(f"{sandbox.api_url}/WhoAmI", headers=TOKEN)
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
            assert response.headers["x-ms-ratelimit-time-remaining-xrm-requests"] == "1,200.00"
