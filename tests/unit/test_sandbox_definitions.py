"""Metadata out: table and relationship definitions as JSON, CSDL; and CSDL in."""

from pathlib import Path

import pytest

from bulklink.sandbox.csdl_reader import read_csdl
from bulklink.sandbox.csdl_writer import write_csdl
from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.sample import sample_model
from tests.sandbox_client import API, Client, guid, ref

NAMESPACE = "Microsoft.Dynamics.CRM"
MANY = f"{NAMESPACE}.ManyToManyRelationshipMetadata"
ONE = f"{NAMESPACE}.OneToManyRelationshipMetadata"
ACCOUNT = "EntityDefinitions(LogicalName='account')"


@pytest.fixture(scope="module")
def client():
    return Client.sample()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file: Path = tmp_path_factory.mktemp("csdl") / "metadata.xml"
    file.write_text(write_csdl(sample_model()), encoding="utf-8")
    return read_csdl(file)


class TestTables:
    def test_one_table(self, client):
        found = client.get(
            f"{ACCOUNT}?$select=LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute"
        )
        assert found.pop("MetadataId")
        assert found == {
            "@odata.context": f"{API}/$metadata#{ACCOUNT}/$entity",
            "LogicalName": "account",
            "SchemaName": "Account",
            "EntitySetName": "accounts",
            "PrimaryIdAttribute": "accountid",
            "PrimaryNameAttribute": "name",
        }

    def test_by_metadata_id(self, client):
        found = client.get(f"{ACCOUNT}?$select=LogicalName")
        assert client.get(f"EntityDefinitions({found['MetadataId']})")["LogicalName"] == "account"

    @pytest.mark.parametrize(
        ("condition", "names"),
        [
            ("LogicalName eq 'account' or LogicalName eq 'lead'", {"account", "lead"}),
            ("IsIntersect eq true and IsCustomEntity eq true", {"new_account_new_tag", "new_new_tag_new_tag"}),
            ("not (IsCustomEntity eq false) and IsIntersect eq false", {"new_tag", "new_project"}),
            ("SchemaName eq 'it''s'", set()),
            ("ObjectTypeCode eq 4", {"lead"}),
        ],
    )
    def test_a_filter(self, client, condition, names):
        value = client.get(f"EntityDefinitions?$select=LogicalName&$filter={condition}")["value"]
        assert {table["LogicalName"] for table in value} == names

    @pytest.mark.parametrize(
        ("url", "status"),
        [
            ("EntityDefinitions(LogicalName='nonsense')", 404),
            ("EntityDefinitions(Nonsense='account')", 400),
            (f"{ACCOUNT}?$select=nonsense", 400),
            (f"{ACCOUNT}/Nonsense", 404),
            (f"{ACCOUNT}/ManyToManyRelationships?$select=ReferencedEntity", 400),
            (f"{ACCOUNT}/Attributes?$select=Targets", 400),
            (f"{ACCOUNT}/Attributes(LogicalName='nonsense')", 404),
            ("RelationshipDefinitions(SchemaName='nonsense')", 404),
            ("RelationshipDefinitions?$select=ReferencedEntity", 400),
            ("RelationshipDefinitions?$filter=Entity1LogicalName eq 'account'", 400),
            (f"RelationshipDefinitions(SchemaName='accountleads_association')/{ONE}", 404),
            ("EntityDefinitions?$filter=startswith(LogicalName,'a')", 501),
            ("EntityDefinitions?$filter=LogicalName eq", 400),
            ("GlobalOptionSetDefinitions", 501),
        ],
    )
    def test_what_is_wrong_or_missing(self, client, url, status):
        assert client("GET", url).status == status

    def test_nothing_is_written_here(self, client):
        assert client("POST", "EntityDefinitions", {}).status == 501

    def test_expansion(self, client):
        expand = "Keys($select=KeyAttributes),ManyToManyRelationships($select=SchemaName)"
        found = client.get(f"{ACCOUNT}?$select=LogicalName&$expand={expand}")
        assert [key["KeyAttributes"] for key in found["Keys"]] == [["accountnumber"]]
        assert "accountleads_association" in {r["SchemaName"] for r in found["ManyToManyRelationships"]}


