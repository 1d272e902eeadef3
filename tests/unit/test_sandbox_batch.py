"""A batch is carried out in order, change sets as transactions, and answered as the service answers."""

import json
from contextlib import contextmanager
from itertools import count

import pytest

from bulklink.sandbox.batch import BatchHooks, run_batch
from bulklink.sandbox.errors import ODataError, duplicate_record
from bulklink.sandbox.messages import Request, error_answer, no_content, written
from bulklink.sandbox.toggles import Toggles

NO_REQUEST = Request("", "", "", {}, b"", "")
API = "https://contoso.crm4.dynamics.com/api/data/v9.2"


class PathStore:
    """A service that knows one thing: POST adds a path, a second time is a duplicate; DELETE forgets it."""

    def __init__(self):
        self.paths = []
        self.headers = []

    def execute(self, request, content_ids=None):
        self.headers.append(dict(request.headers))
        if request.path.startswith("$"):
            url = (content_ids or {}).get(request.path.partition("/")[0])
            if url is None:
                return error_answer(ODataError(400, "0x80060888", f"No {request.path}"), request)
            return no_content()
        if request.method == "POST" and request.path in self.paths:
            return error_answer(duplicate_record("Cannot insert duplicate key."), request)
        if request.method == "POST":
            self.paths.append(request.path)
            url = f"{request.api_url}/{request.path}"
            if content_ids is not None:
                content_ids[f"${request.headers.get('content-id')}"] = url
            return written(url)
        if request.method == "DELETE":
            self.paths.remove(request.path)
        return no_content()

    @contextmanager
    def change_set(self):
        before = list(self.paths)
        transaction = type("Transaction", (), {"rolled_back": False})()
        transaction.rollback = lambda: setattr(transaction, "rolled_back", True)
        yield transaction
        if transaction.rolled_back:
            self.paths = before


def part(line, content_id="", headers=()):
    head = "Content-Type: application/http\nContent-Transfer-Encoding: binary\n"
    head += f"Content-ID: {content_id}\n" if content_id else ""
    return f"{head}\n{line} HTTP/1.1\n" + "".join(f"{header}\n" for header in headers) + "\n\n"


def change_set(*lines, first=1):
    parts = "".join(f"--cs\n{part(line, str(number))}" for number, line in enumerate(lines, start=first))
    return f"Content-Type: multipart/mixed; boundary=cs\n\n{parts}--cs--\n"


def body_of(*items):
    return ("".join(f"--b\n{item}" for item in items) + "--b--\n").replace("\n", "\r\n").encode()


def post(name):
    return f"POST /api/data/v9.2/{name}"


class Outcome:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = dict(headers)
        self.body = body
        self.text = body.decode().replace("\r\n", "\n")

    @property
    def inner(self):
        """(Content-ID or "", status) of each inner answer, a list per change set."""
        items = []
        boundary = self.headers["Content-Type"].partition("boundary=")[2]
        for chunk in self.text.split(f"--{boundary}\n")[1:]:
            answers = []
            for answer in chunk.split("Content-Type: application/http\n")[1:]:
                lines = answer.splitlines()
                content_id = next((line[12:] for line in lines if line.startswith("Content-ID: ")), "")
                status = int(next(line for line in lines if line.startswith("HTTP/1.1 ")).split()[1])
                answers.append((content_id, status))
            items.append(answers if "changesetresponse_" in chunk else answers[0])
        return items


def run(store, *items, prefer="", toggles=None, body=None, headers=None, **hooks):
    numbers = count(1)
    asked = {"content-type": "multipart/mixed; boundary=b", "prefer": prefer, **(headers or {})}
    made = BatchHooks(lambda: str(next(numbers)), **hooks)
    return Outcome(*run_batch(store, asked, body or body_of(*items), API, toggles or Toggles(), made))


def test_a_change_set_is_carried_out_and_each_operation_answered_by_its_content_id():
    store = PathStore()
    outcome = run(store, change_set(post("a"), post("b")), part("GET /api/data/v9.2/WhoAmI"))
    assert (outcome.status, outcome.inner) == (200, [[("1", 204), ("2", 204)], ("", 204)])
    assert store.paths == ["a", "b"]
    assert outcome.headers == {
        "Content-Type": "multipart/mixed; boundary=batchresponse_1",
        "OData-Version": "4.0",
    }


