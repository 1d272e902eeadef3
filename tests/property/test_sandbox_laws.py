"""The sandbox keeps the same books as a plain model of sets, and filters as plain Python does."""

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox_client import API, Client, guid, ref

ACCOUNTS, LEADS, CONTACTS = [[guid(base + n) for n in range(3)] for base in (10, 20, 30)]

accounts, leads, contacts = st.sampled_from(ACCOUNTS), st.sampled_from(LEADS), st.sampled_from(CONTACTS)
operations = st.one_of(
    st.tuples(st.just("link"), accounts, leads),
    st.tuples(st.just("part"), accounts, leads),
    st.tuples(st.just("set"), accounts, contacts),
    st.tuples(st.just("bind"), accounts, contacts),
    st.tuples(st.just("clear"), accounts, contacts),
    st.tuples(st.just("adopt"), accounts, contacts),
    st.tuples(st.just("delete"), accounts, leads),
)


class Books:
    """What must be so: links, lookups, and who is still there."""

    def __init__(self):
        self.links, self.primary, self.parents, self.leads = set(), {}, {}, set(LEADS)

    def copy(self):
        books = Books()
        books.links, books.primary = set(self.links), dict(self.primary)
        books.parents, books.leads = dict(self.parents), set(self.leads)
        return books

    def apply(self, verb, one, other):
        """The status that the service must answer."""
        if verb in ("link", "part", "delete") and other not in self.leads:
            return 404
        if verb == "link":
            if (one, other) in self.links:
                return 412
            self.links.add((one, other))
        elif verb == "part":
            self.links.discard((one, other))
        elif verb in ("set", "bind"):
            self.primary[one] = other
        elif verb == "clear":
            self.primary.pop(one, None)
        elif verb == "adopt":
            self.parents[other] = one
        elif verb == "delete":
            self.leads.discard(other)
            self.links = {pair for pair in self.links if pair[1] != other}
        return 204


def send(client, verb, one, other):
    account = f"accounts({one})"
    method, url, body = {
        "link": ("POST", f"{account}/accountleads_association/$ref", ref(f"leads({other})")),
        "part": ("DELETE", f"{account}/accountleads_association({other})/$ref", None),
        "set": ("PUT", f"{account}/primarycontactid/$ref", ref(f"contacts({other})")),
        "bind": ("PATCH", account, {"primarycontactid@odata.bind": f"/contacts({other})"}),
        "clear": ("PATCH", account, {"primarycontactid": None}),
        "adopt": ("POST", f"{account}/contact_customer_accounts/$ref", {"@odata.id": f"{API}/contacts({other})"}),
        "delete": ("DELETE", f"leads({other})", None),
    }[verb]
    return client(method, url, body).status


@given(st.lists(st.lists(operations, min_size=1, max_size=5), max_size=12))
@settings(max_examples=80, deadline=None)
def test_change_sets_keep_the_books_of_a_plain_model(change_sets):
    client, books = Client.sample(), Books()
    for table, ids in (("account", ACCOUNTS), ("lead", LEADS), ("contact", CONTACTS)):
        client.organisation.load_table(table, [{client.organisation.table(table).primary_id: i} for i in ids])
    for change_set in change_sets:
        wanted = books.copy()
        with client.service.change_set():
            for operation in change_set:
                status = send(client, *operation)
                assert status == wanted.apply(*operation)
                if status >= 400:
                    wanted = books
                    break
        books = wanted
    assert set(client.organisation.links("accountleads_association")) == books.links
    assert {(b, a) for a, b in client.organisation.links("account_primary_contact")} == set(books.primary.items())
    assert {(b, a) for a, b in client.organisation.links("contact_customer_accounts")} == set(books.parents.items())


NAMES = ["a", "B", "ab ", "it's", "", None]
ROWS = [(name, number) for name in NAMES for number in (None, 0, 5)]
ORDER = {"gt": lambda a, b: a > b, "ge": lambda a, b: a >= b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b}


def folded(value):
    return value.rstrip(" ").casefold() if isinstance(value, str) else value


def comparison(column, literal_of, values):
    def build(word, value):
        def holds(row):
            found, wanted = folded(row[column]), folded(value)
            if word in ("eq", "ne"):
                return (found == wanted) == (word == "eq")
            return found is not None and wanted is not None and ORDER[word](found, wanted)

        return f"{('name', 'numberofemployees')[column]} {word} {literal_of(value)}", holds

    return st.builds(build, st.sampled_from(["eq", "ne", *ORDER]), st.sampled_from(values))


def text_literal(value):
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def text_function(name, method):
    def build(value):
        return (
            f"{name}(name,{text_literal(value)})",
            lambda row: row[0] is not None and getattr(folded(row[0]), method)(value.casefold()),
        )

    return st.builds(build, st.sampled_from([n for n in NAMES if n is not None]))


def combined(inner):
    def both(a, b):
        return f"({a[0]}) and {b[0]}", lambda row: a[1](row) and b[1](row)

    def either(a, b):
        return f"({a[0]} or {b[0]})", lambda row: a[1](row) or b[1](row)

    def negated(a):
        return f"not ({a[0]})", lambda row: not a[1](row)

    return st.one_of(st.builds(both, inner, inner), st.builds(either, inner, inner), st.builds(negated, inner))


filters = st.recursive(
    st.one_of(
        comparison(0, text_literal, NAMES),
        comparison(1, lambda value: "null" if value is None else str(value), [None, 0, 3, 5]),
        text_function("startswith", "startswith"),
        text_function("endswith", "endswith"),
        text_function("contains", "__contains__"),
    ),
    combined,
    max_leaves=6,
)

FILTERED = Client.sample()
FILTERED.organisation.reset()
FILTERED.organisation.load_table(
    "account", [{"accountid": guid(i), "numberofemployees": n} for i, (_, n) in enumerate(ROWS)]
)
for index, (text, _) in enumerate(ROWS):
    if text is not None:
        FILTERED("PATCH", f"accounts({guid(index)})", {"name": text})


@given(filters)
@settings(max_examples=300, deadline=None)
def test_a_filter_finds_what_plain_python_finds(expression):
    text, holds = expression
    found = FILTERED.get(f"accounts?$select=accountid&$filter={quote(text)}")["value"]
    expected = {guid(i) for i, row in enumerate(ROWS) if holds(row)}
    assert {record["accountid"] for record in found} == expected
