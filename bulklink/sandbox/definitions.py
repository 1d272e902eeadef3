"""Metadata on request: table and relationship definitions as JSON, ``$metadata``, the service document.

Owns: the resources below ``EntityDefinitions`` and ``RelationshipDefinitions`` with $select, $filter, $expand and
casts.
Does not know: records; the shape of a definition; CSDL.
Source: Microsoft Learn, "Query table definitions using the Web API".
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bulklink.sandbox import definition_json as shapes
from bulklink.sandbox.addresses import Segment
from bulklink.sandbox.csdl_writer import write_csdl
from bulklink.sandbox.definition_filter import compile_filter
from bulklink.sandbox.errors import NAMESPACE, ODataError, bad_syntax, no_property, no_segment, not_supported
from bulklink.sandbox.messages import Request, Response, json_answer, text_answer
from bulklink.sandbox.model import OPTIONS, Column, Kind, Model, Table
from bulklink.sandbox.options import read_options
from bulklink.sandbox.storage import GUID
from bulklink.sandbox.toggles import Toggles

#: First path segments that are metadata.
ROOTS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions", "$metadata", ""})

_NAME_KEY = re.compile(r"\s*(LogicalName|SchemaName|MetadataId)\s*=\s*(?:'((?:[^']|'')*)'|([^']*))\s*")
_EXPANSION = re.compile(r"\s*(\w+)\s*(?:\(\s*([^()]*)\))?\s*(?:,|$)")
_VERSION_ANNOTATION = "Microsoft.Dynamics.CRM.globalmetadataversion"
_CHOICES = OPTIONS | {Kind.BOOLEAN}


@dataclass(frozen=True, slots=True)
class Item:
    """One definition: its type, all members, those of them that can be selected, and what can be expanded."""

    type: str
    members: dict[str, Any]
    selectable: frozenset[str]
    expandable: Mapping[str, Callable[[], Any]]
    is_derived: bool = False


class Definitions:
    """Answers for one model."""

    def __init__(self, model: Model, toggles: Toggles) -> None:
        self._model = model
        self._toggles = toggles
        self._csdl = ""
        names = sorted([*model.tables, *model.one_to_many, *model.many_to_many])
        self._version = str(zlib.crc32("/".join(names).encode()))

    def answer(self, request: Request, segments: list[Segment]) -> Response:
        """Answer a GET on metadata."""
        root = segments[0].name
        if root == "":
            return self._service_document(request)
        if root == "$metadata":
            self._csdl = self._csdl or write_csdl(self._model)
            return text_answer(self._csdl, "application/xml")
        if root == "GlobalOptionSetDefinitions":
            raise not_supported("global option sets")
        path, cast = _without_cast(segments)
        found = self._entities(path) if root == "EntityDefinitions" else self._relationships(path)
        if cast:
            found = _as_type(found, cast)
        location = "/".join(s.name if s.predicate is None else f"{s.name}({s.predicate})" for s in segments)
        return self._shown(request, found, f"{request.api_url}/$metadata#{location}")

    def _service_document(self, request: Request) -> Response:
        sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(self._model.entity_sets)]
        return json_answer({"@odata.context": f"{request.api_url}/$metadata", "value": sets})

    # ------------------------------------------------------------------ resources

    def _entities(self, path: list[Segment]) -> list[Item] | Item:
        root, rest = path[0], path[1:]
        if root.predicate is None:
            if rest:
                raise no_segment(rest[0].name)
            return [self._entity(table) for table in self._model.tables.values()]
        table = self._table(root.predicate)
        if not rest:
            return self._entity(table)
        parts = self._parts(table)
        if rest[0].name == "Privileges" and len(rest) == 1:
            return [_plain("SecurityPrivilegeMetadata", p) for p in shapes.table_json(table)["Privileges"]]
        if rest[0].name not in parts:
            raise no_segment(rest[0].name)
        items = parts[rest[0].name]()
        if (
            len(rest) == 2
            and rest[1].name == "OptionSet"
            and isinstance(chosen := _chosen(items, rest[0].predicate), Item)
        ):
            return _option_set(chosen)
        if len(rest) > 1:
            raise no_segment(rest[1].name)
        return _chosen(items, rest[0].predicate) if rest[0].predicate is not None else items

    def _table(self, predicate: str) -> Table:
        name, value = _named(predicate)
        for table in self._model.tables.values():
            if value == (shapes.metadata_id(table.name) if name == "MetadataId" else table.name):
                return table
        raise ODataError(
            404,
            "0x80040217",
            f"The entity with a name = '{value}' with namemapping = 'Logical' was not found in the MetadataCache.",
        )

    def _parts(self, table: Table) -> dict[str, Callable[[], list[Item]]]:
        model, name = self._model, table.name
        return {
            "Attributes": lambda: [_attribute(table, column) for column in table.columns.values()],
            "Keys": lambda: [_plain("EntityKeyMetadata", shapes.key_json(table, key)) for key in table.keys],
            "ManyToManyRelationships": lambda: [self._many_to_many(r) for r in model.links_of(name)],
            "OneToManyRelationships": lambda: [self._one_to_many(r) for r in model.lookups_to(name)],
            "ManyToOneRelationships": lambda: [
                self._one_to_many(r) for r in model.one_to_many.values() if r.many == name
            ],
        }

    def _entity(self, table: Table) -> Item:
        members = shapes.table_json(table)
        return Item("EntityMetadata", members, frozenset(members), self._parts(table))

    def _relationships(self, path: list[Segment]) -> list[Item] | Item:
        root, rest = path[0], path[1:]
        if rest:
            raise no_segment(rest[0].name)
        if root.predicate is None:
            return [_as_base(item) for item in self._all_relationships()]
        name, value = _named(root.predicate)
        if name == "SchemaName" and value in self._model.many_to_many:
            return _as_base(self._many_to_many(self._model.many_to_many[value]))
        if name == "SchemaName" and value in self._model.one_to_many:
            return _as_base(self._one_to_many(self._model.one_to_many[value]))
        return _as_base(_chosen(self._all_relationships(), root.predicate))

    def _all_relationships(self) -> Iterator[Item]:
        yield from (self._many_to_many(r) for r in self._model.many_to_many.values())
        yield from (self._one_to_many(r) for r in self._model.one_to_many.values())

    def _many_to_many(self, relationship: Any) -> Item:
        return _plain(shapes.MANY_TO_MANY, shapes.many_to_many_json(relationship, self._toggles))

    def _one_to_many(self, relationship: Any) -> Item:
        one = self._model.tables.get(relationship.one)
        return _plain(shapes.ONE_TO_MANY, shapes.one_to_many_json(relationship, one))

    # ------------------------------------------------------------------ showing

    def _shown(self, request: Request, found: list[Item] | Item, location: str) -> Response:
        options = read_options(request)
        body: dict[str, Any] = {}
        if "*" in options.annotations or _VERSION_ANNOTATION in options.annotations:
            body[f"@{_VERSION_ANNOTATION}"] = self._version
        expand = _expansions(options.given.get("$expand", ""))
        if isinstance(found, Item):
            body |= {"@odata.context": f"{location}/$entity", **_object(found, options.select, expand)}
            return json_answer(body)
        condition = options.given.get("$filter")
        if condition:
            selectable = found[0].selectable if found else frozenset()
            keep = compile_filter(condition, selectable, found[0].type if found else "")
            found = [item for item in found if keep(item.members)]
        body |= {"@odata.context": location, "value": [_object(item, options.select, expand) for item in found]}
        return json_answer(body)


def _plain(kind: str, members: dict[str, Any]) -> Item:
    return Item(kind, members, frozenset(members), {})


def _attribute(table: Table, column: Column) -> Item:
    base = shapes.column_json(table, column)
    members = base | shapes.column_details(column)
    expandable: dict[str, Callable[[], Any]] = {}
    if column.kind in _CHOICES:
        expandable = {"OptionSet": lambda: shapes.option_set(table, column), "GlobalOptionSet": lambda: None}
    return Item(shapes.attribute_type(column), members, frozenset(base), expandable, is_derived=True)


def _as_base(item: Item) -> Item:
    return Item(item.type, item.members, shapes.BASE_MEMBERS, {}, is_derived=True)


def _option_set(item: Item) -> Item:
    if "OptionSet" not in item.expandable:
        raise no_segment("OptionSet")
    return _plain("OptionSetMetadata", item.expandable["OptionSet"]())


def _without_cast(segments: list[Segment]) -> tuple[list[Segment], str]:
    """The path without its cast, and the cast's type."""
    casts = [s.name.removeprefix(f"{NAMESPACE}.") for s in segments if s.name.startswith(f"{NAMESPACE}.")]
    path = [s for s in segments if not s.name.startswith(f"{NAMESPACE}.")]
    return path, casts[0] if casts else ""


