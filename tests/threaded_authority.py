"""The sandbox's sign-in authority over TLS, in a thread of its own: commands have their own event loop."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from bulklink.sandbox.authority import Authority


@contextmanager
def serving(authority: Authority, ca_file: Path) -> Iterator[None]:
    """Serve until the block ends; ca_file: is written, for those who are to trust it."""
    ca = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    ca_file.write_bytes(ca.cert_pem.bytes())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = authority.serving(tls)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
