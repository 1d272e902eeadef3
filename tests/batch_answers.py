"""Answers to batches, laid out as the service writes them (recorded answers), with every way of failing."""

import json

OUTER = "batchresponse_6f2a3c51-0b6e-4d0e-9c55-2f0a4b1d7e11"
MULTIPART = {"content-type": f"multipart/mixed; boundary={OUTER}"}


def error(code="0x80040217", message="Does Not Exist"):
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def part(status, content_id=None, body=b"", headers=()):
    """One application/http part, without the delimiter before it and the line end behind it."""
    lines = [b"Content-Type: application/http", b"Content-Transfer-Encoding: binary"]
    lines += [] if content_id is None else [f"Content-ID: {content_id}".encode()]
    lines += [b"", f"HTTP/1.1 {status} Whatever".encode()]
    lines += [f"{name}: {value}".encode() for name, value in headers]
    lines += [b"Content-Type: application/json; odata.metadata=minimal"] if body else []
    return b"\r\n".join([*lines, b"OData-Version: 4.0", b"", body])


def change_set(parts, number=1, close=True):
    """A change set's item: its parts between their own delimiters."""
    inner = f"changesetresponse_{number:08x}-0000-4000-8000-000000000000".encode()
    head = b"Content-Type: multipart/mixed; boundary=" + inner + b"\r\n\r\n"
    body = b"".join(b"--" + inner + b"\r\n" + one + b"\r\n" for one in parts)
    return head + body + (b"--" + inner + b"--" if close else b"")


def batch(items, close=True):
    """The whole body. items: parts or change sets, as the two functions above give them."""
    outer = OUTER.encode()
    body = b"".join(b"--" + outer + b"\r\n" + item + b"\r\n" for item in items)
    return body + (b"--" + outer + b"--\r\n" if close else b"")


def done(first, size=1):
    """A change set in which operations `first` .. are done (Content-IDs count from 1)."""
    return change_set([part(204, content_id) for content_id in range(first, first + size)], first)


def failed(content_id, status=404, body=None, **options):
    """A failed change set: one part, with the culprit's Content-ID (None: nobody is named)."""
    return change_set([part(status, content_id, error() if body is None else body, **options)], content_id or 0)
