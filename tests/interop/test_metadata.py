"""Relationships, columns and keys of a live environment: our reading against the sandbox's own answers, over HTTP."""

import json
import uuid
from contextlib import asynccontextmanager

import anyio
import pyarrow as pa
import pytest

from bulklink.core.facts import ColumnKind
from bulklink.core.forms import choose_form, operation_template
from bulklink.core.keys import guid_texts, parse_guids
from bulklink.core.looking import link_questions, read_link_answers
from bulklink.core.relationships import Cardinality
from bulklink.core.resolving import KeyBook, KeyState
from bulklink.errors import JobError, RelationshipError, SignInError
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.toggles import Toggles
from bulklink.service.key_resolution import resolve_keys
from bulklink.service.metadata import Metadata
from bulklink.service.reading import Reader
from bulklink.service.transport import Transport
from bulklink.vocabulary import Action, Before, Form

NN, LOOKUP, COLLECTION = Cardinality.MANY_TO_MANY, Cardinality.LOOKUP, Cardinality.COLLECTION


class Tokens:
    kind = "token"

    async def token(self, force=False, claims=""):
        return "x"


class OpenGate:
    """Lets everybody through and counts."""

    def __init__(self):
        self.requests = self.operations = 0

    @asynccontextmanager
    async def __call__(self, operations):
        self.requests += 1
        self.operations += operations
        yield self

    def replied(self, reply):
        pass

    def lost(self):
        pass


class Environment:
    def __init__(self, sandbox, transport):
        self.sandbox, self.transport, self.gate = sandbox, transport, OpenGate()
        self.reader = Reader(transport, sandbox.api_url, self.gate)
        self.metadata = Metadata(self.reader)

    async def create(self, entity_set, **columns):
        await self.write("POST", entity_set, columns)

    async def write(self, method, path, document):
        body = json.dumps(document).encode()
        operation = (
            f"{method} {self.reader.api_path}/{path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n".encode()
        )
        await self.send(operation + body)

    async def send(self, operation):
        from bulklink.core.request import batch_headers, write_batch

        reply = await self.transport.post("$batch", write_batch("batch_x", [operation], [1]), batch_headers("batch_x"))
        assert b"HTTP/1.1 2" in reply.body, reply.body


def live(test, **toggles):
    """Run a test against a fresh sandbox."""

    async def run():
        async with (
            Sandbox(Organisation.sample(), toggles=Toggles(**toggles)) as sandbox,
            Transport(sandbox.api_url, Tokens()) as transport,
        ):
            return await test(Environment(sandbox, transport))

    return anyio.run(run)


@pytest.mark.parametrize(
    ("name", "from_table", "to_table", "cardinality", "navigation", "turned", "requests"),
    [
        ("accountleads_association", "account", "lead", NN, "accountleads_association", False, 2),
        ("accountleads", "lead", "account", NN, "accountleads_association", False, 2),
        ("contact_customer_accounts", "account", "contact", COLLECTION, "contact_customer_accounts", False, 1),
        ("contact_customer_accounts", "contact", "account", LOOKUP, "parentcustomerid_account", False, 1),
        ("primarycontactid", "contact", "account", LOOKUP, "primarycontactid", True, 1),
        ("ownerid", "account", "team", LOOKUP, "ownerid", False, 1),
        ("ownerid", "systemuser", "account", LOOKUP, "ownerid", True, 1),
        ("parentaccountid", "account", "account", LOOKUP, "parentaccountid", False, 1),
        ("ownerid", "account", "", LOOKUP, "ownerid", False, 1),
    ],
)
def test_relationships_are_found_in_few_requests(name, from_table, to_table, cardinality, navigation, turned, requests):
    async def test(environment):
        chosen = await environment.metadata.relationship(name, from_table, to_table)
        assert (chosen.cardinality, chosen.navigation_property, chosen.turned) == (cardinality, navigation, turned)
        assert environment.gate.requests <= requests

    live(test)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("accountleads_asociation", "account", "lead"), "Did you mean accountleads_association"),
        (("accountleads_association", "acount", "lead"), "no table 'acount'. Did you mean account"),
        (("opportunitycompetitors_association", "account", "lead"), "relates competitor and opportunity"),
        (("it's", "account", "lead"), "no relationship"),
        (("x", "acc'ount", "lead"), "no table"),
    ],
)
def test_wrong_names_say_what_is_near(arguments, words):
    async def test(environment):
        with pytest.raises(RelationshipError) as caught:
            await environment.metadata.relationship(*arguments)
        assert words in str(caught.value)

    live(test)


