"""Laws of the sandbox's `$batch` reader, against a writer of this test's own."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from bulklink.sandbox.multipart import ChangeSetItem, Grammar, Operation, read_batch
from bulklink.sandbox.refusals import BatchError

BOUNDARY_CHARACTERS = "ABCabc019'()+_,-./:=?"
boundaries = st.text(BOUNDARY_CHARACTERS, min_size=1, max_size=70)
urls = st.text("abcXYZ019/$()=&?%'-_.~", min_size=1, max_size=60)
names = st.sampled_from(["Accept", "If-Match", "Prefer", "MSCRM.SuppressDuplicateDetection", "Content-Type"])
values = st.text("abc XYZ019;=*\"/'", max_size=20).map(str.strip)
bodies = st.one_of(st.just(b""), st.binary(max_size=80), st.text(max_size=40).map(str.encode))


@st.composite
def operations(draw, methods=("POST", "PUT", "PATCH", "DELETE", "GET"), content_id=None):
    headers = draw(st.dictionaries(names, values, max_size=3))
    return (draw(st.sampled_from(methods)), draw(urls), headers, draw(bodies), content_id)


@st.composite
def change_sets(draw):
    content_ids = draw(st.lists(st.integers(1, 10**6).map(str), unique=True, max_size=5))
    return [draw(operations(("POST", "PUT", "PATCH", "DELETE"), content_id)) for content_id in content_ids]


batches = st.lists(st.one_of(operations(), change_sets()), max_size=5)


def written_part(operation) -> bytes:
    method, url, headers, body, content_id = operation
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id else []
    lines += ["", f"{method} {url} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()], "", ""]
    return "\r\n".join(lines).encode() + body


def written(items, outer: str, inner: str) -> bytes:
    out = b""
    for item in items:
        out += f"--{outer}\r\n".encode()
        if isinstance(item, tuple):
            out += written_part(item) + b"\r\n"
            continue
        out += f'Content-Type: multipart/mixed; boundary="{inner}"\r\n\r\n'.encode()
        for operation in item:
            out += f"--{inner}\r\n".encode() + written_part(operation) + b"\r\n"
        out += f"--{inner}--\r\n".encode()
    return out + f"--{outer}--\r\n".encode()


def expected(item) -> Operation | ChangeSetItem:
    if isinstance(item, list):
        return ChangeSetItem(tuple(expected(operation) for operation in item))
    method, url, headers, body, content_id = item
    return Operation(method, url, {name.lower(): value for name, value in headers.items()}, body, content_id)


@given(items=batches, outer=boundaries, inner=boundaries)
def test_the_reader_gets_back_what_was_written(items, outer, inner):
    """Round trip, with any boundaries that do not begin one another and do not stand in a body."""
    if outer.startswith(inner) or inner.startswith(outer):
        inner, outer = f"i{inner}"[:70], f"o{outer}"[:70]
    marks = (f"--{outer}".encode(), f"--{inner}".encode())
    flat = [operation for item in items for operation in (item if isinstance(item, list) else [item])]
    if any(mark in operation[3] for operation in flat for mark in marks):
        return
    body = written(items, outer, inner)
    assert list(read_batch(body, outer.encode(), Grammar())) == [expected(item) for item in items]


@given(items=batches, data=st.data())
def test_a_damaged_batch_is_read_or_refused_but_never_breaks_the_reader(items, data):
    """Any bytes: items or a BatchError, in both grammars."""
    body = bytearray(written(items, "outer", "inner"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for lenient in (False, True):
        with suppress(BatchError):
            list(read_batch(bytes(body), b"outer", Grammar(lenient_line_ends=lenient)))
