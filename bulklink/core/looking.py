"""How links stand: the questions, and what their answers say pair by pair.

Owns: the GETs that read many pairs at once, and the reading of their pages.
Does not know: why somebody looks, what follows from it, batches, paging limits.
Source: Microsoft Learn, "Query data using the Web API" (`In`, `@odata.nextLink`, lookup properties); OData JSON 4.0.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from bulklink.core.keys import guid_text, percent_encode
from bulklink.core.relationships import Intersect, Relationship
from bulklink.core.work import Found, Question
from bulklink.vocabulary import Before

#: Two conditions each, and the service takes no query of more than 500.
PAIRS_PER_GET: Final = 150
HOLDERS_PER_GET: Final = 250

_TARGET_TABLE: Final = "@Microsoft.Dynamics.CRM.lookuplogicalname"
_HEADERS: Final = (
    'Accept: application/json\r\nPrefer: odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"\r\n'
)
_API_PATH: Final = "/api/data/"


def link_questions(
    relationship: Relationship, api_path: str, from_ids: Sequence[bytes], to_ids: Sequence[bytes]
) -> list[Question]:
    """The GETs that tell how these pairs stand. api_path: e.g. ``/api/data/v9.2``; ids: 16 bytes each."""
    if relationship.intersect is not None:
        pairs = _positions(zip(from_ids, to_ids, strict=True))
        return [
            Question(
                get_request(_pairs_url(relationship.intersect, api_path, part)),
                [position for pair in part for position in pairs[pair]],
            )
            for part in _parts(list(pairs), PAIRS_PER_GET)
        ]
    holders = _positions(_holders(relationship, from_ids, to_ids))
    return [
        Question(
            get_request(_holders_url(relationship, api_path, part)),
            [position for holder in part for position in holders[holder]],
        )
        for part in _parts(list(holders), HOLDERS_PER_GET)
    ]


def read_link_answers(
    relationship: Relationship,
    question: Question,
    answers_bodies: Sequence[bytes],
    from_ids: Sequence[bytes],
    to_ids: Sequence[bytes],
) -> dict[int, Found]:
    """Position -> how the pair stands, for every position of the question. answers_bodies: all pages, in order.

    A lookup that holds an id is `POINTS_AT`, whatever it points at; an N:N pair is `PRESENT` or `ABSENT`.
    Raises ValueError if a page is not an answer to the question.
    """
    records = [record for body in answers_bodies for record in page_records(body)]
    try:
        if relationship.intersect is not None:
            there = _linked_pairs(relationship.intersect, records)
            return {k: _PRESENT if (from_ids[k], to_ids[k]) in there else _ABSENT for k in question.positions}
        held = {_guid(record[relationship.holder_table.primary_id]): record for record in records}
        holders = _holders(relationship, from_ids, to_ids)
        return {k: _found(relationship, held.get(holders[k])) for k in question.positions}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a record of the answer is not as asked for: {error!r}") from error


def page_records(body: bytes) -> list[dict[str, Any]]:
    """The records of one page. Raises ValueError if the body is no page of a collection."""
    page = json.loads(body)
    records = page.get("value") if isinstance(page, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("the answer holds no list of records")
    return records


def absolute_next_link(body: bytes) -> str | None:
    """Where the next page is, as the service wrote it; None on the last page."""
    if b"odata.nextLink" not in body:
        return None
    page = json.loads(body)
    link = page.get("@odata.nextLink") if isinstance(page, dict) else None
    return None if link is None else str(link)


def next_link(body: bytes) -> str | None:
    """Where the next page is, as path and query; None on the last page.

    The host is dropped: a page is fetched from the host that was asked, and the token goes nowhere else.
    Raises ValueError if the link leaves the Web API.
    """
    link = absolute_next_link(body)
    if link is None:
        return None
    address = urlsplit(link)
    if not address.path.startswith(_API_PATH) or not link.isascii() or any(character <= " " for character in link):
        raise ValueError(f"the next page lies outside the Web API: {link!r}")
    return f"{address.path}?{address.query}" if address.query else address.path


def next_page(body: bytes) -> bytes | None:
    """The GET for the page behind this one; None on the last page. Raises ValueError as `next_link` does."""
    link = next_link(body)
    return None if link is None else get_request(link)


def get_request(url: str) -> bytes:
    """One inner GET. url: root-relative, percent-encoded."""
    return f"GET {url} HTTP/1.1\r\n{_HEADERS}\r\n".encode("ascii")


def in_filter(column: str, values: Iterable[str]) -> str:
    """The filter "the column's value is one of these", percent-encoded. values: as literals of text, quotes doubled."""
    listed = ",".join(f"'{percent_encode(value)}'" for value in values)
    return f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=%5B{listed}%5D)"


_PRESENT: Final = Found(Before.PRESENT)
_ABSENT: Final = Found(Before.ABSENT)


def _pairs_url(intersect: Intersect, api_path: str, pairs: Sequence[tuple[bytes, bytes]]) -> str:
    one, other = intersect.from_attribute, intersect.to_attribute
    clauses = "%20or%20".join(
        f"({one}%20eq%20{guid_text(from_id)}%20and%20{other}%20eq%20{guid_text(to_id)})" for from_id, to_id in pairs
    )
    return f"{api_path}/{intersect.entity_set}?$select={one},{other}&$filter={clauses}"


def _holders_url(relationship: Relationship, api_path: str, holders: Sequence[bytes]) -> str:
    table = relationship.holder_table
    return (
        f"{api_path}/{table.entity_set}?$select={table.primary_id},{_value_property(relationship)}"
        f"&$filter={in_filter(table.primary_id, map(guid_text, holders))}"
    )


def _value_property(relationship: Relationship) -> str:
    return f"_{relationship.lookup_attribute}_value"


def _holders(relationship: Relationship, from_ids: Sequence[bytes], to_ids: Sequence[bytes]) -> Sequence[bytes]:
    return to_ids if relationship.holder == "to" else from_ids


def _linked_pairs(intersect: Intersect, records: Iterable[Mapping[str, Any]]) -> set[tuple[bytes, bytes]]:
    return {(_guid(record[intersect.from_attribute]), _guid(record[intersect.to_attribute])) for record in records}


def _found(relationship: Relationship, record: Mapping[str, Any] | None) -> Found:
    if record is None:
        return Found(Before.ABSENT, missing=True)
    etag = str(record.get("@odata.etag") or "")
    name = _value_property(relationship)
    # Null properties are named in answers; without the name the column was not read, which is not the same as empty.
    value = record[name]
    if value is None:
        return Found(Before.ABSENT, etag=etag)
    table = record.get(name + _TARGET_TABLE)
    other_type = table is not None and table != relationship.target_table.logical_name
    return Found(Before.POINTS_AT, _guid(value), etag, other_type=other_type)


def _guid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


_Key = TypeVar("_Key")


def _positions(keys: Iterable[_Key]) -> dict[_Key, list[int]]:
    """Distinct key -> where it stands, in order of first appearance."""
    positions: dict[_Key, list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    return positions


def _parts(keys: Sequence[_Key], size: int) -> list[Sequence[_Key]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
