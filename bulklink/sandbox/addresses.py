"""What a URL of the Web API addresses.

Owns: the grammar of resource paths and key predicates, entity ids in bodies, and Content-ID references.
Does not know: what is done with the addressed thing; query options.
Source: OData 4.0 Part 2 (URL conventions); Microsoft Learn, "Use alternate keys"; recorded refusals.
"""

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from bulklink.sandbox.errors import (
    ODataError,
    bad_syntax,
    does_not_exist,
    forward_reference,
    no_record_with_key,
    no_segment,
    not_a_key,
    not_supported,
)
from bulklink.sandbox.model import NUMBERS, WHOLE_NUMBERS, Column, Kind, Navigation, Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.storage import GUID, comparable, folded, quoted
from bulklink.sandbox.toggles import Toggles

_SEGMENT = re.compile(r"([^()]+)(?:\((.*)\))?", re.DOTALL)
_KEY_PART = re.compile(r"\s*(\w+)\s*=\s*('(?:[^']|'')*'|[^,']*?)\s*(?:,|$)", re.DOTALL)
_API_PATH = re.compile(r"(?:(https?://[^/]+))?/api/data/v9\.[0-9]+/(.+)", re.DOTALL)
_REFERENCE = re.compile(r"/?(\$[A-Za-z0-9._~-]+)(?=/|$|\()")
_URL_CHARACTERS_MAX = 65_536
_OPERATION_PREFIX = "Microsoft.Dynamics.CRM."


