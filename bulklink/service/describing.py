"""What people call tables and columns: the names on forms, for proposals.

Owns: the requests for these names.
Does not know: what is proposed.
Source: Microsoft Learn, "Query schema definitions using the Web API" (DisplayName, UserLocalizedLabel).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bulklink.core.facts import Table
from bulklink.core.keys import quote_key
from bulklink.core.looking import get_request
from bulklink.core.proposing import ColumnWords, TableWords
from bulklink.errors import StoppedEarly
from bulklink.service import definitions
from bulklink.service.reading import Reader, checked

_Read = TypeVar("_Read")


async def describe_tables(reader: Reader) -> list[TableWords]:
    """Every table that holds records of its own, with the name that people see."""
    url = "EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,DisplayName"
    return await _ask(reader, f"{url},IsIntersect", "the tables", _tables)


async def describe_columns(reader: Reader, table: str) -> list[ColumnWords]:
    """A table's columns with the names that people see."""
    url = f"EntityDefinitions(LogicalName={quote_key(table)})/Attributes?$select=LogicalName,AttributeType,DisplayName"
    return await _ask(reader, url, f"the columns of {table}", _columns)


async def _ask(reader: Reader, url: str, what: str, read: Callable[[bytes], _Read]) -> _Read:
    (answer,) = await reader.ask([get_request(f"{reader.api_path}/{url}")])
    body = checked(answer, what).body
    try:
        return read(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoppedEarly(f"The service's answer to {what} is not understood: {error!r}") from error


def _tables(body: bytes) -> list[TableWords]:
    return [
        TableWords(
            Table(
                one["LogicalName"],
                one["EntitySetName"],
                one["PrimaryIdAttribute"] or "",
                one.get("PrimaryNameAttribute") or "",
            ),
            _display(one),
        )
        for one in _records(body)
        if one["EntitySetName"] and not one.get("IsIntersect")
    ]


def _columns(body: bytes) -> list[ColumnWords]:
    known = definitions.read_columns(body)
    return [ColumnWords(known[one["LogicalName"]][0], _display(one)) for one in _records(body)]


def _display(record: Mapping[str, Any]) -> str:
    return str(((record.get("DisplayName") or {}).get("UserLocalizedLabel") or {}).get("Label") or "")


def _records(body: bytes) -> Sequence[Mapping[str, Any]]:
    records: Sequence[Mapping[str, Any]] = json.loads(body)["value"]
    return records
