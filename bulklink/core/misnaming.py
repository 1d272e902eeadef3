"""What to tell a person whose name for a table or relationship means nothing, or too much.

Owns: near misses, candidates and the sentences that say what a navigation property means.
Does not know: how a relationship is chosen.
Source: the public contract (README, "[link]", "Errors").
"""

from collections.abc import Iterable, Sequence

from bulklink.core.directions import Cardinality, Direction, directions
from bulklink.core.facts import Facts, ManyToMany
from bulklink.errors import RelationshipError, nearest


def unknown_table(name: str, known: Iterable[str]) -> RelationshipError:
    """No such table."""
    near = nearest(name, known)
    return RelationshipError(
        f"There is no table {name!r}." + _did_you_mean(near),
        hint="Tables go by their logical name, for example account or new_project.",
    )


def ambiguous(name: str, hits: Sequence[Direction]) -> RelationshipError:
    """Several relationships have this name."""
    lines = [f"{name!r} means more than one relationship:", *_lines(hits)]
    return RelationshipError(
        "\n".join(lines), hint="Give a name that only one of them has: its schema name or a navigation property."
    )


def needs_navigation_property(name: str, meant: Sequence[Direction]) -> RelationshipError:
    """A table related to itself was named by a name that does not say which record is which."""
    table = meant[0].from_table
    lines = [
        f"{name!r} relates {table} to itself and does not say which record is which. Give a navigation property:",
        *(f"  {direction.navigation} means: {meaning(direction)}" for direction in meant if direction.navigation),
    ]
    return RelationshipError("\n".join(lines), hint="Set `relationship` to one of the two names, in exactly this case.")


def sides_alike(name: str, direction: Direction) -> RelationshipError:
    """A table related to itself whose two sides cannot be told apart."""
    return RelationshipError(
        f"{name!r} is all that the service says about both sides of {direction.schema_name}, which relates "
        f"{direction.from_table} to itself: it cannot be told which record is which.",
        hint="Look in the environment's $metadata for the two navigation properties, and ask its administrator.",
    )


def unknown_reflexive(name: str, own: Sequence[Direction], table: str) -> RelationshipError:
    """No such navigation property between a table and itself."""
    if not own:
        return RelationshipError(f"No relationship relates {table} to itself.")
    near = nearest(name, [direction.navigation for direction in own if direction.navigation])
    shown = [direction for direction in own if direction.navigation in near] or own
    lines = [
        f"{name!r} is no navigation property of {table} that leads to {table}." + _did_you_mean(near),
        *(f"  {direction.navigation} means: {meaning(direction)}" for direction in shown if direction.navigation),
    ]
    return RelationshipError("\n".join(lines))


def unknown(facts: Facts, name: str, from_table: str, to_table: str) -> RelationshipError:
    """No relationship of this name between the two tables: one of them does not take part, or the name is wrong."""
    everything = list(directions(facts))
    pair = [d for d in everything if d.from_table == from_table and to_table in ("", d.to_table)]
    error = (
        _other_tables(name, from_table, to_table, everything) or _lookup_column(name, pair) or _wrong_case(name, pair)
    )
    if error is not None:
        return error
    between = f"between {from_table} and {to_table}" if to_table else f"on {from_table} that is a lookup"
    near = nearest(name, _all_names(pair)) or nearest(
        name, _all_names(d for d in everything if _touches(d, from_table))
    )
    message = f"There is no relationship {name!r} {between}." + _did_you_mean(near)
    if pair and not near:
        message = "\n".join([message, "There are:", *_lines(pair[:10])])
    return RelationshipError(message)


def meaning(direction: Direction) -> str:
    """One sentence: which record is which when this navigation property is read on the from record."""
    if direction.cardinality is Cardinality.COLLECTION:
        return f"*from* is the parent of *to* (the lookup {direction.lookup_attribute} is on *to*)."
    if direction.cardinality is Cardinality.LOOKUP:
        return f"*to* is the parent of *from* (the lookup {direction.lookup_attribute} is on *from*)."
    return (
        f"*to* is added to the {direction.navigation} of *from* "
        f"(in {via(direction)}: *from* is {direction.from_attribute}, *to* is {direction.to_attribute})."
    )


