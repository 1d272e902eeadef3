"""A request is let in, disturbed, worked on and answered at the moments that weather and limits name."""

import gzip
import json
from contextlib import contextmanager

import pytest

from bulklink.sandbox.access import Access, only
from bulklink.sandbox.exchange import HttpRequest
from bulklink.sandbox.messages import json_answer, no_content
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.reception import Reception
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.visits import Delivery, Step
from bulklink.sandbox.weather_file import read_weather

ORIGIN = "http://127.0.0.1:8080"
HEADERS = {"authorization": "Bearer any"}


class Counting:
    """A service that counts what it has executed; every path touches the record of its name."""

    def __init__(self):
        self.executed = []

    def execute(self, request, content_ids=None):
        self.executed.append((request.method, request.path, request.body))
        return json_answer({}) if request.method == "GET" else no_content()

    @contextmanager
    def change_set(self):
        before = list(self.executed)
        transaction = type("Transaction", (), {"rolled_back": False})()
        transaction.rollback = lambda: setattr(transaction, "rolled_back", True)
        yield transaction
        if transaction.rolled_back:
            self.executed = before

    def touched(self, request):
        return frozenset({("account", request.path)})


def reception(weather="", **settings):
    service = Counting()
    return service, Reception(service, weather=read_weather(weather, "test.toml"), **settings)


def get(path="WhoAmI", **headers):
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("GET", f"/api/data/v9.2/{path}", "", HEADERS | lower, b"", ORIGIN)


def batch(*names, prefer="odata.continue-on-error", gzipped=False):
    """Each name is a POST in a change set of one."""
    body = b""
    for number, name in enumerate(names, start=1):
        body += (
            "--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: application/http\r\n"
            f"Content-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
            f"POST /api/data/v9.2/{name} HTTP/1.1\r\n\r\n\r\n--cs--\r\n"
        ).encode()
    headers = HEADERS | {"content-type": "multipart/mixed; boundary=b", "prefer": prefer}
    body += b"--b--\r\n"
    if gzipped:
        headers["content-encoding"] = "gzip"
        body = gzip.compress(body)
    return HttpRequest("POST", "/api/data/v9.2/$batch", "", headers, body, ORIGIN)


def follow(rec, request, now_s=0.0):
    """Take a visit through its steps; (moments, delivery, answer)."""
    visit = rec.arrive(request, now_s)
    answer = None
    for at_s, step in visit.steps:
        if step is Step.WORK:
            rec.work(visit, at_s)
        else:
            answer = rec.answer(visit, at_s)
    return [(at_s, step.value) for at_s, step in visit.steps], visit.delivery, answer


def header(answer, name):
    return next((value for key, value in answer.headers if key == name), None)


def test_without_weather_everything_happens_at_once():
    service, rec = reception()
    steps, delivery, answer = follow(rec, batch("a", "b"), 5.0)
    assert (steps, delivery, answer.status) == ([(5.0, "work"), (5.0, "answer")], Delivery.WHOLE, 200)
    assert [path for _, path, _ in service.executed] == ["a", "b"]
    assert header(answer, "x-ms-ratelimit-burst-remaining-xrm-requests") == "5999"
    assert header(answer, "x-ms-dop-hint") == "4"
    assert header(answer, "REQ_ID").count(",") == 1
    assert "ARRAffinity=" in header(answer, "Set-Cookie")


def test_latency_is_per_request_and_per_operation():
    _, rec = reception("[latency]\nrequest_s = 0.5\noperation_s = 0.25\n")
    assert follow(rec, batch("a", "b"))[0] == [(1.0, "work"), (1.0, "answer")]
    assert follow(rec, get())[0] == [(0.75, "work"), (0.75, "answer")]


def test_no_token_is_answered_with_the_challenge():
    service, rec = reception()
    _, _, answer = follow(rec, HttpRequest("GET", "/api/data/v9.2/", "", {}, b"", ORIGIN))
    assert (answer.status, service.executed) == (401, [])
    challenge = header(answer, "WWW-Authenticate")
    assert challenge.startswith("Bearer authorization_uri=https://login.microsoftonline.com/")
    assert challenge.endswith(f"/oauth2/authorize, resource_id={ORIGIN}/")


