"""References: every form, and every way in which the service refuses one."""

from urllib.parse import quote

import pytest

from bulklink.sandbox.messages import Request
from tests.sandbox_client import A1, A2, API, C1, C2, G1, L1, L2, M1, NOBODY, O1, P1, T1, U2, Client, ref

LINK = f"accounts({A1})/accountleads_association"
CHILDREN = f"accounts({A1})/contact_customer_accounts"
PRIMARY = f"accounts({A1})/primarycontactid"
BIND = {"primarycontactid@odata.bind": f"/contacts({C1})"}
TO_LEAD = ref(f"leads({L1})")
MULTIPLE = "Microsoft.Dynamics.CRM.UpdateMultiple"
TARGETS = {"Targets": [{"accountid": A1}, BIND]}
L1_ENCODED = quote(f"{API}/leads({L1})", safe="")


@pytest.fixture
def client():
    return Client.sample()


def links(client, relationship="accountleads_association"):
    return set(client.organisation.links(relationship))


class TestManyToMany:
    @pytest.mark.parametrize(
        ("url", "target", "relationship", "pair"),
        [
            (LINK, f"leads({L1})", "accountleads_association", (A1, L1)),
            (f"leads({L1})/accountleads_association", f"accounts({A1})", "accountleads_association", (A1, L1)),
            (f"accounts({A1})/new_Account_new_Tag_new_Tag", f"new_tags({G1})", "new_Account_new_Tag_new_Tag", (G1, A1)),
            (f"new_tags({G1})/new_Account_new_Tag_new_Tag", f"accounts({A1})", "new_Account_new_Tag_new_Tag", (G1, A1)),
            (f"accounts({A1.upper()})/accountleads_association", f"leads({L1})", "accountleads_association", (A1, L1)),
            (
                "accounts(accountnumber='A-1')/accountleads_association",
                f"leads({L1})",
                "accountleads_association",
                (A1, L1),
            ),
            (
                f"leads({L1})/accountleads_association",
                "accounts(accountnumber='B%27%272')",
                "accountleads_association",
                (A2, L1),
            ),
        ],
    )
    def test_a_link_is_added_from_either_side_and_by_any_key(self, client, url, target, relationship, pair):
        answer = client("POST", f"{url}/$ref", ref(target))
        assert (answer.status, answer.headers, answer.body) == (204, {"OData-Version": "4.0"}, b"")
        assert links(client, relationship) == {pair}

    @pytest.mark.parametrize(
        ("toggle", "text"),
        [("insert", "Cannot insert duplicate key."), ("matching", "A record with matching key values already exists.")],
    )
    def test_a_link_that_is_there_is_a_duplicate(self, toggle, text):
        client = Client.sample(duplicate_text=toggle)
        client("POST", f"{LINK}/$ref", TO_LEAD)
        answer = client("POST", f"leads({L1})/accountleads_association/$ref", ref(f"accounts({A1})"))
        assert (answer.status, answer.code, answer.message) == (412, "0x80040237", text)
        assert links(client) == {(A1, L1)}

    @pytest.mark.parametrize(
        ("method", "url", "missing"),
        [
            ("POST", f"accounts({NOBODY})/accountleads_association/$ref", "account"),
            ("DELETE", f"accounts({NOBODY})/accountleads_association({L1})/$ref", "account"),
            ("DELETE", f"accounts({A1})/accountleads_association({NOBODY})/$ref", "lead"),
        ],
    )
    def test_both_records_must_be_there(self, client, method, url, missing):
        answer = client(method, url, TO_LEAD if method == "POST" else None)
        assert (answer.status, answer.code) == (404, "0x80040217")
        assert answer.message == f"Entity '{missing}' With Id = {NOBODY} Does Not Exist"

    def test_the_target_must_be_there(self, client):
        answer = client("POST", f"{LINK}/$ref", ref(f"leads({NOBODY})"))
        assert (answer.status, answer.message) == (404, f"Entity 'lead' With Id = {NOBODY} Does Not Exist")

    @pytest.mark.parametrize(
        "url", [f"{LINK}({L1})/$ref", f"{LINK}/$ref?$id={API}/leads({L1})", f"{LINK}/$ref?$id={L1_ENCODED}"]
    )
    def test_a_link_is_removed_by_key_and_by_id_and_the_lead_stays(self, client, url):
        client("POST", f"{LINK}/$ref", TO_LEAD)
        assert client("DELETE", url).status == 204
        assert not links(client)
        assert client.value("lead", L1, "subject") == "One"

    @pytest.mark.parametrize(("toggle", "status"), [("204", 204), ("404", 404)])
    def test_removing_what_is_not_linked_is_a_toggle(self, toggle, status):
        assert Client.sample(disassociate_missing=toggle)("DELETE", f"{LINK}({L1})/$ref").status == status

    def test_in_a_reflexive_relationship_direction_counts(self, client):
        other = client.organisation.create_record("campaign", {"name": "June"})
        for navigation in ("campaigncampaign_association", "campaigncampaign_association_referenced"):
            assert client("POST", f"campaigns({M1})/{navigation}/$ref", ref(f"campaigns({other})")).status == 204
        assert links(client, "campaigncampaign_association") == {(M1, other), (other, M1)}

    def test_a_record_may_be_linked_to_itself(self, client):
        assert (
            client("POST", f"campaigns({M1})/campaigncampaign_association/$ref", ref(f"campaigns({M1})")).status == 204
        )


