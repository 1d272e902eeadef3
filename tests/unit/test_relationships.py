"""Which relationship a name means, and what is said when it means none."""

from dataclasses import replace

import pytest

from bulklink.core.directions import doubtful_tables
from bulklink.core.facts import Facts, ManyToMany, Navigation, OneToMany, merged
from bulklink.core.relationships import Cardinality, choose_relationship, list_relationships
from bulklink.errors import RelationshipError
from tests.organisation import ACCOUNT_LEADS, CAMPAIGNS, FACTS, PROJECT_CONTACTS, TABLES

NN, LOOKUP, COLLECTION = Cardinality.MANY_TO_MANY, Cardinality.LOOKUP, Cardinality.COLLECTION
LEADS = "accountleads_association"
PRIMARY = "account_primary_contact"
CUSTOMERS, CUSTOMER = "contact_customer_accounts", "parentcustomerid_account"
CUSTOMERS_2, CUSTOMER_2 = "contact_customer_contacts", "parentcustomerid_contact"
CHILDREN = "account_parent_account"


@pytest.mark.parametrize(
    ("name", "from_table", "to_table", "cardinality", "navigation", "partner", "turned"),
    [
        # N:N by schema name, navigation property or intersect table, from either side
        (LEADS, "account", "lead", NN, LEADS, LEADS, False),
        (LEADS, "lead", "account", NN, LEADS, LEADS, False),
        ("accountleads", "lead", "account", NN, LEADS, LEADS, False),
        ("AccountLeads_Association", "account", "lead", NN, LEADS, LEADS, False),
        ("new_project_contact", "contact", "new_project", NN, "new_Projects", "new_Contacts", False),
        ("new_Contacts", "new_project", "contact", NN, "new_Contacts", "new_Projects", False),
        # lookups and 1:N
        ("primarycontactid", "account", "contact", LOOKUP, "primarycontactid", PRIMARY, False),
        (PRIMARY, "account", "contact", LOOKUP, "primarycontactid", PRIMARY, False),
        (PRIMARY, "contact", "account", COLLECTION, PRIMARY, "primarycontactid", False),
        (CUSTOMERS, "contact", "account", LOOKUP, CUSTOMER, CUSTOMERS, False),
        ("new_Lead", "new_project", "lead", LOOKUP, "new_Lead", "new_lead_new_project_Lead", False),
        # the wrong way round: only the to record knows the name
        ("primarycontactid", "contact", "account", LOOKUP, "primarycontactid", PRIMARY, True),
        ("new_Contacts", "contact", "new_project", NN, "new_Contacts", "new_Projects", True),
        (CUSTOMER, "account", "contact", LOOKUP, CUSTOMER, CUSTOMERS, True),
        # a table related to itself
        ("parentaccountid", "account", "account", LOOKUP, "parentaccountid", CHILDREN, False),
        (CHILDREN, "account", "account", COLLECTION, CHILDREN, "parentaccountid", False),
        (CUSTOMER_2, "contact", "contact", LOOKUP, CUSTOMER_2, CUSTOMERS_2, False),
        # owners are users and teams
        ("ownerid", "account", "systemuser", LOOKUP, "ownerid", "", False),
        ("owner_accounts", "account", "team", LOOKUP, "ownerid", "", False),
        # clear needs no to table
        ("primarycontactid", "account", "", LOOKUP, "primarycontactid", PRIMARY, False),
        ("ownerid", "account", "", LOOKUP, "ownerid", "owner_accounts", False),
    ],
)  # fmt: skip
def test_a_name_means_one_relationship_read_on_the_from_record(
    name, from_table, to_table, cardinality, navigation, partner, turned
):
    chosen = choose_relationship(FACTS, name, from_table, to_table)
    assert chosen.cardinality is cardinality
    assert (chosen.navigation_property, chosen.partner) == (navigation, partner)
    assert chosen.turned is turned
    if to_table:
        assert (chosen.from_table.logical_name, chosen.to_table.logical_name) == (
            (to_table, from_table) if turned else (from_table, to_table)
        )


@pytest.mark.parametrize(
    ("name", "from_table", "to_table", "attributes"),
    [
        ("accountleads_association", "account", "lead", ("accountid", "leadid")),
        ("accountleads_association", "lead", "account", ("leadid", "accountid")),
        ("new_Contacts", "contact", "new_project", ("new_projectid", "contactid")),
        ("campaigncampaign_association", "campaign", "campaign", ("campaignidone", "campaignidtwo")),
        ("campaigncampaign_association_referenced", "campaign", "campaign", ("campaignidtwo", "campaignidone")),
    ],
)
def test_the_intersect_columns_follow_the_side(name, from_table, to_table, attributes):
    intersect = choose_relationship(FACTS, name, from_table, to_table).intersect
    assert (intersect.from_attribute, intersect.to_attribute) == attributes


