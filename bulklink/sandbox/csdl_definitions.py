"""What a snapshot's annotations add to the model that its CSDL gives.

Owns: the meaning of the definitions, in the service's own words, that `bulklink sandbox --snapshot-from` puts below a
table: types and labels of its columns, its keys, its relationships with their names and intersects.
Does not know: XML, how a snapshot is taken.
Source: Microsoft Learn, "Query table definitions using the Web API".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from bulklink.sandbox.csdl_types import TypeFacts
from bulklink.sandbox.model import LOOKUPS, AlternateKey, Column, Kind, ManyToMany, OneToMany, Table

#: table -> term -> the service's answer: an object for "Table", else a list of objects.
Definitions = Mapping[str, Mapping[str, Any]]

#: The terms under which columns with labels stand.
_LABELLED: Final = ("Picklist", "State", "Status", "Boolean")


def described(table: Table, terms: Mapping[str, Any]) -> Table:
    """The table as its definitions have it; columns that CSDL does not show stay unknown."""
    about = terms.get("Table", {})
    columns = dict(table.columns)
    for column in _described_columns(columns, terms):
        columns[column.name] = column
    keys = table.keys
    if "Keys" in terms:
        stated = [
            AlternateKey(one["SchemaName"], tuple(one["KeyAttributes"]), one["EntityKeyIndexStatus"])
            for one in terms["Keys"]
        ]
        keys = tuple(key for key in stated if all(name in columns for name in key.columns))
    return replace(
        table,
        entity_set=about.get("EntitySetName") or table.entity_set,
        primary_id=about.get("PrimaryIdAttribute") or table.primary_id,
        primary_name=about.get("PrimaryNameAttribute") or table.primary_name,
        schema_name=about.get("SchemaName") or table.schema_name,
        is_custom=about.get("IsCustomEntity", table.is_custom),
        type_code=about.get("ObjectTypeCode", table.type_code),
        columns=columns,
        keys=keys,
    )


def _described_columns(columns: Mapping[str, Column], terms: Mapping[str, Any]) -> Iterator[Column]:
    targets = {one["LogicalName"]: tuple(one["Targets"] or ()) for one in terms.get("Lookups", ())}
    days = {one["LogicalName"] for one in terms.get("Days", ()) if _value(one.get("DateTimeBehavior")) == "DateOnly"}
    labelled = {one["LogicalName"]: one for term in _LABELLED for one in terms.get(term, ())}
    for one in terms.get("Columns", ()):
        name = one["LogicalName"]
        if name in columns:
            yield replace(
                columns[name],
                kind=_kind(columns[name].kind, one["AttributeType"]),
                schema_name=one["SchemaName"] or name,
                targets=targets.get(name, columns[name].targets),
                date_only=name in days,
                **_labels(labelled.get(name, {})),
            )


def _kind(shown: Kind, word: str) -> Kind:
    """The stated type, if the column can be shown so: CSDL decides what is a lookup and what is text."""
    try:
        stated = Kind(word)
    except ValueError:
        return shown
    return shown if stated is Kind.VIRTUAL or (stated in LOOKUPS) != (shown in LOOKUPS) else stated


def _value(member: Any) -> Any:
    return (member or {}).get("Value")


def _labels(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the label that the user sees, and the labels in other languages."""
    options: dict[int, str] = {}
    translations: dict[tuple[int, int, str], None] = {}
    for one in _options(definition):
        number, label = int(one["Value"]), one.get("Label") or {}
        every = [(text["LanguageCode"], text["Label"]) for text in label.get("LocalizedLabels") or ()]
        shown = (label.get("UserLocalizedLabel") or {}).get("Label") or (every[0][1] if every else str(number))
        options[number] = shown
        translations |= {(number, language, text): None for language, text in every if text != shown}
    return {"options": tuple(options.items()), "translations": tuple(translations)}


def _options(definition: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    option_set = definition.get("OptionSet") or definition.get("GlobalOptionSet") or {}
    yield from option_set.get("Options") or ()
    yield from (option_set[side] for side in ("TrueOption", "FalseOption") if option_set.get(side))


def one_to_many_named(
    found: Mapping[str, OneToMany], tables: Mapping[str, Table], definitions: Definitions
) -> dict[str, OneToMany]:
    """1:N relationships by their real names. CSDL shows navigation properties, which mostly, not always, go alike."""
    stated = {
        (one["ReferencingEntity"], one["ReferencingEntityNavigationPropertyName"]): one
        for one in _relationships(definitions, ("OneToMany", "ManyToOne"))
    }
    named: dict[str, OneToMany] = {}
    guessed: list[OneToMany] = []
    for r in found.values():
        one = stated.get((r.many, r.lookup_navigation))
        if one is None:
            guessed.append(r)
            continue
        cascade = one.get("CascadeConfiguration") or {}
        column = one["ReferencingAttribute"]
        named[one["SchemaName"]] = replace(
            r,
            name=one["SchemaName"],
            column=column if column in tables[r.many].columns else r.column,
            on_delete=cascade.get("Delete") or r.on_delete,
            is_hierarchical=bool(one.get("IsHierarchical")),
        )
    for r in guessed:
        name = r.name if r.name not in named else f"{r.name}_{r.many}"
        named[name] = replace(r, name=name)
    return named


def many_to_many_stated(
    types: Mapping[str, TypeFacts], tables: Mapping[str, Table], definitions: Definitions
) -> dict[str, ManyToMany]:
    """The N:N relationships that are defined, intersects and all."""
    stated = {}
    for one in _relationships(definitions, ("ManyToMany",)):
        pairing = ManyToMany(
            one["SchemaName"],
            one["Entity1LogicalName"], one["Entity1IntersectAttribute"], one["Entity1NavigationPropertyName"] or "",
            one["Entity2LogicalName"], one["Entity2IntersectAttribute"], one["Entity2NavigationPropertyName"] or "",
            one["IntersectEntityName"],
        )  # fmt: skip
        if pairing.table1 in tables and pairing.table2 in tables:
            stated[pairing.name] = _on_their_sides(pairing, types)
    return stated


def _on_their_sides(pairing: ManyToMany, types: Mapping[str, TypeFacts]) -> ManyToMany:
    """With its navigation properties where CSDL has them: the definition leaves open which side they stand on."""
    first, second = pairing.navigation1, pairing.navigation2
    here = types[pairing.table1].navigations
    if not pairing.is_reflexive and first not in here and second in here:
        return replace(pairing, navigation1=second, navigation2=first)
    if pairing.is_reflexive and first == second and first in here:
        return replace(pairing, navigation2=here[first].partner)
    return pairing


def has_pairings(definitions: Definitions, table: str) -> bool:
    """Are all N:N relationships of the table stated, so that none is to be guessed?"""
    return "ManyToMany" in definitions.get(table, {})


def _relationships(definitions: Definitions, terms: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for described_table in definitions.values():
        for term in terms:
            yield from described_table.get(term, ())