def _as_type(found: list[Item] | Item, cast: str) -> list[Item] | Item:
    """The items of a derived type, whose own members can then be selected."""
    if isinstance(found, Item):
        if found.type != cast:
            raise no_segment(f"{NAMESPACE}.{cast}")
        return Item(found.type, found.members, frozenset(found.members), found.expandable)
    return [Item(i.type, i.members, frozenset(i.members), i.expandable) for i in found if i.type == cast]


def _named(predicate: str) -> tuple[str, str]:
    """The name and value of a key predicate on metadata."""
    if GUID.fullmatch(predicate):
        return "MetadataId", predicate.lower()
    match = _NAME_KEY.fullmatch(predicate)
    if match is None:
        raise bad_syntax("Bad Request - Error in query syntax.")
    return match[1], (match[2] or match[3] or "").replace("''", "'")


def _chosen(items: Iterable[Item], predicate: str | None) -> Item:
    name, value = _named(predicate or "")
    for item in items:
        if item.members.get(name) == value:
            return item
    raise ODataError(404, "0x80040217", f"Could not find '{value}' in the metadata.")


def _expansions(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text):
        match = _EXPANSION.match(text, position)
        if match is None or match.end() == position:
            raise bad_syntax(f"Syntax error in $expand '{text}'.")
        found.append((match[1], match[2] or ""))
        position = match.end()
    return found


