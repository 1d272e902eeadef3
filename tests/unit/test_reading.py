"""The reader: batches of GETs, patience, pages."""

import json
import re
from contextlib import asynccontextmanager

import anyio
import pytest

from bulklink.errors import JobError, SignInError, StoppedEarly
from bulklink.service.reading import Reader, in_parallel
from bulklink.service.transport import FailureKind, HttpReply, TransportFailure

API = "https://org.example/api/data/v9.2"
LOST = object()


class Wire:
    """A service by script: each request is answered by the next line, the last line stays.

    A line is a reply, LOST, or what to do with the inner GETs of a batch. It is gate and clock too.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.batches, self.urls, self.pauses, self.told = [], [], [], []

    def reader(self):
        return Reader(self, API, self.gate, self.pause)

    async def pause(self, seconds):
        self.pauses.append(seconds)

    @asynccontextmanager
    async def gate(self, operations):
        self.told.append(operations)
        yield self

    def replied(self, reply):
        self.told.append(reply.status)

    def lost(self):
        self.told.append("lost")

    async def post(self, path, body, headers=None):
        assert path == "$batch"
        urls = re.findall(rb"^GET (\S+) HTTP/1\.1\r$", body, re.MULTILINE)
        self.batches.append([url.decode() for url in urls])
        return self.next(self.batches[-1])

    async def get(self, url, headers=None):
        self.urls.append(url)
        return self.next([url])

    def next(self, urls):
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if line is LOST:
            raise TransportFailure(FailureKind.UNKNOWN, "gone")
        return line(urls) if callable(line) else line


def get(url):
    return f"GET {url} HTTP/1.1\r\n\r\n".encode()


def refused(status, code="", message="no"):
    return HttpReply(
        status, {"content-type": "application/json"}, json.dumps({"error": {"code": code, "message": message}}).encode()
    )


def parts(*answers):
    """A batch reply: (status, document) or (status, document, header line) each."""
    body = b""
    for status, document, *header in answers:
        lines = "".join(f"{line}\r\n" for line in header)
        body += (
            f"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            f"HTTP/1.1 {status} x\r\n{lines}Content-Type: application/json\r\n\r\n{json.dumps(document)}\r\n"
        ).encode()
    return HttpReply(200, {"content-type": "multipart/mixed; boundary=b"}, body + b"--b--\r\n")


def echo(urls):
    return parts(*((200, {"value": [url]}) for url in urls))


def values(answers):
    return [json.loads(answer.body)["value"][0] for answer in answers]


def run(wire, *urls):
    return anyio.run(wire.reader().ask, [get(url) for url in urls])


def test_many_gets_are_one_request_answered_in_order():
    wire = Wire(echo)
    assert values(run(wire, "/a", "/b", "/c")) == ["/a", "/b", "/c"]
    assert wire.told == [3, 200]


def test_nothing_to_ask_sends_nothing():
    wire = Wire(echo)
    assert run(wire) == []
    assert wire.told == []


@pytest.mark.parametrize(
    "failure", [LOST, refused(503), refused(500, "0x80044151", "Sql Number: -2"), HttpReply(200, {}, b"<html>")]
)
def test_a_batch_that_failed_in_passing_is_sent_again(failure):
    wire = Wire(failure, failure, echo)
    assert values(run(wire, "/a", "/b")) == ["/a", "/b"]
    assert len(wire.batches) == 3
    assert len(wire.pauses) == 2
    assert wire.pauses[1] > wire.pauses[0] / 1.5


def test_only_what_has_no_answer_is_asked_again():
    wire = Wire(
        lambda urls: parts((200, {"value": ["a"]}), (500, {}), (404, {"error": {"code": "0x1", "message": "x"}})), echo
    )
    answers = run(wire, "/a", "/b", "/c")
    assert wire.batches == [["/a", "/b", "/c"], ["/b"]]
    assert [answer.status for answer in answers] == [200, 200, 404]


def test_patience_ends():
    wire = Wire(refused(503))
    with pytest.raises(StoppedEarly, match=r"could not be read in 8 attempts.*503"):
        run(wire, "/a")
    assert len(wire.batches) == 8


def test_throttling_is_no_failure_however_long_it_lasts():
    wire = Wire(*[refused(429, "0x80072322")] * 20, echo)
    assert values(run(wire, "/a")) == ["/a"]
    assert wire.told.count(429) == 20


def test_a_part_that_is_throttled_waits_as_long_as_it_asks():
    wire = Wire(lambda urls: parts((429, {}, "Retry-After: 7")), echo)
    run(wire, "/a")
    assert wire.pauses == [7.0]


def test_a_batch_that_is_too_large_is_halved():
    wire = Wire(lambda urls: echo(urls) if len(urls) <= 2 else refused(413))
    assert values(run(wire, *(f"/{n}" for n in range(7)))) == [f"/{n}" for n in range(7)]
    assert [len(batch) for batch in wire.batches] == [7, 3, 1, 2, 4, 2, 2]


def test_a_lasting_refusal_of_the_batch_is_the_answer_to_each():
    assert [answer.status for answer in run(Wire(refused(403, "0x80040220")), "/a", "/b")] == [403, 403]


def linked(urls):
    """Pages 1 to 3 of everything."""
    documents = []
    for url in urls:
        name, _, number = url.rpartition("/")
        page = int(number)
        more = {"@odata.nextLink": f"https://org.example{name}/{page + 1}"} if page < 3 else {}
        documents.append((200, {"value": [url], **more}))
    return parts(*documents)


def test_pages_are_followed_together_and_handed_on_in_order():
    wire, taken = Wire(linked), []
    urls = ["/api/data/v9.2/a/1", "/api/data/v9.2/b/2"]
    anyio.run(
        wire.reader().ask_pages,
        [get(url) for url in urls],
        lambda k, body: taken.append((k, json.loads(body)["value"][0][-3:])),
    )
    assert [page for k, page in taken if k == 0] == ["a/1", "a/2", "a/3"]
    assert [page for k, page in taken if k == 1] == ["b/2", "b/3"]
    assert len(wire.batches) == 3


def test_a_page_that_is_not_understood_stops_the_run_and_is_not_taken_for_empty():
    def take(k, body):
        raise ValueError("no list of records")

    with pytest.raises(StoppedEarly, match="no list of records"):
        anyio.run(Wire(echo).reader().ask_pages, [get("/a")], take)


@pytest.mark.parametrize(
    ("reply", "error"),
    [(refused(403, "0x80040220", "prvRead"), SignInError), (refused(400, "0x1", "Syntax error"), JobError)],
)
def test_a_refused_page_says_why(reply, error):
    with pytest.raises(error, match=r"/a: .*(prvRead|Syntax error)"):
        anyio.run(Wire(reply).reader().ask_pages, [get("/a")], lambda k, body: None)


def test_single_gets_are_patient_too_and_follow_pages_by_the_links_own_address():
    first = {"value": [1], "@odata.nextLink": "https://org.example/api/data/v9.2/x?$skiptoken=2"}
    wire = Wire(
        LOST, refused(502), HttpReply(200, {}, json.dumps(first).encode()), HttpReply(200, {}, b'{"value":[2]}')
    )

    async def read():
        return [json.loads(body)["value"] async for body in wire.reader().pages("x")]

    assert anyio.run(read) == [[1], [2]]
    assert wire.urls == ["x", "x", "x", "https://org.example/api/data/v9.2/x?$skiptoken=2"]
    assert wire.told[:4] == [1, "lost", 1, 502]


def test_work_in_parallel_is_bounded_and_its_error_comes_out_as_it_is():
    state = {"running": 0, "most": 0, "done": 0}

    async def do(item):
        state["running"] += 1
        state["most"] = max(state["most"], state["running"])
        await anyio.lowlevel.checkpoint()
        state["running"] -= 1
        state["done"] += 1
        if item == 50:
            raise JobError("fifty")

    anyio.run(in_parallel, range(20), do, 3)
    assert state == {"running": 0, "most": 3, "done": 20}
    with pytest.raises(JobError, match="fifty"):
        anyio.run(in_parallel, range(1_000), do, 3)
    assert state["done"] < 100


def test_a_gateway_that_knows_no_batch_is_asked_one_get_at_a_time():
    wire = Wire(refused(404, "0x8006088a", "Resource not found for the segment '$batch'."), reply_of({"value": [1]}))
    answers = anyio.run(wire.reader().ask, [get("/api/data/v9.2/a"), get("/api/data/v9.2/b")])
    assert [answer.status for answer in answers] == [200, 200]
    assert wire.urls == ["/api/data/v9.2/a", "/api/data/v9.2/b"]


def reply_of(document):
    return HttpReply(200, {"content-type": "application/json"}, json.dumps(document).encode())