class TestColumns:
    def test_types(self, client):
        value = client.get(f"{ACCOUNT}/Attributes?$select=LogicalName,AttributeType,SchemaName")["value"]
        types = {column["LogicalName"]: column["AttributeType"] for column in value}
        assert types["name"] == "String"
        assert types["primarycontactid"] == "Lookup"
        assert types["ownerid"] == "Owner"
        assert types["statecode"] == "State"
        assert types["accountid"] == "Uniqueidentifier"

    def test_targets_of_lookups_need_the_cast(self, client):
        url = f"EntityDefinitions(LogicalName='contact')/Attributes/{NAMESPACE}.LookupAttributeMetadata"
        value = client.get(f"{url}?$select=LogicalName,Targets")["value"]
        targets = {column["LogicalName"]: set(column["Targets"]) for column in value}
        assert targets == {"parentcustomerid": {"account", "contact"}, "ownerid": {"systemuser", "team"}}

    def test_choices(self, client):
        url = f"{ACCOUNT}/Attributes(LogicalName='customertypecode')/{NAMESPACE}.PicklistAttributeMetadata"
        options = client.get(f"{url}?$select=LogicalName&$expand=OptionSet")["OptionSet"]["Options"]
        labels = {option["Value"]: option["Label"]["UserLocalizedLabel"]["Label"] for option in options}
        assert labels == {1: "Competitor", 2: "Consultant", 3: "Customer"}
        yes_no = (
            f"{ACCOUNT}/Attributes(LogicalName='creditonhold')/{NAMESPACE}.BooleanAttributeMetadata?$expand=OptionSet"
        )
        assert client.get(yes_no)["OptionSet"]["TrueOption"]["Value"] == 1
        assert client.get(f"{ACCOUNT}/Attributes(LogicalName='customertypecode')/OptionSet")["Options"] == options

    def test_keys(self, client):
        value = client.get(f"{ACCOUNT}/Keys?$select=SchemaName,LogicalName,KeyAttributes,EntityKeyIndexStatus")["value"]
        assert [(key["KeyAttributes"], key["EntityKeyIndexStatus"]) for key in value] == [(["accountnumber"], "Active")]


