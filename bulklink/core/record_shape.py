"""What a record job writes, as far as it must be known to write it and to read it back.

Owns: the members of a record's body with the properties that show them, the inner requests of create and update.
Does not know: rows, cells, outcomes.
Source: Microsoft Learn, "Create a table row using the Web API", "Update and delete table rows using the Web API".
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Self

from bulklink.core.facts import ColumnKind, Table
from bulklink.core.forms import check_headers
from bulklink.core.record_values import is_same
from bulklink.vocabulary import Action

BIND = "@odata.bind"


@dataclass(frozen=True, slots=True)
class Shown:
    """Members of a body and the property that shows what became of them. A lookup has two: to bind, and to clear."""

    members: tuple[str, ...]
    property: str
    kind: ColumnKind

    def is_as_asked(self, body: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
        """Whether the record holds what the body asked for."""
        return all(
            is_same(self.kind, bound_id(body[member]) if member.endswith(BIND) else body[member], record[self.property])
            for member in self.members
            if member in body
        )


@dataclass(frozen=True, slots=True)
class RecordShape:
    """What the records of a job are made of. children: the navigation properties of nested records."""

    table: Table
    action: Action
    shown: tuple[Shown, ...]
    children: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The shape for the journal."""
        return json.dumps(asdict(self) | {"kind": "record"})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` wrote."""
        values = json.loads(text)
        shown = tuple(Shown(tuple(s["members"]), s["property"], ColumnKind(s["kind"])) for s in values["shown"])
        return cls(Table(**values["table"]), Action(values["action"]), shown, tuple(values["children"]))

    def is_as_asked(self, body: str, record: Mapping[str, Any]) -> bool:
        """Whether a record that was read holds everything that its body asked for. Raises KeyError if it is partial."""
        asked = read_json(body)
        return all(one.is_as_asked(asked, record) for one in self.shown)

    def own_part(self, body: str) -> str:
        """A body without its nested records."""
        if not self.children:
            return body
        return write_json({name: value for name, value in read_json(body).items() if name not in self.children})

    def joined(self, bodies: Sequence[str]) -> str:
        """One body of the rows of one record: the first row's own part, and the nested records of all."""
        if len(bodies) == 1:
            return bodies[0]
        whole, *others = (read_json(body) for body in bodies)
        for other in others:
            for name in self.children:
                if name in other:
                    whole[name] = [*whole.get(name, ()), *other[name]]
        return write_json(whole)


@dataclass(frozen=True, slots=True)
class Writing:
    """Where and how the requests of a job are written. headers: on every operation. query: e.g. ``tag=night``."""

    api_path: str
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""

    def create(self, table: Table, record_id: str, body: str) -> bytes:
        """A new record whose primary key the client has chosen, so that a second sending creates no second record."""
        members = body[1:-1]
        whole = f'{{"{table.primary_id}":"{record_id}"{"," if members else ""}{members}}}'
        return self.request("POST", table.entity_set, whole)

    def update(self, table: Table, record_id: str, body: str, etag: str = "*") -> bytes:
        """A change of an existing record: without If-Match the service would create a missing one."""
        return self.request("PATCH", f"{table.entity_set}({record_id})", body, [("If-Match", etag)])

    def request(self, method: str, path: str, body: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
        """One inner request with a JSON body."""
        query = f"?{self.query}" if self.query else ""
        lines = [f"{method} {self.api_path}/{path}{query} HTTP/1.1"]
        told = [*headers, ("Content-Type", "application/json"), *self.headers]
        check_headers(told)
        lines += [f"{name}: {value}" for name, value in told]
        return "\r\n".join([*lines, "", body]).encode()


def bound_id(reference: str) -> str:
    """The id in ``accounts(…)``."""
    return reference.rpartition("(")[2].removesuffix(")")


def read_json(text: str) -> dict[str, Any]:
    """A body as values, its decimals exact."""
    values: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return values


def write_json(value: Any) -> str:
    """What `read_json` read, with its decimals as they were."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{write_json(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)
