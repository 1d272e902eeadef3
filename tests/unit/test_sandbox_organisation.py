"""An organisation's storage: loading, dumping, data files, toggles, odd CSDL."""

import csv
import sqlite3

import openpyxl
import pytest

from bulklink.sandbox.csdl_reader import read_csdl
from bulklink.sandbox.csdl_writer import write_csdl
from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.sample import sample_model
from bulklink.sandbox.toggles import NUMBER, Toggles
from tests.sandbox_client import A1, C1, L1, Client, guid, ref


@pytest.fixture
def organisation():
    return Organisation.sample()


def read(organisation, table, record_id):
    return organisation.read(organisation.model.tables[table], record_id)


def records(organisation, table, column):
    return [row[0] for row in organisation.connection.execute(f'SELECT "{column}" FROM "{table}" ORDER BY rowid')]


class TestLoading:
    def test_a_directory_of_csv_and_xlsx(self, organisation, tmp_path):
        (tmp_path / "accounts.csv").write_text(
            f"accountid;name;numberofemployees;creditonhold;customertypecode\n{A1};Acme;5;yes;customer\n;Bolt;;no;1\n",
            encoding="utf-8-sig",
        )
        (tmp_path / "accountleads.csv").write_text(f"accountid,leadid\n{A1},{L1}\n")
        (tmp_path / "ignored.txt").write_text("x")
        book = openpyxl.Workbook()
        book.active.append(["contactid", "firstname", "lastname", "parentcustomerid", "birthdate"])
        book.active.append([f"{{{C1.upper()}}}", "Ann", "Ant", A1, "2000-01-02"])
        book.save(tmp_path / "contact.xlsx")
        assert organisation.load(tmp_path) == {"accountleads": 1, "account": 2, "contact": 1}
        account = read(organisation, "account", A1)
        assert (account["numberofemployees"], account["creditonhold"], account["customertypecode"]) == (5, 1, 3)
        contact = read(organisation, "contact", C1)
        assert (contact["fullname"], contact["parentcustomerid target"]) == ("Ann Ant", "account")
        assert list(organisation.links("accountleads_association")) == [(A1, L1)]
        assert list(organisation.links("contact_customer_accounts")) == [(A1, C1)]
        assert list(organisation.links("contact_customer_contacts")) == []

    def test_ids_are_made_and_stay_the_same(self, organisation):
        rows = [{"name": "x"}, {"name": "y"}, {"name": "x"}]
        organisation.load_table("account", rows)
        again = Organisation.sample()
        again.load_table("account", reversed(rows))
        first, second = records(organisation, "account", "accountid"), records(again, "account", "accountid")
        assert len(set(first)) == 3
        assert set(first) == set(second)

    def test_lookups_by_navigation_and_value_names(self, organisation):
        rows = [{"name": "d", "customerid_contact": C1}, {"name": "e", "_parentaccountid_value": A1}]
        organisation.load_table("opportunity", rows)
        assert records(organisation, "opportunity", "customerid target") == ["contact", None]
        assert records(organisation, "opportunity", "parentaccountid") == [None, A1]

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"nmae": "x"}, "table 'account' has no column 'nmae'. Did you mean 'name'"),
            ({"numberofemployees": "many"}, "row 2: column 'numberofemployees': "),
            ({"creditonhold": "maybe"}, "'maybe' is neither true nor false"),
            ({"accountid": "17"}, "row 2: column 'accountid': "),
            ({"accountnumber": "A-1"}, "row 2: a record with this key is there already"),
        ],
    )
    def test_a_row_that_does_not_fit_is_named_and_nothing_is_loaded(self, organisation, row, message):
        with pytest.raises(SandboxUsageError) as caught:
            organisation.load_table("account", [{"accountnumber": "a-1"}, row])
        assert message in str(caught.value)
        assert "account" not in organisation.counts()

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("acounts.csv", "name\nx\n", "acounts.csv: there is no table 'acounts'. Did you mean 'accounts'"),
            ("account.csv", "name\nx,y\n", "account.csv: a row has more cells than the header"),
            ("account.csv", "name\n\xff\n", "account.csv: "),
            ("account.xlsx", "no workbook", "account.xlsx: this is not a readable workbook"),
        ],
    )
    def test_a_file_that_does_not_fit_is_named(self, organisation, tmp_path, name, text, message):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        with pytest.raises(SandboxUsageError) as caught:
            organisation.load(tmp_path)
        assert message in str(caught.value)

    def test_an_empty_or_missing_directory(self, organisation, tmp_path):
        for directory in (tmp_path, tmp_path / "none"):
            with pytest.raises(SandboxUsageError):
                organisation.load(directory)

    def test_unknown_names_in_code_too(self, organisation):
        with pytest.raises(SandboxUsageError, match=r"There is no table 'acount'\. Did you mean 'account'"):
            organisation.load_table("acount", [])
        with pytest.raises(
            SandboxUsageError, match=r"There is no relationship 'accountlead_association'\. Did you mean"
        ):
            list(organisation.links("accountlead_association"))


