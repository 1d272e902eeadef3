"""Read a ``$metadata`` document into a model.

Owns: the XML: entity types with their keys, alternate keys, properties and navigation properties, the entity sets, and
the definitions that a snapshot adds as annotations.
Does not know: what they amount to; records.
Source: OData 4.0 Part 3 (CSDL); real `$metadata` documents.
"""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from bulklink.sandbox.csdl_model import model_of
from bulklink.sandbox.csdl_types import NavigationFacts, TypeFacts
from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.model import Model

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
_ALTERNATE_KEYS = "OData.Community.Keys.V1.AlternateKeys"
_DEFINITIONS = "Bulklink.Definitions.V1."


def read_csdl(path: Path) -> Model:
    """The model of a CSDL file; SandboxUsageError if it is none."""
    import defusedxml
    import defusedxml.ElementTree

    types: dict[str, TypeFacts] = {}
    entity_sets: dict[str, str] = {}
    definitions: dict[str, dict[str, Any]] = {}
    try:
        for _event, element in defusedxml.ElementTree.iterparse(path, events=("end",)):
            if element.tag == EDM + "EntityType":
                facts = _type_facts(element)
                types[facts.name] = facts
                element.clear()
            elif element.tag == EDM + "EntitySet":
                entity_sets[_short(element.get("EntityType", ""))] = element.get("Name", "")
            elif element.tag == EDM + "Annotations":
                definitions.setdefault(_short(element.get("Target", "")), {}).update(_definitions(element))
                element.clear()
    except (ParseError, defusedxml.DefusedXmlException) as error:
        raise SandboxUsageError(f"{path} is not a $metadata document: {error}") from error
    except json.JSONDecodeError as error:
        raise SandboxUsageError(f"{path} has definitions of tables that are no JSON: {error}.") from error
    except OSError as error:
        raise SandboxUsageError(f"{path} cannot be read: {error.strerror}") from error
    if not types or not entity_sets:
        raise SandboxUsageError(f"{path} is not a $metadata document: it declares no entity types or no entity sets.")
    try:
        return model_of(types, entity_sets, definitions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if not any(definitions.values()):
            raise
        raise SandboxUsageError(f"{path} has definitions of tables that are not understood ({error!r}).") from error


def _definitions(element: Any) -> dict[str, Any]:
    """What a snapshot says about one table: term -> the service's answer."""
    return {
        annotation.get("Term").removeprefix(_DEFINITIONS): json.loads(annotation.findtext(EDM + "String", ""))
        for annotation in element.findall(EDM + "Annotation")
        if annotation.get("Term", "").startswith(_DEFINITIONS)
    }


def _short(qualified: str) -> str:
    return qualified.rpartition(".")[2]


def _type_facts(element: Any) -> TypeFacts:
    facts = TypeFacts(element.get("Name", ""), _short(element.get("BaseType", "")), element.get("Abstract") == "true")
    for child in element:
        if child.tag == EDM + "Key":
            facts.keys = [ref.get("Name", "") for ref in child]
        elif child.tag == EDM + "Property":
            facts.properties[child.get("Name", "")] = child.get("Type", "")
        elif child.tag == EDM + "NavigationProperty":
            navigation = _navigation_facts(child)
            facts.navigations[navigation.name] = navigation
        elif child.tag == EDM + "Annotation" and child.get("Term") == _ALTERNATE_KEYS:
            facts.alternate_keys = [_alternate_key(record) for record in child.findall(f"{EDM}Collection/{EDM}Record")]
    return facts


def _navigation_facts(element: Any) -> NavigationFacts:
    written = element.get("Type", "")
    is_collection = written.startswith("Collection(")
    constraint = element.find(EDM + "ReferentialConstraint")
    return NavigationFacts(
        element.get("Name", ""),
        _short(written.removeprefix("Collection(").removesuffix(")")),
        is_collection,
        element.get("Partner", ""),
        constraint.get("Property", "") if constraint is not None else "",
    )


def _alternate_key(record: Any) -> tuple[str, ...]:
    references = record.iter(EDM + "Record")
    return tuple(
        value.get("PropertyPath", "")
        for reference in references
        for value in reference.findall(EDM + "PropertyValue")
        if value.get("Property") == "Name"
    )
