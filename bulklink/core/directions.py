"""A relationship read from one of its sides.

Owns: which navigation property stands on which side, what is found behind it, and the check of doubtful names
against the CSDL.
Does not know: which relationship a job names.
Source: Microsoft Learn, "Web API navigation properties"; ManyToManyRelationshipMetadata, OneToManyRelationshipMetadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from bulklink.core.facts import OWNER_KINDS, OWNER_TABLES, Definition, Facts, ManyToMany, OneToMany


class Cardinality(Enum):
    """What the from record has at its end of the relationship."""

    MANY_TO_MANY = "N:N"
    LOOKUP = "N:1"  # the from record holds the lookup column
    COLLECTION = "1:N"  # the to record holds it; from is the "one" side


@dataclass(frozen=True, slots=True)
class Direction:
    """One relationship, read from `from_table` to `to_table`.

    navigation stands on the from record, partner on the to record; "" where there is none.
    from_attribute, to_attribute: the intersect table's columns, N:N only.
    """

    definition: Definition
    cardinality: Cardinality
    from_table: str
    to_table: str
    navigation: str
    partner: str
    from_attribute: str = ""
    to_attribute: str = ""

    @property
    def schema_name(self) -> str:
        """The relationship's schema name."""
        return self.definition.schema_name

    @property
    def names(self) -> frozenset[str]:
        """The names that mean the relationship whatever the side: its schema name and its intersect table."""
        if isinstance(self.definition, ManyToMany):
            return frozenset({self.definition.schema_name, self.definition.intersect_table})
        return frozenset({self.definition.schema_name})

    @property
    def lookup_attribute(self) -> str:
        """The lookup column of a 1:N relationship; "" for N:N."""
        return self.definition.referencing_attribute if isinstance(self.definition, OneToMany) else ""

    def reversed(self) -> "Direction":
        """The same relationship read from its other side."""
        return Direction(
            self.definition,
            _REVERSED[self.cardinality],
            self.to_table,
            self.from_table,
            self.partner,
            self.navigation,
            self.to_attribute,
            self.from_attribute,
        )


_REVERSED = {
    Cardinality.MANY_TO_MANY: Cardinality.MANY_TO_MANY,
    Cardinality.LOOKUP: Cardinality.COLLECTION,
    Cardinality.COLLECTION: Cardinality.LOOKUP,
}


def directions(facts: Facts) -> Iterator[Direction]:
    """Every relationship of the facts from each of its sides."""
    for definition in facts.definitions():
        for direction in _first_sides(definition, facts):
            yield direction
            yield direction.reversed()


def _first_sides(definition: Definition, facts: Facts) -> Iterator[Direction]:
    if isinstance(definition, ManyToMany):
        fact = confirmed(definition, facts)
        yield Direction(
            definition,
            Cardinality.MANY_TO_MANY,
            fact.table1,
            fact.table2,
            fact.navigation1,
            fact.navigation2,
            fact.attribute1,
            fact.attribute2,
        )
        return
    for referenced in _referenced_tables(definition):
        # The collection of what an owner owns stands on the abstract table, not on users and teams.
        partner = definition.referenced_navigation if referenced == definition.referenced_table else ""
        yield Direction(
            definition,
            Cardinality.LOOKUP,
            definition.referencing_table,
            referenced,
            definition.referencing_navigation,
            partner,
        )


def _referenced_tables(definition: OneToMany) -> tuple[str, ...]:
    owners = OWNER_KINDS if definition.referenced_table in OWNER_TABLES else ()
    return (definition.referenced_table, *owners)


def is_doubtful(fact: ManyToMany) -> bool:
    """Whether the navigation property names of an N:N relationship leave open which side they stand on.

    The metadata does not say beyond doubt whether "Entity1NavigationPropertyName" stands on Entity1. That does not
    matter where both sides have one name, unless both sides are one table: it cannot have two properties of one name.
    """
    if not fact.navigation1 or not fact.navigation2:
        return True
    return (fact.navigation1 == fact.navigation2) == (fact.table1 == fact.table2)


def doubtful_tables(facts: Facts, from_table: str, to_table: str) -> frozenset[str]:
    """The tables whose CSDL has to be read before a relationship between the two can be trusted."""
    pair = {from_table, to_table}
    doubtful = [fact for fact in facts.many_to_many if {fact.table1, fact.table2} == pair and is_doubtful(fact)]
    return frozenset(pair) if doubtful and not pair <= facts.navigations.keys() else frozenset()


def confirmed(fact: ManyToMany, facts: Facts) -> ManyToMany:
    """The N:N relationship with its navigation property names as the CSDL has them, if it was read and if it helps."""
    if not is_doubtful(fact) or not {fact.table1, fact.table2} <= facts.navigations.keys():
        return fact
    if fact.table1 == fact.table2:
        return _confirmed_reflexive(fact, facts)
    as_said = _is_collection(facts, fact.table1, fact.navigation1, fact.table2)
    as_swapped = _is_collection(facts, fact.table1, fact.navigation2, fact.table2)
    if as_swapped and not as_said:
        return replace(fact, navigation1=fact.navigation2, navigation2=fact.navigation1)
    if as_said:
        return fact
    # Neither name is known there. Only a collection named like the relationship may stand in.
    if _is_collection(facts, fact.table1, fact.schema_name, fact.table2):
        partner = facts.navigations[fact.table1][fact.schema_name].partner
        return replace(fact, navigation1=fact.schema_name, navigation2=partner)
    return fact


def _confirmed_reflexive(fact: ManyToMany, facts: Facts) -> ManyToMany:
    """One name for both sides: it stands for the first side, its partner in the CSDL for the second."""
    for name in (fact.navigation1, fact.navigation2, fact.schema_name):
        if name and _is_collection(facts, fact.table1, name, fact.table1):
            return replace(fact, navigation1=name, navigation2=facts.navigations[fact.table1][name].partner)
    return fact


def _is_collection(facts: Facts, table: str, name: str, target: str) -> bool:
    navigation = facts.navigations.get(table, {}).get(name)
    return navigation is not None and navigation.is_collection and navigation.target == target
