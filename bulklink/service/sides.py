"""Which column of an intersect table is whose, when both records are of one table.

Owns: a look at links that exist, to check what the metadata says about the sides of a reflexive N:N relationship.
Does not know: how the relationship was chosen.
Source: no document says beyond doubt whether "Entity1NavigationPropertyName" goes with "Entity1IntersectAttribute".
A link read through its navigation property has a direction that is beyond doubt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bulklink.core.answer import Answer
from bulklink.core.looking import get_request
from bulklink.core.relationships import Intersect, Relationship
from bulklink.service.reading import Reader

#: Links looked at. One is enough, unless its reverse is linked too.
_LINKS: Final = 5


async def with_checked_sides(relationship: Relationship, reader: Reader) -> Relationship:
    """The relationship with its intersect columns on the right sides, as far as existing links tell.

    Two requests for a reflexive N:N relationship, none for any other. Where there are no links, or they may not be
    read, the metadata's word counts.
    """
    intersect = relationship.intersect
    if intersect is None or relationship.from_table != relationship.to_table:
        return relationship
    one, other = intersect.from_attribute, intersect.to_attribute
    address = f"{reader.api_path}/{intersect.entity_set}?$select={one},{other}"
    (answer,) = await reader.ask([get_request(f"{address}&$top={_LINKS}")])
    links = [(link[one], link[other]) for link in _records(answer) if link[one] != link[other]]
    for from_id, to_id in links:
        through, reverse = await reader.ask(
            [
                get_request(_through_url(relationship, reader.api_path, from_id, to_id)),
                get_request(f"{address}&$filter={one}%20eq%20{to_id}%20and%20{other}%20eq%20{from_id}"),
            ]
        )
        if through.status == reverse.status == 200 and not _records(reverse):
            return relationship if _records(through) else _swapped(relationship, intersect)
    return relationship


def _through_url(relationship: Relationship, api_path: str, from_id: str, to_id: str) -> str:
    """Whether the to record is found through the navigation property of the from record."""
    table = relationship.from_table
    way = f"{api_path}/{table.entity_set}({from_id})/{relationship.navigation_property}"
    return f"{way}?$select={table.primary_id}&$filter={table.primary_id}%20eq%20{to_id}"


def _swapped(relationship: Relationship, intersect: Intersect) -> Relationship:
    turned = replace(intersect, from_attribute=intersect.to_attribute, to_attribute=intersect.from_attribute)
    return replace(relationship, intersect=turned)


def _records(answer: Answer) -> Sequence[Mapping[str, Any]]:
    if answer.status != 200:
        return []
    records: Sequence[Mapping[str, Any]] = json.loads(answer.body).get("value", [])
    return records