@pytest.mark.parametrize(("token", "status"), [("good", 200), ("bad", 401), ("", 401)])
def test_a_set_of_tokens_keeps_others_out(token, status):
    _, rec = reception(access=Access(only({"good"})))
    assert follow(rec, get(authorization=f"Bearer {token}"))[2].status == status


def test_a_path_outside_the_api_is_not_found():
    _, rec = reception()
    request = HttpRequest("GET", "/api/data/v8.2/WhoAmI", "", HEADERS, b"", ORIGIN)
    assert follow(rec, request)[2].status == 404


def test_a_throttled_request_is_not_executed_and_is_accounted_for():
    service, rec = reception(limits=Limits(requests=1))
    follow(rec, get(), 0.0)
    _, _, answer = follow(rec, get(), 10.0)
    assert (answer.status, header(answer, "Retry-After"), len(service.executed)) == (429, "290", 1)
    assert json.loads(answer.body)["error"]["code"] == "0x80072322"
    assert rec.tally.throttled == {"0x80072322": 1}
    assert rec.tally.latest_refused[0].why.startswith("Number of requests exceeded the limit of 1")


def test_a_request_holds_its_place_until_its_work_is_done():
    _, rec = reception("[latency]\nrequest_s = 1.0\n", limits=Limits(concurrency=1))
    visit = rec.arrive(get(), 0.0)
    assert follow(rec, get(), 0.5)[2].status == 429
    rec.work(visit, 1.0)
    assert follow(rec, get(), 1.0)[2].status == 200


def test_service_time_is_counted_as_execution_time():
    _, rec = reception("[latency]\nrequest_s = 2.5\n")
    follow(rec, get())
    _, _, answer = follow(rec, get(), 10.0)
    assert header(answer, "x-ms-ratelimit-time-remaining-xrm-requests") == "1,195.00"


def test_servers_take_turns_unless_a_cookie_pins_the_client():
    _, rec = reception(limits=Limits(servers=3))
    cookies = [header(follow(rec, get())[2], "Set-Cookie").partition(";")[0] for _ in range(3)]
    assert len(set(cookies)) == 3
    pinned = [header(follow(rec, get(cookie=cookies[1]))[2], "Set-Cookie").partition(";")[0] for _ in range(3)]
    assert set(pinned) == {cookies[1]}


@pytest.mark.parametrize(
    ("fault", "status", "executed", "steps", "delivery"),
    [
        ('kind = "unavailable"\nretry_after_s = 9', 503, 0, [(1.0, "answer")], Delivery.WHOLE),
        ('kind = "bad-gateway"', 502, 1, [(1.0, "work"), (1.0, "answer")], Delivery.WHOLE),
        ('kind = "gateway-timeout"\nwhen = "before"', 504, 0, [(1.0, "answer")], Delivery.WHOLE),
        ('kind = "reset"', 503, 1, [(1.0, "work"), (1.0, "answer")], Delivery.RESET),
        ('kind = "reset"\nwhen = "before"', 503, 0, [(1.0, "answer")], Delivery.RESET),
        ('kind = "truncate"', 200, 1, [(1.0, "work"), (1.0, "answer")], Delivery.TRUNCATED),
        ('kind = "hang"\ndelay_s = 60', 503, 1, [(1.0, "work"), (61.0, "answer")], Delivery.RESET),
        ('kind = "late-commit"\ndelay_s = 9', 504, 1, [(1.0, "answer"), (10.0, "work")], Delivery.WHOLE),
        ('kind = "late-commit"\nanswer = "reset"', 503, 1, [(1.0, "answer"), (21.0, "work")], Delivery.RESET),
        ('kind = "slow"\ndelay_s = 3', 200, 1, [(4.0, "work"), (4.0, "answer")], Delivery.WHOLE),
        ('kind = "expire-token"', 401, 0, [(0.0, "answer")], Delivery.WHOLE),
        ('kind = "too-large"', 413, 0, [(0.0, "answer")], Delivery.WHOLE),
        ('kind = "throttle"\nretry_after_s = 5', 429, 0, [(0.0, "answer")], Delivery.WHOLE),
    ],
)
def test_a_fault_of_the_request_sets_its_course(fault, status, executed, steps, delivery):
    service, rec = reception(f"[latency]\nrequest_s = 1.0\n[[fault]]\n{fault}\n")
    found = follow(rec, batch("a"))
    assert (found[0], found[1], found[2].status, len(service.executed)) == (steps, delivery, status, executed)
    assert sum(rec.tally.faults.values()) == 1
    assert rec.tally.in_flight == 0