class TestDump:
    def test_what_is_dumped_loads_again(self, tmp_path):
        client = Client.sample()
        client("POST", f"accounts({A1})/accountleads_association/$ref", ref(f"leads({L1})"))
        client("POST", f"accounts({A1})/contact_customer_accounts/$ref", ref(f"contacts({C1})"))
        client("PATCH", f"accounts({A1})", {"creditonhold": True, "description": 'a "quoted", line\nbreak'})
        files = client.organisation.dump(tmp_path)
        assert tmp_path / "account.csv" in files
        again = Organisation.sample()
        for table in again.model.tables.values():
            again.connection.execute(f'DELETE FROM "{table.name}"')
        again.load(tmp_path)
        assert again.counts() == client.organisation.counts()
        for relationship in ("accountleads_association", "contact_customer_accounts"):
            assert set(again.links(relationship)) == set(client.organisation.links(relationship))
        assert read(again, "account", A1)["description"] == 'a "quoted", line\nbreak'

    def test_the_header_holds_column_names(self, organisation, tmp_path):
        organisation.dump(tmp_path)
        with (tmp_path / "systemuser.csv").open(newline="") as file:
            assert {"systemuserid", "fullname", "businessunitid"} <= set(next(csv.reader(file)))


class TestDataFiles:
    def test_records_and_tables_survive(self, tmp_path):
        file = tmp_path / "org.sqlite"
        first = Organisation.open(file)
        made = first.create_record("account", {"name": "Acme"})
        first.close()
        again = Organisation.open(file)
        assert again.model.tables == sample_model().tables
        assert read(again, "account", made)["name"] == "Acme"
        assert again.create_record("account", {}) != made

    def test_ids_never_come_twice_even_after_a_sudden_end(self, tmp_path):
        file = tmp_path / "org.sqlite"
        first = Organisation.open(file)
        made = {first.create_record("account", {}) for _ in range(5)}
        # No close: as if the process had been ended.
        again = Organisation.open(file)
        assert made.isdisjoint({again.create_record("account", {}) for _ in range(5)})

    def test_the_same_metadata_opens_it_and_another_is_refused(self, tmp_path):
        metadata, file = tmp_path / "metadata.xml", tmp_path / "org.sqlite"
        metadata.write_text(write_csdl(sample_model()), encoding="utf-8")
        made = Organisation.from_csdl(metadata, file).create_record("account", {})
        assert read(Organisation.from_csdl(metadata, file), "account", made)
        other = tmp_path / "other.sqlite"
        Organisation.open(other)
        with pytest.raises(SandboxUsageError, match="with other tables than"):
            Organisation.from_csdl(metadata, other)

    @pytest.mark.parametrize("content", ["no database", "sqlite"])
    def test_a_foreign_file_is_refused(self, tmp_path, content):
        file = tmp_path / "org.sqlite"
        if content == "sqlite":
            sqlite3.connect(file).execute("CREATE TABLE x (y)")
        else:
            file.write_text(content)
        with pytest.raises(SandboxUsageError, match="is not a data file of the sandbox"):
            Organisation.open(file)

    def test_reset_leaves_the_fixed_records(self, organisation):
        before = organisation.counts()
        organisation.create_record("account", {})
        organisation.reset()
        assert organisation.counts() == before


