"""Microsoft's own Python client, over https, gets from the sandbox what it expects of Dataverse.

Creating, binding and Content-ID references go through its public methods. It has no method for `$ref`; those requests
go through its own serialiser, transport and parser.
"""

import importlib
import json
import sys
import time
from types import SimpleNamespace

import pytest

from tests.others import INSTALL, PYTHON_PACKAGES, world


class Credential:
    """As azure-identity has it: any token."""

    def get_token(self, *_scopes, **_options):
        return SimpleNamespace(token="interop", expires_on=int(time.time()) + 3600)


class NoCredential:
    def get_token(self, *_scopes, **_options):
        return SimpleNamespace(token="", expires_on=int(time.time()) + 3600)


@pytest.fixture(scope="module")
def theirs():
    """The modules of the client."""
    if not (PYTHON_PACKAGES / "PowerPlatform").exists():
        pytest.skip(f"PowerPlatform-Dataverse-Client is not here: {INSTALL}")
    sys.path.insert(0, str(PYTHON_PACKAGES))
    try:
        names = {"client": "client", "errors": "core.errors", "batch": "data._batch", "raw": "data._raw_request"}
        return SimpleNamespace(
            **{name: importlib.import_module(f"PowerPlatform.Dataverse.{path}") for name, path in names.items()}
        )
    finally:
        sys.path.remove(str(PYTHON_PACKAGES))


@pytest.fixture(scope="module")
def made(theirs):
    with world(tls=True) as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(made.sandbox.certificate.ca_file))
        yield made


@pytest.fixture(scope="module")
def client(theirs, made):
    with theirs.client.DataverseClient(made.sandbox.url, Credential()) as client:
        yield client


class Wire:
    """Their serialiser, transport and parser, fed with requests that they have no method for."""

    def __init__(self, theirs, client, made):
        self._theirs = theirs
        self._odata = client._get_odata()
        self.api = made.sandbox.api_url

    def link(self, account, lead, content_id=None, navigation="accountleads_association"):
        body = json.dumps({"@odata.id": f"{self.api}/leads({lead})"})
        url = f"{self.api}/accounts({account})/{navigation}/$ref"
        return self._theirs.raw._RawRequest("POST", url, body, content_id=content_id)

    def change_set(self, *links, first=1):
        requests = [self.link(account, lead, number) for number, (account, lead) in enumerate(links, start=first)]
        return self._theirs.batch._ChangeSetBatchItem(requests)

    def request(self, method, path, body=None):
        return self._theirs.raw._RawRequest(method, f"{self.api}/{path}", body and json.dumps(body))

    def send(self, *items, **options):
        class Client(self._theirs.batch._BatchClient):
            def _resolve_all(self, items):
                return items

        return Client(self._odata).execute(list(items), **options)


@pytest.fixture
def wire(theirs, client, made):
    return Wire(theirs, client, made)


def shape(result):
    return [(item.content_id, item.status_code, item.error_code) for item in result.responses]


def test_one_link(wire, made):
    account, lead = made.accounts[0], made.leads[0]
    assert shape(wire.send(wire.link(account, lead))) == [(None, 204, None)]
    assert made.linked(account) == {lead}


def test_duplicate_link(wire, made):
    link = (made.accounts[1], made.leads[0])
    wire.send(wire.change_set(link))
    [answer] = wire.send(wire.change_set(link), continue_on_error=True).responses
    assert (answer.content_id, answer.status_code, answer.error_code) == ("1", 412, "0x80040237")
    assert answer.error_message == "Cannot insert duplicate key."


def test_missing_record(wire, made):
    [answer] = wire.send(wire.link(made.accounts[2], made.missing), continue_on_error=True).responses
    assert (answer.status_code, answer.error_code) == (404, "0x80040217")
    assert answer.error_message == f"Entity 'lead' With Id = {made.missing} Does Not Exist"


def test_wrong_navigation_property(wire, made):
    wrong = wire.link(made.accounts[2], made.leads[0], navigation="AccountLeads_association")
    assert shape(wire.send(wrong, continue_on_error=True)) == [(None, 404, "0x8006088a")]


def test_disassociate(wire, made):
    account, lead = made.accounts[3], made.leads[0]
    wire.send(wire.link(account, lead))
    removed = wire.send(wire.request("DELETE", f"accounts({account})/accountleads_association({lead})/$ref"))
    assert (shape(removed), made.linked(account)) == ([(None, 204, None)], set())


