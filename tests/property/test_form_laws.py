"""Laws of relationships and forms, over metadata nobody has seen."""

import json
import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from bulklink.core.facts import Facts, ManyToMany, OneToMany, Table
from bulklink.core.forms import fitting_forms, operation_template
from bulklink.core.relationships import choose_relationship
from bulklink.errors import RelationshipError
from bulklink.vocabulary import Action

A, B = b"0a000000-0000-0000-0000-000000000001", b"0b000000-0000-0000-0000-000000000002"
NAMES = ["ab", "aB", "AB", "ba", "x_association", "X_association", "x_association_referenced", ""]
TABLES = ["one", "two", "three", "owner", "team"]

names = st.sampled_from(NAMES)
some_names = st.sampled_from(NAMES[:-1])
tables = st.sampled_from(TABLES)
many_to_many = st.builds(ManyToMany, some_names, some_names, tables, st.just("a1"), names, tables, st.just("a2"), names)
one_to_many = st.builds(OneToMany, some_names, tables, names, tables, st.just("ab"), some_names)
facts = st.builds(
    lambda nn, on: Facts(
        tables={name: Table(name, name + "s", name + "id") for name in (*TABLES, *NAMES[:-1])},
        many_to_many=tuple(nn),
        one_to_many=tuple(on),
    ),
    # Schema names are unique in an environment.
    st.lists(many_to_many, max_size=4, unique_by=lambda fact: fact.schema_name),
    st.lists(one_to_many, max_size=4, unique_by=lambda fact: fact.schema_name),
)


@given(facts, st.one_of(names, st.text(max_size=4)), tables, st.one_of(tables, st.just("")))
def test_a_chosen_relationship_is_in_the_facts_and_is_never_guessed(facts, name, from_table, to_table):
    try:
        chosen = choose_relationship(facts, name, from_table, to_table)
    except RelationshipError:
        return
    (fact,) = {fact for fact in facts.definitions() if fact.schema_name == chosen.schema_name and _reads(fact, chosen)}
    spellings = {fact.schema_name, chosen.navigation_property, chosen.partner, getattr(fact, "intersect_table", "")}
    assert name
    assert name.casefold() in {spelling.casefold() for spelling in spellings}
    pair = (chosen.from_table.logical_name, chosen.to_table.logical_name)
    if to_table:
        assert pair == ((to_table, from_table) if chosen.turned else (from_table, to_table))
    if from_table == to_table:
        assert not chosen.turned
        assert chosen.navigation_property == name


def _reads(fact, chosen):
    """Whether the fact has the chosen navigation properties on the chosen sides."""
    if isinstance(fact, ManyToMany) is (chosen.intersect is None):
        return False
    pair = [
        (chosen.from_table.logical_name, chosen.navigation_property),
        (chosen.to_table.logical_name, chosen.partner),
    ]
    if isinstance(fact, ManyToMany):
        return pair in (
            [(fact.table1, fact.navigation1), (fact.table2, fact.navigation2)],
            [(fact.table2, fact.navigation2), (fact.table1, fact.navigation1)],
        )
    many = (fact.referencing_table, fact.referencing_navigation)
    ones = [(fact.referenced_table, fact.referenced_navigation)]
    if fact.referenced_table == "owner":
        ones += [("systemuser", ""), ("team", "")]
    return any(pair in ([many, one], [one, many]) for one in ones)


@given(
    facts,
    names,
    tables,
    tables,
    st.sampled_from([Action.ASSOCIATE, Action.DISASSOCIATE, Action.CLEAR]),
    st.text(max_size=5),
)
def test_every_delete_addresses_a_reference_and_every_body_is_json(facts, name, from_table, to_table, action, tag):
    try:
        chosen = choose_relationship(facts, name, from_table, to_table)
    except RelationshipError:
        return
    for form in fitting_forms(chosen, action):
        template = operation_template(form, chosen, "https://x.example/api/data/v9.2", action, tag=tag)
        (operation,) = template.render([A], [B], [b'W/"1"'])
        head, _, body = operation.decode().partition("\r\n\r\n")
        method, target, version = head.split("\r\n")[0].split(" ")
        assert version == "HTTP/1.1"
        path, _, query = target.partition("?")
        assert target.startswith("/api/data/v9.2/")
        if method == "DELETE":
            assert path.endswith("/$ref")
            assert not body
        else:
            assert len(json.loads(body)) == 1
        if method == "PATCH":
            assert "\r\nIf-Match: " in head
        if tag:
            assert unquote(re.search(r"(?:^|&)tag=([^&]*)$", query)[1]) == tag