@pytest.mark.parametrize("names", ["as-captured", "same-name", "swapped"])
@pytest.mark.parametrize("navigation", ["campaigncampaign_association", "campaigncampaign_association_referenced"])
def test_the_sides_of_a_reflexive_relationship_are_right_whatever_the_metadata_calls_them(names, navigation):
    """What is added through a navigation property is found again as added through it, and not the other way round."""
    one, other, third = (uuid.UUID(int=number) for number in (1, 2, 3))

    async def test(environment):
        for number in (one, other, third):
            await environment.create("campaigns", campaignid=str(number), name="c")
        # Some link must exist for the sides to show.
        await environment.write(
            "POST",
            f"campaigns({third})/campaigncampaign_association/$ref",
            {"@odata.id": f"{environment.sandbox.api_url}/campaigns({one})"},
        )
        chosen = await environment.metadata.relationship(navigation, "campaign", "campaign")
        template = operation_template(Form.REF_ADD, chosen, environment.sandbox.api_url, Action.ASSOCIATE)
        await environment.send(template.render([str(one).encode()], [str(other).encode()], [])[0])
        assert await before(environment, chosen, one, other) is Before.PRESENT
        assert await before(environment, chosen, other, one) is Before.ABSENT

    live(test, reflexive_names=names)


async def before(environment, relationship, from_id, to_id):
    pair = [from_id.bytes], [to_id.bytes]
    (question,) = link_questions(relationship, environment.reader.api_path, *pair)
    pages = []
    await environment.reader.ask_pages([question.request], lambda k, body: pages.append(body))
    return read_link_answers(relationship, question, pages, *pair)[0].before


@pytest.mark.parametrize(
    ("name", "from_table", "to_table", "from_set", "to_set"),
    [
        ("accountleads_association", "account", "lead", "accounts", "leads"),
        ("primarycontactid", "account", "contact", "accounts", "contacts"),
        ("contact_customer_accounts", "account", "contact", "accounts", "contacts"),
        ("parentcustomerid_account", "contact", "account", "contacts", "accounts"),
        ("account_parent_account", "account", "account", "accounts", "accounts"),
        ("new_Account_new_Tag_new_Tag", "new_tag", "account", "new_tags", "accounts"),
    ],
)
def test_what_auto_writes_is_read_back_and_taken_back(name, from_table, to_table, from_set, to_set):
    one, other = uuid.UUID(int=11), uuid.UUID(int=12)

    async def test(environment):
        url = environment.sandbox.api_url
        chosen = await environment.metadata.relationship(name, from_table, to_table)
        await environment.create(from_set, **{chosen.from_table.primary_id: str(one)})
        await environment.create(to_set, **{chosen.to_table.primary_id: str(other)})
        texts = [str(one).encode()], [str(other).encode()]
        add = operation_template(choose_form(chosen, Action.ASSOCIATE, Form.AUTO), chosen, url, Action.ASSOCIATE)
        assert await before(environment, chosen, one, other) is Before.ABSENT
        await environment.send(add.render(*texts, [])[0])
        found = await before(environment, chosen, one, other)
        assert found is (Before.PRESENT if chosen.intersect else Before.POINTS_AT)
        remove = operation_template(
            choose_form(chosen, Action.DISASSOCIATE, Form.AUTO), chosen, url, Action.DISASSOCIATE
        )
        await environment.send(remove.render(*texts, [b"*"])[0])
        assert await before(environment, chosen, one, other) is Before.ABSENT

    live(test)


