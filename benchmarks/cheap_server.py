"""A server that costs next to nothing, so that a whole run measures the client: batches are answered, never executed.

It runs in a process of its own. Writes are answered 204, operation by operation in the service's own layout; a row
whose to record begins with `BAD` is refused (404 `0x80040217`) with the rest of its change set, as the service would.
Reads of links find nothing: no N:N pair exists, every lookup is empty. Everything else (WhoAmI, metadata) is asked of
a sandbox in the same process, once, and answered from the record after that.
"""

import asyncio
import http.client
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bulklink.sandbox.batch_answer import Answer, write_answer
from bulklink.sandbox.server import Sandbox

#: How the id of a to record that does not exist begins.
BAD = "bad0bad0"

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_SET_START = re.compile(rb'boundary="?changeset_[^"\r\n]*_(\d+)"?\r\n')
_BAD_ROW = re.compile(rb"Content-ID: (\d+)\r\n\r\n[^{]*?\{[^}]*?" + BAD.encode())
_METADATA = b"Definitions("
_GET = re.compile(rb"\r\nGET (\S+) HTTP/1\.1\r\n")
_SELECT = re.compile(rb"\$select=([^&,]+),([^&]+)")
_GUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BATCH_BOUNDARY = "batchresponse_0b2f7a10-93b5-4f8a-8f55-1f3b2b7c9d01"
_MULTIPART = f"multipart/mixed; boundary={_BATCH_BOUNDARY}"
_ODATA = (("OData-Version", "4.0"),)
_JSON = (("Content-Type", "application/json; odata.metadata=minimal"), *_ODATA)
_MISSING = b'{"error":{"code":"0x80040217","message":"Entity \'lead\' With Id = %b Does Not Exist"}}' % BAD.encode()


@dataclass(slots=True)
class Counts:
    """What arrived: requests with writes, the operations in them, requests with reads, the reads in them."""

    batches: int = 0
    operations: int = 0
    read_batches: int = 0
    reads: int = 0


class CheapServer:
    """Answers from prebuilt bytes. sandbox: host and port of whoever knows WhoAmI and the metadata."""

    def __init__(self, sandbox: str, latency_s: float) -> None:
        self.counts = Counts()
        self.latency_s = latency_s
        self._sandbox = sandbox
        self._recorded: dict[bytes, bytes] = {}
        self._all_done: dict[tuple[int, ...], bytes] = {}

    def batch(self, body: bytes) -> bytes:
        """The answer to a batch of reads or of writes."""
        questions = _GET.findall(body)
        if questions:
            self.counts.read_batches += 1
            self.counts.reads += len(questions)
            return _http(_multipart([Answer(200, _JSON, _page(url)) for url in questions]))
        operations = body.count(b"\r\nContent-ID: ")
        self.counts.batches += 1
        self.counts.operations += operations
        starts = tuple(map(int, _SET_START.findall(body)))
        if BAD.encode() in body:
            return _http(_written(starts, operations, sorted(map(int, _BAD_ROW.findall(body)))))
        known = self._all_done.get((operations, *starts))
        if known is None:
            known = self._all_done[operations, *starts] = _http(_written(starts, operations, []))
        return known

    async def other(self, target: bytes, head: bytes, body: bytes) -> bytes:
        """The sandbox's answer; to a GET it is recorded when it is asked for the first time."""
        if body:
            return await asyncio.to_thread(self._ask, target.decode(), head.decode(), body)
        if target not in self._recorded:
            self._recorded[target] = await asyncio.to_thread(self._ask, target.decode(), head.decode(), None)
        return self._recorded[target]

    def _ask(self, target: str, head: str, body: bytes | None) -> bytes:
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        headers = {name: text for name, text in headers.items() if name not in ("Host", "Accept-Encoding")}
        with closing(http.client.HTTPConnection(self._sandbox)) as connection:
            connection.request("POST" if body else "GET", target, body, headers)
            answer = connection.getresponse()
            return _http(answer.read(), answer.headers["Content-Type"], f"{answer.status} {answer.reason}")