class TestOneToMany:
    def test_adding_to_a_collection_sets_the_lookup_and_may_be_repeated(self, client):
        for parent in (A1, A1, A2):
            url = f"accounts({parent})/contact_customer_accounts/$ref"
            assert client("POST", url, ref(f"contacts({C1})")).status == 204
            assert client.value("contact", C1, "parentcustomerid") == parent

    def test_a_polymorphic_lookup_switches_its_table(self, client):
        client("POST", f"accounts({A1})/contact_customer_accounts/$ref", ref(f"contacts({C1})"))
        client("POST", f"contacts({C2})/contact_customer_contacts/$ref", ref(f"contacts({C1})"))
        shown = client.get(f"contacts({C1})?$select=_parentcustomerid_value", prefer='odata.include-annotations="*"')
        assert shown["_parentcustomerid_value"] == C2
        assert shown["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
        assert client.get(f"accounts({A1})/contact_customer_accounts")["value"] == []

    @pytest.mark.parametrize(
        ("set_name", "record", "navigation", "target", "column", "table"),
        [
            ("accounts", A1, "primarycontactid", f"contacts({C1})", "primarycontactid", "account"),
            ("opportunities", O1, "customerid_account", f"accounts({A1})", "customerid", "opportunity"),
            ("opportunities", O1, "customerid_contact", f"contacts({C1})", "customerid", "opportunity"),
            ("tasks", T1, "regardingobjectid_lead_task", f"leads({L1})", "regardingobjectid", "task"),
            ("new_projects", P1, "new_Customer", f"accounts({A1})", "new_customer", "new_project"),
        ],
    )
    def test_a_lookup_is_set_and_cleared(self, client, set_name, record, navigation, target, column, table):
        url = f"{set_name}({record})/{navigation}/$ref"
        assert client("PUT", url, ref(target)).status == 204
        assert client.value(table, record, column) == target[-37:-1]
        assert client("DELETE", url).status == 204
        assert client.value(table, record, column) is None
        assert client("DELETE", url).status == 204

    @pytest.mark.parametrize(("toggle", "status", "left"), [("keep", 204, A2), ("clear", 204, None), ("404", 404, A2)])
    def test_removing_a_child_of_another_parent_is_a_toggle(self, toggle, status, left):
        client = Client.sample(disassociate_other_parent=toggle)
        client("POST", f"accounts({A2})/contact_customer_accounts/$ref", ref(f"contacts({C1})"))
        assert client("DELETE", f"accounts({A1})/contact_customer_accounts({C1})/$ref").status == status
        assert client.value("contact", C1, "parentcustomerid") == left

    @pytest.mark.parametrize(("toggle", "status", "left"), [("keep", 204, A1), ("clear", 204, None), ("404", 404, A1)])
    def test_clearing_through_the_navigation_of_another_table_is_a_toggle(self, toggle, status, left):
        client = Client.sample(wrong_target_clear=toggle)
        client("PUT", f"opportunities({O1})/customerid_account/$ref", ref(f"accounts({A1})"))
        assert client("DELETE", f"opportunities({O1})/customerid_contact/$ref").status == status
        assert client.value("opportunity", O1, "customerid") == left

    def test_the_owner_is_not_set_by_reference(self, client):
        answer = client("PUT", f"accounts({A1})/ownerid/$ref", ref(f"systemusers({U2})"))
        assert (answer.status, answer.code) == (400, "0x80048d19")

    @pytest.mark.parametrize(
        ("set_name", "first", "second", "navigation", "code"),
        [
            ("accounts", A1, A2, "parentaccountid", "0x80040507"),
            ("contacts", C1, C2, "parentcustomerid_contact", "0x80040509"),
        ],
    )
    def test_a_hierarchy_has_no_loops(self, client, set_name, first, second, navigation, code):
        assert client("PUT", f"{set_name}({first})/{navigation}/$ref", ref(f"{set_name}({second})")).status == 204
        answer = client("PUT", f"{set_name}({second})/{navigation}/$ref", ref(f"{set_name}({first})"))
        assert (answer.status, answer.code) == (400, code)
        answer = client("PATCH", f"{set_name}({second})", {f"{navigation}@odata.bind": f"/{set_name}({second})"})
        assert (answer.status, answer.code) == (400, code)


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "url", "body", "status", "code"),
        [
            ("POST", f"Account({A1})/accountleads_association/$ref", TO_LEAD, 404, "0x8006088a"),
            ("POST", f"accounts({A1})/AccountLeads_association/$ref", TO_LEAD, 404, "0x8006088a"),
            ("POST", f"accounts({A1})/name/$ref", TO_LEAD, 404, "0x8006088a"),
            ("POST", f"{LINK}/$ref", {"@odata.id": f"leads({L1})"}, 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", {"@odata.id": f"https://other/api/data/v9.2/leads({L1})"}, 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", {"odata.id": f"{API}/leads({L1})"}, 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", {}, 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", None, 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", b"{", 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", ref(f"lead({L1})"), 400, "0x80060888"),
            ("POST", f"{LINK}/$ref", ref(f"contacts({C1})"), 400, "0x80048d19"),
            ("POST", f"{LINK}/$ref", ref("leads(nonsense)"), 400, "0x80060888"),
            ("POST", f"{LINK}/$ref", ref("accounts(accountnumber='none')"), 400, "0x80048d19"),
            ("POST", "accounts(accountnumber='none')/accountleads_association/$ref", TO_LEAD, 404, "0x80060891"),
            ("POST", "accounts(name='Acme')/accountleads_association/$ref", TO_LEAD, 400, "0x80060888"),
            ("POST", "accounts(nonsense)/accountleads_association/$ref", TO_LEAD, 400, "0x80060888"),
            ("POST", f"accounts({{{A1}}})/accountleads_association/$ref", TO_LEAD, 400, "0x80060888"),
            ("POST", f"accounts('{A1}')/accountleads_association/$ref", TO_LEAD, 400, "0x80060888"),
            ("POST", f"accounts({A1})/primarycontactid/$ref", ref(f"contacts({C1})"), 405, ""),
            ("PUT", f"{LINK}/$ref", TO_LEAD, 405, ""),
            ("DELETE", f"{LINK}/$ref", None, 400, "0x80060888"),
            ("DELETE", f"{LINK}/$ref?$id=leads({L1})", None, 400, "0x80048d19"),
            ("DELETE", f"{LINK}/$ref?$id={API}/contacts({C1})", None, 400, "0x80048d19"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant_is_refused_and_changes_nothing(self, client, method, url, body, status, code):
        answer = client(method, url, body)
        assert (answer.status, answer.code) == (status, code)
        assert not links(client)

    def test_a_column_before_ref_is_named(self, client):
        answer = client("POST", f"accounts({A1})/name/$ref", TO_LEAD)
        assert answer.message == "The URI segment '$ref' is invalid after the segment 'name'."

    def test_relative_ids_can_be_let_through(self):
        client = Client.sample(relative_odata_id="accept")
        assert client("POST", f"{LINK}/$ref", {"@odata.id": f"leads({L1})"}).status == 204

    @pytest.mark.parametrize("url", [f"{API}/leads({L1})", f"http://127.0.0.1:8080/api/data/v9.0/leads({L1})"])
    def test_another_version_in_the_id_is_fine(self, client, url):
        assert client("POST", f"{LINK}/$ref", {"@odata.id": url}).status == 204

    def test_an_outdated_etag_refuses(self, client):
        answer = client("PUT", f"accounts({A1})/primarycontactid/$ref", ref(f"contacts({C1})"), if_match='W/"1"')
        assert (answer.status, answer.code) == (412, "0x80060882")
        assert client.value("account", A1, "primarycontactid") is None


class TestDanger:
    """Without ``/$ref`` the URL addresses the related record, and DELETE deletes it."""

    def test_the_lead_itself_goes(self, client):
        client("POST", f"{LINK}/$ref", TO_LEAD)
        assert client("DELETE", f"{LINK}({L1})").status == 204
        assert client("GET", f"leads({L1})").status == 404
        assert not links(client)

    def test_the_contact_behind_a_lookup_goes(self, client):
        client("PUT", f"accounts({A1})/primarycontactid/$ref", ref(f"contacts({C1})"))
        assert client("DELETE", f"accounts({A1})/primarycontactid").status == 204
        assert client("GET", f"contacts({C1})").status == 404
        assert client.value("account", A1, "primarycontactid") is None

    def test_a_lead_that_is_not_linked_stays(self, client):
        assert client("DELETE", f"{LINK}({L2})").status == 404
        assert client("GET", f"leads({L2})").status == 200


class TestPrivileges:
    @pytest.mark.parametrize(
        ("missing", "method", "url", "body", "privilege"),
        [
            (("Append", "account"), "POST", f"{LINK}/$ref", TO_LEAD, "prvAppendAccount"),
            (("AppendTo", "lead"), "POST", f"{LINK}/$ref", TO_LEAD, "prvAppendToLead"),
            (("Append", "account"), "DELETE", f"{LINK}({L1})/$ref", None, "prvAppendAccount"),
            (("Append", "contact"), "POST", f"{CHILDREN}/$ref", ref(f"contacts({C1})"), "prvAppendContact"),
            (("Write", "account"), "PUT", f"{PRIMARY}/$ref", ref(f"contacts({C1})"), "prvWriteAccount"),
            (("AppendTo", "contact"), "PATCH", f"accounts({A1})", BIND, "prvAppendToContact"),
            (("Create", "account"), "POST", "accounts", {"name": "x"}, "prvCreateAccount"),
            (("Delete", "account"), "DELETE", f"accounts({A1})", None, "prvDeleteAccount"),
            (("Read", "account"), "GET", "accounts", None, "prvReadAccount"),
        ],
    )  # fmt: skip
    def test_a_missing_privilege_is_named(self, client, missing, method, url, body, privilege):
        client.organisation.missing_privileges.add(missing)
        answer = client(method, url, body)
        assert (answer.status, answer.code) == (403, "0x80040220")
        assert f"is missing {privilege} privilege (Id=" in answer.message
        assert f"for entity '{missing[1]}'." in answer.message


class TestTouched:
    @pytest.mark.parametrize(
        ("method", "url", "body", "touched"),
        [
            ("POST", f"{LINK}/$ref", TO_LEAD, {("account", A1), ("lead", L1)}),
            ("DELETE", f"{LINK}({L1})/$ref", None, {("account", A1), ("lead", L1)}),
            ("DELETE", f"{LINK}/$ref?$id={API}/leads({L1})", None, {("account", A1), ("lead", L1)}),
            ("PATCH", f"accounts({A1})", BIND, {("account", A1), ("contact", C1)}),
            ("PATCH", "accounts(accountnumber='A-1')", {}, {("account", A1)}),
            ("POST", "$1/accountleads_association/$ref", TO_LEAD, {("lead", L1)}),
            ("POST", f"accounts/{MULTIPLE}", TARGETS, {("account", A1), ("contact", C1)}),
            ("POST", "nonsense", b'{"@odata.id":' + b"[" * 900 + b"]" * 900 + b"}", set()),
        ],
    )  # fmt: skip
    def test_it_names_the_records_of_url_and_body(self, client, method, url, body, touched):
        request: Request = client.request(method, url, body)
        assert client.service.touched(request) == touched


class TestChangeSets:
    def test_a_refused_operation_takes_the_whole_change_set_back(self, client):
        with client.service.change_set():
            assert client("POST", f"{LINK}/$ref", TO_LEAD).status == 204
            assert client("POST", f"{LINK}/$ref", TO_LEAD).status == 412
        assert not links(client)

    def test_rollback_on_request(self, client):
        with client.service.change_set() as change_set:
            client("POST", f"{LINK}/$ref", TO_LEAD)
            change_set.rollback()
        assert not links(client)

    def test_an_exception_takes_it_back(self, client):
        def broken():
            with client.service.change_set():
                client("POST", f"{LINK}/$ref", TO_LEAD)
                raise KeyError

        with pytest.raises(KeyError):
            broken()
        assert not links(client)

    def test_references_by_content_id(self, client):
        ids = {}
        with client.service.change_set():
            client("POST", "accounts", {"name": "New"}, ids, content_id="1")
            client("POST", "leads", {"subject": "New", "parentaccountid@odata.bind": "$1"}, ids, content_id="2")
            client("POST", "$1/accountleads_association/$ref", {"@odata.id": "$2"}, ids, content_id="3")
            client("PUT", "$1/primarycontactid/$ref", ref(f"contacts({C1})"), ids, content_id="4")
            client("PATCH", "$1", {"description": "x"}, ids, content_id="5")
        ((account, lead),) = links(client)
        assert ids == {"$1": f"{API}/accounts({account})", "$2": f"{API}/leads({lead})"}
        assert client.value("lead", lead, "parentaccountid") == account
        assert client.value("account", account, "primarycontactid") == C1
        assert client.value("account", account, "description") == "x"

    @pytest.mark.parametrize(
        ("method", "url", "body"),
        [
            ("PATCH", "$1", {}),
            ("POST", "leads", {"parentaccountid@odata.bind": "$1"}),
            ("POST", f"{LINK}/$ref", {"@odata.id": "$1"}),
        ],
    )
    def test_a_reference_forward_is_refused(self, client, method, url, body):
        answer = client(method, url, body, {})
        assert answer.status == 400
        assert answer.message == "Content-ID Reference: '$1' does not exist in the batch context."

    def test_a_create_that_returns_the_record_cannot_be_referred_to(self, client):
        ids = {}
        client("POST", "accounts", {"name": "New"}, ids, content_id="1", prefer="return=representation")
        assert ids == {}
