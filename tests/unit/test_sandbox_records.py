"""Records: create with links, deep insert, upsert, conditions, keys, deletes, activity parties, bulk messages."""

import pytest

from tests.sandbox_client import A1, A2, API, C1, C2, L1, L2, NOBODY, O1, P1, T1, U2, Client, guid, ref

NEW = guid(50)
UPDATE = {"if_match": "*"}
ACCOUNT = "Microsoft.Dynamics.CRM.account"


@pytest.fixture
def client():
    return Client.sample()


def created(answer):
    assert answer.status == 204, answer
    assert answer.headers["Location"] == answer.headers["OData-EntityId"]
    return answer.headers["OData-EntityId"][-37:-1]


class TestCreate:
    def test_the_id_comes_back_as_a_url(self, client):
        answer = client("POST", "accounts", {"accountid": NEW, "name": "New"})
        assert list(answer.headers.items())[1:] == [
            ("Location", f"{API}/accounts({NEW})"),
            ("OData-EntityId", f"{API}/accounts({NEW})"),
        ]

    def test_ids_are_made_and_differ(self, client):
        assert created(client("POST", "accounts", {})) != created(client("POST", "accounts", {}))

    def test_a_representation_has_no_entity_id_header(self, client):
        answer = client("POST", "accounts?$select=name", {"name": "New"}, prefer="return=representation")
        assert answer.status == 201
        assert answer.json["name"] == "New"
        assert "OData-EntityId" not in answer.headers
        assert answer.headers["Preference-Applied"] == "return=representation"

    @pytest.mark.parametrize(
        ("text", "status"),
        [
            (f"contacts({C1})", 204),
            (f"/contacts({C1})", 204),
            (f"{API}/contacts({C1})", 204),
            (f"/api/data/v9.2/contacts({C1})", 204),
            ("contacts(emailaddress1='ANN@acme.example ')", 204),
            ("contacts(emailaddress1='ann%40acme.example')", 204),
            ("contacts(emailaddress1='no@acme.example')", 404),
            (f"contacts({NOBODY})", 404),
            (f"contact({C1})", 400),
            (f"accounts({A1})", 400),
            ("contacts", 400),
            (f"https://other.example/api/data/v9.2/contacts({C1})", 400),
        ],
    )
    def test_a_bind_takes_any_spelling_of_an_existing_record_of_the_right_table(self, client, text, status):
        answer = client("POST", "accounts", {"accountid": NEW, "primarycontactid@odata.bind": text})
        assert answer.status == status
        assert client.value("account", NEW, "primarycontactid") == (C1 if status == 204 else None)

    def test_collections_are_bound(self, client):
        body = {
            "accountid": NEW,
            "Account_Tasks@odata.bind": [f"/tasks({T1})"],
            "accountleads_association@odata.bind": [f"leads({L1})", f"leads({L2})"],
        }
        created(client("POST", "accounts", body))
        assert client.value("task", T1, "regardingobjectid") == NEW
        assert set(client.organisation.links("accountleads_association")) == {(NEW, L1), (NEW, L2)}

    def test_deep_insert_of_any_depth(self, client):
        body = {
            "accountid": NEW,
            "primarycontactid": {"firstname": "Cid", "lastname": "Cat", "Contact_Tasks": [{"subject": "Hello"}]},
            "opportunity_customer_accounts": [
                {"name": "o1", "Opportunity_Tasks": [{"subject": "t"}, {"subject": "u"}]}
            ],
            "accountleads_association": [{"subject": "Nested"}],
        }
        created(client("POST", "accounts", body))
        contact = client.get(f"accounts({NEW})/primarycontactid")
        assert contact["fullname"] == "Cid Cat"
        assert [t["subject"] for t in client.get(f"contacts({contact['contactid']})/Contact_Tasks")["value"]] == [
            "Hello"
        ]
        (deal,) = client.get(f"accounts({NEW})/opportunity_customer_accounts")["value"]
        assert client("GET", f"opportunities({deal['opportunityid']})/Opportunity_Tasks/$count").body == b"2"
        assert [x["subject"] for x in client.get(f"accounts({NEW})/accountleads_association")["value"]] == ["Nested"]

    def test_a_failing_part_leaves_nothing(self, client):
        before = client.organisation.counts()
        body = {"opportunity_customer_accounts": [{"name": "o1"}, {"nonsense": "o2"}]}
        assert client("POST", "accounts", body).status == 400
        assert client.organisation.counts() == before

    def test_the_creator_owns_it_unless_the_payload_says_otherwise(self, client):
        own = created(client("POST", "accounts", {}))
        other = created(client("POST", "accounts", {"ownerid@odata.bind": f"systemusers({U2})"}))
        assert client.value("account", own, "ownerid") == client.organisation.user_id
        assert client.value("account", other, "ownerid") == U2
        third = created(client("POST", "accounts", {"ownerid@odata.bind": f"owners({U2})"}))
        assert client.value("account", third, "ownerid") == U2

    @pytest.mark.parametrize(
        ("body", "status", "code", "part"),
        [
            ({"accountid": A1}, 412, "0x80040237", "A record with matching key values already exists."),
            ({"accountnumber": "a-1 "}, 412, "0x80060892", "accountnumber"),
            ({"nonsense": 1}, 400, "0x80048d19", "Invalid property 'nonsense' was found"),
            ({"PrimaryContactId@odata.bind": "x"}, 400, "0x80048d19", "An undeclared property 'PrimaryContactId'"),
            ({"_primarycontactid_value": C1}, 400, "0x80048d19", "CRM do not support direct update"),
            ({"name": 5}, 400, "0x80048d19", "expected type 'Edm.String'"),
            ({"name": "x" * 161}, 400, "0x80044331", "maximum allowed length of '160'"),
            ({"numberofemployees": "5"}, 400, "0x80048d19", "expected type 'Edm.Int32'"),
            ({"numberofemployees": 1 << 31}, 400, "0x80048d19", "expected type 'Edm.Int32'"),
            ({"revenue": 10**40}, 400, "0x80048d19", "expected type 'Edm.Decimal'"),
            (b'{"revenue": NaN}', 400, "0x80048d19", "NaN is no JSON value"),
            (b'{"name": "\\ud800"}', 400, "0x80060888", "out of range"),
            ([], 400, "0x80048d19", "not a JSON object"),
            (b"[" * 100_000, 400, "0x80048d19", "invalid JSON"),
            ({"creditonhold": 1}, 400, "0x80048d19", "expected type 'Edm.Boolean'"),
            ({"accountid": "x"}, 400, "0x80048d19", "expected type 'Edm.Guid'"),
            ({"lastonholdtime": "soon"}, 400, "0x80048d19", "expected type 'Edm.DateTimeOffset'"),
            ({"customertypecode": 99}, 400, "0x80048408", "outside the valid range"),
            ({"primarycontactid": "x"}, 400, "0x80048d19", "does not fit its type"),
            ({"primarycontactid@odata.bind": 5}, 400, "0x80048d19", "single string"),
            ({"Account_Tasks@odata.bind": f"tasks({T1})"}, 400, "0x80048d19", "array of strings"),
            ({"primarycontactid@odata.bind": None}, 400, "0x80048d19", "non-null string value"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_refused(self, client, body, status, code, part):
        answer = client("POST", "accounts", body)
        assert (answer.status, answer.code) == (status, code)
        assert part in answer.message

    def test_a_polymorphic_lookup_is_not_bound_by_its_column(self, client):
        answer = client("POST", "opportunities", {"customerid@odata.bind": f"accounts({A1})"})
        assert (answer.status, answer.code) == (400, "0x80048d19")
        assert "linkid=2195293" in answer.message

    @pytest.mark.parametrize("set_name", ["accountleadscollection", "activityparties"])
    def test_tables_without_create_refuse_it(self, client, set_name):
        answer = client("POST", set_name, {})
        assert answer.code == "0x80040800"
        assert answer.message.startswith("'Create' method does not support entities of type '")


class TestUpdate:
    def test_a_lookup_is_bound_and_cleared(self, client):
        url = f"accounts({A1})"
        assert created(client("PATCH", url, {"primarycontactid@odata.bind": f"contacts({C1})"}, **UPDATE)) == A1
        assert client.value("account", A1, "primarycontactid") == C1
        created(client("PATCH", url, {"primarycontactid": None}, **UPDATE))
        assert client.value("account", A1, "primarycontactid") is None

    def test_a_missing_record_is_created_without_if_match(self, client):
        created(client("PATCH", f"accounts({NEW})", {"name": "Upserted"}))
        assert client.value("account", NEW, "name") == "Upserted"
        created(client("PATCH", "accounts(accountnumber='N-9')", {"name": "By key"}))
        assert client.get("accounts(accountnumber='n-9')?$select=name")["name"] == "By key"

    @pytest.mark.parametrize("tag", ["*", 'W/"7"'])
    def test_a_missing_record_is_refused_with_if_match(self, client, tag):
        answer = client("PATCH", f"accounts({NEW})", {"name": "x"}, if_match=tag)
        assert (answer.status, answer.code) == (404, "0x80040217")

    def test_create_only(self, client):
        assert client("PATCH", f"accounts({A1})", {"name": "x"}, if_none_match="*").status == 412
        assert client.value("account", A1, "name") == "Acme"
        assert client("PATCH", f"accounts({NEW})", {"name": "x"}, if_none_match="*").status == 204
        assert client("PATCH", f"accounts({A1})", {"name": "y"}, if_none_match="null").status == 204

    def test_an_etag_guards_against_another_writer(self, client):
        tag = client.get(f"accounts({A1})")["@odata.etag"]
        assert client("PATCH", f"accounts({A1})", {"name": "Second"}, if_match=tag).status == 204
        answer = client("PATCH", f"accounts({A1})", {"name": "Third"}, if_match=tag)
        assert (answer.status, answer.code) == (412, "0x80060882")
        assert client.value("account", A1, "name") == "Second"

    def test_a_representation_of_an_update_is_200(self, client):
        answer = client("PATCH", f"accounts({A1})", {"name": "x"}, prefer="return=representation")
        assert (answer.status, answer.json["name"]) == (200, "x")
        assert "OData-EntityId" not in answer.headers

    @pytest.mark.parametrize(
        ("toggle", "status", "left"), [("reject", 400, C1), ("ignore", 204, C1), ("clear", 204, None)]
    )
    def test_a_null_bind_is_a_toggle(self, toggle, status, left):
        client = Client.sample(bind_null=toggle)
        client("PATCH", f"accounts({A1})", {"primarycontactid@odata.bind": f"contacts({C1})"})
        assert client("PATCH", f"accounts({A1})", {"primarycontactid@odata.bind": None}).status == status
        assert client.value("account", A1, "primarycontactid") == left

    @pytest.mark.parametrize(
        "body",
        [
            {"accountleads_association@odata.bind": [f"leads({L1})"]},
            {"Account_Tasks": [{"subject": "x"}]},
            {"primarycontactid": {"lastname": "x"}},
            {"accountid": A2},
            {"nonsense": 1},
            {"accountnumber": "B'2"},
        ],
    )
    def test_what_an_update_cannot_do_is_refused(self, client, body):
        assert client("PATCH", f"accounts({A1})", body, **UPDATE).status in (400, 412)

    def test_the_owner_can_be_changed_but_not_removed(self, client):
        body = {"ownerid@odata.bind": f"systemusers({U2})"}
        assert client("PATCH", f"accounts({A1})", body, **UPDATE).status == 204
        assert client("PATCH", f"accounts({A1})", {"ownerid": None}, **UPDATE).status == 400
        assert client.value("account", A1, "ownerid") == U2

    def test_a_single_property(self, client):
        assert client("PUT", f"accounts({A1})/name", {"value": "Put"}).status == 204
        assert client.get(f"accounts({A1})/name")["value"] == "Put"
        assert client("GET", f"accounts({A1})/name/$value").body == b"Put"
        assert client("DELETE", f"accounts({A1})/name").status == 204
        assert client("GET", f"accounts({A1})/name").status == 204

    def test_the_full_name_follows_its_parts(self, client):
        client("PATCH", f"contacts({C1})", {"lastname": "Bug"}, **UPDATE)
        assert client.value("contact", C1, "fullname") == "Ann Bug"

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    def test_writing_through_a_navigation_is_honestly_missing(self, client, method):
        assert client(method, f"accounts({A1})/Account_Tasks", {"subject": "x"}).status == 501


class TestDelete:
    def test_links_and_lookups_to_it_go_too(self, client):
        client("POST", f"accounts({A1})/accountleads_association/$ref", ref(f"leads({L1})"))
        client("POST", f"accounts({A1})/contact_customer_accounts/$ref", ref(f"contacts({C1})"))
        assert client("DELETE", f"accounts({A1})").status == 204
        assert client("GET", f"accounts({A1})").status == 404
        assert not set(client.organisation.links("accountleads_association"))
        assert client.value("contact", C1, "parentcustomerid") is None

    def test_a_cascade_takes_children(self, client):
        client("PUT", f"opportunities({O1})/customerid_account/$ref", ref(f"accounts({A1})"))
        client("DELETE", f"accounts({A1})")
        assert client("GET", f"opportunities({O1})").status == 404

    def test_a_restriction_refuses_and_changes_nothing(self, client):
        client("PUT", f"new_projects({P1})/new_Customer/$ref", ref(f"accounts({A1})"))
        client("POST", f"accounts({A1})/contact_customer_accounts/$ref", ref(f"contacts({C1})"))
        answer = client("DELETE", f"accounts({A1})")
        assert (answer.status, answer.code) == (405, "0x80040227")
        assert client.value("contact", C1, "parentcustomerid") == A1

    @pytest.mark.parametrize(
        ("url", "status"),
        [(f"accounts({NOBODY})", 404), ("accounts(accountnumber='x')", 404), ("accounts", 405), ("nonsense", 404)],
    )
    def test_nothing_to_delete(self, client, url, status):
        assert client("DELETE", url).status == status


class TestActivityParties:
    def email(self, client):
        parties = [
            {"participationtypemask": 1, "partyid_systemuser@odata.bind": f"systemusers({U2})"},
            {"participationtypemask": 2, "partyid_contact@odata.bind": f"contacts({C1})"},
        ]
        return created(client("POST", "emails", {"subject": "Hi", "email_activity_parties": parties}))

    def parties(self, client, email):
        found = client.get(f"emails({email})/email_activity_parties?$select=participationtypemask,_partyid_value")
        return {(party["participationtypemask"], party["_partyid_value"]) for party in found["value"]}

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(("toggle", "status"), [("replace", 204), ("append", 204), ("405", 405)])
    def test_writing_the_collection_is_a_toggle(self, method, toggle, status):
        client = Client.sample(parties=toggle)
        email = self.email(client)
        rows = [{"participationtypemask": 3, "partyid_contact@odata.bind": f"contacts({C2})"}]
        if method == "PUT":
            answer = client("PUT", f"emails({email})/email_activity_parties", {"value": rows})
        else:
            answer = client("PATCH", f"emails({email})", {"email_activity_parties": rows})
        before, new = {(1, U2), (2, C1)}, {(3, C2)}
        assert answer.status == status
        expected = {"replace": new, "append": before | new, "405": before}[toggle]
        assert self.parties(client, email) == expected

    def test_a_bad_party_leaves_the_others(self, client):
        email = self.email(client)
        rows = [{"participationtypemask": 3, "partyid_contact@odata.bind": f"contacts({NOBODY})"}]
        assert client("PUT", f"emails({email})/email_activity_parties", {"value": rows}).status == 404
        assert self.parties(client, email) == {(1, U2), (2, C1)}

    def test_other_collections_take_no_put(self, client):
        assert client("PUT", f"accounts({A1})/Account_Tasks", {"value": []}).status == 405


def multiple(client, name, targets, set_name="accounts"):
    typed = [{"@odata.type": ACCOUNT, **target} for target in targets]
    return client("POST", f"{set_name}/Microsoft.Dynamics.CRM.{name}", {"Targets": typed})


class TestBulkMessages:
    def test_create_multiple_gives_the_ids_in_order(self, client):
        answer = multiple(client, "CreateMultiple", [{"name": "x"}, {"accountid": NEW, "name": "y"}])
        assert answer.status == 200
        assert answer.json["@odata.context"].endswith("#Microsoft.Dynamics.CRM.CreateMultipleResponse")
        assert client.value("account", answer.json["Ids"][0], "name") == "x"
        assert answer.json["Ids"][1] == NEW

    def test_update_multiple_sets_lookups(self, client):
        targets = [{"accountid": a, "primarycontactid@odata.bind": f"contacts({C1})"} for a in (A1, A2)]
        assert multiple(client, "UpdateMultiple", targets).status == 204
        assert client.value("account", A2, "primarycontactid") == C1

    @pytest.mark.parametrize(("toggle", "status", "left"), [("clear", 204, None), ("400", 400, C1)])
    def test_clearing_by_null_is_a_toggle(self, toggle, status, left):
        client = Client.sample(update_multiple_null=toggle)
        client("PUT", f"accounts({A1})/primarycontactid/$ref", ref(f"contacts({C1})"))
        assert multiple(client, "UpdateMultiple", [{"accountid": A1, "primarycontactid": None}]).status == status
        assert client.value("account", A1, "primarycontactid") == left

    def test_upsert_multiple_takes_keys(self, client):
        targets = [
            {"@odata.id": "accounts(accountnumber='A-1')", "name": "Known"},
            {"@odata.id": "accounts(accountnumber='Z-1')", "name": "New"},
            {"accountid": NEW, "name": "By id"},
        ]
        assert multiple(client, "UpsertMultiple", targets).status == 204
        assert client.value("account", A1, "name") == "Known"
        assert client.get("accounts(accountnumber='Z-1')")["name"] == "New"
        assert client.value("account", NEW, "name") == "By id"

    @pytest.mark.parametrize(
        ("name", "targets", "status", "code"),
        [
            ("UpdateMultiple", [{"accountid": A1, "name": "x"}, {"accountid": NOBODY, "name": "y"}], 404, "0x80040217"),
            ("UpdateMultiple", [{"accountid": A1, "name": "x"}, {"name": "y"}], 400, "0x80048d19"),
            ("UpdateMultiple", [{"accountid": A1, "name": "x"}, {"accountid": A2, "no": 1}], 400, "0x80048d19"),
            ("UpdateMultiple", [], 400, "0x80040203"),
            ("UpdateMultiple", [{"accountid": A1, "@odata.type": "Microsoft.Dynamics.CRM.contact"}], 400, "0x80048d19"),
            ("UpsertMultiple", [{"@odata.id": f"{API}/accounts({A1})"}], 400, "0x80048d19"),
            ("UpsertMultiple", [{"@odata.id": f"contacts({C1})"}], 400, "0x80060888"),
            ("CreateMultiple", [{"name": "x"}, {"accountid": A1}], 412, "0x80040237"),
        ],
    )  # fmt: skip
    def test_one_bad_target_fails_them_all(self, client, name, targets, status, code):
        before = client.organisation.counts()
        answer = multiple(client, name, targets)
        assert (answer.status, answer.code) == (status, code)
        assert client.value("account", A1, "name") == "Acme"
        assert client.organisation.counts() == before

    def test_there_is_none_for_links_and_others_are_named(self, client):
        assert multiple(client, "AssociateMultiple", [{}]).status == 501
        assert "AssociateMultiple" in multiple(client, "AssociateMultiple", [{}]).message


class TestMessagesOfTheirOwn:
    def test_marketing_lists(self, client):
        list_id = created(client("POST", "lists", {"listname": "Spring", "createdfromcode": 2}))
        url = f"lists({list_id})/Microsoft.Dynamics.CRM.AddMemberList"
        first = client("POST", url, {"EntityId": C1})
        assert first.json["ListMemberId"] == client("POST", url, {"EntityId": C1}).json["ListMemberId"]
        assert client("POST", url, {"EntityId": A1}).status == 404
        members = [{"@odata.type": "Microsoft.Dynamics.CRM.contact", "contactid": C2}]
        body = {"List": {"listid": list_id}, "Members": members}
        assert client("POST", "AddListMembersList", body).status == 204
        found = client.get(f"listmembers?$select=_entityid_value,entitytype&$filter=_listid_value eq {list_id}")[
            "value"
        ]
        assert {(m["_entityid_value"], m["entitytype"]) for m in found} == {(C1, "contact"), (C2, "contact")}
        assert set(client.organisation.links("listcontact_association")) == {(C1, list_id), (C2, list_id)}
        removal = f"lists({list_id})/Microsoft.Dynamics.CRM.RemoveMemberList"
        assert client("POST", removal, {"ListMember": {"listmemberid": C1}}).status == 204
        assert client("POST", removal, {"ListMember": {"listmemberid": C1}}).code == "0x80048458"
        assert client("POST", removal, {"EntityId": C1}).code == "0x80040203"
        reference = {"@odata.id": f"{client.request('GET', '').api_url}/contacts({C1})"}
        refused = client("POST", f"lists({list_id})/listcontact_association/$ref", reference)
        assert refused.message == "Associate is not supported for ListMember."
        assert client("DELETE", f"lists({list_id})/listcontact_association({C2})/$ref").status == 400

    def test_teams(self, client):
        team = created(client("POST", "teams", {"name": "Blue"}))
        body = {"Members": [{"@odata.type": "Microsoft.Dynamics.CRM.systemuser", "systemuserid": U2}]}
        for _ in range(2):
            assert client("POST", f"teams({team})/Microsoft.Dynamics.CRM.AddMembersTeam", body).status == 204
        assert set(client.organisation.links("teammembership_association")) == {(team, U2)}
        assert client("POST", f"teams({team})/Microsoft.Dynamics.CRM.RemoveMembersTeam", body).status == 204
        assert not set(client.organisation.links("teammembership_association"))

    def test_privileges_of_the_user(self, client):
        user = f"systemusers({client.organisation.user_id})/Microsoft.Dynamics.CRM"
        asked = f"{user}.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='prvAppendToLead')"
        (privilege,) = client.get(asked)["RolePrivileges"]
        entity = client.get("EntityDefinitions(LogicalName='lead')/Privileges")["value"]
        assert privilege["PrivilegeId"] in {p["PrivilegeId"] for p in entity if p["Name"] == "prvAppendToLead"}
        client.organisation.missing_privileges.add(("AppendTo", "lead"))
        assert client.get(asked)["RolePrivileges"] == []
        names = {p["PrivilegeName"] for p in client.get(f"{user}.RetrieveUserPrivileges()")["RolePrivileges"]}
        assert "prvAppendToAccount" in names
        assert "prvAppendToLead" not in names

    @pytest.mark.parametrize(
        ("url", "status"),
        [
            ("RetrieveTotalRecordCount(EntityNames=['account'])", 501),
            (f"systemusers({U2})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)", 501),
            ("Account", 404),
            ("Settlement", 404),
        ],
    )
    def test_operations_that_are_missing_are_named_and_misspelt_sets_are_not_taken_for_them(self, client, url, status):
        answer = client("GET", url)
        assert answer.status == status
        assert "Retrieve" in answer.message or status == 404

    def test_who_and_where(self, client):
        who = client.get("WhoAmI")
        assert client.get(f"systemusers({who['UserId']})")["_businessunitid_value"] == who["BusinessUnitId"]
        detail = client.get(
            "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')"
        )
        assert detail["Detail"]["OrganizationId"] == who["OrganizationId"]
        answer = client("POST", "WhoAmI")
        assert (answer.status, answer.code) == (404, "")
        assert answer.message.startswith("No HTTP resource was found that matches the request URI")


def test_error_details_come_when_their_annotations_are_asked_for():
    client = Client.sample()
    plain = client("GET", f"accounts({NOBODY})").json["error"]
    assert set(plain) == {"code", "message"}
    detailed = client("GET", f"accounts({NOBODY})", prefer='odata.include-annotations="*"').json["error"]
    assert detailed["@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"] == str(0x80040217)