class _Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, server: CheapServer) -> None:
        self._server = server
        self._pieces: list[bytes] = []
        self._missing = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        request = b"".join(self._pieces)
        end = request.find(_HEAD_END)
        if end < 0:
            self._pieces, self._missing = [request], 0
            return
        length = _LENGTH.search(request, 0, end)
        whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if len(request) < whole:
            self._pieces, self._missing = [request], whole - len(request)
            return
        self._pieces, self._missing = [], 0
        self._answer(request[:end], request[end + len(_HEAD_END) : whole])

    def _answer(self, head: bytes, body: bytes) -> None:
        target = head.split(b" ", 2)[1]
        if target.endswith(b"$batch") and _METADATA not in body:
            answer, latency_s = self._server.batch(body), self._server.latency_s
            if latency_s:
                asyncio.get_running_loop().call_later(latency_s, self._transport.write, answer)
            else:
                self._transport.write(answer)
            return
        task = asyncio.get_running_loop().create_task(self._answer_other(target, head, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_other(self, target: bytes, head: bytes, body: bytes) -> None:
        self._transport.write(await self._server.other(target, head, body))


def _written(starts: tuple[int, ...], operations: int, bad: list[int]) -> bytes:
    """All done, but for the change sets that hold a bad row: they fail at the first one."""
    ends = (*starts[1:], operations + 1)
    refused = iter(bad)
    culprit = next(refused, operations + 1)
    items = []
    for start, end in zip(starts, ends, strict=True):
        if culprit < end:
            items.append([Answer(404, _JSON, _MISSING, str(culprit))])
            while culprit < end:
                culprit = next(refused, operations + 1)
        else:
            items.append([Answer(204, _ODATA, b"", str(number)) for number in range(start, end)])
    return _multipart(items)


def _multipart(items: list[Answer] | list[list[Answer]]) -> bytes:
    numbers = iter(range(len(items)))
    return write_answer(items, _BATCH_BOUNDARY, lambda: f"0b2f7a10-93b5-4f8a-8f55-{next(numbers):012}")


def _page(url: bytes) -> bytes:
    """Nothing for a question about pairs; each record, its lookup empty, for one about the holders of a lookup."""
    select, (_, _, query) = _SELECT.search(url), url.partition(b"filter=")
    if select is None or b"PropertyName" not in query:
        return b'{"value":[]}'
    record = b'{"@odata.etag":"W/\\"1\\"","%b":"%%b","%b":null}' % select.groups()
    return b'{"value":[%b]}' % b",".join([record % guid for guid in _GUID.findall(query)])


def _http(body: bytes, content_type: str = _MULTIPART, status: str = "200 OK") -> bytes:
    headers = f"Content-Type: {content_type}\r\nOData-Version: 4.0\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


class RunningServer:
    """A cheap server in another process."""

    def __init__(self, port: int, pipe: Connection) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._pipe = pipe

    def counts(self) -> Counts:
        """What arrived since the last call."""
        self._pipe.send("counts")
        counts: Counts = self._pipe.recv()
        return counts


@contextmanager
def cheap_server(latency_s: float = 0.0) -> Iterator[RunningServer]:
    """A server for as long as the `with` block lasts. latency_s: how long each batch takes."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, latency_s), daemon=True)
    process.start()
    try:
        yield RunningServer(here.recv(), here)
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, latency_s: float) -> None:
    async def run() -> None:
        async with Sandbox() as sandbox:
            server = CheapServer(f"127.0.0.1:{sandbox.port}", latency_s)
            loop = asyncio.get_running_loop()
            listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0)
            pipe.send(listening.sockets[0].getsockname()[1])
            while await asyncio.to_thread(pipe.recv):
                pipe.send(server.counts)
                server.counts = Counts()

    asyncio.run(run())
