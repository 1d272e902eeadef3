"""Keys: GUID spellings, text of GUIDs, quoting."""

import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bulklink.core.keys import (
    guid_bytes,
    guid_text,
    guid_texts,
    key_predicate,
    parse_guids,
    percent_encode,
    quote_key,
    quote_literal,
)

ONE = uuid.UUID("0123abcd-4567-89ab-cdef-0123456789ab")


@pytest.mark.parametrize(
    "text",
    [
        "0123abcd-4567-89ab-cdef-0123456789ab",
        "0123ABCD-4567-89AB-CDEF-0123456789AB",
        "0123abcd456789abcdef0123456789ab",
        "{0123abcd-4567-89ab-cdef-0123456789ab}",
        "(0123abcd-4567-89AB-cdef-0123456789ab)",
        "  0123abcd-4567-89ab-cdef-0123456789ab\t",
        "\u00a0{0123abcd-4567-89ab-cdef-0123456789ab}\u3000",
        "{0x0123abcd,0x4567,0x89ab,{0xcd,0xef,0x01,0x23,0x45,0x67,0x89,0xab}}",
        "{0x123ABCD, 0x4567, 0x89ab, {0xcd,0xef,0x1,0x23,0x45,0x67,0x89,0xab}} ",
    ],
)
def test_every_spelling_that_dotnet_takes_is_the_same_guid(text):
    assert guid_bytes(text) == ONE.bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "not a guid",
        "0123abcd-4567-89ab-cdef-0123456789a",
        "0123abcd-4567-89ab-cdef-0123456789abc",
        "0123abcg-4567-89ab-cdef-0123456789ab",
        "0123abcd-456-789ab-cdef-0123456789ab",
        "0123abcd-4567-89ab-cdef-01234567-9ab",
        "0123abcd456789abcdef0123456789ag",
        "{0123abcd-4567-89ab-cdef-0123456789ab)",
        "{0123abcd456789abcdef0123456789ab}",
        "{0123abcd-4567-89ab-cdef-0123456789ab",
        "{ 123abcd-4567-89ab-cdef-0123456789ab}",
        "urn:uuid:0123abcd-4567-89ab-cdef-0123456789ab",
        "0123abcd-4567-89ab-cdef-0123456789ａb",
        "{0x0123abcd,0x4567,0x89ab,{0xcd,0xef,0x01,0x23,0x45,0x67,0x89}}",
        "{0x0123abcd1,0x4567,0x89ab,{0xcd,0xef,0x01,0x23,0x45,0x67,0x89,0xab}}",
    ],
)
def test_what_is_no_guid_is_not_read_as_one(text):
    assert guid_bytes(text) is None


def test_one_odd_cell_does_not_touch_its_neighbours():
    texts = [str(uuid.UUID(int=number)) for number in range(10_000)]
    texts[5_000] = "oops"
    texts[9_999] = "{" + texts[9_999] + "}"
    ids, valid = parse_guids(pa.array(texts))
    assert np.flatnonzero(~valid).tolist() == [5_000]
    assert not ids[5_000].any()
    assert ids[4_999].tobytes() == uuid.UUID(int=4_999).bytes
    assert ids[9_999].tobytes() == uuid.UUID(int=9_999).bytes


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["x", str(ONE), None], pa.string()).slice(1),
        pa.array(["x", str(ONE), None], pa.large_string())[1:],
        pa.chunked_array([[str(ONE)], [None]], pa.string()),
        pd.Series([str(ONE), None]),
        pd.Series([str(ONE), None], dtype=object),
        pd.Series([str(ONE), None], dtype="string"),
    ],
    ids=["slice", "large", "chunked", "str", "object", "string"],
)
def test_slices_chunks_and_series_are_taken(texts):
    ids, valid = parse_guids(texts)
    assert valid.tolist() == [True, False]
    assert ids[0].tobytes() == ONE.bytes


def test_no_cells_are_no_ids():
    ids, valid = parse_guids(pa.array([], pa.string()))
    assert ids.shape == (0, 16)
    assert valid.shape == (0,)
    assert guid_texts(ids) == []


def test_text_of_a_guid_is_lower_case_with_dashes():
    ids, _ = parse_guids(pa.array([str(ONE).upper(), str(ONE.int)]))
    assert guid_texts(ids) == [str(ONE).encode(), str(uuid.UUID(int=0)).encode()]
    assert guid_text(ONE.bytes) == str(ONE)


def test_apostrophes_are_doubled_and_everything_else_that_a_url_knows_is_encoded():
    assert quote_literal("O'Neil") == "'O''Neil'"
    assert quote_key("O'Neil & Söhne/50%+#?") == "'O''Neil%20%26%20S%C3%B6hne%2F50%25%2B%23%3F'"
    assert percent_encode("a eq 'b'") == "a%20eq%20'b'"


def test_a_composite_key_names_its_columns():
    assert key_predicate({"firstname": quote_key("Joe"), "age": "7"}) == "(firstname='Joe',age=7)"
