"""An environment's metadata as one file, for a sandbox to serve: its CSDL, and what CSDL does not say.

Owns: which definitions of which tables are added, how they are fetched, and how they stand in the document.
Does not know: who reads the file; what the definitions mean.
Source: OData 4.0 Part 3 (CSDL), "Annotations"; Microsoft Learn, "Query schema definitions using the Web API".

Each answer of the service stands in an annotation of its own, as JSON in the service's words, below the table that it
is about. Programs that do not know the terms read the document as if they were not there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from bulklink.core import misnaming
from bulklink.core.answer import Answer
from bulklink.core.keys import quote_key
from bulklink.core.looking import get_request
from bulklink.errors import StoppedEarly
from bulklink.service import definitions
from bulklink.service.reading import Reader, checked

#: The namespace of the annotations' terms.
TERMS: Final = "Bulklink.Definitions.V1"
_CAST: Final = "/Attributes/Microsoft.Dynamics.CRM."
_ONE_TO_MANY: Final = (
    "?$select=SchemaName,ReferencedEntity,ReferencedEntityNavigationPropertyName,ReferencingEntity,"
    "ReferencingAttribute,ReferencingEntityNavigationPropertyName,IsHierarchical,CascadeConfiguration"
)
_MANY_TO_MANY: Final = (
    "?$select=SchemaName,IntersectEntityName,Entity1LogicalName,Entity1IntersectAttribute,"
    "Entity1NavigationPropertyName,Entity2LogicalName,Entity2IntersectAttribute,Entity2NavigationPropertyName"
)
#: What the job names: term -> where it stands below the table's definition.
_RESOURCES: Final[Mapping[str, str]] = {
    "Table": (
        "?$select=LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,IsCustomEntity,"
        "ObjectTypeCode"
    ),
    "Columns": "/Attributes?$select=LogicalName,SchemaName,AttributeType",
    "Lookups": f"{_CAST}LookupAttributeMetadata?$select=LogicalName,Targets",
    "Days": f"{_CAST}DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior",
    **{
        kind: f"{_CAST}{cast}?$select=LogicalName&$expand={options}"
        for kind, (cast, options) in definitions.LABELLED.items()
    },
    "Keys": "/Keys?$select=SchemaName,KeyAttributes,EntityKeyIndexStatus",
    "ManyToMany": f"/ManyToManyRelationships{_MANY_TO_MANY}",
    "OneToMany": f"/OneToManyRelationships{_ONE_TO_MANY}",
    "ManyToOne": f"/ManyToOneRelationships{_ONE_TO_MANY}",
}
#: What is asked of an intersect table: nobody names its columns, yet links are read from it.
_OF_INTERSECTS: Final = ("Table", "Columns", "Lookups")
#: Members of definitions that say nothing to a sandbox.
_NOISE: Final = frozenset(
    {"MetadataId", "IsManaged", "HasChanged", "Description", "Color", "ExternalValue", "IsHidden"}
)
_NOT_THERE: Final = frozenset({400, 404, 501})
_END_OF_SCHEMA: Final = re.compile(rb"</(?:\w+:)?Schema\s*>")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The document, and the tables of which it says more than CSDL does."""

    document: bytes
    tables: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """Definitions by table and term."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def relationships(self, term: str) -> Iterator[Mapping[str, Any]]:
        for terms in self.tables.values():
            yield from terms.get(term, ())

    def intersects(self) -> list[str]:
        return sorted({one["IntersectEntityName"] for one in self.relationships("ManyToMany")} - self.tables.keys())

    def children(self, parents: Mapping[str, Sequence[str]]) -> list[str]:
        """The tables behind collections. parents: table -> its navigation properties."""
        found = {
            one["ReferencingEntity"]
            for one in self.relationships("OneToMany")
            if one["ReferencedEntityNavigationPropertyName"] in parents.get(one["ReferencedEntity"], ())
        }
        return sorted(found - self.tables.keys())


async def take_snapshot(
    reader: Reader, tables: Sequence[str], collections: Mapping[str, Sequence[str]] | None = None
) -> Snapshot:
    """The whole environment's CSDL with the definitions of some tables.

    collections: table -> navigation properties whose tables belong to it too. Three to four HTTP requests. Raises
    RelationshipError if there is no such table, `refusal` if something may not be read.
    """
    csdl = checked(await reader.get("$metadata", {"Accept": "application/xml"}), "$metadata").body
    ends = [match.start() for match in _END_OF_SCHEMA.finditer(csdl)]
    if not ends:
        raise StoppedEarly("The service's answer to $metadata is not understood: it holds no Schema.")
    found = _Found()
    await _fetch(reader, found, tables, tuple(_RESOURCES))
    await _fetch(reader, found, found.children(collections or {}), tuple(_RESOURCES))
    described = tuple(found.tables)
    await _fetch(reader, found, found.intersects(), _OF_INTERSECTS)
    return Snapshot(csdl[: ends[-1]] + _annotations(found).encode() + csdl[ends[-1] :], described)


async def _fetch(reader: Reader, found: _Found, tables: Sequence[str], terms: Sequence[str]) -> None:
    wanted = [(table, term) for table in dict.fromkeys(tables) for term in terms]
    if not wanted:
        return
    urls = [f"EntityDefinitions(LogicalName={quote_key(table)}){_RESOURCES[term]}" for table, term in wanted]
    answers = await reader.ask([get_request(f"{reader.api_path}/{url}") for url in urls])
    for (table, term), answer in zip(wanted, answers, strict=True):
        if answer.status not in _NOT_THERE:
            found.tables.setdefault(table, {})[term] = _definition(answer, f"{term} of {table}")
        elif term == "Table" and terms != _OF_INTERSECTS:
            raise misnaming.unknown_table(table, await _names(reader))


async def _names(reader: Reader) -> Sequence[str]:
    (answer,) = await reader.ask([get_request(f"{reader.api_path}/{definitions.all_tables_url()}")])
    return definitions.read_table_names(answer.body).table_names if answer.status == 200 else ()


def _definition(answer: Answer, what: str) -> Any:
    try:
        page = json.loads(checked(answer, what).body)
        return _without_noise(page.get("value", page))
    except (ValueError, AttributeError) as error:
        raise StoppedEarly(f"The service's answer to {what} is not understood: {error!r}") from error


def _without_noise(value: Any) -> Any:
    """The definition without the environment's address and without ids."""
    if isinstance(value, list):
        return [_without_noise(one) for one in value]
    if isinstance(value, dict):
        return {k: _without_noise(v) for k, v in value.items() if k not in _NOISE and "@" not in k}
    return value


def _annotations(found: _Found) -> str:
    lines = []
    for table, terms in found.tables.items():
        target = quoteattr(f"Microsoft.Dynamics.CRM.{table}")
        lines.append(f'\n<Annotations xmlns="http://docs.oasis-open.org/odata/ns/edm" Target={target}>')
        for term, value in terms.items():
            text = escape(json.dumps(value, separators=(",", ":")))
            lines.append(f'<Annotation Term="{TERMS}.{term}"><String>{text}</String></Annotation>')
        lines.append("</Annotations>\n")
    return "\n".join(lines)
