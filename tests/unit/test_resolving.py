"""Business keys to records: questions, answers, states."""

import json
import re
import uuid
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pytest

from bulklink.core.facts import Column, ColumnKind, Table
from bulklink.core.key_values import Comparing
from bulklink.core.resolving import KeyBook, KeyState, Match, batches
from bulklink.errors import JobError

API = "/api/data/v9.2"
ACCOUNT = Table("account", "accounts", "accountid", "name")
NUMBER = Column("accountnumber", ColumnKind.TEXT)
FIRST, LAST = Column("firstname", ColumnKind.TEXT), Column("lastname", ColumnKind.TEXT)
STATE = Column("statecode", ColumnKind.CHOICE)
PARENT = Column("parentaccountid", ColumnKind.LOOKUP)

CONDITION = re.compile(r"(\w+) eq ('(?:[^']|'')*'|[^ )]+)")
LISTED = re.compile(r"Microsoft\.Dynamics\.CRM\.In\(PropertyName='(\w+)',PropertyValues=\[(.*)\]\)\Z", re.DOTALL)


class Records:
    """A table that answers GETs as the service does: text without regard to case and trailing blanks."""

    def __init__(self, *records):
        self.records = [{"accountid": str(uuid.UUID(int=n + 1)), **record} for n, record in enumerate(records)]
        self.gets = 0

    def answer(self, request):
        self.gets += 1
        line = request.decode("ascii").partition("\r\n")[0]
        assert len(line) < 65_536
        query = parse_qs(urlsplit(line.split(" ")[1]).query, strict_parsing=True)
        names = query["$select"][0].split(",")
        condition = query.get("$filter", [""])[0]
        return [{name: record[name] for name in names} for record in self.records if self._meets(record, condition)]

    def _meets(self, record, condition):
        if not condition:
            return True
        listed = LISTED.search(condition)
        if listed:
            values = re.findall(r"'([^']*)'", listed[2])
            return fold(record[listed[1]]) in {fold(value) for value in values}
        groups, end = [], 0
        for found in CONDITION.finditer(condition):
            # The expression takes literals whole, so that what looks like a condition inside one is none.
            if " and " not in condition[end : found.start()]:
                groups.append([])
            groups[-1].append(fold(record[found[1]]) == fold(literal(found[2])))
            end = found.end()
        return any(map(all, groups))


def literal(text):
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def fold(value):
    return str(value).rstrip(" ").casefold()


def resolve(book, records):
    for question in book.questions(API):
        book.take(question, page(records.answer(question.request)))
    return book.resolution()


def page(records):
    return json.dumps({"value": records}).encode()


def column(*texts):
    return pa.array(texts, pa.string())


def test_rows_of_one_key_share_its_number_across_chunks():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    first = book.add([column("A", "b", "a ", "")])
    second = book.add([column(" B", "c", None)])
    assert first.tolist() == [first[0], first[1], first[0], first[3]]
    assert second[0] == first[1]
    assert second[2] == first[3]
    assert len(book) == 4


def test_keys_become_ids_or_say_why_not():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    numbers = book.add([column("A-1", "a-2 ", "A-3", "A-9", "")])
    records = Records(*({"accountnumber": text} for text in ("A-1", "A-2", "A-3", "a-3", "A-4")))
    resolution = resolve(book, records)
    assert records.gets == 1
    states = [KeyState(resolution.states[number]) for number in numbers]
    assert states == [
        KeyState.RESOLVED, KeyState.RESOLVED, KeyState.AMBIGUOUS, KeyState.UNRESOLVED, KeyState.INVALID,
    ]  # fmt: skip
    assert resolution.ids[numbers[1]].tobytes() == uuid.UUID(int=2).bytes
    assert not resolution.ids[numbers[2]].any()
    assert book.message(numbers[2]) == (
        f"accountnumber 'A-3' matches 2 account records: {uuid.UUID(int=3)}, {uuid.UUID(int=4)}"
    )
    assert book.message(numbers[3]) == "accountnumber 'A-9' matches no account"
    assert book.message(numbers[4]) == "accountnumber is empty"


def test_of_many_matches_the_number_and_the_first_ids_are_told():
    book = KeyBook(Match(ACCOUNT, (NUMBER,), where="statecode eq 0"))
    (number,) = book.add([column("X")])
    records = Records(*({"accountnumber": "x"} for _ in range(7)))
    (question,) = book.questions(API)
    for record in records.records:
        book.take(question, page([record]))
    assert book.resolution().counts[number] == 7
    assert book.message(number).startswith("accountnumber 'X' matches 7 account records where statecode eq 0: ")
    assert book.message(number).count("0000-") == 3 * 4
    assert book.message(number).endswith(", …")


