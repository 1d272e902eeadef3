"""A server that does to a connection exactly what a test says, byte by byte.

It knows no HTTP but where a request ends, so it can also break the rules that a real server keeps.
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Deed = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """What arrived: every request as bytes, and how many connections there were."""

    deeds: list[Deed]
    origin: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_ones: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_ones.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while True:
                self.requests.append(await one_request(reader))
                deed = self.deeds.pop(0) if len(self.deeds) > 1 else self.deeds[0]
                await deed(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def header(self, name: str, request: int = -1) -> list[str]:
        """Every value of a header in a request that arrived."""
        pattern = rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*(.*?)\r$"
        return [
            value.decode() for value in re.findall(pattern, self.requests[request].partition(b"\r\n\r\n")[0] + b"\r")
        ]


async def one_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length:\s*(\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def answer(status: int = 200, body: bytes = b"{}", headers: Sequence[str] = ()) -> Deed:
    """A whole, correct answer."""
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}"]
    return write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def write(answer_bytes: bytes, *, then_close: bool = False) -> Deed:
    async def deed(writer: asyncio.StreamWriter) -> None:
        writer.write(answer_bytes)
        await writer.drain()
        if then_close:
            writer.close()

    return deed


async def reset(writer: asyncio.StreamWriter) -> None:
    """Drop the connection with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise ConnectionError


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client gives up."""
    await asyncio.Event().wait()


@asynccontextmanager
async def raw_server(*deeds: Deed, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve on a free loopback port; the last deed is repeated for all further requests."""
    state = RawServer(list(deeds) or [answer()])
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0, ssl=tls, limit=2**24)
    state.origin = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for task in state.open_ones:
            task.cancel()
        await asyncio.gather(*state.open_ones, return_exceptions=True)
