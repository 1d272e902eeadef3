"""Make a model of what a ``$metadata`` document declares.

Owns: flattening of base types, lookups and their columns, 1:N and N:N relationships, and the intersects, which CSDL
does not tie to their navigation properties and which are recognised by their shape.
Does not know: XML, records.
Source: real `$metadata` documents; N:N = two collections that are each other's partner.
"""

import difflib
from collections.abc import Iterator, Mapping

from bulklink.sandbox.csdl_definitions import (
    Definitions,
    described,
    has_pairings,
    many_to_many_stated,
    one_to_many_named,
)
from bulklink.sandbox.csdl_types import NavigationFacts, TypeFacts
from bulklink.sandbox.model import AlternateKey, Column, Kind, ManyToMany, Model, OneToMany, Table

_KINDS = {
    "Edm.String": Kind.STRING,
    "Edm.Int16": Kind.INTEGER,
    "Edm.Int32": Kind.INTEGER,
    "Edm.Int64": Kind.BIGINT,
    "Edm.Decimal": Kind.DECIMAL,
    "Edm.Double": Kind.DOUBLE,
    "Edm.Boolean": Kind.BOOLEAN,
    "Edm.DateTimeOffset": Kind.DATETIME,
    "Edm.Date": Kind.DATETIME,
    "Edm.Guid": Kind.UNIQUEIDENTIFIER,
}
_KINDS_BY_NAME = {"statecode": Kind.STATE, "statuscode": Kind.STATUS, "ownerid": Kind.OWNER}
_NAME_COLUMNS = ("name", "fullname", "subject", "title", "new_name")
#: Relationships known to be hierarchies or to fall with their parent; CSDL says neither.
_HIERARCHIES = frozenset({"account_parent_account", "business_unit_parent_business_unit"})
#: table -> (intersect, its column, the column of the records of other tables)
_SHARED_INTERSECTS = {
    "list": ("listmember", "listid", "entityid"),
    "campaign": ("campaignitem", "campaignid", "entityid"),
}
#: Where the service keeps its messages; every organisation has these two.
_MESSAGES = {
    "sdkmessage": TypeFacts(
        "sdkmessage", "", False, ["sdkmessageid"], {"sdkmessageid": "Edm.Guid", "name": "Edm.String"}
    ),
    "sdkmessagefilter": TypeFacts(
        "sdkmessagefilter", "", False, ["sdkmessagefilterid"],
        {"sdkmessagefilterid": "Edm.Guid", "primaryobjecttypecode": "Edm.String", "_sdkmessageid_value": "Edm.Guid"},
        {"sdkmessageid": NavigationFacts("sdkmessageid", "sdkmessage", False, "", "_sdkmessageid_value")},
    ),
}  # fmt: skip


def model_of(
    types: Mapping[str, TypeFacts], entity_sets: Mapping[str, str], definitions: Definitions | None = None
) -> Model:
    """The model of the types that have an entity set, flattened; with what definitions say beyond."""
    definitions = definitions or {}
    types = {**_MESSAGES, **types}
    entity_sets = {"sdkmessage": "sdkmessages", "sdkmessagefilter": "sdkmessagefilters", **entity_sets}
    tables = {
        name: _table(types, facts, entity_sets[name], 10_000 + number)
        for number, (name, facts) in enumerate(types.items())
        if name in entity_sets and not facts.is_abstract
    }
    abstract = {
        name: tuple(t for t in tables if name in [base.name for base in _lineage(types, t)])
        for name, facts in types.items()
        if facts.is_abstract and name != "crmbaseentity"
    }
    one_to_many = one_to_many_named(_one_to_many(types, tables), tables, definitions)
    many_to_many = _many_to_many(types, tables, definitions)
    for pairing in many_to_many.values():
        tables[pairing.intersect] = _as_intersect(tables.get(pairing.intersect), pairing)
    for name in tables.keys() & definitions.keys():
        tables[name] = described(tables[name], definitions[name])
    model = Model(tables, one_to_many, many_to_many, abstract)
    model.unserved[""] = tuple(entity_sets[name] for name in entity_sets if name not in tables)
    for name in types.keys() & tables.keys():
        declared = [navigation for ancestor in _lineage(types, name) for navigation in ancestor.navigations]
        model.unserved[name] = tuple(sorted(set(declared) - model.navigations[name].keys()))
    return model


