"""DynamicsWebApi, the npm client, gets from the sandbox what it expects of Dataverse."""

from pathlib import Path

import pytest

from tests.others import node, world

SCRIPT = Path(__file__).with_name("dynamics_web_api.cjs")


def missing(id_):
    message = f"Entity 'lead' With Id = {id_} Does Not Exist"
    return {"status": 404, "code": "0x80040217", "message": message}


@pytest.fixture(scope="module")
def seen():
    with world() as made:
        question = {"url": f"{made.sandbox.url}/", "accounts": made.accounts, "leads": made.leads}
        cases = node(SCRIPT, "dynamics-web-api", question | {"contacts": made.contacts, "missing": made.missing})
        return cases, made


def test_one_link(seen):
    cases, made = seen
    assert cases["one_link"] == {"answer": None, "linked": made.leads[:1]}


def test_duplicate_link(seen):
    assert seen[0]["duplicate_link"]["error"] == {
        "status": 412,
        "code": "0x80040237",
        "message": "Cannot insert duplicate key.",
    }


def test_missing_record(seen):
    assert seen[0]["missing_record"]["error"] == missing(seen[1].missing)


def test_wrong_navigation_property(seen):
    error = seen[0]["wrong_navigation_property"]["error"]
    assert (error["status"], error["code"]) == (404, "0x8006088a")
    assert error["message"] == "Resource not found for the segment 'AccountLeads_association'."


def test_disassociate(seen):
    assert seen[0]["disassociate"] == {"answer": None, "linked": []}


def test_a_hundred_links_in_one_change_set(seen):
    assert seen[0]["hundred_links"] == {"answer": [None] * 100, "linked": 100}


def test_one_bad_among_five_rolls_the_change_set_back(seen):
    case = seen[0]["one_bad_among_five"]
    assert case == {"error": [missing(seen[1].missing)], "linked": []}


def test_continue_on_error_runs_the_second_change_set(seen):
    cases, made = seen
    failed, between, *second = cases["continue_on_error"]["answer"]
    assert (failed, between["accountid"], second) == (missing(made.missing), made.accounts[0], [None, None])
    assert cases["continue_on_error"]["linked"] == made.leads[2:4]


def test_stop_at_the_first_failure(seen):
    cases, made = seen
    first, between, failed = cases["stop_at_first_failure"]["error"]
    assert (first, between["accountid"], failed) == (None, made.accounts[0], missing(made.missing))
    assert cases["stop_at_first_failure"]["linked"] == made.leads[:1]


def test_a_lookup_is_set_changed_and_cleared(seen):
    cases, made = seen
    done = {"answer": None}
    assert cases["lookup"] == {
        "set": done,
        "first": made.contacts[0],
        "change": done,
        "second": made.contacts[1],
        "clear": done,
        "third": None,
    }


def test_bind_on_create(seen):
    assert seen[0]["bind_on_create"]["answer"] == seen[1].contacts[0]


def test_deep_insert(seen):
    assert seen[0]["deep_insert"]["answer"] == ["Nested", ["first", "second"]]


def test_a_content_id_stands_for_the_record_created_before(seen):
    case = seen[0]["content_id_reference"]
    assert (len(case["answer"]), case["answer"][1], case["linked"]) == (2, None, 1)


def test_a_thousand_operations_are_taken_and_one_more_is_refused(seen):
    cases, _ = seen
    assert cases["thousand_operations"] == {"answer": [None] * 1000, "linked": 1000}
    refused = cases["thousand_and_one_operations"]
    assert (refused["error"]["status"], refused["error"]["code"], refused["linked"]) == (400, "0x80060888", [])
    assert refused["error"]["message"].endswith("A maximum number of '1000' operations are allowed in a change set.")


def test_no_token(seen):
    assert seen[0]["no_token"]["error"]["status"] == 401
