"""Laws of resolving: any text goes from cell to filter to service and back unchanged."""

import json
import uuid

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bulklink.core.facts import Column, ColumnKind, Table
from bulklink.core.key_values import Comparing
from bulklink.core.resolving import KeyBook, KeyState, Match
from bulklink.sandbox.messages import Request
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.service import Service
from bulklink.sandbox.toggles import Toggles

API = "https://org.example/api/data/v9.2"
ACCOUNT = Table("account", "accounts", "accountid", "name")
NAME, CITY = Column("name", ColumnKind.TEXT), Column("address1_city", ColumnKind.TEXT)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)


class Environment:
    """The sandbox's rules without a socket, with the accounts of one example."""

    def __init__(self, accounts):
        self.service = Service(Organisation.in_memory(), Toggles())
        for number, account in enumerate(accounts):
            self.execute("POST", "accounts", {"accountid": str(uuid.UUID(int=number + 1)), **account})

    def execute(self, method, path, body=None):
        target, _, query = path.partition("?")
        content = json.dumps(body).encode() if body else b""
        answer = self.service.execute(
            Request(method, target, query, {"content-type": "application/json"}, content, API)
        )
        assert answer.status < 300, answer.body
        return answer.body

    def resolve(self, book):
        for question in book.questions("/api/data/v9.2"):
            url = question.request.decode("ascii").split(" ")[1].removeprefix("/api/data/v9.2/")
            book.take(question, self.execute("GET", url))
        return book.resolution()


@given(st.lists(texts, min_size=1, max_size=8, unique=True))
def test_any_text_finds_exactly_the_records_that_have_it(values):
    exactly = Comparing(ignore_case=False, trim=False)
    book = KeyBook(Match(ACCOUNT, (NAME,), comparing=exactly))
    numbers = book.add([pa.array(values, pa.string())])
    resolution = Environment([{"name": value} for value in values]).resolve(book)
    assert [uuid.UUID(bytes=resolution.ids[k].tobytes()).int for k in numbers] == list(range(1, len(values) + 1))


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6, unique=True))
def test_composite_keys_survive_too(values):
    book = KeyBook(Match(ACCOUNT, (NAME, CITY), comparing=Comparing(ignore_case=False, trim=False)))
    numbers = book.add([pa.array(column, pa.string()) for column in zip(*values, strict=True)])
    environment = Environment([{"name": name, "address1_city": city} for name, city in values])
    resolution = environment.resolve(book)
    assert [uuid.UUID(bytes=resolution.ids[k].tobytes()).int for k in numbers] == list(range(1, len(values) + 1))


@given(st.lists(texts, min_size=1, max_size=8), st.lists(texts, max_size=8))
def test_counts_are_those_of_the_records_alike_but_for_case_and_blanks(cells, names):
    """No record is counted for a key it does not have, and none is missed."""
    book = KeyBook(Match(ACCOUNT, (NAME,)))
    numbers = book.add([pa.array(cells, pa.string())])
    resolution = Environment([{"name": name} for name in names]).resolve(book)
    for cell, number in zip(cells, numbers, strict=True):
        alike = sum(_alike(cell.strip(), name) for name in names)
        if not cell.strip():
            assert resolution.states[number] == KeyState.INVALID
        else:
            assert resolution.counts[number] == alike, (cell, names)


def _alike(cell, name):
    return cell.rstrip(" ").lower().replace("ς", "σ") == name.rstrip(" ").lower().replace("ς", "σ")
