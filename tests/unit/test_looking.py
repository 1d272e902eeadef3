"""How links stand: questions asked, answers read."""

import json
import re
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest

from bulklink.core.looking import link_questions, next_link, next_page, read_link_answers
from bulklink.core.relationships import choose_relationship
from bulklink.core.work import Found
from bulklink.vocabulary import Before
from tests.organisation import FACTS

API = "/api/data/v9.2"
N_TO_N = choose_relationship(FACTS, "accountleads_association", "lead", "account")
LOOKUP = choose_relationship(FACTS, "primarycontactid", "account", "contact")
COLLECTION = choose_relationship(FACTS, "contact_customer_accounts", "account", "contact")


def ids(start, count):
    return [uuid.UUID(int=number).bytes for number in range(start, start + count)]


def text(id16):
    return str(uuid.UUID(bytes=id16))


def page(records, **extra):
    return json.dumps({"value": records, **extra}).encode()


def asked(question):
    """Set, select and filter of a question, and its headers."""
    line, _, headers = question.request.decode().partition("\r\n")
    method, url, version = line.split(" ")
    assert (method, version) == ("GET", "HTTP/1.1")
    assert headers.endswith("\r\n\r\n")
    query = parse_qs(urlsplit(url).query, strict_parsing=True)
    return urlsplit(url).path, query["$select"][0], query["$filter"][0], headers


def test_n_to_n_pairs_are_asked_of_the_intersect_table_by_both_columns():
    from_ids, to_ids = ids(1, 2), ids(100, 2)
    (question,) = link_questions(N_TO_N, API, from_ids, to_ids)
    path, select, condition, _ = asked(question)
    assert path == API + "/accountleadscollection"
    assert select == "leadid,accountid"
    assert condition == " or ".join(
        f"(leadid eq {text(one)} and accountid eq {text(other)})" for one, other in zip(from_ids, to_ids, strict=True)
    )
    assert question.positions == [0, 1]


@pytest.mark.parametrize(("relationship", "table", "holder"), [(LOOKUP, "account", 0), (COLLECTION, "contact", 1)])
def test_lookups_are_asked_of_the_records_that_hold_them(relationship, table, holder):
    pair = ids(1, 1), ids(100, 1)
    (question,) = link_questions(relationship, API, *pair)
    path, select, condition, headers = asked(question)
    assert path == f"{API}/{table}s"
    assert select == f"{table}id,_{relationship.lookup_attribute}_value"
    assert condition == (
        f"Microsoft.Dynamics.CRM.In(PropertyName='{table}id',PropertyValues=['{text(pair[holder][0])}'])"
    )
    assert "lookuplogicalname" in headers


@pytest.mark.parametrize("relationship", [N_TO_N, LOOKUP, COLLECTION])
def test_many_pairs_make_few_questions_none_too_long_and_every_pair_is_asked_once(relationship):
    from_ids, to_ids = ids(1, 1_000), ids(5_000, 1_000)
    questions = link_questions(relationship, API, from_ids, to_ids)
    assert len(questions) <= 7
    assert all(len(question.request) < 65_536 for question in questions)
    assert all(asked(question)[2].count(" eq ") <= 500 for question in questions)
    assert sorted(position for question in questions for position in question.positions) == list(range(1_000))


def test_equal_pairs_are_asked_once_and_answered_each():
    from_ids, to_ids = ids(1, 1) * 3, ids(100, 1) * 3
    (question,) = link_questions(N_TO_N, API, from_ids, to_ids)
    assert asked(question)[2].count(" or ") == 0
    answer = page([{"leadid": text(from_ids[0]), "accountid": text(to_ids[0]).upper()}])
    found = read_link_answers(N_TO_N, question, [answer], from_ids, to_ids)
    assert [found[k].before for k in range(3)] == [Before.PRESENT] * 3