def _object(item: Item, select: str, expand: list[tuple[str, str]]) -> dict[str, Any]:
    members: dict[str, Any] = {"@odata.type": f"#{shapes.type_name(item.type)}"} if item.is_derived else {}
    if select.strip():
        for name in (part.strip() for part in select.split(",")):
            if name not in item.selectable:
                raise no_property(name, _declared(item))
            members[name] = item.members[name]
        members.setdefault("MetadataId", item.members.get("MetadataId"))
    else:
        members |= item.members
    for name, inner in expand:
        if name not in item.expandable:
            raise no_property(name, _declared(item))
        members[name] = _expanded(item.expandable[name](), inner)
    return members


def _declared(item: Item) -> str:
    """The type in whose terms a wrong name is reported: without a cast the base type."""
    if not item.is_derived:
        return item.type
    return "RelationshipMetadataBase" if item.type in (shapes.MANY_TO_MANY, shapes.ONE_TO_MANY) else "AttributeMetadata"


def _expanded(value: Any, inner: str) -> Any:
    if not isinstance(value, list):
        return value
    given = dict(part.strip().split("=", 1) for part in inner.split(";") if "=" in part)
    if set(given) - {"$select"}:
        raise not_supported("other options than $select in an $expand of metadata")
    return [_object(item, given.get("$select", ""), []) for item in value]