def test_a_failing_operation_rolls_its_change_set_back_and_is_the_only_part():
    store = PathStore()
    outcome = run(store, change_set(post("a"), post("b"), post("a"), post("c")))
    assert (outcome.status, outcome.inner) == (412, [[("3", 412)]])
    assert store.paths == []
    assert 'REQ_ID: 1\nContent-Type: application/json; odata.metadata=minimal\nOData-Version: 4.0\n\n{"error":' in (
        outcome.text
    )


@pytest.mark.parametrize(
    ("prefer", "status", "inner", "paths"),
    [
        ("", 412, [[("1", 204)], [("3", 412)]], ["a"]),
        ("odata.continue-on-error", 200, [[("1", 204)], [("3", 412)], [("4", 204)]], ["a", "d"]),
        (
            "return=minimal, ODATA.continue-on-error=true",
            200,
            [[("1", 204)], [("3", 412)], [("4", 204)]],
            ["a", "d"],
        ),
        ("odata.continue-on-error=false", 412, [[("1", 204)], [("3", 412)]], ["a"]),
    ],
)
def test_a_batch_stops_at_the_first_failing_item_unless_asked_to_go_on(prefer, status, inner, paths):
    store = PathStore()
    outcome = run(
        store,
        change_set(post("a")),
        change_set(post("b"), post("a"), first=2),
        change_set(post("d"), first=4),
        prefer=prefer,
    )
    assert (outcome.status, outcome.inner, store.paths) == (status, inner, paths)


def test_an_operation_outside_change_sets_is_matched_by_position():
    outcome = run(PathStore(), part(post("a")), part(post("a")), part(post("b")), prefer="odata.continue-on-error")
    assert outcome.inner == [("", 204), ("", 412), ("", 204)]


def test_a_content_id_reaches_to_the_end_of_its_change_set_unless_the_toggle_widens_it():
    items = (change_set(post("a"), "PUT $1/primarycontactid/$ref"), change_set("PUT $1/x/$ref", first=3))
    assert run(PathStore(), *items).inner == [[("1", 204), ("2", 204)], [("3", 400)]]
    wide = run(PathStore(), *items, toggles=Toggles(content_id_scope="batch"))
    assert wide.inner == [[("1", 204), ("2", 204)], [("3", 204)]]


def test_a_record_of_a_rolled_back_change_set_cannot_be_referred_to():
    items = (change_set(post("a"), post("a")), change_set("PUT $1/x/$ref", first=3))
    toggles = Toggles(content_id_scope="batch")
    outcome = run(PathStore(), *items, toggles=toggles, prefer="odata.continue-on-error")
    assert outcome.inner == [[("2", 412)], [("3", 400)]]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/api/data/v9.2/accounts(A1)", "accounts(A1)"),
        ("/api/data/v9.0/accounts(A1)", "accounts(A1)"),
        ("https://contoso.crm4.dynamics.com/api/data/v9.2/accounts(A1)", "accounts(A1)"),
        ("https://CONTOSO.crm4.dynamics.com/api/data/v9.2/accounts(A1)", "accounts(A1)"),
        ("accounts(A1)", "accounts(A1)"),
    ],
)
def test_an_inner_url_may_be_absolute_or_relative(url, path):
    store = PathStore()
    assert run(store, part(f"POST {url}")).status == 200
    assert store.paths == [path]


@pytest.mark.parametrize(
    ("url", "status", "toggles"),
    [
        ("https://other.crm4.dynamics.com/api/data/v9.2/accounts", 400, {}),
        ("/api/data/v8.2/accounts", 404, {}),
        ("/elsewhere", 404, {}),
        ("accounts", 400, {"relative_inner_url": "400"}),
        ("accounts", 404, {"relative_inner_url": "404"}),
        ("/api/data/v9.2/$batch", 400, {}),
    ],
)
def test_an_inner_url_that_leads_elsewhere_fails(url, status, toggles):
    store = PathStore()
    assert run(store, part(f"POST {url}"), toggles=Toggles(**toggles)).inner == [("", status)]
    assert store.paths == []


