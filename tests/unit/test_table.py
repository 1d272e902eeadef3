"""Raw columns become ids, actions and groups; what is wrong with a row is said once and in full."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from bulklink.core.table import (
    ACTION_WORDS,
    Columns,
    GroupNumbers,
    LinkColumns,
    check_actions,
    check_guids,
    check_links,
)
from bulklink.vocabulary import Action

A, B = uuid.UUID(int=10), uuid.UUID(int=11)


def text_table(**columns: list[str]) -> pa.Table:
    return pa.table({name: pa.chunked_array([pa.array(cells, pa.string())]) for name, cells in columns.items()})


FROM = Columns(("Account",), (0,), holds_guids=True)
TO = Columns(("Lead",), (1,), holds_guids=True)


def test_guid_sides_become_ids() -> None:
    table = text_table(Account=[str(A), f"{{{B}}}".upper()], Lead=[f" {B} ", A.hex])
    links = check_links(table, LinkColumns(FROM, TO, Action.ASSOCIATE))
    assert [bytes(id16) for id16 in links.from_side.ids] == [A.bytes, B.bytes]
    assert links.to_side is not None
    assert [bytes(id16) for id16 in links.to_side.ids] == [B.bytes, A.bytes]
    assert (links.actions.tolist(), links.valid.tolist(), links.reasons) == ([1, 1], [True, True], {})


def test_every_problem_of_a_row_is_named() -> None:
    table = text_table(Account=[str(A), "", "\u00a0", "12"], Lead=["1" * 80, str(A), "x\u200b", "a'b"])
    links = check_links(table, LinkColumns(FROM, TO, Action.ASSOCIATE))
    assert links.valid.tolist() == [False] * 4
    assert links.reasons == {
        0: f"Lead: '{'1' * 59}…' is not a GUID",
        1: "Account is empty",
        2: "Account is empty; Lead: 'x\\u200b' is not a GUID",
        3: "Account: '12' is not a GUID; Lead: \"a'b\" is not a GUID",
    }


@pytest.mark.parametrize("word", [*ACTION_WORDS, "Associate", " REMOVE\u00a0", "Link"])
def test_an_action_word_in_any_case_and_with_blanks(word: str) -> None:
    problems: dict[int, list[str]] = {}
    actions = check_actions(pa.array([word]), "Do", problems)
    assert (actions.tolist(), problems) == ([ACTION_WORDS[word.strip().lower()]], {})


def test_any_other_word_is_invalid_and_the_valid_ones_are_told() -> None:
    table = text_table(Account=[str(A)] * 3, Lead=[str(B)] * 3, Do=["+", "delete", " "])
    links = check_links(table, LinkColumns(FROM, TO, action_column=2))
    assert links.actions.tolist() == [Action.ASSOCIATE, Action.NONE, Action.NONE]
    assert links.valid.tolist() == [True, False, False]
    words = "associate, add, link, + or disassociate, remove, unlink, -"
    assert links.reasons == {1: f"Do: 'delete' is not an action ({words})", 2: "Do is empty"}


def test_business_keys_are_handed_on_as_typed() -> None:
    key = Columns(("No", "Lead"), (0, 1), holds_guids=False)
    table = text_table(No=[" 00123 ", ""], Lead=["x", "y"])
    links = check_links(table, LinkColumns(key, None, Action.CLEAR))
    assert [column.to_pylist() for column in links.from_side.keys] == [[" 00123 ", ""], ["x", "y"]]
    assert (links.to_side, links.valid.all(), links.actions.tolist()) == (None, True, [Action.CLEAR] * 2)


def test_groups_keep_their_number_through_the_chunks() -> None:
    groups = GroupNumbers()
    columns = LinkColumns(FROM, None, Action.ASSOCIATE, group_column=1)
    numbers = []
    for cells in (["a", "b", "", "a ", " "], [], ["", "b", "c", "A"]):
        links = check_links(text_table(Account=[str(A)] * len(cells), Group=cells), columns, groups)
        assert links.groups is not None
        numbers += links.groups.tolist()
    a, b, alone, a_again, alone_2, alone_3, b_again, c, upper = numbers
    assert (a, b) == (a_again, b_again)
    assert len({a, b, alone, alone_2, alone_3, c, upper}) == 7
    assert sorted(set(numbers)) == list(range(7))


def test_an_empty_chunk() -> None:
    links = check_links(text_table(Account=[], Lead=[], Do=[]), LinkColumns(FROM, TO, action_column=2))
    assert (links.from_side.ids.shape, links.actions.tolist(), links.reasons) == ((0, 16), [], {})


def test_a_valid_cell_beside_an_invalid_one_keeps_its_id() -> None:
    side = check_guids(pa.array(["x", str(A)]), "Account", {})
    assert (side.valid.tolist(), np.asarray(side.ids[1]).tobytes()) == ([False, True], A.bytes)
