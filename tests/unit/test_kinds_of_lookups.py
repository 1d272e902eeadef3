"""Lookups of every kind, end to end against the sandbox: customers, owners, hierarchies, actions by row."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bulklink.errors import RelationshipError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from tests.link_rows import link, run_rows, words
from tests.sandbox_client import guid

ACME, BOLT = guid(101), guid(102)
ANN, BOB, CY = guid(201), guid(202), guid(203)
USER, TEAM = guid(301), guid(302)
DEAL, TRADE = guid(401), guid(402)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    organisation = Organisation.sample()
    accounts = [{"accountid": ACME, "accountnumber": "A1"}, {"accountid": BOLT, "accountnumber": "B2"}]
    organisation.load_table("account", accounts)
    people = {ANN: "ann@contoso.example", BOB: "bob@contoso.example", CY: "cy@contoso.example"}
    organisation.load_table("contact", [{"contactid": one, "emailaddress1": mail} for one, mail in people.items()])
    organisation.load_table("systemuser", [{"systemuserid": USER, "internalemailaddress": "rep@contoso.example"}])
    organisation.load_table("team", [{"teamid": TEAM, "name": "Blue"}])
    organisation.load_table("opportunity", [{"opportunityid": one, "name": one[-3:]} for one in (DEAL, TRADE)])
    with Sandbox(organisation).serving() as serving:
        yield serving


@pytest.fixture
def run(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    return partial(run_rows, sandbox, tmp_path)


def held(sandbox: Sandbox, table: str, record_id: str, column: str) -> tuple[str | None, str | None]:
    """What a polymorphic lookup holds: id and table."""
    model = sandbox.organisation.model.tables[table]
    record = sandbox.organisation.read(model, record_id) or {}
    target = next((value for name, value in record.items() if name.startswith(column) and name != column), None)
    return record[column], target


def test_a_customer_may_be_an_account_or_a_contact_one_job_each(run, sandbox) -> None:
    accounts = link("opportunity_customer_accounts", ("opportunity", "name"), ("account", "accountnumber"))
    assert words(run(accounts, [("401", "a1"), ("402", "B2")])) == ["associated", "associated"]
    contacts = link("customerid_contact", ("opportunity", "name"), ("contact", "emailaddress1"))
    assert run(contacts, [("402", "ann@contoso.example")]) == [("associated", BOLT, "")]
    assert held(sandbox, "opportunity", DEAL, "customerid") == (ACME, "account")
    assert held(sandbox, "opportunity", TRADE, "customerid") == (ANN, "contact")


def test_a_lookup_that_holds_a_record_of_the_other_kind_is_not_emptied(run, sandbox) -> None:
    contacts = link("customerid_contact", ("opportunity", "name"), ("contact", "emailaddress1"))
    run(contacts, [("401", "ann@contoso.example")])
    removal = link("customerid_account", ("opportunity", "name"), ("account", "accountnumber"), action="disassociate")
    assert words(run(removal, [("401", "A1")])) == ["already-disassociated"]
    assert held(sandbox, "opportunity", DEAL, "customerid") == (ANN, "contact")


def test_the_bare_column_of_a_polymorphic_lookup_is_refused_with_the_name_that_is_meant(run) -> None:
    job = link("customerid", ("opportunity", "name"), ("contact", "emailaddress1"))
    with pytest.raises(RelationshipError, match="Did you mean customerid_contact"):
        run(job, [("401", "ann@contoso.example")])


@pytest.mark.parametrize(
    ("side", "key", "owner"),
    [
        (("systemuser", "internalemailaddress"), "rep@contoso.example", USER),
        (("team", "name"), "Blue", TEAM),
    ],
)
def test_an_owner_is_a_user_or_a_team(run, sandbox, side, key, owner) -> None:
    job = link("ownerid", ("contact", "emailaddress1"), side)
    assert words(run(job, [("ann@contoso.example", key), ("nobody@contoso.example", key)])) == [
        "associated",
        "unresolved",
    ]
    assert held(sandbox, "contact", ANN, "ownerid") == (owner, side[0])


def test_a_hierarchy_by_e_mail_has_the_manager_on_the_side_that_the_property_says(run, sandbox) -> None:
    rows = [("bob@contoso.example", "ann@contoso.example"), ("cy@contoso.example", "ANN@contoso.example")]
    assert words(
        run(link("parentcustomerid_contact", ("contact", "emailaddress1"), ("contact", "emailaddress1")), rows)
    )
    assert held(sandbox, "contact", BOB, "parentcustomerid") == (ANN, "contact")
    assert held(sandbox, "contact", ANN, "parentcustomerid")[0] is None
    # The same from above: the collection of a manager's people.
    turned = [pair[::-1] for pair in rows]
    found = run(link("contact_customer_contacts", ("contact", "emailaddress1"), ("contact", "emailaddress1")), turned)
    assert words(found) == ["already-associated"] * 2


def test_a_hierarchy_needs_the_name_of_a_navigation_property(run) -> None:
    job = link("account_parent_account", ("account", "accountnumber"), ("account", "accountnumber"))
    assert words(run(job, [("A1", "B2")])) == ["associated"]
    with pytest.raises(RelationshipError):
        run(link("Account_Parent_Account", ("account", "accountnumber"), ("account", "accountnumber")), [("A1", "B2")])


def test_clear_empties_a_lookup_whatever_it_holds(run, sandbox) -> None:
    run(
        link("customerid_contact", ("opportunity", "name"), ("contact", "emailaddress1")),
        [("401", "ann@contoso.example")],
    )
    clear = link("customerid_contact", ("opportunity", "name"), action="clear")
    assert words(run(clear, [("401",), ("402",), ("403",)], ("From",))) == [
        "disassociated",
        "already-disassociated",
        "unresolved",
    ]
    assert held(sandbox, "opportunity", DEAL, "customerid")[0] is None


@pytest.mark.parametrize("word", ["associate", "Add", " link ", "+"])
@pytest.mark.parametrize("opposite", ["disassociate", "REMOVE", "unlink", "-"])
def test_every_word_for_an_action_is_understood(run, word, opposite) -> None:
    job = link("primarycontactid", ("account", "accountnumber"), ("contact", "emailaddress1"), action={"column": "Do"})
    header = ("From", "To", "Do")
    rows = [
        ("A1", "ann@contoso.example", word),
        ("B2", "bob@contoso.example", opposite),
        ("B2", "x@y.example", "maybe"),
    ]
    assert words(run(job, rows, header)) == ["associated", "already-disassociated", "invalid"]


def test_a_row_without_either_record_has_one_outcome_that_names_both(run) -> None:
    job = link("contact_customer_accounts", ("account", "accountnumber"), ("contact", "emailaddress1"))
    found = run(job, [("x", "y"), ("", "y")])
    assert words(found) == ["unresolved", "invalid"]
    assert found[0][2] == "from: accountnumber 'x' matches no account; to: emailaddress1 'y' matches no contact"
    assert found[1][2] == "from: accountnumber is empty; to: emailaddress1 'y' matches no contact"