def test_an_injected_429_says_how_long_to_wait_and_is_listed():
    _, rec = reception('[[fault]]\nkind = "throttle"\nanswer = "time"\nretry_after_s = 5\n')
    _, _, answer = follow(rec, get())
    assert header(answer, "Retry-After") == "5"
    assert "exceeded limit of 1,200,000 milliseconds" in json.loads(answer.body)["error"]["message"]
    assert rec.tally.throttled == {"0x80072321": 1}


def test_an_expired_token_is_refused_once_or_for_good():
    _, rec = reception('[[fault]]\nkind = "expire-token"\nordinals = [1]\n')
    assert [follow(rec, get())[2].status for _ in range(3)] == [401, 200, 200]
    _, rec = reception('[[fault]]\nkind = "expire-token"\nordinals = [1]\nfor_good = true\n')
    assert [follow(rec, get())[2].status for _ in range(3)] == [401, 401, 401]
    assert follow(rec, get(authorization="Bearer fresh"))[2].status == 200


def test_a_limit_of_250_operations_is_told_by_the_reader():
    service, rec = reception('[[fault]]\nkind = "too-many-operations"\nordinals = [1]\n')
    _, _, answer = follow(rec, batch(*[str(n) for n in range(251)]))
    assert "A maximum number of '250' query operations and change sets" in json.loads(answer.body)["error"]["message"]
    assert (answer.status, service.executed) == (400, [])
    assert follow(rec, batch(*[str(n) for n in range(251)]))[2].status == 200


def test_a_fault_of_one_operation_leaves_the_others_alone():
    service, rec = reception('[[fault]]\nkind = "plugin-error"\nrecord = "b"\nmessage = "On hold."\n')
    _, _, answer = follow(rec, batch("a", "b", "c"))
    assert [path for _, path, _ in service.executed] == ["a", "c"]
    assert b'{"code":"0x80040265","message":"On hold."}' in answer.body
    assert answer.body.count(b"HTTP/1.1 204") == 2


def test_a_single_request_can_be_refused_by_a_plug_in_too():
    service, rec = reception('[[fault]]\nkind = "plugin-crash"\n')
    assert (follow(rec, get())[2].status, service.executed) == (500, [])


def test_two_batches_in_flight_that_touch_one_record_end_in_a_deadlock():
    service, rec = reception('[latency]\nrequest_s = 1.0\n[[fault]]\nkind = "deadlock"\n')
    first, second = rec.arrive(batch("a", "x"), 0.0), rec.arrive(batch("a", "y"), 0.5)
    rec.work(first, 1.0)
    rec.work(second, 1.5)
    lost, won = rec.answer(first, 1.0), rec.answer(second, 1.5)
    assert b"Sql Number: 1205" in lost.body
    assert (lost.status, lost.body.count(b"HTTP/1.1 204")) == (200, 1)
    assert b"1205" not in won.body
    assert [path for _, path, _ in service.executed] == ["x", "a", "y"]


def test_batches_that_follow_one_another_never_meet_in_a_deadlock():
    _, rec = reception('[latency]\nrequest_s = 1.0\n[[fault]]\nkind = "deadlock"\n')
    for number in range(3):
        assert b"1205" not in follow(rec, batch("a"), number * 2.0)[2].body