def test_n_to_n_answers_say_present_or_absent_over_all_pages():
    from_ids, to_ids = ids(1, 3), ids(100, 3)
    (question,) = link_questions(N_TO_N, API, from_ids, to_ids)
    pages = [
        page([{"leadid": text(from_ids[k]), "accountid": text(to_ids[k]), "@odata.etag": 'W/"1"'}]) for k in (0, 2)
    ]
    found = read_link_answers(N_TO_N, question, pages, from_ids, to_ids)
    assert [found[k].before for k in range(3)] == [Before.PRESENT, Before.ABSENT, Before.PRESENT]


def test_the_reverse_pair_is_another_link():
    campaigns = choose_relationship(FACTS, "campaigncampaign_association", "campaign", "campaign")
    one, other = ids(1, 1), ids(2, 1)
    (question,) = link_questions(campaigns, API, one, other)
    answer = page([{"campaignidone": text(other[0]), "campaignidtwo": text(one[0])}])
    assert read_link_answers(campaigns, question, [answer], one, other)[0].before is Before.ABSENT


def test_lookup_answers_say_what_is_held_with_its_etag():
    from_ids, to_ids = ids(1, 4), ids(100, 4)
    (question,) = link_questions(COLLECTION, API, from_ids, to_ids)
    name = "_parentcustomerid_value"
    kind = name + "@Microsoft.Dynamics.CRM.lookuplogicalname"
    answer = page(
        [
            {"contactid": text(to_ids[2]), name: text(from_ids[0]), kind: "contact", "@odata.etag": 'W/"7"'},
            {"contactid": text(to_ids[1]), name: None, "@odata.etag": 'W/"6"'},
            {"contactid": text(to_ids[0]), name: text(from_ids[0]), kind: "account", "@odata.etag": 'W/"5"'},
        ]
    )
    found = read_link_answers(COLLECTION, question, [answer], from_ids, to_ids)
    assert found[0] == Found(Before.POINTS_AT, from_ids[0], 'W/"5"')
    assert found[1] == Found(Before.ABSENT, b"", 'W/"6"', missing=False, other_type=False)
    assert found[2] == Found(Before.POINTS_AT, from_ids[0], 'W/"7"', missing=False, other_type=True)
    assert found[3] == Found(Before.ABSENT, b"", "", missing=True, other_type=False)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"value":{}}',
        b'{"value":[1]}',
        b'{"error":{}}',
        b'{"value":[{}]}',
        page([{"accountid": "no guid", "_primarycontactid_value": None}]),
        page([{"accountid": None, "_primarycontactid_value": None}]),
        page([{"accountid": text(ids(1, 1)[0])}]),
        page([{"accountid": text(ids(1, 1)[0]), "_primarycontactid_value": 7}]),
    ],
)
def test_what_is_no_answer_is_never_read_as_absent(body):
    (question,) = link_questions(LOOKUP, API, ids(1, 1), ids(2, 1))
    with pytest.raises(ValueError):  # noqa: PT011 - every way of not understanding counts
        read_link_answers(LOOKUP, question, [body], ids(1, 1), ids(2, 1))


def test_the_next_page_is_asked_of_the_same_host_with_the_same_headers():
    link = "https://contoso.crm4.dynamics.com/api/data/v9.2/accounts?$select=name&$skiptoken=%3Ccookie%20a%3D%221%22%3E"
    request = next_page(page([], **{"@odata.nextLink": link}))
    assert re.match(
        rb"GET /api/data/v9\.2/accounts\?\$select=name&\$skiptoken=%3Ccookie%20a%3D%221%22%3E HTTP", request
    )
    (question,) = link_questions(LOOKUP, API, ids(1, 1), ids(2, 1))
    assert request.partition(b"\r\n")[2] == question.request.partition(b"\r\n")[2]
    assert next_page(page([])) is None


@pytest.mark.parametrize(
    "link", ["https://evil.example/steal", "accounts?x", "https://h/api/data/v9.2/a?b HTTP/1.1\r\nX: y", "https://h/api/data/ü"]
)  # fmt: skip
def test_a_next_page_outside_the_web_api_is_refused(link):
    with pytest.raises(ValueError, match="outside"):
        next_link(page([], **{"@odata.nextLink": link}))
