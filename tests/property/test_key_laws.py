"""Laws of keys: every GUID comes back, every text survives its way through a URL."""

import uuid
from urllib.parse import unquote_to_bytes

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bulklink.core.keys import guid_texts, parse_guids, quote_key

SPELLINGS = (
    lambda guid: str(guid),
    lambda guid: str(guid).upper(),
    lambda guid: guid.hex,
    lambda guid: "{" + str(guid) + "}",
    lambda guid: "(" + str(guid).upper() + ")",
    lambda guid: f" {guid}\t",
    lambda guid: (
        f"{{0x{guid.fields[0]:x},0x{guid.fields[1]:x},0x{guid.fields[2]:x},{{"
        + ",".join(f"0x{byte:x}" for byte in guid.bytes[8:])
        + "}}"
    ),
)


@given(st.lists(st.tuples(st.uuids(), st.sampled_from(SPELLINGS)), max_size=40))
def test_every_spelling_of_every_guid_is_read_as_uuid_reads_it(cells):
    ids, valid = parse_guids(pa.array([spell(guid) for guid, spell in cells], pa.string()))
    assert valid.all()
    assert [row.tobytes() for row in ids] == [guid.bytes for guid, _ in cells]
    assert guid_texts(ids) == [str(guid).encode() for guid, _ in cells]


@given(st.lists(st.text(alphabet="0123456789abcdefABCDEF-{}() g\u00a0", max_size=40)))
def test_what_is_valid_is_valid_for_uuid_too(texts):
    ids, valid = parse_guids(pa.array(texts, pa.string()))
    for text, id16, is_valid in zip(texts, ids, valid, strict=True):
        if is_valid:
            assert uuid.UUID(text.strip().strip("()")).bytes == id16.tobytes()
        else:
            assert not id16.any()


@given(st.text())
def test_any_text_goes_through_quoting_and_an_independent_unquote_unchanged(value):
    literal = unquote_to_bytes(quote_key(value)).decode()
    assert literal[0] == literal[-1] == "'"
    inner = literal[1:-1]
    assert "'" not in inner.replace("''", "")
    assert inner.replace("''", "'") == value


@given(st.text())
def test_quoted_text_holds_no_character_that_a_url_would_read_as_its_own(value):
    assert set(quote_key(value)).isdisjoint(set('/?#&+<>*:\\ "=@!$,;()[]'))
