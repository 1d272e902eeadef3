"""The floor under every client: prebuilt batches over a raw socket, whole answers read, nothing understood.

The server runs in a process of its own, answers 204 to every operation from a prebuilt answer, and costs the client
nothing. Judge other figures of the same run as ratios to this one: they carry over to other machines.
"""

import multiprocessing
import socket
import time
import uuid
from multiprocessing.connection import Connection

from bulklink.core.request import write_batch

OPERATIONS = 1_000
BOUNDARY = "batch_6c1f0f5e-1f5a-4b7e-9f1d-0c5a5d0e7b11"
API_URL = "http://127.0.0.1/api/data/v9.2"
_RECEIVE_BYTES = 1 << 20


def operation(from_id: str, to_id: str) -> bytes:
    """One association as the wire has it."""
    return (
        f"POST /api/data/v9.2/accounts({from_id})/accountleads_association/$ref HTTP/1.1\r\n"
        f"Content-Type: application/json\r\n\r\n"
        f'{{"@odata.id":"{API_URL}/leads({to_id})"}}'
    ).encode()


def canned_answer(operations: int = OPERATIONS) -> bytes:
    """The multipart body that answers 204 to every operation, each in a change set of its own."""
    outer = "batchresponse_0b2f7a10-93b5-4f8a-8f55-1f3b2b7c9d01"
    parts = []
    for content_id in range(1, operations + 1):
        inner = f"changesetresponse_{uuid.UUID(int=content_id)}"
        parts.append(
            f"--{outer}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n"
            f"--{inner}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: {content_id}\r\n\r\nHTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n\r\n--{inner}--\r\n"
        )
    return ("".join(parts) + f"--{outer}--\r\n").encode()


#: The Content-Type of `canned_answer`.
ANSWER_TYPE = "multipart/mixed; boundary=batchresponse_0b2f7a10-93b5-4f8a-8f55-1f3b2b7c9d01"


def measure_floor(rows: int = 200_000) -> float:
    """Client CPU seconds per row."""
    operations = [
        operation(str(uuid.UUID(int=k)), str(uuid.UUID(int=-1 - k % 7 + (1 << 128)))) for k in range(OPERATIONS)
    ]
    body = write_batch(BOUNDARY, operations, [1] * OPERATIONS)
    head = f"POST /api/data/v9.2/$batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    request = head + body
    answer_bytes = len(_http_answer())
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    buffer = bytearray(_RECEIVE_BYTES)
    with socket.create_connection(("127.0.0.1", ours.recv())) as connection:
        _exchange(connection, request, buffer, answer_bytes)
        started = time.process_time()
        for _ in range(rows // OPERATIONS):
            _exchange(connection, request, buffer, answer_bytes)
        spent = time.process_time() - started
    server.terminate()
    server.join()
    return spent / rows


def _exchange(connection: socket.socket, request: bytes, buffer: bytearray, answer_bytes: int) -> None:
    connection.sendall(request)
    while answer_bytes:
        received = connection.recv_into(buffer)
        if not received:
            raise ConnectionError("the server went away")
        answer_bytes -= received


def _http_answer() -> bytes:
    body = canned_answer()
    return f"HTTP/1.1 200 OK\r\nContent-Type: {ANSWER_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _serve(pipe: Connection) -> None:
    """Answer every request of one connection; its length is read once, all are alike."""
    answer = _http_answer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection:
            buffer, left = bytearray(_RECEIVE_BYTES), 0
            while received := connection.recv_into(buffer):
                if not left:
                    head, _, _ = bytes(buffer[:4096]).partition(b"\r\n\r\n")
                    left = len(head) + 4 + int(head.rsplit(b" ", 1)[1])
                left -= received
                if not left:
                    connection.sendall(answer)