def test_a_hundred_links_in_one_change_set(wire, made):
    account = made.accounts[4]
    result = wire.send(wire.change_set(*[(account, lead) for lead in made.leads[:100]]))
    assert shape(result) == [(str(number), 204, None) for number in range(1, 101)]
    assert made.linked(account) == set(made.leads[:100])


def test_one_bad_among_five_rolls_the_change_set_back(wire, made, theirs):
    account = made.accounts[5]
    five = [(account, lead) for lead in (*made.leads[:2], made.missing, *made.leads[2:4])]
    with pytest.raises(theirs.errors.HttpError) as stopped:
        wire.send(wire.change_set(*five))
    # Without continue-on-error the failing part's status is the batch's; this client reads no parts then.
    assert stopped.value.status_code == 404
    assert made.linked(account) == set()


def test_continue_on_error_runs_the_second_change_set(wire, made):
    account = made.accounts[6]
    first = wire.change_set((account, made.leads[0]), (account, made.missing))
    second = wire.change_set((account, made.leads[1]), (account, made.leads[2]), first=3)
    result = wire.send(first, second, continue_on_error=True)
    assert shape(result) == [("2", 404, "0x80040217"), ("3", 204, None), ("4", 204, None)]
    assert made.linked(account) == set(made.leads[1:3])


def test_stop_at_the_first_failure(wire, made, theirs):
    account = made.accounts[7]
    with pytest.raises(theirs.errors.HttpError):
        wire.send(*[wire.link(account, lead) for lead in (made.leads[0], made.missing, made.leads[1])])
    assert made.linked(account) == {made.leads[0]}


def test_a_lookup_is_set_changed_and_cleared(client, made):
    account = made.accounts[8]

    def pointed_at():
        found = client.records.retrieve("account", account, select=["name", "_primarycontactid_value"])
        return found["_primarycontactid_value"]

    for contact in made.contacts[:2]:
        client.records.update("account", account, {"primarycontactid@odata.bind": f"/contacts({contact})"})
        assert pointed_at() == contact
    client.records.update("account", account, {"primarycontactid": None})
    assert pointed_at() is None


def test_bind_on_create(client, made):
    bound = {"name": "Bound", "primarycontactid@odata.bind": f"/contacts({made.contacts[0]})"}
    account = client.records.create("account", bound)
    found = client.records.retrieve("account", account, select=["_primarycontactid_value"])
    assert found["_primarycontactid_value"] == made.contacts[0]


def test_deep_insert(client):
    nested = {"lastname": "Nested"}
    account = client.records.create("account", {"name": "Deep", "primarycontactid": nested})
    found = client.records.retrieve("account", account, select=["name"], expand=["primarycontactid"])
    assert found["primarycontactid"]["lastname"] == "Nested"


def test_a_content_id_stands_for_the_record_created_before(client, made):
    account = made.accounts[9]
    batch = client.batch.new()
    with batch.changeset() as change_set:
        reference = change_set.records.create("contact", {"firstname": "Ada", "lastname": "Referred"})
        change_set.records.update("account", account, {"primarycontactid@odata.bind": reference})
    result = batch.execute()
    assert [item.status_code for item in result.responses] == [204, 204]
    found = client.records.retrieve("account", account, select=["_primarycontactid_value"])
    assert found["_primarycontactid_value"] == result.responses[0].entity_id


def test_a_thousand_operations_are_taken_and_one_more_is_refused(wire, made, theirs, monkeypatch):
    # The client itself would not send more than a thousand.
    monkeypatch.setattr(theirs.batch, "_MAX_BATCH_SIZE", 2000)
    account = made.accounts[10]
    assert len(wire.send(wire.change_set(*[(account, lead) for lead in made.leads[:1000]])).succeeded) == 1000
    with pytest.raises(theirs.errors.HttpError, match="'1000' operations are allowed in a change set") as refused:
        wire.send(wire.change_set(*[(made.accounts[11], lead) for lead in made.leads]))
    assert (refused.value.status_code, made.linked(made.accounts[11])) == (400, set())


def test_many_lookups_in_one_update(client, made):
    accounts = made.accounts[12:15]
    client.records.update("account", accounts, {"primarycontactid@odata.bind": f"/contacts({made.contacts[2]})"})
    for account in accounts:
        found = client.records.retrieve("account", account, select=["_primarycontactid_value"])
        assert found["_primarycontactid_value"] == made.contacts[2]


def test_no_token(theirs, made):
    with (
        theirs.client.DataverseClient(made.sandbox.url, NoCredential()) as client,
        pytest.raises(theirs.errors.HttpError) as refused,
    ):
        client.records.retrieve("account", made.accounts[0], select=["name"])
    assert refused.value.status_code == 401