class TestRelationships:
    def test_many_to_many(self, client):
        found = client.get(f"RelationshipDefinitions(SchemaName='new_Account_new_Tag_new_Tag')/{MANY}")
        assert (found["Entity1LogicalName"], found["Entity1IntersectAttribute"]) == ("new_tag", "new_tagid")
        assert (found["Entity2LogicalName"], found["Entity2IntersectAttribute"]) == ("account", "accountid")
        assert found["IntersectEntityName"] == "new_account_new_tag"
        assert "@odata.type" not in found

    def test_one_to_many(self, client):
        found = client.get("RelationshipDefinitions(SchemaName='contact_customer_accounts')")
        assert found["@odata.type"] == f"#{ONE}"
        assert (found["ReferencedEntity"], found["ReferencedAttribute"]) == ("account", "accountid")
        assert found["ReferencedEntityNavigationPropertyName"] == "contact_customer_accounts"
        assert (found["ReferencingEntity"], found["ReferencingAttribute"]) == ("contact", "parentcustomerid")
        assert found["ReferencingEntityNavigationPropertyName"] == "parentcustomerid_account"

    def test_custom_lookups_keep_their_case(self, client):
        found = client.get("RelationshipDefinitions(SchemaName='new_account_new_project')")
        assert found["ReferencingAttribute"] == "new_customer"
        assert found["ReferencingEntityNavigationPropertyName"] == "new_Customer"

    def test_all_of_one_kind(self, client):
        kind = f"{NAMESPACE}.RelationshipType'ManyToManyRelationship'"
        filtered = client.get(f"RelationshipDefinitions?$select=SchemaName&$filter=RelationshipType eq {kind}")["value"]
        cast = client.get(f"RelationshipDefinitions/{MANY}?$select=SchemaName,Entity1LogicalName")["value"]
        assert (
            {r["SchemaName"] for r in filtered} == {r["SchemaName"] for r in cast} == set(sample_model().many_to_many)
        )

    @pytest.mark.parametrize("part", ["ManyToManyRelationships", "OneToManyRelationships", "ManyToOneRelationships"])
    def test_the_relationships_of_a_table_are_in_its_navigations(self, client, part):
        for relationship in client.get(f"{ACCOUNT}/{part}")["value"]:
            if part == "ManyToManyRelationships":
                side = 1 if relationship["Entity1LogicalName"] == "account" else 2
                name = relationship[f"Entity{side}NavigationPropertyName"]
            else:
                side = "Referenced" if part == "OneToManyRelationships" else "Referencing"
                name = relationship[f"{side}EntityNavigationPropertyName"]
            assert name in client.organisation.model.navigations["account"]

    @pytest.mark.parametrize(
        ("toggle", "names"),
        [
            ("as-captured", ("campaigncampaign_association", "campaigncampaign_association_referenced")),
            ("same-name", ("campaigncampaign_association", "campaigncampaign_association")),
            ("swapped", ("campaigncampaign_association_referenced", "campaigncampaign_association")),
        ],
    )
    def test_the_names_of_a_reflexive_one_are_a_toggle(self, toggle, names):
        client = Client.sample(reflexive_names=toggle)
        found = client.get(f"RelationshipDefinitions(SchemaName='campaigncampaign_association')/{MANY}")
        assert (found["Entity1NavigationPropertyName"], found["Entity2NavigationPropertyName"]) == names
        # $metadata always tells them apart.
        assert (
            b'"campaigncampaign_association_referenced" Type="Collection(mscrm.campaign)"'
            in client("GET", "$metadata").body
        )

    def test_bulk_messages_are_listed_per_table(self, client):
        url = "sdkmessagefilters?$filter=sdkmessageid/name eq '{}' and primaryobjecttypecode eq '{}'"
        assert client.get(url.format("UpdateMultiple", "contact"))["value"]
        assert not client.get(url.format("UpdateMultiple", "accountleads"))["value"]

    def test_the_version_comes_on_request(self, client):
        name = "@Microsoft.Dynamics.CRM.globalmetadataversion"
        found = client.get(f"{ACCOUNT}?$select=LogicalName", prefer='odata.include-annotations="*"')
        assert found[name]
        assert name not in client.get(f"{ACCOUNT}?$select=LogicalName")

    def test_the_service_document_lists_every_set(self, client):
        assert {"name": "accounts", "kind": "EntitySet", "url": "accounts"} in client.get("")["value"]


class TestCsdl:
    def test_what_is_written_reads_back(self, model):
        sample = sample_model()
        assert set(model.entity_sets) == set(sample.entity_sets)
        for name, table in sample.tables.items():
            assert model.tables[name].primary_id == table.primary_id
            assert {k.columns for k in model.tables[name].keys} == {k.columns for k in table.keys}
            assert model.tables[name].is_intersect == table.is_intersect

    def test_navigation_leads_to_the_same_places(self, model):
        sample = sample_model()
        for table, navigations in sample.navigations.items():
            assert set(model.navigations[table]) == set(navigations)
            for name, navigation in navigations.items():
                found = model.navigations[table][name]
                assert type(found) is type(navigation)
                for attribute in ("column", "other", "intersect", "own_attribute", "other_attribute", "targets"):
                    expected = getattr(navigation, attribute, None)
                    assert getattr(found, attribute, None) == expected, (table, name, attribute)

    def test_the_rules_hold_on_it(self, model):
        client = Client(Organisation.in_memory(model))
        client.organisation.create_record("account", {"accountid": guid(1)})
        client.organisation.create_record("lead", {"leadid": guid(2)})
        url = f"accounts({guid(1)})/accountleads_association/$ref"
        assert client("POST", url, ref(f"leads({guid(2)})")).status == 204
        assert client("POST", url, ref(f"leads({guid(2)})")).code == "0x80040237"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no xml",
            "<html/>",
            '<edmx:Edmx xmlns:edmx="x" Version="4.0"/>',
            '<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
            '<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="a"/></Schema>',
        ],
    )
    def test_what_is_no_csdl_is_refused_in_one_sentence(self, tmp_path, text):
        file = tmp_path / "metadata.xml"
        file.write_text(text)
        with pytest.raises(SandboxUsageError, match=r"metadata\.xml is not a \$metadata document: ."):
            read_csdl(file)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(SandboxUsageError, match="cannot be read"):
            read_csdl(tmp_path / "none.xml")
