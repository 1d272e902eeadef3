"""Reading: filters, paging, sorting, counting, expanding, intersects, references."""

from urllib.parse import quote, unquote

import pytest

from tests.sandbox_client import A1, A2, API, C1, C2, L1, L2, NOBODY, O1, Client, guid, ref

CITIES = (
    (guid(21), "Aachen ", 3, True, "2024-01-01T10:00:00Z"),
    (guid(22), "berlin", 1, False, "2024-06-01T10:00:00+02:00"),
    (guid(23), "Bonn's", None, None, None),
    (guid(24), "CÖLN", 2, True, "2025-01-01"),
)


IN = "Microsoft.Dynamics.CRM.In"


@pytest.fixture(scope="module")
def client():
    client = Client.sample()
    rows = [
        {"accountid": i, "address1_city": c, "numberofemployees": n, "creditonhold": h, "lastonholdtime": t}
        for i, c, n, h, t in CITIES
    ]
    client.organisation.load_table("account", rows)
    client("PUT", f"accounts({A1})/primarycontactid/$ref", ref(f"contacts({C1})"))
    client("PUT", f"opportunities({O1})/customerid_account/$ref", ref(f"accounts({A1})"))
    for account, lead in ((A1, L1), (A1, L2), (A2, L1)):
        client("POST", f"accounts({account})/accountleads_association/$ref", ref(f"leads({lead})"))
    return client


