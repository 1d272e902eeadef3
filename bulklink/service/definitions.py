"""Metadata answers -> facts.

Owns: where metadata stands in the Web API, the names of its JSON and CSDL, and their meaning.
Does not know: how answers are fetched, which relationship a job wants.
Source: Microsoft Learn, "Query schema definitions using the Web API", "Web API service documents (CSDL)".
"""

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from defusedxml.ElementTree import iterparse

from bulklink.core.facts import AlternateKey, Column, ColumnKind, Facts, ManyToMany, Navigation, OneToMany, Table
from bulklink.core.keys import quote_key

_CAST: Final = "Microsoft.Dynamics.CRM"
_TABLE: Final = "LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute"
_MANY_TO_MANY: Final = (
    "SchemaName,IntersectEntityName,"
    "Entity1LogicalName,Entity1IntersectAttribute,Entity1NavigationPropertyName,"
    "Entity2LogicalName,Entity2IntersectAttribute,Entity2NavigationPropertyName"
)
_ONE_TO_MANY: Final = (
    "SchemaName,ReferencedEntity,ReferencedEntityNavigationPropertyName,"
    "ReferencingEntity,ReferencingAttribute,ReferencingEntityNavigationPropertyName"
)
_KINDS: Final[Mapping[str, ColumnKind]] = {
    "String": ColumnKind.TEXT,
    "Memo": ColumnKind.MEMO,
    "Integer": ColumnKind.WHOLE,
    "BigInt": ColumnKind.BIG,
    "Decimal": ColumnKind.DECIMAL,
    "Money": ColumnKind.MONEY,
    "Double": ColumnKind.DOUBLE,
    "Boolean": ColumnKind.BOOLEAN,
    "Picklist": ColumnKind.CHOICE,
    "State": ColumnKind.CHOICE,
    "Status": ColumnKind.CHOICE,
    "DateTime": ColumnKind.DATETIME,
    "Uniqueidentifier": ColumnKind.GUID,
    "Lookup": ColumnKind.LOOKUP,
    "Customer": ColumnKind.LOOKUP,
    "Owner": ColumnKind.LOOKUP,
}
#: Columns whose labels are fetched: the type of their definition, and where the options stand in it.
LABELLED: Final[Mapping[str, tuple[str, str]]] = {
    "Picklist": ("PicklistAttributeMetadata", "OptionSet($select=Options),GlobalOptionSet($select=Options)"),
    "State": ("StateAttributeMetadata", "OptionSet($select=Options)"),
    "Status": ("StatusAttributeMetadata", "OptionSet($select=Options)"),
    "Boolean": ("BooleanAttributeMetadata", "OptionSet($select=TrueOption,FalseOption)"),
}


# ---- where it stands


def table_url(name: str) -> str:
    """One table."""
    return f"EntityDefinitions(LogicalName={quote_key(name)})?$select={_TABLE}"


def all_tables_url() -> str:
    """The names of all tables; metadata comes without pages."""
    return "EntityDefinitions?$select=LogicalName"


def many_to_many_url(table: str) -> str:
    """A table's N:N relationships."""
    return f"EntityDefinitions(LogicalName={quote_key(table)})/ManyToManyRelationships?$select={_MANY_TO_MANY}"


def collections_url(table: str) -> str:
    """The 1:N relationships of which a table is the "one" side."""
    return f"EntityDefinitions(LogicalName={quote_key(table)})/OneToManyRelationships?$select={_ONE_TO_MANY}"


def lookups_url(table: str) -> str:
    """The 1:N relationships of which a table holds the lookup."""
    return f"EntityDefinitions(LogicalName={quote_key(table)})/ManyToOneRelationships?$select={_ONE_TO_MANY}"


def named_urls(schema_name: str) -> tuple[str, str]:
    """A relationship by its schema name: as N:N and as 1:N. Only one of them is there."""
    one = f"RelationshipDefinitions(SchemaName={quote_key(schema_name)})/{_CAST}"
    return (
        f"{one}.ManyToManyRelationshipMetadata?$select={_MANY_TO_MANY}",
        f"{one}.OneToManyRelationshipMetadata?$select={_ONE_TO_MANY}",
    )


def columns_url(table: str) -> str:
    """A table's columns with their types."""
    return f"EntityDefinitions(LogicalName={quote_key(table)})/Attributes?$select=LogicalName,AttributeType"


def labels_url(table: str, column: str, kind: str) -> str:
    """The labels of a choice or yes/no column. kind: a key of `LABELLED`."""
    cast, options = LABELLED[kind]
    address = f"EntityDefinitions(LogicalName={quote_key(table)})/Attributes(LogicalName={quote_key(column)})"
    return f"{address}/{_CAST}.{cast}?$select=LogicalName&$expand={options}"


def days_url(table: str) -> str:
    """Which date columns hold days without time."""
    cast = f"{_CAST}.DateTimeAttributeMetadata"
    return f"EntityDefinitions(LogicalName={quote_key(table)})/Attributes/{cast}?$select=LogicalName,DateTimeBehavior"


def targets_url(table: str) -> str:
    """The tables that each lookup column can point at."""
    cast = f"{_CAST}.LookupAttributeMetadata"
    return f"EntityDefinitions(LogicalName={quote_key(table)})/Attributes/{cast}?$select=LogicalName,Targets"


def keys_url(table: str) -> str:
    """A table's alternate keys."""
    return (
        f"EntityDefinitions(LogicalName={quote_key(table)})/Keys?$select=SchemaName,KeyAttributes,EntityKeyIndexStatus"
    )


def message_url(message: str, table: str) -> str:
    """Whether a table takes a message."""
    wanted = f"sdkmessageid/name%20eq%20'{message}'%20and%20primaryobjecttypecode%20eq%20{quote_key(table)}"
    return f"sdkmessagefilters?$select=primaryobjecttypecode&$filter={wanted}"


