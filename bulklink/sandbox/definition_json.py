"""Tables, columns, keys and relationships as the service's metadata objects.

Owns: the JSON shape of each kind of definition.
Does not know: requests.
Source: Microsoft Learn, "Query table definitions using the Web API"; the protocol's point U17.
"""

import uuid
from collections.abc import Iterable
from typing import Any

from bulklink.sandbox.errors import NAMESPACE
from bulklink.sandbox.model import LOOKUPS, AlternateKey, Column, Kind, ManyToMany, OneToMany, Table
from bulklink.sandbox.privileges import RIGHTS, privilege_id, privilege_name
from bulklink.sandbox.toggles import Toggles

_ID_SPACE = uuid.UUID("4d7d3c1e-5a51-5f0c-8d83-6f1a2f0be100")
_LANGUAGE = 1033
_TYPE_WORDS = {Kind.UNIQUEIDENTIFIER: "UniqueIdentifier", Kind.CUSTOMER: "Lookup", Kind.OWNER: "Lookup"}
#: What the two values of a yes/no column are called if nothing else is said.
YES_NO = ((1, "Yes"), (0, "No"))
#: The types whose derived shape adds something to the base.
MANY_TO_MANY = "ManyToManyRelationshipMetadata"
ONE_TO_MANY = "OneToManyRelationshipMetadata"


def metadata_id(*names: str) -> str:
    """The id of a definition: always the same for a name."""
    return str(uuid.uuid5(_ID_SPACE, "/".join(names)))


def label(text: str, others: Iterable[tuple[int, str]] = ()) -> dict[str, Any]:
    """A label in the user's language. others: (language, text) besides."""
    every = [
        {"Label": words, "LanguageCode": language, "IsManaged": True, "MetadataId": metadata_id("label", words)}
        for language, words in ((_LANGUAGE, text), *others)
    ]
    return {"LocalizedLabels": every, "UserLocalizedLabel": every[0]}


def table_json(table: Table) -> dict[str, Any]:
    """EntityMetadata."""
    schema = table.schema_name or table.name
    return {
        "MetadataId": metadata_id(table.name),
        "LogicalName": table.name,
        "SchemaName": schema,
        "EntitySetName": table.entity_set or None,
        "LogicalCollectionName": table.entity_set or None,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name or None,
        "IsIntersect": table.is_intersect,
        "IsCustomEntity": table.is_custom,
        "IsActivity": table.base == "activitypointer",
        "ObjectTypeCode": table.type_code,
        "TableType": "Standard",
        "OwnershipType": "UserOwned" if "ownerid" in table.columns else "OrganizationOwned",
        "IsOptimisticConcurrencyEnabled": not table.is_intersect,
        "IsManaged": not table.is_custom,
        "IsPrivate": False,
        "IsValidForAdvancedFind": not table.is_intersect,
        "DisplayName": label(schema),
        "Description": label(""),
        "DisplayCollectionName": label(table.entity_set or schema),
        "Privileges": [] if table.is_intersect else [_privilege(right, table) for right in RIGHTS],
    }


def _privilege(right: str, table: Table) -> dict[str, Any]:
    name = privilege_name(right, table)
    return {
        "CanBeBasic": True, "CanBeDeep": True, "CanBeGlobal": True, "CanBeLocal": True, "CanBeEntityReference": False,
        "CanBeParentEntityReference": False, "Name": name, "PrivilegeId": privilege_id(name), "PrivilegeType": right,
    }  # fmt: skip


def attribute_type(column: Column) -> str:
    """The name of the metadata type of a column."""
    if column.kind is Kind.VIRTUAL:
        return "AttributeMetadata"
    return f"{_TYPE_WORDS.get(column.kind, str(column.kind))}AttributeMetadata"


def column_json(table: Table, column: Column) -> dict[str, Any]:
    """AttributeMetadata: what every column has."""
    return {
        "MetadataId": metadata_id(table.name, column.name),
        "LogicalName": column.name,
        "SchemaName": column.schema_name or column.name,
        "EntityLogicalName": table.name,
        "AttributeType": str(column.kind),
        "AttributeTypeName": {"Value": f"{column.kind}Type"},
        "AttributeOf": None,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": bool(column.name) and column.name == table.primary_name,
        "IsValidForCreate": column.name != "versionnumber",
        "IsValidForUpdate": column.name not in ("versionnumber", table.primary_id),
        "IsValidForRead": True,
        "IsCustomAttribute": "_" in column.name,
        "RequiredLevel": {"Value": "None", "CanBeChanged": True},
        "DisplayName": label(column.schema_name or column.name),
    }


