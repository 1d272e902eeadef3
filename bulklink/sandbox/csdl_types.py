"""The facts of a ``$metadata`` document's entity types, as written.

Owns: the values between the reader of the XML and the maker of the model.
Does not know: XML, the model.
Source: OData 4.0 Part 3 (CSDL).
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class NavigationFacts:
    """One NavigationProperty: item type, whether a collection, partner, and the property of its constraint."""

    name: str
    type: str
    is_collection: bool
    partner: str
    constraint: str


@dataclass(slots=True)
class TypeFacts:
    """One EntityType. `properties`: EDM type by name."""

    name: str
    base: str
    is_abstract: bool
    keys: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    navigations: dict[str, NavigationFacts] = field(default_factory=dict)
    alternate_keys: list[tuple[str, ...]] = field(default_factory=list)