def _lineage(types: Mapping[str, TypeFacts], name: str) -> Iterator[TypeFacts]:
    """The type and its base types, nearest first."""
    facts = types.get(name)
    while facts is not None:
        yield facts
        facts = types.get(facts.base)


def _table(types: Mapping[str, TypeFacts], facts: TypeFacts, entity_set: str, code: int) -> Table:
    properties: dict[str, str] = {}
    for ancestor in reversed(list(_lineage(types, facts.name))):
        properties |= ancestor.properties
    inherited = [a.keys for a in _lineage(types, facts.name) if a.keys]
    primary_id = inherited[0][0] if inherited else f"{facts.name}id"
    # `systemuser` and `team` carry the key of `principal`, yet are addressed by a column of their own.
    own_id = f"{facts.name}id"
    if facts.base and primary_id != own_id and properties.get(own_id) == "Edm.Guid":
        primary_id = own_id
    columns = {c.name: c for c in (_column(name, edm) for name, edm in properties.items())}
    columns.setdefault("versionnumber", Column("versionnumber", Kind.BIGINT))
    columns.setdefault(primary_id, Column(primary_id, Kind.UNIQUEIDENTIFIER))
    keys = tuple(
        AlternateKey("_".join(names), tuple(_logical(name) for name in names))
        for names in facts.alternate_keys
        if all(_logical(name) in columns for name in names)
    )
    primary_name = next((n for n in (*_NAME_COLUMNS, f"{facts.name}name") if n in columns), "")
    base = facts.base if facts.base != "crmbaseentity" else ""
    return Table(
        facts.name, entity_set, primary_id, columns, primary_name, facts.name, keys,
        is_custom="_" in facts.name, type_code=code, base=base,
    )  # fmt: skip


def _logical(property_name: str) -> str:
    is_lookup = property_name.startswith("_") and property_name.endswith("_value")
    return property_name[1:-6] if is_lookup else property_name


def _column(name: str, edm: str) -> Column:
    logical = _logical(name)
    if logical != name:
        return Column(logical, _KINDS_BY_NAME.get(logical, Kind.LOOKUP))
    kind = _KINDS.get(edm, Kind.VIRTUAL)
    kind = _KINDS_BY_NAME.get(name, kind) if kind is Kind.INTEGER else kind
    return Column(name, kind, date_only=edm == "Edm.Date")


def _one_to_many(types: Mapping[str, TypeFacts], tables: Mapping[str, Table]) -> dict[str, OneToMany]:
    found: dict[str, OneToMany] = {}
    for table in tables.values():
        for ancestor in _lineage(types, table.name):
            for navigation in ancestor.navigations.values():
                if navigation.is_collection:
                    continue
                # What a base type inherits has its collection on the base type, which holds no records here.
                partner = _collection_partner(types, navigation, ancestor.name) if ancestor.name == table.name else ""
                name = partner or f"{table.name}_{navigation.name}"
                if name in found:
                    name = f"{name}_{table.name}"
                is_party_of = table.name == "activityparty" and navigation.name.startswith("activityid_")
                found[name] = OneToMany(
                    name, navigation.type, table.name, _lookup_column(table, navigation), partner, navigation.name,
                    "Cascade" if is_party_of else "RemoveLink", name in _HIERARCHIES,
                )  # fmt: skip
    return found


def _collection_partner(types: Mapping[str, TypeFacts], navigation: NavigationFacts, table: str) -> str:
    for ancestor in _lineage(types, navigation.type):
        partner = ancestor.navigations.get(navigation.partner)
        if partner and partner.is_collection and partner.type == table:
            return partner.name
    return ""


def _lookup_column(table: Table, navigation: NavigationFacts) -> str:
    """The column behind a lookup: named by the constraint, else the longest lookup that begins the name."""
    if navigation.constraint:
        return _logical(navigation.constraint)
    lower = navigation.name.lower()
    begins = [c.name for c in table.columns.values() if c.is_lookup and (lower + "_").startswith(c.name + "_")]
    return max(begins, key=len, default=lower)