def via(direction: Direction) -> str:
    """Where the links are kept: the intersect table, or table and column of the lookup."""
    if isinstance(direction.definition, ManyToMany):
        return direction.definition.intersect_table
    return f"{direction.definition.referencing_table}.{direction.definition.referencing_attribute}"


def _other_tables(name: str, from_table: str, to_table: str, known: Sequence[Direction]) -> RelationshipError | None:
    """The name is right, but a table that was named does not take part."""
    folded = name.casefold()
    meant = [
        direction
        for direction in known
        if folded in {other.casefold() for other in direction.names}
        or (name == direction.navigation and direction.from_table in (from_table, to_table))
    ]
    if not meant:
        return None
    parts = {(min(d.from_table, d.to_table), max(d.from_table, d.to_table)) for d in meant}
    takers = "; ".join(f"{one} and {other}" for one, other in sorted(parts))
    if not to_table:
        return RelationshipError(
            f"{name!r} relates {takers}; it is no lookup of {from_table}.",
            hint="Clearing needs a lookup: name the table that holds it as `from`.",
        )
    strangers = [table for table in (from_table, to_table) if all(table not in part for part in parts)]
    who = (
        f"{' and '.join(strangers)} {'do' if len(strangers) > 1 else 'does'} not take part."
        if strangers
        else f"It does not relate {from_table} to {to_table}."
    )
    siblings = _same_column(meant, to_table, known) or _same_column(meant, from_table, known)
    return RelationshipError(f"{name!r} relates {takers}. {who}" + _did_you_mean(siblings))


def _same_column(meant: Sequence[Direction], to_table: str, known: Sequence[Direction]) -> list[str]:
    """The navigation properties of the same lookup column that lead to another table."""
    columns = {via(direction) for direction in meant if direction.lookup_attribute}
    return sorted(
        {
            direction.navigation
            for direction in known
            if direction.cardinality is Cardinality.LOOKUP
            and direction.to_table == to_table
            and via(direction) in columns
        }
    )


def _lookup_column(name: str, pair: Sequence[Direction]) -> RelationshipError | None:
    """The name is the lookup's column, which is not what the Web API calls the lookup."""
    column = name.casefold().removeprefix("_").removesuffix("_value")
    hits = [direction for direction in pair if direction.lookup_attribute and direction.lookup_attribute == column]
    if not hits:
        return None
    names = sorted({hit.navigation if hit.cardinality is Cardinality.LOOKUP else hit.partner for hit in hits} - {""})
    return RelationshipError(f"{name!r} is a lookup column, not a navigation property." + _did_you_mean(names))


def _wrong_case(name: str, pair: Sequence[Direction]) -> RelationshipError | None:
    """The name is a navigation property but for case."""
    names = {known for d in pair for known in (d.navigation, d.partner) if known.casefold() == name.casefold()}
    if not names:
        return None
    return RelationshipError(
        f"There is no navigation property {name!r}." + _did_you_mean(sorted(names)),
        hint="Upper and lower case count in navigation property names.",
    )


def _touches(direction: Direction, table: str) -> bool:
    return table in (direction.from_table, direction.to_table)


def _all_names(known: Iterable[Direction]) -> list[str]:
    names = {name for d in known for name in (*d.names, d.navigation, d.partner)}
    return sorted(names - {""})


def _lines(hits: Sequence[Direction]) -> list[str]:
    return [
        f"  {d.schema_name} ({d.cardinality.value}, via {via(d)}): "
        f"{d.from_table}.{d.navigation or '-'} / {d.to_table}.{d.partner or '-'}"
        for d in hits
    ]


def _did_you_mean(names: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(names)}?" if names else ""
