"""Links that have ways of their own, end to end against the sandbox: the same rows, the same outcomes."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bulklink.core.forms import choose_form, fitting_forms, operation_template
from bulklink.core.relationships import Cardinality, Intersect, Relationship, Table
from bulklink.errors import FormError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from bulklink.vocabulary import Action, Form
from tests.link_rows import link, run_rows, words
from tests.sandbox_client import guid

LISTS, CONTACTS = [guid(n) for n in (101, 102)], [guid(n) for n in range(201, 206)]
USERS, QUEUE, TEAM = [guid(n) for n in (301, 302, 303)], guid(401), guid(402)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    organisation = Organisation.sample()
    organisation.load_table(
        "list",
        [
            {"listid": LISTS[0], "listname": "Spring", "createdfromcode": 2},
            {"listid": LISTS[1], "listname": "Autumn", "createdfromcode": 1},
        ],
    )
    organisation.load_table(
        "contact",
        [{"contactid": one, "emailaddress1": f"c{n}@contoso.example"} for n, one in enumerate(CONTACTS)],
    )
    organisation.load_table("systemuser", [{"systemuserid": one, "fullname": f"U{n}"} for n, one in enumerate(USERS)])
    organisation.load_table("queue", [{"queueid": QUEUE, "name": "Claims"}])
    organisation.load_table("team", [{"teamid": TEAM, "name": "Blue"}])
    with Sandbox(organisation).serving() as serving:
        yield serving


@pytest.fixture
def run(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    return partial(run_rows, sandbox, tmp_path)


# Marketing lists


@pytest.mark.parametrize("is_turned", [False, True])
def test_list_members_are_added_and_taken_off_whichever_side_is_named_first(run, sandbox, is_turned) -> None:
    sides = [("list", "listname"), ("contact", "emailaddress1")]
    pairs = [("Spring", f"c{n}@contoso.example") for n in range(3)]
    if is_turned:
        sides, pairs = sides[::-1], [pair[::-1] for pair in pairs]
    job = link("listcontact_association", *sides)
    assert run(job, pairs) == [("associated", "absent", "")] * 3
    assert set(sandbox.organisation.links("listcontact_association")) == {(one, LISTS[0]) for one in CONTACTS[:3]}
    # The message does not tell who was on the list already: the run looks.
    assert run(job, pairs) == [("already-associated", "present", "")] * 3
    removal = link("listcontact_association", *sides, action="disassociate")
    assert words(run(removal, pairs[:2])) == ["disassociated"] * 2
    assert words(run(removal, pairs)) == ["already-disassociated"] * 2 + ["disassociated"]
    assert not set(sandbox.organisation.links("listcontact_association"))


def test_a_list_of_accounts_refuses_contacts_row_by_row(run) -> None:
    rows = [(LISTS[0], CONTACTS[0]), (LISTS[1], CONTACTS[0])]
    found = run(link("listcontact_association", ("list", "listid"), ("contact", "contactid")), rows)
    assert words(found) == ["associated", "rejected"]


def test_actions_may_stand_in_a_column(run) -> None:
    job = link("listcontact_association", ("list", "listid"), ("contact", "contactid"), action={"column": "What"})
    run(job, [(LISTS[0], CONTACTS[0], "add")], ("From", "To", "What"))
    rows = [(LISTS[0], CONTACTS[0], "remove"), (LISTS[0], CONTACTS[1], "+"), (LISTS[0], CONTACTS[2], "perhaps")]
    assert words(run(job, rows, ("From", "To", "What"))) == ["disassociated", "associated", "invalid"]


LIST_CONTACTS = Relationship(
    "listcontact_association",
    Cardinality.MANY_TO_MANY,
    Table("contact", "contacts", "contactid"),
    Table("list", "lists", "listid"),
    "listcontact_association",
    "listcontact_association",
    False,
    Intersect("listmembers", "listmemberid", "_entityid_value", "_listid_value"),
)


def test_list_members_take_messages_and_nothing_else() -> None:
    for action in (Action.ASSOCIATE, Action.DISASSOCIATE):
        assert choose_form(LIST_CONTACTS, action, Form.AUTO) is Form.MESSAGE
        assert fitting_forms(LIST_CONTACTS, action) == [Form.MESSAGE]
    with pytest.raises(FormError, match="takes messages only"):
        choose_form(LIST_CONTACTS, Action.ASSOCIATE, Form.REF_ADD)


@pytest.mark.parametrize(
    ("action", "path", "body"),
    [
        (Action.ASSOCIATE, "AddMemberList", {"EntityId": "c"}),
        (
            Action.DISASSOCIATE,
            "RemoveMemberList",
            {"ListMember": {"@odata.type": "Microsoft.Dynamics.CRM.listmember", "listmemberid": "c"}},
        ),
    ],
)
def test_a_message_goes_to_the_list_and_names_the_member(action: Action, path: str, body: object) -> None:
    template = operation_template(Form.MESSAGE, LIST_CONTACTS, "https://contoso.example/api/data/v9.2", action)
    (request,) = template.render([b"c"], [b"l"], [])
    head, _, sent = request.decode().partition("\r\n\r\n")
    assert head.startswith(f"POST /api/data/v9.2/lists(l)/Microsoft.Dynamics.CRM.{path} HTTP/1.1\r\n")
    assert json.loads(sent) == body


# What looks special and is not


@pytest.mark.parametrize(
    ("relationship", "one", "other", "ids"),
    [
        ("teammembership_association", ("team", "teamid"), ("systemuser", "systemuserid"), (TEAM, USERS)),
        ("queuemembership_association", ("queue", "queueid"), ("systemuser", "systemuserid"), (QUEUE, USERS)),
    ],
)
def test_team_and_queue_members_are_links_like_others(run, sandbox, relationship, one, other, ids) -> None:
    pairs = [(ids[0], user) for user in ids[1]]
    assert words(run(link(relationship, one, other), pairs)) == ["associated"] * 3
    assert words(run(link(relationship, one, other), pairs)) == ["already-associated"] * 3
    assert set(sandbox.organisation.links(relationship)) == set(pairs)
    assert words(run(link(relationship, one, other, action="disassociate"), pairs)) == ["disassociated"] * 3


def test_participants_are_refused_before_anything_is_sent(run) -> None:
    job = link("email_activity_parties", ("email", "activityid"), ("activityparty", "activitypartyid"))
    with pytest.raises(FormError, match=r"\[parties\]"):
        run(job, [(guid(1), guid(2))])


# Roles by name


NORTH, SOUTH = guid(501), guid(502)
SALES_NORTH, SALES_SOUTH, SERVICE_SOUTH, TWIN_1, TWIN_2 = (guid(n) for n in range(601, 606))
ANN, BOB, CREW = guid(701), guid(702), guid(703)


@pytest.fixture
def units(sandbox) -> Sandbox:
    organisation = sandbox.organisation
    organisation.load_table(
        "businessunit",
        [{"businessunitid": NORTH, "name": "North"}, {"businessunitid": SOUTH, "name": "South"}],
    )
    roles = [
        (SALES_NORTH, "Sales", NORTH), (SALES_SOUTH, "Sales", SOUTH), (SERVICE_SOUTH, "Service", SOUTH),
        (TWIN_1, "Twin", NORTH), (TWIN_2, "twin", NORTH),
    ]  # fmt: skip
    organisation.load_table(
        "role", [{"roleid": one, "name": name, "businessunitid": unit} for one, name, unit in roles]
    )
    users = [(ANN, "ann@contoso.example", NORTH), (BOB, "bob@contoso.example", SOUTH)]
    organisation.load_table(
        "systemuser",
        [{"systemuserid": one, "domainname": name, "businessunitid": unit} for one, name, unit in users],
    )
    organisation.load_table("team", [{"teamid": CREW, "name": "Crew", "businessunitid": SOUTH}])
    return sandbox


def test_a_role_by_name_is_the_one_of_the_users_own_business_unit(run, units) -> None:
    job = link("systemuserroles_association", ("systemuser", "domainname"), ("role", "name"))
    found = run(job, [("ann@contoso.example", "sales"), ("BOB@contoso.example", "Sales")])
    assert words(found) == ["associated", "associated"]
    assert set(units.organisation.links("systemuserroles_association")) == {(ANN, SALES_NORTH), (BOB, SALES_SOUTH)}


def test_users_may_be_named_by_id_and_either_side_first(run, units) -> None:
    job = link("systemuserroles_association", ("role", "name"), ("systemuser", "systemuserid"))
    found = run(job, [("Sales", ANN), ("Sales", f"{{{ANN.upper()}}}"), ("Service", BOB), ("Sales", "no guid")])
    assert words(found) == ["associated", "duplicate", "associated", "invalid"]
    assert set(units.organisation.links("systemuserroles_association")) == {(ANN, SALES_NORTH), (BOB, SERVICE_SOUTH)}


def test_a_role_that_the_unit_does_not_have_or_has_twice_is_not_guessed(run, units) -> None:
    job = link("systemuserroles_association", ("systemuser", "domainname"), ("role", "name"))
    rows = [("ann@contoso.example", "Service"), ("ann@contoso.example", "Twin"), ("nobody", "Sales"), ("nobody", "No")]
    found = run(job, rows)
    assert words(found) == ["unresolved", "ambiguous", "unresolved", "unresolved"]
    assert found[0][2] == f"to: name 'Service' matches no role where businessunitid is {NORTH} (1 other has one)"
    assert found[1][2].startswith(f"to: name 'Twin' matches 2 role records where businessunitid is {NORTH}: ")
    assert found[2][2] == "from: domainname 'nobody' matches no systemuser"
    assert found[3][2] == "from: domainname 'nobody' matches no systemuser; to: name 'No' matches no role"


def test_roles_of_teams_are_found_in_the_teams_unit(run, units) -> None:
    job = link("teamroles_association", ("team", "name"), ("role", "name"))
    assert words(run(job, [("Crew", "Sales")])) == ["associated"]
    assert set(units.organisation.links("teamroles_association")) == {(CREW, SALES_SOUTH)}


def test_a_unit_that_the_job_names_itself_is_taken_as_named(run, units) -> None:
    job = link("systemuserroles_association", ("systemuser", "domainname"), ("role", "name"))
    job["to"] = {"table": "role", "match": {"name": "To", "businessunitid": "Unit"}}
    assert words(run(job, [("ann@contoso.example", "Sales", SOUTH)], ("From", "To", "Unit"))) == ["associated"]
    assert set(units.organisation.links("systemuserroles_association")) == {(ANN, SALES_SOUTH)}