def column_details(column: Column) -> dict[str, Any]:
    """What the derived type of a column adds."""
    if column.kind in LOOKUPS:
        return {"Targets": list(column.targets)}
    if column.kind is Kind.DATETIME:
        return {"DateTimeBehavior": {"Value": "DateOnly" if column.date_only else "UserLocal"}}
    if column.length_max or column.kind in (Kind.STRING, Kind.MEMO):
        return {"MaxLength": column.length_max or None}
    return {}


def option_set(table: Table, column: Column) -> dict[str, Any]:
    """The option set of a choice or of a yes/no column."""
    found: dict[str, Any] = {
        "MetadataId": metadata_id(table.name, column.name, "options"),
        "Name": f"{table.name}_{column.name}",
        "IsGlobal": False,
        "OptionSetType": str(column.kind),
    }
    if column.kind is Kind.BOOLEAN:
        words = dict(YES_NO) | dict(column.options)
        return found | {"TrueOption": _option(column, 1, words[1]), "FalseOption": _option(column, 0, words[0])}
    return found | {"Options": [_option(column, value, text) for value, text in column.options]}


def _option(column: Column, value: int, text: str) -> dict[str, Any]:
    others = [(language, words) for number, language, words in column.translations if number == value]
    nothing: dict[str, Any] = {"LocalizedLabels": [], "UserLocalizedLabel": None}
    return {"Value": value, "Label": label(text, others), "Description": nothing}


def key_json(table: Table, key: AlternateKey) -> dict[str, Any]:
    """EntityKeyMetadata."""
    return {
        "MetadataId": metadata_id(table.name, "key", key.name),
        "LogicalName": key.name.lower(),
        "SchemaName": key.name,
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status,
        "DisplayName": label(key.name),
        "IsManaged": not table.is_custom,
    }


def _relationship(name: str, kind: str) -> dict[str, Any]:
    return {
        "MetadataId": metadata_id("relationship", name),
        "SchemaName": name,
        "RelationshipType": kind,
        "SecurityTypes": "None",
        "IsCustomRelationship": name.startswith("new_"),
        "IsManaged": not name.startswith("new_"),
        "IntroducedVersion": "5.0.0.0",
        "HasChanged": None,
    }


#: The members that every relationship has, which is all that can be selected without a cast.
BASE_MEMBERS = frozenset(_relationship("", ""))


def many_to_many_json(relationship: ManyToMany, toggles: Toggles) -> dict[str, Any]:
    """ManyToManyRelationshipMetadata."""
    navigation1, navigation2 = relationship.navigation1, relationship.navigation2
    if toggles.reflexive_names == "swapped":
        navigation1, navigation2 = navigation2, navigation1
    if toggles.reflexive_names == "same-name" and relationship.is_reflexive:
        navigation2 = navigation1
    return _relationship(relationship.name, "ManyToManyRelationship") | {
        "Entity1LogicalName": relationship.table1,
        "Entity1IntersectAttribute": relationship.attribute1,
        "Entity1NavigationPropertyName": navigation1,
        "Entity2LogicalName": relationship.table2,
        "Entity2IntersectAttribute": relationship.attribute2,
        "Entity2NavigationPropertyName": navigation2,
        "IntersectEntityName": relationship.intersect,
        "Entity1AssociatedMenuConfiguration": _menu(),
        "Entity2AssociatedMenuConfiguration": _menu(),
    }


def _menu() -> dict[str, Any]:
    return {"Behavior": "UseCollectionName", "Group": "Details", "Order": 10000, "Label": label("")}


def one_to_many_json(relationship: OneToMany, one: Table | None) -> dict[str, Any]:
    """OneToManyRelationshipMetadata. one: the referenced table, None if it is abstract (the owner)."""
    referenced = "owner" if relationship.one == "principal" else relationship.one
    return _relationship(relationship.name, "OneToManyRelationship") | {
        "ReferencedEntity": referenced,
        "ReferencedAttribute": one.primary_id if one else f"{referenced}id",
        "ReferencedEntityNavigationPropertyName": relationship.collection_navigation or None,
        "ReferencingEntity": relationship.many,
        "ReferencingAttribute": relationship.column,
        "ReferencingEntityNavigationPropertyName": relationship.lookup_navigation or None,
        "IsHierarchical": relationship.is_hierarchical,
        "RelationshipBehavior": 1,
        "CascadeConfiguration": {
            "Assign": "NoCascade", "Delete": relationship.on_delete, "Merge": "NoCascade", "Reparent": "NoCascade",
            "Share": "NoCascade", "Unshare": "NoCascade", "RollupView": "NoCascade",
        },
        "EntityKey": None,
    }  # fmt: skip


def type_name(short: str) -> str:
    """The qualified name of a metadata type."""
    return f"{NAMESPACE}.{short}"