def test_an_intersect_column_that_is_a_lookup_is_named_as_queries_name_it():
    facts = merged(FACTS, Facts(lookup_targets={("accountleads", "leadid"): ("lead",)}))
    intersect = choose_relationship(facts, LEADS, "lead", "account").intersect
    assert (intersect.from_attribute, intersect.to_attribute) == ("_leadid_value", "accountid")


@pytest.mark.parametrize(
    ("name", "from_table", "holder", "lookup", "polymorphic"),
    [
        ("primarycontactid", "account", "account", "primarycontactid", False),
        ("contact_customer_accounts", "account", "contact", "parentcustomerid_account", True),
        ("parentcustomerid_account", "contact", "contact", "parentcustomerid_account", True),
        ("ownerid", "account", "account", "ownerid", True),
        ("accountleads_association", "account", "account", "accountleads_association", False),
    ],
)
def test_the_record_that_holds_the_lookup(name, from_table, holder, lookup, polymorphic):
    to_table = {"ownerid": "team", "primarycontactid": "contact", "accountleads_association": "lead"}.get(name)
    to_table = to_table or ("contact" if from_table == "account" else "account")
    chosen = choose_relationship(FACTS, name, from_table, to_table)
    assert chosen.holder_table.logical_name == holder
    assert chosen.target_table.logical_name != holder
    assert chosen.lookup_navigation_property == lookup
    assert chosen.polymorphic is polymorphic


def test_a_lookup_is_polymorphic_when_its_column_has_other_targets():
    facts = merged(FACTS, Facts(lookup_targets={("account", "primarycontactid"): ("contact", "lead")}))
    assert choose_relationship(facts, "account_primary_contact", "contact", "account").polymorphic