def test_the_listing_names_both_sides():
    async def test(environment):
        lines = await environment.metadata.listing("account", "contact")
        assert {(line.kind, line.navigation_property, line.other_navigation_property) for line in lines} >= {
            ("1:N", "contact_customer_accounts", "parentcustomerid_account"),
            ("N:1", "primarycontactid", "account_primary_contact"),
        }
        assert all(line.other_table == "contact" for line in lines)
        assert environment.gate.requests == 1

    live(test)


def test_columns_come_with_what_their_values_need():
    async def test(environment):
        match = await environment.metadata.match(
            "account",
            ["accountnumber", "industrycode", "creditonhold", "primarycontactid", "revenue"],
            "statecode eq 0",
        )
        assert [column.kind for column in match.columns] == [
            ColumnKind.TEXT, ColumnKind.CHOICE, ColumnKind.BOOLEAN, ColumnKind.LOOKUP, ColumnKind.MONEY,
        ]  # fmt: skip
        assert match.columns[1].choices["Consulting"] == 7
        assert match.columns[3].targets == ("contact",)
        with pytest.raises(JobError, match="no column 'acountnumber'") as caught:
            await environment.metadata.column("account", "acountnumber")
        assert "accountnumber" in caught.value.hint
        (key,) = await environment.metadata.alternate_keys("account")
        assert key.columns == ("accountnumber",)
        assert key.is_active

    live(test)


def test_business_keys_are_resolved_over_http_in_few_requests():
    async def test(environment):
        accounts = [("O'Neil & Söhne", "A-1"), ("日本 50% #/+?", "A-2"), ("Twin", "A-3"), ("twin", "A-4")]
        for name, number in accounts:
            await environment.create("accounts", name=name, accountnumber=number)
        book = KeyBook(await environment.metadata.match("account", ["name"]))
        environment.gate.requests = environment.gate.operations = 0
        cells = ["O'Neil & Söhne", "日本 50% #/+?", "TWIN ", "nobody", *(f"no {n}" for n in range(4_996))]
        numbers = book.add([pa.array(cells, pa.string())])
        resolution = await resolve_keys(environment.reader, environment.metadata, book)
        assert environment.gate.requests <= 5_000 / 500 + 1
        assert environment.gate.operations <= 5_000 / 50 + 1
        assert resolution.states[numbers[:4]].tolist() == [
            KeyState.RESOLVED, KeyState.RESOLVED, KeyState.AMBIGUOUS, KeyState.UNRESOLVED,
        ]  # fmt: skip
        ids, _ = parse_guids(pa.array([text.decode() for text in guid_texts(resolution.ids[numbers[:2]])]))
        assert ids.any(axis=1).all()

    live(test)


def test_a_side_named_by_its_ids_needs_no_columns():
    async def test(environment):
        assert (await environment.metadata.match("account", ["accountid"])).is_primary_key
        assert environment.gate.operations == 1

    live(test)


def test_a_condition_that_the_service_does_not_understand_is_the_jobs_fault():
    async def test(environment):
        book = KeyBook(await environment.metadata.match("account", ["name"], "statuscodes eq 1"))
        book.add([pa.array(["x"])])
        with pytest.raises(JobError, match="statuscodes"):
            await resolve_keys(environment.reader, environment.metadata, book)

    live(test)


def test_a_table_that_may_not_be_read_is_a_matter_of_permission():
    async def test(environment):
        environment.sandbox.organisation.missing_privileges.add(("Read", "account"))
        book = KeyBook(await environment.metadata.match("account", ["name"]))
        book.add([pa.array(["x"])])
        with pytest.raises(SignInError, match="account"):
            await resolve_keys(environment.reader, environment.metadata, book)

    live(test)