def _many_to_many(
    types: Mapping[str, TypeFacts], tables: Mapping[str, Table], definitions: Definitions
) -> dict[str, ManyToMany]:
    found = many_to_many_stated(types, tables, definitions)
    taken = {pairing.intersect for pairing in found.values()}
    for name, facts in types.items():
        for navigation in facts.navigations.values():
            other = types.get(navigation.type)
            partner = other.navigations.get(navigation.partner) if other and navigation.is_collection else None
            if not partner or not partner.is_collection or partner.partner != navigation.name or partner.type != name:
                continue
            if name not in tables or navigation.type not in tables or navigation.name.endswith("_referenced"):
                continue
            if has_pairings(definitions, name) or has_pairings(definitions, navigation.type):
                continue
            if any(r.navigation1 == partner.name and r.table1 == navigation.type for r in found.values()):
                continue
            pairing = _pairing(types, tables, name, navigation, taken)
            taken.add(pairing.intersect)
            found[pairing.name] = pairing
    return found


def _pairing(
    types: Mapping[str, TypeFacts], tables: Mapping[str, Table], name: str, navigation: NavigationFacts, taken: set[str]
) -> ManyToMany:
    other = navigation.type
    candidates = _shared_intersect(tables, name, navigation) or {
        facts.name: pair
        for facts in types.values()
        if facts.name in tables
        and not facts.navigations
        and facts.name not in taken
        and (pair := _pair_of_columns(tables[facts.name], tables[name].primary_id, tables[other].primary_id))
    }
    wanted = navigation.name.removesuffix("_association")
    if candidates:
        intersect = max(candidates, key=lambda c: difflib.SequenceMatcher(None, c, wanted).ratio())
        first, second = candidates[intersect]
    else:
        # The document does not show it: the links are kept, but there is no entity set to read them from.
        suffixes = ("one", "two") if name == other else ("", "")
        first, second = (tables[t].primary_id + suffix for t, suffix in zip((name, other), suffixes, strict=True))
        intersect = f"{wanted.lower()}_intersect" if wanted.lower() in tables else wanted.lower()
    return ManyToMany(navigation.name, name, first, navigation.name, other, second, navigation.partner, intersect)


def _shared_intersect(
    tables: Mapping[str, Table], name: str, navigation: NavigationFacts
) -> dict[str, tuple[str, str]]:
    """The intersect of marketing lists or campaigns: one for several pairs of tables, with navigations of its own."""
    for owner, (intersect, own, others) in _SHARED_INTERSECTS.items():
        if intersect in tables and owner in (name, navigation.type) and navigation.name.startswith(owner):
            return {intersect: (own, others) if name == owner else (others, own)}
    return {}


def _pair_of_columns(table: Table, id1: str, id2: str) -> tuple[str, str] | None:
    """The two id columns by which a table pairs two others, if it has them."""
    ids = [c.name for c in table.columns.values() if c.kind is Kind.UNIQUEIDENTIFIER and c.name != table.primary_id]
    if id1 != id2:
        return (id1, id2) if id1 in ids and id2 in ids else None
    alike = sorted((c for c in ids if id1 in c), key=lambda c: (c != id1, c))
    return (alike[0], alike[1]) if len(alike) == 2 else None


def _as_intersect(known: Table | None, pairing: ManyToMany) -> Table:
    columns = dict(known.columns) if known else {}
    primary_id = known.primary_id if known else f"{pairing.intersect}id"
    for name in (primary_id, pairing.attribute1, pairing.attribute2):
        columns.setdefault(name, Column(name, Kind.UNIQUEIDENTIFIER))
    columns.setdefault("versionnumber", Column("versionnumber", Kind.BIGINT))
    entity_set = known.entity_set if known else ""
    return Table(
        pairing.intersect, entity_set, primary_id, columns,
        schema_name=pairing.intersect, is_intersect=True, is_custom="_" in pairing.intersect,
        type_code=known.type_code if known else 0,
    )  # fmt: skip