@dataclass(frozen=True, slots=True)
class Key:
    """A key predicate: a GUID, or values of an alternate key by logical column name."""

    id: str = ""
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """One path segment, decoded: its name, and what stood in parentheses (None without any)."""

    name: str
    predicate: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A resource of the data (not of the metadata).

    ``accounts(key)/navigation(navigation_key)/tail``; `tail` is ``$ref``, ``$count``, ``$value`` or ""; `column` and
    `operation` stand for a property or a bound operation in the place of the navigation.
    """

    table: Table
    key: Key | None = None
    navigation: Navigation | None = None
    navigation_key: Key | None = None
    column: Column | None = None
    operation: str = ""
    arguments: str = ""
    tail: str = ""


def split_path(path: str) -> list[Segment]:
    """The decoded segments of a path; ODataError for one that is none."""
    if len(path) > _URL_CHARACTERS_MAX:
        raise ODataError(414, "", "The request URL is too long.")
    if not path.strip("/"):
        return [Segment("")]
    segments = []
    for raw in path.strip("/").split("/"):
        match = _SEGMENT.fullmatch(unquote(raw) if "%" in raw else raw)
        if match is None:
            raise no_segment(unquote(raw))
        segments.append(Segment(match[1], match[2]))
    return segments


def dereferenced(path: str, content_ids: dict[str, str] | None, api_url: str) -> str:
    """A path whose leading ``$1`` is replaced by the entity created under that Content-ID."""
    match = _REFERENCE.match(path)
    if match is None or match[1] in ("$metadata", "$batch", "$count", "$ref", "$value"):
        return path
    url = (content_ids or {}).get(match[1])
    if url is None:
        raise forward_reference(match[1])
    return url.removeprefix(api_url).lstrip("/") + path[match.end() :]


class Addresses:
    """Reads paths for one organisation."""

    def __init__(self, organisation: Organisation, toggles: Toggles) -> None:
        self._organisation = organisation
        self._toggles = toggles
        # Paths of one job differ in their keys only: the way from set and navigation name is worked out once.
        self._routes: dict[tuple[str, str, str], Address] = {}

    def parse(self, segments: list[Segment]) -> Address:
        """What data the segments address; ODataError in the service's words if nothing."""
        first, rest = segments[0], segments[1:]
        has_key = first.predicate is not None
        second = rest[0] if rest else Segment("")
        tail = rest[-1].name if len(rest) > 1 else ""
        route = self._routes.get((first.name + "()" * has_key, second.name, tail))
        if route is None:
            route = self._route(first, second, rest, has_key)
            self._routes[first.name + "()" * has_key, second.name, tail] = route
        if len(rest) > 2:
            raise no_segment(rest[2].name)
        key = self.key(route.table, first.predicate) if first.predicate is not None else None
        navigation_key = None
        if second.predicate is not None and route.navigation is not None:
            other = self._organisation.model.tables.get(_other(route.navigation))
            if other is None:
                raise no_segment(second.name)
            navigation_key = self.key(other, second.predicate)
        return Address(
            route.table,
            key,
            route.navigation,
            navigation_key,
            route.column,
            route.operation,
            second.predicate or "",
            route.tail,
        )

    def _route(self, first: Segment, second: Segment, rest: list[Segment], has_key: bool) -> Address:
        model = self._organisation.model
        table = model.entity_sets.get(first.name)
        if table is None and first.name in model.unserved.get("", ()):
            raise not_supported(f"the entity set '{first.name}', whose type is abstract")
        if table is None:
            raise no_segment(first.name)
        address = Address(table)
        if not rest:
            return address
        if second.name.startswith(_OPERATION_PREFIX):
            return replace(address, operation=second.name.removeprefix(_OPERATION_PREFIX))
        if second.name in ("$count", "$ref"):
            return replace(address, tail=second.name)
        if not has_key:
            raise no_segment(second.name)
        tail = rest[1].name if len(rest) > 1 else ""
        if tail not in ("", "$ref", "$count", "$value"):
            raise no_segment(tail)
        navigation = model.navigations[table.name].get(second.name)
        if navigation is not None:
            return replace(address, navigation=navigation, tail=tail)
        column = model.properties[table.name].get(second.name)
        if column is None and second.name in model.unserved.get(table.name, ()):
            raise not_supported(f"the navigation property '{second.name}' of '{table.name}'")
        if column is None:
            raise no_segment(second.name)
        return replace(address, column=column, tail=tail)

    def key(self, table: Table, predicate: str) -> Key:
        """A key predicate; ODataError for an invalid GUID or columns that are no key."""
        if GUID.fullmatch(predicate):
            return Key(predicate.lower())
        if "=" not in predicate:
            raise ODataError(400, self._toggles.invalid_guid_code, "Bad Request - Error in query syntax.")
        return self._alternate_key(table, predicate)

    def _alternate_key(self, table: Table, predicate: str) -> Key:
        given: dict[str, Any] = {}
        position = 0
        while position < len(predicate):
            match = _KEY_PART.match(predicate, position)
            if match is None or match.end() == position:
                raise bad_syntax("Bad Request - Error in query syntax.")
            given[match[1]] = match[2]
            position = match.end()
        properties = self._organisation.model.properties[table.name]
        # Tables derived from `principal` have the key `ownerid`; their own id does not fit the declared type.
        if list(given) == [table.primary_id] and table.base != "principal":
            return self.key(table, given[table.primary_id])
        for name in given:
            if name in table.columns and table.columns[name].is_lookup:
                raise bad_syntax(f"The key property '{name}' is a lookup; use '_{name}_value'.")
        columns = [properties[name] for name in given if name in properties]
        names = {c.name for c in columns}
        if len(columns) != len(given) or not any(names == set(k.columns) and k.status == "Active" for k in table.keys):
            raise not_a_key(table.name)
        return Key(values=tuple((c.name, _key_value(c, given[c.property_name])) for c in columns))

    def find(self, table: Table, key: Key) -> str | None:
        """The id of the record that a key names, None if there is none. A GUID is not looked up."""
        if key.id:
            return key.id
        conditions = " AND ".join(f"{comparable(table.columns[name])} = ?" for name, _ in key.values)
        sql = f"SELECT {quoted(table.primary_id)} FROM {quoted(table.name)} WHERE {conditions}"
        row = self._organisation.connection.execute(sql, [folded(value) for _, value in key.values]).fetchone()
        return row[0] if row else None

    def record_id(self, table: Table, key: Key) -> str:
        """As `find`; ODataError if an alternate key matches nothing."""
        found = self.find(table, key)
        if found is None:
            raise no_record_with_key(table.name)
        return found

    def existing_id(self, table: Table, key: Key) -> str:
        """The id of a record that is there; ODataError otherwise."""
        record_id = self.record_id(table, key)
        if not self._organisation.exists(table, record_id):
            raise does_not_exist(table.name, record_id)
        return record_id

    def entity(self, path: str) -> tuple[Table, Key] | None:
        """The record that a path like ``accounts(key)`` names; None if it is no such path."""
        set_name, parenthesis, rest = path.strip("/").partition("(")
        table = self._organisation.model.entity_sets.get(set_name)
        if table is None or not parenthesis or not rest.endswith(")"):
            return None
        predicate = rest[:-1]
        return table, self.key(table, unquote(predicate) if "%" in predicate else predicate)


def api_path(url: str, api_url: str) -> str | None:
    """The part of an absolute or root-relative URL behind ``/api/data/v9.x/``.

    None if there is none or the host is another than that of `api_url`.
    """
    if url.startswith(api_url) and url[len(api_url) : len(api_url) + 1] == "/":
        return url[len(api_url) + 1 :]
    match = _API_PATH.fullmatch(url)
    if match is None or (match[1] and not api_url.lower().startswith(match[1].lower() + "/")):
        return None
    return match[2]


def _other(navigation: Navigation) -> str:
    return "" if not hasattr(navigation, "other") else navigation.other


def _key_value(column: Column, text: str) -> Any:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        if column.kind in WHOLE_NUMBERS:
            return int(text)
        if column.kind in NUMBERS:
            return float(text)
    except ValueError:
        raise bad_syntax("Bad Request - Error in query syntax.") from None
    if column.kind is Kind.UNIQUEIDENTIFIER or column.is_lookup:
        if not GUID.fullmatch(text):
            raise bad_syntax("Bad Request - Error in query syntax.")
        return text.lower()
    if column.kind is Kind.DATETIME:
        return text
    raise bad_syntax("Bad Request - Error in query syntax.")