def record_count_url(table: str) -> str:
    """About how many records a table has."""
    return f"RetrieveTotalRecordCount(EntityNames=%5B{quote_key(table)}%5D)"


# ---- what it says


def read_table(body: bytes) -> Facts:
    """One table, as `table_url` asks for it."""
    record = json.loads(body)
    table = Table(
        record["LogicalName"],
        record["EntitySetName"] or "",
        record["PrimaryIdAttribute"] or "",
        record.get("PrimaryNameAttribute") or "",
    )
    return Facts(tables={table.logical_name: table})


def read_table_names(body: bytes) -> Facts:
    """All tables' names."""
    return Facts(table_names=tuple(record["LogicalName"] for record in _records(body)))


def read_relationships(body: bytes) -> Facts:
    """A collection of relationships, or a single one; N:N or 1:N shows by their properties."""
    records = _records(body)
    return Facts(
        many_to_many=tuple(_many_to_many(record) for record in records if "IntersectEntityName" in record),
        one_to_many=tuple(_one_to_many(record) for record in records if "ReferencedEntity" in record),
    )


def read_columns(body: bytes) -> dict[str, tuple[Column, str]]:
    """Columns by name, each with the service's word for its type."""
    return {
        record["LogicalName"]: (
            Column(record["LogicalName"], _KINDS.get(record["AttributeType"], ColumnKind.OTHER)),
            record["AttributeType"],
        )
        for record in _records(body)
    }


def read_labels(body: bytes) -> dict[str, int]:
    """Label -> value, in every language that the answer holds."""
    record = json.loads(body)
    options: list[Mapping[str, Any]] = []
    for name in ("OptionSet", "GlobalOptionSet"):
        option_set = record.get(name) or {}
        options += option_set.get("Options") or []
        options += [option_set[side] for side in ("TrueOption", "FalseOption") if option_set.get(side)]
    return {label: int(option["Value"]) for option in options for label in _labels(option)}


def read_days(body: bytes) -> frozenset[str]:
    """The columns that hold days without time."""
    return frozenset(
        record["LogicalName"]
        for record in _records(body)
        if (record.get("DateTimeBehavior") or {}).get("Value") == "DateOnly"
    )


def read_targets(body: bytes, table: str) -> Facts:
    """What each lookup column of a table can point at."""
    return Facts(
        lookup_targets={(table, record["LogicalName"]): tuple(record.get("Targets") or ()) for record in _records(body)}
    )


def read_keys(body: bytes) -> list[AlternateKey]:
    """Alternate keys; only those whose index is active can be used."""
    return [
        AlternateKey(
            record["SchemaName"], tuple(record["KeyAttributes"]), record.get("EntityKeyIndexStatus") == "Active"
        )
        for record in _records(body)
    ]


def has_records(body: bytes) -> bool:
    """Whether a collection holds any record."""
    return bool(_records(body))


def read_who_am_i(body: bytes) -> str:
    """The id of the organisation, in lower case."""
    return str(json.loads(body)["OrganizationId"]).lower()


def read_record_count(body: bytes) -> int | None:
    """The one number of a record count."""
    values = json.loads(body)["EntityRecordCountCollection"]["Values"]
    return int(values[0]) if values else None


def read_navigations(csdl: bytes, tables: Iterable[str]) -> Facts:
    """The navigation properties of some tables out of the CSDL, which is several megabytes: read as a stream."""
    wanted = set(tables)
    found: dict[str, dict[str, Navigation]] = {table: {} for table in wanted}
    for _, element in iterparse(io.BytesIO(csdl), events=("end",)):
        if element.tag.rpartition("}")[2] != "EntityType":
            continue
        if element.get("Name") in wanted:
            found[element.get("Name")] = {
                child.get("Name"): _navigation(child)
                for child in element
                if child.tag.rpartition("}")[2] == "NavigationProperty"
            }
        element.clear()
    return Facts(navigations=found)


def _navigation(element: Any) -> Navigation:
    kind = element.get("Type")
    is_collection = kind.startswith("Collection(")
    target = kind.removeprefix("Collection(").removesuffix(")").rpartition(".")[2]
    return Navigation(element.get("Name"), target, is_collection, element.get("Partner") or "")


def _records(body: bytes) -> list[dict[str, Any]]:
    """The records of a collection; a single record counts as a collection of one."""
    page = json.loads(body)
    records: list[dict[str, Any]] = page.get("value", [page])
    return records


def _many_to_many(record: Mapping[str, Any]) -> ManyToMany:
    return ManyToMany(
        record["SchemaName"],
        record["IntersectEntityName"],
        record["Entity1LogicalName"],
        record["Entity1IntersectAttribute"],
        record.get("Entity1NavigationPropertyName") or "",
        record["Entity2LogicalName"],
        record["Entity2IntersectAttribute"],
        record.get("Entity2NavigationPropertyName") or "",
    )


def _one_to_many(record: Mapping[str, Any]) -> OneToMany:
    return OneToMany(
        record["SchemaName"],
        record["ReferencedEntity"],
        record.get("ReferencedEntityNavigationPropertyName") or "",
        record["ReferencingEntity"],
        record["ReferencingAttribute"],
        record.get("ReferencingEntityNavigationPropertyName") or "",
    )


def _labels(option: Mapping[str, Any]) -> list[str]:
    label = option.get("Label") or {}
    localized = [one.get("Label") for one in label.get("LocalizedLabels") or []]
    user = (label.get("UserLocalizedLabel") or {}).get("Label")
    return [text for text in dict.fromkeys([*localized, user]) if text]