def test_a_record_that_comes_twice_is_one_record():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    (number,) = book.add([column("X")])
    (question,) = book.questions(API)
    records = Records({"accountnumber": "x"})
    book.take(question, page(records.records))
    book.take(question, page(records.records))
    assert book.resolution().states[number] == KeyState.RESOLVED


@pytest.mark.parametrize("ignore_case", [True, False])
def test_what_the_service_takes_for_equal_is_checked_afterwards(ignore_case):
    book = KeyBook(Match(ACCOUNT, (NUMBER,), comparing=Comparing(ignore_case=ignore_case)))
    upper, lower = book.add([column("ABC", "abc")])
    resolution = resolve(book, Records({"accountnumber": "ABC"}))
    assert bool(upper == lower) is ignore_case
    assert resolution.states[upper] == KeyState.RESOLVED
    assert resolution.states[lower] == (KeyState.RESOLVED if ignore_case else KeyState.UNRESOLVED)


def test_a_record_is_counted_only_for_the_question_that_asked_for_it():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    book.add([column("Strasse", *(f"K{n}" for n in range(250)), "Straße")])
    resolution = resolve(book, Records({"accountnumber": "straße"}, {"accountnumber": "strasse"}))
    assert sorted(np.flatnonzero(resolution.states == KeyState.RESOLVED)) == sorted(
        {*book.add([column("strasse", "straße")])}
    )


NASTY = [
    *"'\"\\ü日😀])(",
    *("O'Neil", "''", "a&b", "#1", "c+d", "100%", "%27", "a/b", "?x=1", "a b", "a,b"),
    *("x or y", "x' or name eq 'y", "tab\there", "1' eq '1"),
]


def test_any_text_survives_its_way_into_a_filter():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    numbers = book.add([column(*NASTY)])
    resolution = resolve(book, Records(*({"accountnumber": text} for text in NASTY)))
    assert [uuid.UUID(bytes=resolution.ids[number].tobytes()).int for number in numbers] == list(
        range(1, len(NASTY) + 1)
    )


def test_plain_texts_are_listed_and_texts_with_quotes_are_compared():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    book.add([column("A", "B")])
    (question,) = book.questions(API)
    assert b"Microsoft.Dynamics.CRM.In(PropertyName='accountnumber',PropertyValues=%5B'A','B'%5D)" in question.request
    book.add([column("O'Neil")])
    (question,) = book.questions(API)
    assert b"$filter=(accountnumber%20eq%20'A'%20or%20" in question.request
    assert b"CRM.In" not in question.request


def test_composite_keys_are_matched_as_a_whole():
    people = Match(ACCOUNT, (FIRST, LAST))
    book = KeyBook(people)
    numbers = book.add([column("Ann", "Ann", "Bob", "Bob"), column("Lee", "Ray", "Lee", "")])
    records = Records({"firstname": "Ann", "lastname": "Lee"}, {"firstname": "bob", "lastname": "LEE"})
    resolution = resolve(book, records)
    assert [int(resolution.states[number]) for number in numbers] == [
        KeyState.RESOLVED, KeyState.UNRESOLVED, KeyState.RESOLVED, KeyState.INVALID,
    ]  # fmt: skip
    assert book.message(numbers[1]) == "firstname, lastname 'Ann', 'Ray' matches no account"
    assert book.message(numbers[3]) == "lastname is empty"


def test_a_lookup_as_part_of_a_key_is_read_by_its_value_property():
    parent = str(uuid.UUID(int=77))
    book = KeyBook(Match(ACCOUNT, (NUMBER, PARENT)))
    (number,) = book.add([column("A"), column(parent.upper())])
    (question,) = book.questions(API)
    assert f"_parentaccountid_value%20eq%20{parent}".encode() in question.request
    book.take(question, page(Records({"accountnumber": "A", "_parentaccountid_value": parent}).records))
    assert book.resolution().states[number] == KeyState.RESOLVED


def test_where_joins_every_question_and_cannot_leave_its_parentheses():
    book = KeyBook(Match(ACCOUNT, (NUMBER,), where="name eq 'a&b' or statecode eq 0"))
    book.add([column("A")])
    (question,) = book.questions(API)
    assert b"&$filter=(name%20eq%20'a%26b'%20or%20statecode%20eq%200)%20and%20Microsoft.Dynamics" in question.request
    whole = book.whole_table(API)
    assert b"accounts?$select=accountid,accountnumber&$filter=name%20eq%20'a%26b'%20or" in whole.request