CSDL = """<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="crmbaseentity" Abstract="true"/>
<EntityType Name="activitypointer" BaseType="mscrm.crmbaseentity" Abstract="true">
  <Key><PropertyRef Name="activityid"/></Key>
  <Property Name="activityid" Type="Edm.Guid"/><Property Name="subject" Type="Edm.String"/>
  <Property Name="_regardingobjectid_value" Type="Edm.Guid"/>
  <NavigationProperty Name="regardingobjectid_shop" Type="mscrm.shop" Nullable="false" Partner="shop_Activities"/>
</EntityType>
<EntityType Name="task" BaseType="mscrm.activitypointer"><Key><PropertyRef Name="activityid"/></Key>
  <NavigationProperty Name="regardingobjectid_shop_task" Type="mscrm.shop" Nullable="false" Partner="shop_Tasks"/>
  <NavigationProperty Name="regardingobjectid_goods_task" Type="mscrm.goods" Nullable="false" Partner="goods_Tasks"/>
</EntityType>
<EntityType Name="shop" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="shopid"/></Key>
  <Property Name="shopid" Type="Edm.Guid"/><Property Name="name" Type="Edm.String"/>
  <Property Name="_parentid_value" Type="Edm.Guid"/><Property Name="statecode" Type="Edm.Int32"/>
  <NavigationProperty Name="shop_Tasks" Type="Collection(mscrm.task)" Partner="regardingobjectid_shop_task"/>
  <NavigationProperty Name="shop_Activities" Type="Collection(mscrm.activitypointer)" Partner="regardingobjectid_shop"/>
  <NavigationProperty Name="shop_goods" Type="Collection(mscrm.goods)" Partner="shop_goods"/>
  <NavigationProperty Name="parentid" Type="mscrm.shop" Nullable="false" Partner="shop_shops">
    <ReferentialConstraint Property="_parentid_value" ReferencedProperty="shopid"/></NavigationProperty>
  <NavigationProperty Name="shop_shops" Type="Collection(mscrm.shop)" Partner="parentid"/>
  <Annotation Term="OData.Community.Keys.V1.AlternateKeys"><Collection>
   <Record Type="OData.Community.Keys.V1.AlternateKey"><PropertyValue Property="Key"><Collection>
    <Record><PropertyValue Property="Alias" String="a"/><PropertyValue Property="Name" PropertyPath="name"/></Record>
    <Record><PropertyValue Property="Name" PropertyPath="_parentid_value"/></Record>
   </Collection></PropertyValue></Record></Collection></Annotation>
</EntityType>
<EntityType Name="goods" BaseType="mscrm.crmbaseentity"><Key><PropertyRef Name="goodsid"/></Key>
  <Property Name="goodsid" Type="Edm.Guid"/>
  <NavigationProperty Name="shop_goods" Type="Collection(mscrm.shop)" Partner="shop_goods"/>
  <NavigationProperty Name="goods_Tasks" Type="Collection(mscrm.task)" Partner="regardingobjectid_goods_task"/>
</EntityType>
<EntityContainer Name="System">
 <EntitySet Name="tasks" EntityType="Microsoft.Dynamics.CRM.task"/>
 <EntitySet Name="activitypointers" EntityType="Microsoft.Dynamics.CRM.activitypointer"/>
 <EntitySet Name="shops" EntityType="Microsoft.Dynamics.CRM.shop"/>
 <EntitySet Name="goodscollection" EntityType="Microsoft.Dynamics.CRM.goods"/>
</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


class TestOddCsdl:
    @pytest.fixture
    def client(self, tmp_path):
        file = tmp_path / "metadata.xml"
        file.write_text(CSDL)
        client = Client(Organisation.in_memory(read_csdl(file)))
        for table, record in (("shop", A1), ("goods", L1), ("task", C1)):
            client.organisation.create_record(table, {client.organisation.table(table).primary_id: record})
        return client

    def test_lookups_without_a_constraint_find_their_column(self, client):
        for navigation, target in (("shop_task", f"shops({A1})"), ("goods_task", f"goodscollection({L1})")):
            url = f"tasks({C1})/regardingobjectid_{navigation}/$ref"
            assert client("PUT", url, ref(target)).status == 204
            assert client.get(f"tasks({C1})")["_regardingobjectid_value"] == target[-37:-1]
        assert client("GET", f"shops({A1})/shop_Tasks/$count").body == b"0"

    def test_links_without_an_intersect_in_the_document_are_kept(self, client):
        assert client("POST", f"shops({A1})/shop_goods/$ref", ref(f"goodscollection({L1})")).status == 204
        assert client("POST", f"shops({A1})/shop_goods/$ref", ref(f"goodscollection({L1})")).status == 412
        assert [g["goodsid"] for g in client.get(f"shops({A1})/shop_goods")["value"]] == [L1]
        assert client.get("EntityDefinitions(LogicalName='shop_goods')")["EntitySetName"] is None

    def test_a_lookup_can_be_part_of_an_alternate_key(self, client):
        body = {"shopid": guid(40), "name": "Sub", "parentid@odata.bind": f"shops({A1})"}
        assert client("POST", "shops", body).status == 204
        assert client.get(f"shops(name='sub',_parentid_value={A1})")["shopid"] == guid(40)
        assert client("GET", f"shops(name='sub',parentid={A1})").code == "0x80060888"
        assert client("POST", "shops", {**body, "shopid": guid(41)}).code == "0x80060892"

    def test_collections_of_an_abstract_type_are_honestly_missing(self, client):
        answer = client("GET", f"shops({A1})/shop_Activities")
        assert answer.status == 501
        assert "shop_Activities" in answer.message

    def test_so_are_the_sets_of_abstract_types(self, client):
        assert client("GET", "activitypointers").status == 501

    def test_a_new_record_is_active(self, client):
        client("POST", "shops", {"shopid": guid(42)})
        assert client.get(f"shops({guid(42)})")["statecode"] == 0


class TestToggles:
    def test_every_uncertain_point_has_one(self):
        assert {toggle.point for toggle in Toggles.listing()} == {f"U{n}" for n in range(1, 28)}

    def test_every_value_listed_is_taken_and_the_default_is_among_them(self):
        for toggle in Toggles.listing():
            for value in toggle.values:
                text = "7" if value == NUMBER else value
                assert str(getattr(Toggles.parse({toggle.name: text}), toggle.name)) == text
            assert toggle.default in toggle.values or toggle.values == (NUMBER,)
            assert toggle.question

    def test_toml_values_and_dashes(self):
        toggles = Toggles.parse({"lenient-eol": True, "operations_max": 250, "disassociate_missing": 404})
        assert (toggles.lenient_eol, toggles.operations_max, toggles.disassociate_missing) == ("yes", 250, "404")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"disassociate_mising": "204"},
                "There is no toggle 'disassociate_mising'. Did you mean 'disassociate_missing'",
            ),
            ({"disassociate_missing": "205"}, "Toggle 'disassociate_missing' is one of 204, 404, not '205'."),
            ({"operations_max": "many"}, "Toggle 'operations_max' wants a whole number from 0 up, not 'many'."),
        ],
    )
    def test_what_does_not_exist_is_refused(self, settings, message):
        with pytest.raises(SandboxUsageError) as caught:
            Toggles.parse(settings)
        assert message in str(caught.value)