def test_a_failure_at_commit_names_nobody():
    service, rec = reception('[[fault]]\nkind = "unblamed"\nordinals = [2]\n')
    _, _, answer = follow(rec, batch("a", "b", "c"))
    assert [path for _, path, _ in service.executed] == ["a", "c"]
    assert (answer.status, answer.body.count(b"Content-ID: ")) == (200, 2)
    assert b"HTTP/1.1 500 Internal Server Error" in answer.body


def test_a_part_can_be_throttled_with_its_own_wait():
    _, rec = reception(toggles=Toggles(throttled_part="inject"))
    _, _, answer = follow(rec, batch(*[str(n) for n in range(60)]))
    assert answer.body.count(b"HTTP/1.1 429 Unknown Status Code") == 1
    assert b"Retry-After: 5\r\n" in answer.body


@pytest.mark.parametrize(("status", "shown"), [("500", b"HTTP/1.1 500"), ("503", b"HTTP/1.1 503")])
def test_lock_errors_have_the_status_of_the_toggle(status, shown):
    _, rec = reception('[[fault]]\nkind = "lock-timeout"\n', toggles=Toggles(sql_status=status))
    assert shown in follow(rec, batch("a"))[2].body


@pytest.mark.parametrize(
    ("answer", "status", "delivery"),
    [("503", 503, Delivery.WHOLE), ("504", 504, Delivery.WHOLE), ("reset", 503, Delivery.RESET)],
)
def test_a_batch_over_the_time_cap_is_given_up_by_the_front_end_and_goes_on(answer, status, delivery):
    service, rec = reception(
        "[latency]\noperation_s = 10.0\n", toggles=Toggles(batch_time_max_s=15, batch_time_answer=answer)
    )
    steps, how, given = follow(rec, batch("a", "b"))
    assert (steps, how, given.status) == ([(15.0, "answer"), (20.0, "work")], delivery, status)
    assert len(service.executed) == 2


def test_a_compressed_request_is_refused_unless_the_toggle_accepts_it():
    service, rec = reception()
    assert follow(rec, batch("a", gzipped=True))[2].status == 415
    assert service.executed == []
    service, rec = reception(toggles=Toggles(request_gzip="accept"))
    assert follow(rec, batch("a", gzipped=True))[2].status == 200
    assert len(service.executed) == 1


def test_a_request_over_the_payload_cap_is_too_large():
    _, rec = reception(toggles=Toggles(payload_bytes_max=300))
    assert follow(rec, batch("a"))[2].status == 200
    assert follow(rec, batch("a", "b"))[2].status == 413


def test_a_claims_challenge_comes_once_for_each_token():
    _, rec = reception(toggles=Toggles(claims_challenge="challenge"))
    _, _, first = follow(rec, get())
    assert first.status == 401
    assert 'error="insufficient_claims", claims="' in header(first, "WWW-Authenticate")
    assert follow(rec, get())[2].status == 200


@pytest.mark.parametrize(("mode", "echoed"), [("drop", None), ("echo", "mine")])
def test_the_clients_request_id_is_echoed_if_the_toggle_says_so(mode, echoed):
    _, rec = reception(toggles=Toggles(client_request_id=mode))
    assert header(follow(rec, get(x_ms_client_request_id="mine"))[2], "x-ms-client-request-id") == echoed


def test_the_same_seed_gives_the_same_night():
    weather = '[latency]\nkind = "lognormal"\nrequest_s = 1.0\n[[fault]]\nkind = "reset"\nprobability = 0.5\n'

    def night(seed):
        _, rec = reception(f"seed = {seed}\n{weather}", seed=seed)
        return [(*follow(rec, batch("a"), float(n))[:2], header(follow(rec, get())[2], "REQ_ID")) for n in range(20)]

    assert night(1) == night(1)
    assert night(1) != night(2)


def test_a_reset_begins_anew():
    _, rec = reception(limits=Limits(requests=1))
    follow(rec, get())
    rec.reset()
    assert rec.tally.requests == 0
    assert follow(rec, get())[2].status == 200
