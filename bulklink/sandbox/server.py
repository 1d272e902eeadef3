"""The sandbox on a socket.

Owns: the aiohttp server, waiting for the moments that the reception names, broken deliveries, ``/__sandbox/``.
Does not know: any rule of the service; `Reception` decides, this obeys.
"""

import asyncio
import contextlib
import errno
import json
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from aiohttp import web
from multidict import CIMultiDict

from bulklink.sandbox import state_page
from bulklink.sandbox.access import Access
from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.exchange import HttpAnswer, HttpRequest
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.reception import Reception
from bulklink.sandbox.service import Service
from bulklink.sandbox.tls import ThrowawayCertificate
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.visits import Delivery, Step, Visit
from bulklink.sandbox.weather import Weather

#: Requests above this are cut off by the socket layer; Dataverse's own number for sandboxed plug-ins is 116.85 MB.
_BODY_BYTES_MAX: Final = 256 * 1024 * 1024
_REQUEST_LINE_BYTES_MAX: Final = 65_536
#: Answers shorter than this are not worth compressing.
_GZIP_BYTES_MIN: Final = 1_024
#: How long requests in flight are waited for when the server stops.
_SHUTDOWN_S: Final = 1.0
_STATE: Final = "/__sandbox"


class Sandbox:
    """A local server that behaves like the Dataverse Web API.

    ``async with Sandbox(Organisation.sample()) as sandbox: ... sandbox.url``; `serving` does the same in a thread,
    `run` serves until a signal comes. Without weather nothing fails and nothing takes time; the limits of service
    protection hold unless `Limits.off()` is given.
    """

    def __init__(
        self,
        organisation: Organisation | None = None,
        *,
        toggles: Toggles | None = None,
        limits: Limits | None = None,
        weather: Weather | None = None,
        access: Access | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        tls: bool = False,
    ) -> None:
        self.organisation = organisation or Organisation.sample()
        self.host = host
        self.port = 0
        self.certificate = ThrowawayCertificate(host) if tls else None
        toggles = toggles or Toggles()
        self.reception = Reception(
            Service(self.organisation, toggles),
            access=access,
            limits=limits,
            weather=weather,
            toggles=toggles,
            seed=seed,
        )
        self._runner: web.ServerRunner | None = None
        self._late: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The environment's URL, e.g. ``http://127.0.0.1:8080``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    @property
    def api_url(self) -> str:
        """The root of its Web API."""
        return f"{self.url}/api/data/v9.2"

    # ------------------------------------------------------------------ life

    async def start(self, port: int = 0) -> None:
        """Listen; 0 takes any free port. SandboxUsageError if that cannot be."""
        server = web.Server(
            self._handle,
            request_factory=_request,
            access_log=None,
            auto_decompress=False,
            max_line_size=_REQUEST_LINE_BYTES_MAX,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            context = self.certificate.context if self.certificate else None
            site = web.TCPSite(runner, self.host, port, ssl_context=context, reuse_address=True)
            await site.start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            raise SandboxUsageError(_why_not(error, self.host, port)) from error
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket. What the service has still to do is done: a lost client does not stop it."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        await asyncio.sleep(0)  # a task that has not begun could not notice that it is cancelled
        for task in tuple(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self.certificate:
            self.certificate.remove()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def run(self, port: int = 0, started: Callable[[Self], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM. started: called when the socket listens."""

        async def serve() -> None:
            await self.start(port)
            if started:
                started(self)
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                # Windows knows no signal handlers of the loop; Ctrl-C ends `asyncio.run` there.
                with contextlib.suppress(NotImplementedError):
                    asyncio.get_running_loop().add_signal_handler(number, stop.set)
            try:
                await stop.wait()
            finally:
                await self.stop()

        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve())

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator[Self]:
        """Serve from a thread of its own, for callers without an event loop."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="bulklink-sandbox", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(port), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    # ------------------------------------------------------------------ requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path == _STATE or path.startswith(_STATE + "/"):
            return self._state(request.method, path.removeprefix(_STATE).strip("/"), request)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        origin = f"{request.scheme}://{headers.get('host', f'{self.host}:{self.port}')}"
        arrived = HttpRequest(request.method, path, query, headers, body, origin)
        visit = self.reception.arrive(arrived, _now_s())
        answer = await self._until_answered(visit)
        return await _delivered(request, visit, answer)

    async def _until_answered(self, visit: Visit) -> HttpAnswer:
        """Take the visit's steps up to its answer; what is left is done later."""
        steps = list(visit.steps)
        try:
            while steps[0][1] is Step.WORK:
                await _sleep_until(steps[0][0])
                steps.pop(0)
                self.reception.work(visit, _now_s())
            await _sleep_until(steps.pop(0)[0])
            return self.reception.answer(visit, _now_s())
        finally:
            # Also when the server stops: the service goes on.
            for later_s, step in steps:
                if step is Step.WORK:
                    self._work_later(visit, later_s)

    def _work_later(self, visit: Visit, at_s: float) -> None:
        async def work() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await _sleep_until(at_s)
            self.reception.work(visit, _now_s())

        task = asyncio.create_task(work())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    # ------------------------------------------------------------------ /__sandbox/

    def _state(self, method: str, name: str, request: web.BaseRequest) -> web.Response:
        kind, _, rest = name.partition("/")
        if method == "POST" and name == "reset":
            self.organisation.reset()
            self.reception.reset()
            return web.Response(status=204)
        if method != "GET":
            return web.Response(status=405, text="POST goes to /__sandbox/reset only.\n")
        if not name:
            return self._state_page(request)
        if name == "dump.zip":
            return web.Response(body=state_page.dump_zip(self.organisation), content_type="application/zip")
        if kind == "links" and rest:
            try:
                text = state_page.links_csv(self.organisation, rest)
            except SandboxUsageError as error:
                return web.Response(status=404, text=f"{error}\n")
            return web.Response(text=text, content_type="text/csv")
        return web.Response(status=404, text="There is /__sandbox/, links/<relationship>, dump.zip and POST reset.\n")

    def _state_page(self, request: web.BaseRequest) -> web.Response:
        found = state_page.state(self.organisation, self.reception.tally)
        accept = request.headers.get("Accept", "")
        if "text/html" in accept and request.query.get("format") != "json":
            return web.Response(text=state_page.page(found), content_type="text/html")
        return web.Response(text=json.dumps(found, indent=2) + "\n", content_type="application/json")


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_BYTES_MAX)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _sleep_until(moment_s: float) -> None:
    delay_s = moment_s - _now_s()
    if delay_s > 0:
        await asyncio.sleep(delay_s)


async def _delivered(request: web.BaseRequest, visit: Visit, answer: HttpAnswer) -> web.StreamResponse:
    """Send the answer as far as the visit's delivery lets it through."""
    if visit.delivery is Delivery.RESET:
        _reset(request.transport)
        return web.Response()
    if visit.delivery is Delivery.TRUNCATED:
        return await _truncated(request, answer, int(len(answer.body) * visit.keep))
    response = web.Response(status=answer.status, headers=CIMultiDict(answer.headers), body=answer.body)
    if len(answer.body) >= _GZIP_BYTES_MIN and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def _truncated(request: web.BaseRequest, answer: HttpAnswer, keep_bytes: int) -> web.StreamResponse:
    """Announce the whole length, send a part of it, hang up."""
    response = web.StreamResponse(status=answer.status, headers=CIMultiDict(answer.headers))
    response.content_length = len(answer.body)
    response.force_close()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write(answer.body[:keep_bytes])
    if request.transport:
        request.transport.close()
    return response


def _reset(transport: asyncio.Transport | None) -> None:
    """Break the connection with a TCP reset, as a dying front end does."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _why_not(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use; give another."
    if number == errno.EACCES:
        return f"Port {port} on {host} may not be used by this user; give one above 1023."
    return f"Cannot listen on {host}, port {port}: {error}."