class TestFilter:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("address1_city eq 'AACHEN'", {21}),
            ("address1_city eq 'aachen   '", {21}),
            ("address1_city eq 'bonn''s'", {23}),
            ("address1_city eq 'cöln'", {24}),
            ("address1_city in ('berlin','BONN''S')", {22, 23}),
            ("startswith(address1_city,'B')", {22, 23}),
            ("endswith(address1_city,'N')", {21, 22, 24}),
            ("contains(address1_city,'ER')", {22}),
            ("not startswith(address1_city,'b') and address1_city ne null", {21, 24}),
            ("address1_city ne 'berlin' and address1_city ne null", {21, 23, 24}),
            ("address1_city gt 'berlin'", {23, 24}),
            ("numberofemployees ge 2", {21, 24}),
            ("numberofemployees lt 2 or creditonhold eq true", {21, 22, 24}),
            ("numberofemployees eq null and address1_city ne null", {23}),
            ("(numberofemployees eq 1 or numberofemployees eq 2) and creditonhold eq false", {22}),
            ("numberofemployees eq 1 or numberofemployees eq 2 and creditonhold eq false", {22}),
            ("lastonholdtime lt 2024-06-01T09:00:00Z", {21, 22}),
            ("lastonholdtime gt 2024-06-01T07:59:59Z", {22, 24}),
            (f"accountid eq {guid(21).upper()}", {21}),
            (f"accountid in ({guid(21)},{guid(23)})", {21, 23}),
            (f"{IN}(PropertyName='accountid',PropertyValues=['{guid(21)}','{guid(22)}'])", {21, 22}),
            (f"{IN}(PropertyName='address1_city',PropertyValues=['BERLIN ','x'])", {22}),
            (f"{IN}(PropertyName='numberofemployees',PropertyValues=['1','2'])", {22, 24}),
            (f"_primarycontactid_value eq {C1}", {1}),
            ("primarycontactid/fullname eq 'ann ANT'", {1}),
            ("_primarycontactid_value ne null", {1}),
        ],
    )  # fmt: skip
    def test_it_finds_what_the_service_finds(self, client, text, found):
        value = client.get(f"accounts?$select=accountid&$filter={quote(text)}")["value"]
        assert {int(record["accountid"][-12:]) for record in value} == found

    @pytest.mark.parametrize(
        ("text", "status", "part"),
        [
            ("nonsense eq 1", 400, "property named 'nonsense' on type 'Microsoft.Dynamics.CRM.account'."),
            ("Name eq 'x'", 400, "Could not find a property named 'Name'"),
            ("name eq", 400, "Syntax error"),
            ("not " * 500 + "name eq null", 400, "nested too deeply"),
            ("(" * 500 + "name eq null" + ")" * 500, 400, "nested too deeply"),
            ("name eq 'x", 400, "Syntax error"),
            ("(name eq 'x'", 400, "Syntax error"),
            ("name eq 'x')", 400, "Syntax error"),
            ("name eq 5", 400, "incompatible types"),
            (f"name eq {A1}", 400, "incompatible types"),
            (f"accountid eq '{A1}'", 400, "incompatible types"),
            (f"primarycontactid eq {C1}", 400, "incompatible types"),
            ("numberofemployees eq 'x'", 400, "incompatible types"),
            ("tolower(name) eq 'x'", 501, "tolower"),
            ("Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=5)", 501, "LastXDays"),
            ("accountleads_association/any(l:l/subject eq 'x')", 501, "accountleads_association"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused(self, client, text, status, part):
        answer = client("GET", f"accounts?$filter={quote(text)}")
        assert answer.status == status
        assert part in answer.message

    def test_long_lists_of_alternatives(self, client):
        text = " or ".join(f"(accountid eq {guid(n)} and name ne null)" for n in range(1_200))
        found = client.get(f"accounts?$select=name&$filter={quote(text)}")["value"]
        assert {record["name"] for record in found} == {"Acme", "Bolt"}

    def test_values_are_never_sql(self, client):
        text = quote("name eq '''; DROP TABLE account; --'")
        assert client.get(f"accounts?$filter={text}")["value"] == []
        assert client.organisation.counts()["account"] == 6


class TestShape:
    def test_a_record(self, client):
        record = client.get(f"accounts({A1})?$select=name,_primarycontactid_value")
        assert record.pop("@odata.etag").startswith('W/"')
        assert record == {
            "@odata.context": f"{API}/$metadata#accounts(name,_primarycontactid_value)/$entity",
            "name": "Acme",
            "_primarycontactid_value": C1,
            "accountid": A1,
        }

    def test_without_select_everything_comes(self, client):
        assert {"createdon", "statecode", "_ownerid_value", "versionnumber"} <= set(client.get(f"accounts({A1})"))

    def test_yes_and_no_are_booleans(self, client):
        assert [r["creditonhold"] for r in client.get("accounts?$filter=address1_city ne null")["value"]] == [
            True,
            False,
            None,
            True,
        ]

    def test_annotations(self, client):
        record = client.get(
            f"accounts({A1})?$select=statecode,_primarycontactid_value", prefer='odata.include-annotations="*"'
        )
        assert record["statecode@OData.Community.Display.V1.FormattedValue"] == "Active"
        some = client.get(f"accounts({A1})?$select=statecode", prefer='odata.include-annotations="Microsoft.*"')
        assert not any("FormattedValue" in name for name in some)
        name = "_primarycontactid_value@Microsoft.Dynamics.CRM"
        assert record[f"{name}.lookuplogicalname"] == "contact"
        assert record[f"{name}.associatednavigationproperty"] == "primarycontactid"

    def test_an_unchanged_record_is_304(self, client):
        answer = client("GET", f"accounts({A1})")
        tag = answer.json["@odata.etag"]
        assert answer.headers["ETag"] == tag
        assert client("GET", f"accounts({A1})", if_none_match=tag).status == 304
        assert client("GET", f"accounts({A1})", if_none_match="null").status == 200

    def test_no_such_record(self, client):
        answer = client("GET", f"accounts({NOBODY})")
        assert (answer.status, answer.code) == (404, "0x80040217")


class TestPages:
    def pages(self, client, url, **headers):
        found, links = [], 0
        while url:
            body = client.get(url, **headers)
            found.append([record["accountid"] for record in body["value"]])
            url, links = body.get("@odata.nextLink", "").removeprefix(f"{API}/"), links + 1
        return found

    @pytest.mark.parametrize("order", ["", "&$orderby=address1_city desc"])
    @pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
    def test_every_record_comes_once(self, client, size, order):
        url = f"accounts?$select=accountid{order}"
        pages = self.pages(client, url, prefer=f"odata.maxpagesize={size}")
        whole = [record["accountid"] for record in client.get(url)["value"]]
        assert [record for page in pages for record in page] == whole
        assert all(len(page) == size for page in pages[:-1])
        assert len(whole) == 6

    def test_filters_survive_the_link(self, client):
        text = quote("address1_city ne 'a&b' and address1_city ne null")
        url = f"accounts?$select=accountid&$filter={text}"
        assert len(self.pages(client, url, prefer="odata.maxpagesize=2")) == 2

    def test_the_page_size_applied_is_named(self, client):
        answer = client("GET", "accounts", prefer='odata.include-annotations="*", odata.maxpagesize=3')
        assert answer.headers["Preference-Applied"] == 'odata.maxpagesize=3, odata.include-annotations="*"'
        assert "<cookie" in unquote(answer.json["@odata.nextLink"])

    @pytest.mark.parametrize("size", ["5001", "0", "x"])
    def test_other_sizes_are_ignored(self, client, size):
        assert len(client.get("accounts", prefer=f"odata.maxpagesize={size}")["value"]) == 6

    def test_five_thousand_at_most(self):
        client = Client.sample()
        client.organisation.load_table("lead", ({"subject": str(n)} for n in range(5_003)))
        body = client.get("leads?$select=subject&$count=true")
        assert (len(body["value"]), body["@odata.count"]) == (5_000, 5_000)
        rest = client.get(body["@odata.nextLink"].removeprefix(f"{API}/"))
        assert (len(rest["value"]), "@odata.nextLink" in rest) == (5, False)
        assert client("GET", "leads/$count").body == b"5000"

    def test_top(self, client):
        body = client.get("accounts?$top=2&$orderby=numberofemployees desc,accountid")
        assert [record["numberofemployees"] for record in body["value"]] == [3, 2]
        assert "@odata.nextLink" not in body
        assert len(client.get("accounts?$top=2", prefer="odata.maxpagesize=4")["value"]) == 4

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("$skip=1", 400),
            ("$top=x", 400),
            ("$skiptoken=x", 400),
            ("$select=nonsense", 400),
            ("$select=accountleads_association", 400),
            ("$orderby=nonsense", 400),
            ("$orderby=name sideways", 400),
            ("$nonsense=1", 400),
            ("$expand=nonsense", 400),
            ("$expand=primarycontactid($expand=Contact_Tasks)", 501),
            ("$apply=aggregate($count as n)", 501),
            ("fetchXml=<fetch/>", 501),
            ("savedQuery=x", 501),
        ],
    )
    def test_options_that_are_wrong_or_missing_here(self, client, query, status):
        assert client("GET", f"accounts?{quote(query, safe='$=()')}").status == status


class TestRelated:
    def test_the_intersect_holds_the_pairs(self, client):
        value = client.get("accountleadscollection?$select=accountid,leadid")["value"]
        assert {(r["accountid"], r["leadid"]) for r in value} == {(A1, L1), (A1, L2), (A2, L1)}
        assert len({r["accountleadid"] for r in value}) == 3

    def test_existence_of_one_link(self, client):
        url = f"accountleadscollection?$select=accountleadid&$filter=accountid eq {A1} and leadid eq {{}}&$top=1"
        assert len(client.get(url.format(L1))["value"]) == 1
        assert client.get(url.format(NOBODY))["value"] == []

    def test_one_row_of_an_intersect(self, client):
        row = client.get("accountleadscollection?$top=1")["value"][0]
        assert client.get(f"accountleadscollection({row['accountleadid']})")["leadid"] == row["leadid"]

    @pytest.mark.parametrize(
        ("url", "ids"),
        [
            (f"accounts({A1})/accountleads_association", {L1, L2}),
            (f"leads({L1})/accountleads_association", {A1, A2}),
            (f"accounts({A1})/opportunity_customer_accounts", {O1}),
            (f"contacts({C1})/account_primary_contact", {A1}),
            (f"contacts({C2})/account_primary_contact", set()),
        ],
    )
    def test_collections_and_their_references(self, client, url, ids):
        value = client.get(f"{url}/$ref")["value"]
        assert {item["@odata.id"][-37:-1] for item in value} == ids
        assert len(client.get(url)["value"]) == len(ids)
        assert client("GET", f"{url}/$count").body == str(len(ids)).encode()

    def test_the_record_behind_a_lookup(self, client):
        assert client.get(f"accounts({A1})/primarycontactid?$select=fullname")["fullname"] == "Ann Ant"
        assert client.get(f"accounts({A1})/primarycontactid/$ref")["@odata.id"] == f"{API}/contacts({C1})"
        assert client("GET", f"accounts({A2})/primarycontactid").status == 204
        assert client("GET", f"opportunities({O1})/customerid_contact").status == 204

    def test_one_of_a_collection(self, client):
        assert client.get(f"accounts({A1})/accountleads_association({L1})?$select=subject")["subject"] == "One"
        assert client("GET", f"accounts({A2})/accountleads_association({L2})").status == 404

    def test_expand(self, client):
        expand = "primarycontactid($select=fullname),accountleads_association($select=subject;$top=1)"
        record = client.get(f"accounts({A1})?$select=name&$expand={expand}")
        assert record["primarycontactid"]["fullname"] == "Ann Ant"
        assert [lead["subject"] for lead in record["accountleads_association"]] == ["One"]
        link = record["accountleads_association@odata.nextLink"].removeprefix(f"{API}/")
        assert link.startswith(f"accounts({A1})/accountleads_association?")

    def test_the_link_of_a_complete_expansion_leads_to_nothing(self, client):
        record = client.get(f"leads({L2})?$select=subject&$expand=accountleads_association($select=name)")
        link = record["accountleads_association@odata.nextLink"].removeprefix(f"{API}/")
        assert client.get(link)["value"] == []
        assert client.get(f"accounts({A2})?$expand=primarycontactid")["primarycontactid"] is None
