"""Repeats, contradictions and moves are judged over the whole input, exactly, whatever the order and the hashes."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bulklink.core import wishes as module
from bulklink.core.relationships import Cardinality
from bulklink.core.wishes import WishBook, Wishes
from bulklink.vocabulary import Action, Outcome

SIDES = {Cardinality.MANY_TO_MANY: None, Cardinality.LOOKUP: "from", Cardinality.COLLECTION: "to"}
rows_of_few_records = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([Action.ASSOCIATE, Action.DISASSOCIATE])),
    max_size=30,
)


def ids(numbers):
    return np.array([list(number.to_bytes(16, "big")) for number in numbers], np.uint8).reshape(-1, 16)


def judge(cardinality, rows):
    table = Wishes(ids(f for f, _, _ in rows), ids(t for _, t, _ in rows), np.array([a for _, _, a in rows], np.uint8))
    book = WishBook(cardinality, len(rows))
    for start in range(0, len(rows), 7):
        some = np.arange(start, min(start + 7, len(rows)))
        book.add(some, Wishes(*(column[some] for column in table)))
    return book.judge(lambda some: Wishes(*(column[some] for column in table)), lambda i: f"row {i + 1}")


def outcomes(judgement):
    found = {}
    for block in judgement.settled:
        for row, outcome in zip(block.rows.tolist(), block.outcome.tolist(), strict=True):
            assert row not in found, "a row is judged once"
            found[row] = Outcome(outcome)
    return found


def oracle(cardinality, rows):
    """The same by the words of the contract, group by group, without any cleverness."""
    expected, riders = {}, {}
    side = SIDES[cardinality]
    key = {None: lambda f, t: (f, t), "from": lambda f, t: f, "to": lambda f, t: t}[side]
    groups = {}
    for i, (f, t, action) in enumerate(rows):
        groups.setdefault(key(f, t), []).append((i, (f, t), action))
    for group in groups.values():
        associates = {pair for _, pair, action in group if action is Action.ASSOCIATE}
        disassociates = {pair for _, pair, action in group if action is Action.DISASSOCIATE}
        if associates & disassociates or (side and len(associates) > 1):
            expected.update({i: Outcome.CONFLICTING for i, _, _ in group})
            continue
        seen = set()
        for i, pair, action in group:
            if (pair, action) in seen:
                expected[i] = Outcome.DUPLICATE
            seen.add((pair, action))
        if side and associates and disassociates:
            primary = next(i for i, _, action in group if action is Action.ASSOCIATE)
            riders[primary] = [i for i, _, a in group if a is Action.DISASSOCIATE and i not in expected]
    return expected, riders


@given(st.sampled_from(list(SIDES)), rows_of_few_records)
def test_rows_that_meet_are_judged_as_the_contract_says(cardinality, rows):
    judgement = judge(cardinality, rows)
    expected, riders = oracle(cardinality, rows)
    assert outcomes(judgement) == expected
    assert judgement.riders == riders


@given(st.sampled_from(list(SIDES)), rows_of_few_records)
def test_a_duplicate_points_at_the_first_row_of_its_wish(cardinality, rows):
    for block in judge(cardinality, rows).settled:
        if block.refers_to is None:
            continue
        for row, first in zip(block.rows.tolist(), block.refers_to.tolist(), strict=True):
            assert first < row
            assert rows[first] == rows[row]
            assert rows.index(rows[row]) == first


def test_rows_that_only_share_a_hash_are_not_taken_for_each_other(monkeypatch):
    """Eight bytes per row find suspects; only the full ids convict."""
    monkeypatch.setattr(module, "mix_ids", lambda some: np.zeros(len(some), np.uint64))
    rows = [(k, k + 1, Action.ASSOCIATE) for k in range(5)]
    assert outcomes(judge(Cardinality.MANY_TO_MANY, rows)) == {}


def test_a_contradiction_names_a_row_that_it_contradicts():
    rows = [(1, 2, Action.ASSOCIATE), (1, 3, Action.ASSOCIATE)]
    (block,) = judge(Cardinality.LOOKUP, rows).settled
    assert block.message[0].startswith("contradicts row 2: ")
    assert block.message[1].startswith("contradicts row 1: ")
    assert Counter(block.outcome.tolist()) == {Outcome.CONFLICTING: 2}