def test_the_whole_table_can_be_read_instead():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    numbers = book.add([column("A", "B", "C")])
    question = book.whole_table(API)
    for record in Records(
        {"accountnumber": "b"}, {"accountnumber": None}, {"accountnumber": "c"}, {"accountnumber": "Z"}
    ).records:
        book.take(question, page([record]))
    assert [int(state) for state in book.resolution().states[numbers]] == [0, 1, 1]


def test_the_whole_table_is_read_when_that_is_cheaper():
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    book.add([column(*(str(number) for number in range(10_000)))])
    assert book.is_whole_table_cheaper(20_000)
    assert not book.is_whole_table_cheaper(200_000)
    assert not book.is_whole_table_cheaper(None)


@pytest.mark.parametrize(
    ("columns", "keys_per_get"), [((NUMBER,), 50), ((FIRST, LAST), 15), ((FIRST, LAST, NUMBER, STATE), 15)]
)
def test_the_number_of_requests_keeps_to_the_contract(columns, keys_per_get):
    book = KeyBook(Match(ACCOUNT, columns))
    count = 20_000
    book.add([column(*(str(number) for number in range(count)))] * len(columns))
    book.add([column(*[""] * 100)] * len(columns))
    portions = list(batches(book.questions(API)))
    assert len(portions) <= count / 500
    assert sum(map(len, portions)) <= count / keys_per_get
    asked = [number for portion in portions for question in portion for number in question.keys]
    assert asked[:count] == list(range(count))


def test_very_long_values_are_asked_alone_and_endless_ones_not_at_all():
    book = KeyBook(Match(ACCOUNT, (Column("description", ColumnKind.MEMO),)))
    long, longer, endless = "ü" * 4_000, "ü" * 4_001, "x" * 40_000
    numbers = book.add([column(long, longer, endless)])
    records = Records({"description": long}, {"description": longer})
    resolution = resolve(book, records)
    assert resolution.states[numbers].tolist() == [1, 1, KeyState.INVALID]
    assert "too long" in book.message(numbers[2])
    assert len(book.message(numbers[0])) < 200


def test_cells_that_do_not_fit_are_never_sent():
    book = KeyBook(Match(ACCOUNT, (Column("employees", ColumnKind.WHOLE),)))
    numbers = book.add([column("12", "twelve", "012")])
    (question,) = book.questions(API)
    assert b"twelve" not in question.request
    assert numbers[0] == numbers[2]
    assert "whole number" in book.message(numbers[1])
    alone = KeyBook(Match(ACCOUNT, (Column("employees", ColumnKind.WHOLE),)))
    alone.add([column("x")])
    assert list(alone.questions(API)) == []


def test_many_columns_do_not_overflow():
    columns = tuple(Column(f"c{n}", ColumnKind.TEXT) for n in range(16))
    book = KeyBook(Match(ACCOUNT, columns))
    cells = [column(*(str(number) for number in range(300)))] * 16
    assert book.add(cells).tolist() == list(range(300))


def test_no_rows_are_no_keys_and_no_questions():
    book = KeyBook(Match(ACCOUNT, (FIRST, LAST)))
    assert book.add([column(), column()]).tolist() == []
    assert list(batches(book.questions(API))) == []
    assert book.resolution().ids.shape == (0, 16)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"value":7}',
        b'{"value":[{}]}',
        b'{"value":[{"accountnumber":"X","accountid":7}]}',
        b'{"value":[3]}',
    ],
)
def test_what_is_no_answer_is_never_read_as_no_match(body):
    book = KeyBook(Match(ACCOUNT, (NUMBER,)))
    book.add([column("X")])
    (question,) = book.questions(API)
    with pytest.raises(ValueError):  # noqa: PT011 - every way of not understanding counts
        book.take(question, body)


def test_a_primary_key_needs_no_questions_unless_there_is_a_condition():
    key = Column("accountid", ColumnKind.GUID)
    assert Match(ACCOUNT, (key,)).is_primary_key
    assert not Match(ACCOUNT, (key,), where="statecode eq 0").is_primary_key
    assert not Match(ACCOUNT, (NUMBER,)).is_primary_key


def test_a_primary_key_under_a_condition_selects_it_once():
    book = KeyBook(Match(ACCOUNT, (Column("accountid", ColumnKind.GUID),), where="statecode eq 0"))
    (number,) = book.add([column(str(uuid.UUID(int=5)))])
    (question,) = book.questions(API)
    assert b"$select=accountid&" in question.request
    book.take(question, page([{"accountid": str(uuid.UUID(int=5))}]))
    assert book.resolution().ids[number].tobytes() == uuid.UUID(int=5).bytes


def test_a_column_without_searchable_values_is_refused():
    with pytest.raises(JobError, match=r"account\.entityimage cannot identify"):
        Match(ACCOUNT, (Column("entityimage", ColumnKind.OTHER),))
