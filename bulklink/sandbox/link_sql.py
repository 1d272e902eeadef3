"""The SQL of links.

Owns: adding, removing and listing the rows of an intersect and the pointers of a lookup.
Does not know: connections, rules.
"""

from bulklink.sandbox.model import TARGET_SUFFIX, LinkNavigation, ManyToMany, Model, OneToMany
from bulklink.sandbox.storage import quoted


def adding(model: Model, navigation: LinkNavigation) -> str:
    """Insert (version, own id, other id) if both records are there."""
    own, other = model.tables[navigation.table], model.tables[navigation.other]
    columns = f"versionnumber, {quoted(navigation.own_attribute)}, {quoted(navigation.other_attribute)}"
    typed = ""
    if _names_its_table(model, navigation.relationship):
        columns += ", entitytype"
        typed = f", '{_entity_side(navigation.relationship)}'"
    return (
        f"INSERT INTO {quoted(navigation.intersect)} ({columns}) SELECT ?1, ?2, ?3{typed} "
        f"WHERE EXISTS (SELECT 1 FROM {quoted(own.name)} WHERE {quoted(own.primary_id)} = ?2) "
        f"AND EXISTS (SELECT 1 FROM {quoted(other.name)} WHERE {quoted(other.primary_id)} = ?3)"
    )


def removing(navigation: LinkNavigation) -> str:
    """Delete by (own id, other id)."""
    return (
        f"DELETE FROM {quoted(navigation.intersect)} "
        f"WHERE {quoted(navigation.own_attribute)} = ? AND {quoted(navigation.other_attribute)} = ?"
    )


def listing(model: Model, relationship: ManyToMany | OneToMany) -> tuple[str, tuple[str, ...]]:
    """Select every pair, with the parameters."""
    if isinstance(relationship, OneToMany):
        return _pointers(model, relationship)
    pair = f"{quoted(relationship.attribute1)}, {quoted(relationship.attribute2)}"
    sql = f"SELECT {pair} FROM {quoted(relationship.intersect)}"
    if _names_its_table(model, relationship):
        return sql + " WHERE entitytype = ?", (_entity_side(relationship),)
    return sql, ()


def _pointers(model: Model, relationship: OneToMany) -> tuple[str, tuple[str, ...]]:
    many = model.tables[relationship.many]
    column = many.columns[relationship.column]
    sql = f"SELECT {quoted(column.name)}, {quoted(many.primary_id)} FROM {quoted(many.name)} "
    if not column.is_polymorphic:
        return sql + f"WHERE {quoted(column.name)} IS NOT NULL", ()
    targets = model.concrete(relationship.one)
    return sql + f"WHERE {quoted(column.name + TARGET_SUFFIX)} IN ({', '.join('?' * len(targets))})", targets


def _names_its_table(model: Model, relationship: ManyToMany) -> bool:
    # An intersect that serves several pairs of tables says which table `entityid` belongs to.
    return "entitytype" in model.tables[relationship.intersect].columns


def _entity_side(relationship: ManyToMany) -> str:
    return relationship.table1 if relationship.attribute1 == "entityid" else relationship.table2