@pytest.mark.parametrize(
    ("name", "from_table", "to_table", "words"),
    [
        ("accountleads_asociation", "account", "lead", ["Did you mean accountleads_association"]),
        ("primaryContactId", "account", "contact", ["Did you mean primarycontactid?"]),
        ("_parentcustomerid_value", "contact", "account", ["lookup column", "parentcustomerid_account?"]),
        ("parentcustomerid", "contact", "account", ["lookup column", "parentcustomerid_account?"]),
        ("new_lead", "new_project", "lead", ["lookup column", "new_Lead?"]),
        ("accountleads_association", "account", "contact", ["relates account and lead", "contact does not take part"]),
        ("accountleads_association", "contact", "task", ["account and lead", "contact and task do not take part"]),
        ("parentcustomerid_contact", "contact", "account", ["Did you mean parentcustomerid_account?"]),
        ("qqqq", "account", "lead", ["no relationship 'qqqq' between account and lead", LEADS]),
        ("", "account", "lead", ["There is no relationship ''"]),
        ("qqqq", "task", "lead", ["There is no relationship 'qqqq' between task and lead"]),
        ("accountleads_association", "account", "", ["it is no lookup of account"]),
        ("primarycontactid", "accont", "contact", ["no table 'accont'", "Did you mean account"]),
        ("primarycontactid", "account", "contakt", ["no table 'contakt'", "Did you mean contact"]),
        # a table related to itself
        ("campaigncampaign", "campaign", "campaign", [
            "campaigncampaign_association means: *to* is added",
            "campaigncampaign_association_referenced means: *to* is added",
        ]),
        ("Account_Parent_Account", "account", "account", [
            "account_parent_account means: *from* is the parent of *to*",
            "parentaccountid means: *to* is the parent of *from*",
        ]),
        ("parentaccount", "account", "account", ["Did you mean parentaccountid", "*to* is the parent of *from*"]),
        ("whatever", "lead", "lead", ["No relationship relates lead to itself"]),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_says_what_is_near(name, from_table, to_table, words):
    with pytest.raises(RelationshipError) as caught:
        choose_relationship(FACTS, name, from_table, to_table)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_a_name_of_several_relationships_lists_them():
    second = OneToMany("primarycontactid", "contact", "new_other", "account", "new_other", "new_Other")
    with pytest.raises(RelationshipError) as caught:
        choose_relationship(merged(FACTS, Facts(one_to_many=(second,))), "primarycontactid", "account", "contact")
    assert "account_primary_contact (N:1" in str(caught.value)
    assert "primarycontactid (N:1, via account.new_other)" in str(caught.value)


def test_a_name_that_is_like_two_but_for_case_lists_both_and_the_exact_one_wins():
    twin = replace(
        PROJECT_CONTACTS, schema_name="NEW_PROJECT_CONTACT", intersect_table="x", navigation1="a", navigation2="b"
    )
    facts = merged(FACTS, Facts(many_to_many=(twin,), tables={"x": TABLES["accountleads"]}))
    with pytest.raises(RelationshipError, match="more than one"):
        choose_relationship(facts, "New_project_contact", "contact", "new_project")
    assert choose_relationship(facts, "NEW_PROJECT_CONTACT", "contact", "new_project").navigation_property == "a"


def collection(name, target, partner):
    return Navigation(name, target, is_collection=True, partner=partner)


def test_a_reflexive_relationship_with_one_name_twice_is_told_apart_by_the_csdl():
    doubtful = replace(CAMPAIGNS, navigation2="campaigncampaign_association")
    facts = Facts(tables=TABLES, many_to_many=(doubtful,))
    assert doubtful_tables(facts, "campaign", "campaign") == {"campaign"}
    with pytest.raises(RelationshipError, match="both sides"):
        choose_relationship(facts, "campaigncampaign_association", "campaign", "campaign")
    one, two = "campaigncampaign_association", "campaigncampaign_association_referenced"
    csdl = {"campaign": {one: collection(one, "campaign", two), two: collection(two, "campaign", one)}}
    facts = merged(facts, Facts(navigations=csdl))
    assert not doubtful_tables(facts, "campaign", "campaign")
    first = choose_relationship(facts, one, "campaign", "campaign")
    second = choose_relationship(facts, two, "campaign", "campaign")
    assert (first.partner, first.intersect.from_attribute) == (two, "campaignidone")
    assert (second.partner, second.intersect.from_attribute) == (one, "campaignidtwo")


def test_names_that_stand_on_the_other_side_are_swapped_by_the_csdl():
    swapped = replace(PROJECT_CONTACTS, navigation1="new_Contacts", navigation2="new_Projects")
    facts = Facts(tables=TABLES, many_to_many=(swapped,))
    assert doubtful_tables(facts, "contact", "new_project") == {"contact", "new_project"}
    csdl = {
        "contact": {"new_Projects": collection("new_Projects", "new_project", "new_Contacts")},
        "new_project": {"new_Contacts": collection("new_Contacts", "contact", "new_Projects")},
    }
    facts = merged(facts, Facts(navigations=csdl))
    chosen = choose_relationship(facts, "new_Projects", "contact", "new_project")
    assert not chosen.turned
    assert chosen.intersect.from_attribute == "contactid"


def test_a_relationship_without_navigation_names_takes_those_of_the_csdl():
    bare = replace(ACCOUNT_LEADS, navigation1="", navigation2="")
    csdl = {one: {LEADS: collection(LEADS, other, LEADS)} for one, other in (("account", "lead"), ("lead", "account"))}
    facts = Facts(tables=TABLES, many_to_many=(bare,), navigations=csdl)
    assert (
        choose_relationship(facts, "accountleads", "lead", "account").navigation_property == "accountleads_association"
    )


def test_one_name_on_two_tables_is_no_doubt():
    assert not doubtful_tables(FACTS, "account", "lead")
    assert not doubtful_tables(FACTS, "campaign", "campaign")


def test_without_the_intersect_table_there_is_no_way_to_read_links():
    with pytest.raises(RelationshipError, match="intersect table 'accountleads'"):
        choose_relationship(
            replace(FACTS, tables={n: t for n, t in TABLES.items() if n != "accountleads"}),
            "accountleads",
            "lead",
            "account",
        )


def test_the_listing_shows_both_sides_and_can_be_narrowed():
    lines = list_relationships(FACTS, "account")
    assert [(line.kind, line.name, line.other_table) for line in lines] == [
        ("N:N", "accountleads_association", "lead"),
        ("1:N", "account_parent_account", "account"),
        ("1:N", "contact_customer_accounts", "contact"),
        ("N:1", "account_parent_account", "account"),
        ("N:1", "account_primary_contact", "contact"),
        ("N:1", "owner_accounts", "systemuser"),
        ("N:1", "owner_accounts", "team"),
    ]
    (line,) = list_relationships(FACTS, "account", "lead")
    assert (line.navigation_property, line.other_navigation_property, line.via) == (
        "accountleads_association",
        "accountleads_association",
        "accountleads",
    )


def test_a_reflexive_relationship_is_listed_from_both_its_ends():
    navigations = {line.navigation_property for line in list_relationships(FACTS, "campaign", "campaign")}
    assert navigations == {"campaigncampaign_association", "campaigncampaign_association_referenced"}


def test_relationships_that_several_answers_report_count_once():
    assert len(merged(FACTS, FACTS).many_to_many) == len(FACTS.many_to_many)
    assert isinstance(FACTS.many_to_many[0], ManyToMany)