@pytest.mark.parametrize(
    ("mode", "reaching"),
    [
        ("impersonation", {"mscrmcallerid"}),
        ("all", {"mscrmcallerid", "mscrm.bypassbusinesslogicexecution"}),
        ("none", set()),
    ],
)
def test_outer_headers_hold_for_the_operations_as_the_toggle_says(mode, reaching):
    store = PathStore()
    outer = {"mscrmcallerid": "U1", "mscrm.bypassbusinesslogicexecution": "CustomSync", "authorization": "Bearer t"}
    run(store, part(post("a")), headers=outer, toggles=Toggles(outer_headers=mode))
    assert set(store.headers[0]) == reaching


def test_inner_headers_win_over_outer_ones():
    store = PathStore()
    run(store, part(post("a"), headers=["CallerObjectId: inner"]), headers={"callerobjectid": "outer"})
    assert store.headers[0]["callerobjectid"] == "inner"


def test_a_refused_batch_runs_nothing_and_is_answered_in_json():
    store = PathStore()
    outcome = run(store, change_set(post("a")), change_set("GET /api/data/v9.2/accounts", first=2))
    assert (outcome.status, store.paths) == (400, [])
    error = json.loads(outcome.body)["error"]
    assert error["code"] == "0x80060888"
    assert error["message"].startswith("An invalid HTTP method 'GET' was detected")


def test_a_lazy_service_has_run_what_precedes_the_mistake():
    store = PathStore()
    toggles = Toggles(malformed_part="lazy")
    items = (change_set(post("a")), change_set(post("b"), "GET /api/data/v9.2/accounts", first=2))
    outcome = run(store, *items, toggles=toggles)
    assert (outcome.status, store.paths) == (400, ["a"])


def test_the_legacy_refusal_has_the_older_shape():
    outcome = run(PathStore(), part(post("a")).replace("binary", "8bit"), toggles=Toggles(refused_batch_shape="legacy"))
    refusal = json.loads(outcome.body)
    assert refusal["ErrorCode"] == "0x0"
    assert refusal["Message"].startswith("A missing or invalid 'Content-Transfer-Encoding' header was found.")
    assert "error" not in refusal


@pytest.mark.parametrize("status", [415, 400])
def test_a_json_batch_is_refused(status):
    outcome = run(
        PathStore(),
        body=b'{"requests":[]}',
        headers={"content-type": "application/json"},
        toggles=Toggles(json_batch=str(status)),
    )
    assert outcome.status == status


def test_a_lower_limit_is_named_in_the_refusal():
    outcome = run(PathStore(), change_set(*[post(str(n)) for n in range(251)]), toggles=Toggles(operations_max=250))
    assert "A maximum number of '250' operations are allowed in a change set." in outcome.text


def test_a_failed_change_set_names_nobody_when_the_toggle_says_so():
    outcome = run(PathStore(), change_set(post("a"), post("a")), toggles=Toggles(unblamed="always"))
    assert outcome.inner == [("", 412)]


def test_a_failure_at_commit_rolls_back_and_names_nobody():
    store = PathStore()
    refuse = error_answer(ODataError(500, "0x80040216", "An unexpected error occurred."), NO_REQUEST)
    outcome = run(store, change_set(post("a"), post("b")), before_commit=lambda requests: refuse)
    assert (outcome.status, outcome.inner, store.paths) == (500, [("", 500)], [])


def test_a_fault_takes_the_place_of_an_operation():
    store = PathStore()
    refuse = error_answer(ODataError(400, "0x80040265", "On hold."), NO_REQUEST)
    outcome = run(
        store,
        change_set(post("a"), post("b")),
        before_operation=lambda request: refuse if request.path == "b" else None,
    )
    assert (outcome.status, outcome.inner, store.paths) == (400, [[("2", 400)]], [])


@pytest.mark.parametrize("status", [500, 400])
def test_a_deadlock_gives_the_batch_the_status_of_the_toggle(status):
    deadlock = error_answer(ODataError(500, "0x80044150", " Sql error: ... Sql Number: 1205"), NO_REQUEST)
    outcome = run(
        PathStore(),
        change_set(post("a")),
        before_operation=lambda request: deadlock,
        toggles=Toggles(deadlock_status=str(status)),
    )
    assert (outcome.status, outcome.inner) == (status, [[("1", 500)]])
