"""The wire forms of an association: method, path, headers, body.

Owns: which form fits which relationship and action, and the bytes of one operation. Everything form-specific is here.
Does not know: rows, batches, Content-IDs, what the service answers.
Source: the public contract (README, "Which form does what"); Microsoft Learn, "Associate and disassociate table rows
using the Web API", "Update and delete table rows using the Web API".
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby, repeat
from typing import Final
from urllib.parse import quote, urlsplit

from bulklink.core.facts import OWNER_COLUMN
from bulklink.core.relationships import Cardinality, Relationship
from bulklink.core.specials import NOT_LINKED, SPECIALS
from bulklink.errors import BulklinkError, FormError
from bulklink.vocabulary import Action, Form


class Slot(IntEnum):
    """What differs from row to row."""

    FROM_ID = 0
    TO_ID = 1
    ETAG = 2


Segment = bytes | Slot
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OperationTemplate:
    """One operation with holes. `idempotent`: sending it again after a lost answer can do no harm."""

    segments: tuple[Segment, ...]
    form: Form
    idempotent: bool

    def render(self, from_ids: list[bytes], to_ids: list[bytes], etags: list[bytes]) -> list[bytes]:
        """One inner HTTP request per row, from request line to body.

        Keys are 36 characters of text. A list that the form has no hole for may be empty.
        """
        values = (from_ids, to_ids, etags)
        rows = max(len(column) for column in values)
        columns = [values[s] if isinstance(s, Slot) else repeat(s, rows) for s in self.segments]
        return list(map(b"".join, zip(*columns, strict=True)))


@dataclass(frozen=True, slots=True)
class _Address:
    """Where the operations go: the absolute base for references, the root-relative one for request lines."""

    api_url: str
    api_path: str
    query: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which relationships and actions a form fits, and how it is written."""

    actions: frozenset[Action]
    cardinalities: frozenset[Cardinality]
    write: Callable[[Relationship, Action, _Address], "_Request"]
    idempotent: frozenset[Cardinality]


@dataclass(frozen=True, slots=True)
class _Request:
    """A request before its bytes: text with holes."""

    method: str
    target: tuple[str | Slot, ...]
    headers: tuple[tuple[str, str | Slot], ...] = ()
    body: tuple[str | Slot, ...] = ()


def choose_form(relationship: Relationship, action: Action, form: Form) -> Form:
    """The form to use: the named one, if it fits, or what "auto" means for this relationship and action.

    Raises FormError if the named one does not fit.
    """
    chosen = _automatic(relationship, action) if form is Form.AUTO else form
    rule = _RULES.get(chosen)
    if rule is None:
        raise FormError(f"form = {chosen.value!r} is not a form of [link] jobs.", hint=_fitting(relationship, action))
    if action not in rule.actions:
        raise FormError(f"form = {chosen.value!r} cannot {_VERBS[action]}.", hint=_fitting(relationship, action))
    if relationship.cardinality not in rule.cardinalities:
        what = _WHAT[relationship.cardinality].format(relationship.schema_name, relationship.from_table.logical_name)
        raise FormError(f"form = {chosen.value!r} does not fit: {what}.", hint=_fitting(relationship, action))
    _check_ends(relationship, chosen, action)
    return chosen


def fitting_forms(relationship: Relationship, action: Action) -> list[Form]:
    """The forms that a job may name for this relationship and action."""
    return [
        form
        for form, rule in _RULES.items()
        if action in rule.actions
        and relationship.cardinality in rule.cardinalities
        and not _obstacle(relationship, form)
    ]


def operation_template(
    form: Form,
    relationship: Relationship,
    api_url: str,
    action: Action,
    extra_headers: Headers = (),
    *,
    tag: str = "",
) -> OperationTemplate:
    """The template of one operation.

    api_url: absolute, e.g. ``https://contoso.crm4.dynamics.com/api/data/v9.2``.
    extra_headers: put on every operation (impersonation, bypass): the service does not spread the batch's own to them.
    tag: reaches the service's plug-ins as the shared variable ``tag``.
    """
    rule = _RULES[form]
    base = api_url.rstrip("/")
    query = f"tag={quote(tag, safe='')}" if tag else ""
    request = rule.write(relationship, action, _Address(base, urlsplit(base).path, query))
    _check_delete(request)
    return OperationTemplate(
        _segments(request, extra_headers), form, idempotent=relationship.cardinality in rule.idempotent
    )


def _automatic(relationship: Relationship, action: Action) -> Form:
    if relationship.schema_name in SPECIALS:
        return Form.MESSAGE
    if relationship.cardinality is Cardinality.MANY_TO_MANY or not relationship.lookup_navigation_property:
        return Form.REF_ADD if action is Action.ASSOCIATE else Form.REF_REMOVE
    return Form.BIND if action is Action.ASSOCIATE else Form.BIND_CLEAR


def _check_ends(relationship: Relationship, form: Form, action: Action) -> None:
    obstacle = _obstacle(relationship, form)
    if obstacle:
        raise FormError(f"form = {form.value!r} does not fit: {obstacle}.", hint=_fitting(relationship, action))


def _obstacle(relationship: Relationship, form: Form) -> str:
    """Why a form of the right kind still does not fit this relationship; "" if it does."""
    if relationship.holder_table.logical_name in NOT_LINKED:
        return NOT_LINKED[relationship.holder_table.logical_name]
    if (relationship.schema_name in SPECIALS) != (form is Form.MESSAGE):
        takes = "messages only" if relationship.schema_name in SPECIALS else "references, no messages"
        return f"{relationship.schema_name} takes {takes}"
    if form in _ON_THE_LOOKUP and not relationship.lookup_navigation_property:
        return f"{relationship.schema_name} has no navigation property on {relationship.holder_table.logical_name}"
    if form not in _ON_THE_LOOKUP and not relationship.navigation_property:
        return f"{relationship.schema_name} has no navigation property on {relationship.from_table.logical_name}"
    if form is Form.REF_SET and relationship.lookup_attribute == OWNER_COLUMN:
        # The property's type is the abstract principal; the service refuses a reference to a user or team there.
        return "an owner cannot be set by reference"
    return ""


def _fitting(relationship: Relationship, action: Action) -> str:
    names = ", ".join(form.value for form in fitting_forms(relationship, action))
    return f"Here fit: auto, {names}." if names else "No form does this; see the relationship and the action."


def _check_delete(request: _Request) -> None:
    """Without its ``/$ref`` a DELETE would remove the record instead of the link."""
    path = "".join("key" if isinstance(piece, Slot) else piece for piece in request.target).partition("?")[0]
    if request.method == "DELETE" and not path.endswith("/$ref"):
        raise BulklinkError(f"refusing to send DELETE {path}: it does not address a reference")


# ---- the forms, one function each


def _ref_add(relationship: Relationship, action: Action, address: _Address) -> _Request:
    return _Request("POST", _reference(relationship, address), _JSON, _reference_body(relationship, address))


def _ref_set(relationship: Relationship, action: Action, address: _Address) -> _Request:
    return _Request("PUT", _reference(relationship, address), _JSON, _reference_body(relationship, address))


def _ref_clear(relationship: Relationship, action: Action, address: _Address) -> _Request:
    return _Request("DELETE", _reference(relationship, address))


def _ref_remove(relationship: Relationship, action: Action, address: _Address) -> _Request:
    record = _record(address.api_path, relationship.from_table.entity_set, Slot.FROM_ID)
    ending = ")/$ref" + _query(address)
    return _Request("DELETE", (*record, f"/{relationship.navigation_property}(", Slot.TO_ID, ending))


def _ref_remove_id(relationship: Relationship, action: Action, address: _Address) -> _Request:
    other = quote(f"{address.api_url}/{relationship.to_table.entity_set}(", safe="")
    ending = quote(")", safe="") + (f"&{address.query}" if address.query else "")
    record = _record(address.api_path, relationship.from_table.entity_set, Slot.FROM_ID)
    return _Request("DELETE", (*record, f"/{relationship.navigation_property}/$ref?$id={other}", Slot.TO_ID, ending))


def _bind(relationship: Relationship, action: Action, address: _Address) -> _Request:
    # Without If-Match a PATCH on a record that does not exist creates it.
    name = json.dumps(f"{relationship.lookup_navigation_property}@odata.bind")
    body = (f'{{{name}:"{relationship.target_table.entity_set}(', _other(_holder(relationship)), ')"}')
    return _Request("PATCH", _held(relationship, address), (("If-Match", "*"), *_JSON), body)


def _bind_clear(relationship: Relationship, action: Action, address: _Address) -> _Request:
    # The etag read keeps what somebody else has put there meanwhile; "clear" wants it empty whatever it holds.
    condition: str | Slot = "*" if action is Action.CLEAR else Slot.ETAG
    body = (f"{{{json.dumps(relationship.lookup_navigation_property)}:null}}",)
    return _Request("PATCH", _held(relationship, address), (("If-Match", condition), *_JSON), body)


def _message(relationship: Relationship, action: Action, address: _Address) -> _Request:
    special = SPECIALS[relationship.schema_name]
    message = special.messages[action]
    is_from = relationship.from_table.logical_name == special.bound_to
    own, other = (Slot.FROM_ID, Slot.TO_ID) if is_from else (Slot.TO_ID, Slot.FROM_ID)
    table = relationship.from_table if is_from else relationship.to_table
    record = _record(address.api_path, table.entity_set, own)
    before, after = message.body
    target = (*record, f"/Microsoft.Dynamics.CRM.{message.name}{_query(address)}")
    return _Request("POST", target, _JSON, (before, other, after))


_JSON: Final = (("Content-Type", "application/json"),)
_ON_THE_LOOKUP: Final = frozenset({Form.BIND, Form.BIND_CLEAR, Form.UPDATE_MULTIPLE})
_ALL: Final = frozenset(Cardinality)
_COLLECTIONS: Final = frozenset({Cardinality.MANY_TO_MANY, Cardinality.COLLECTION})
_LOOKUPS: Final = frozenset({Cardinality.LOOKUP, Cardinality.COLLECTION})
_LOOKUP: Final = frozenset({Cardinality.LOOKUP})
_N_TO_N: Final = frozenset({Cardinality.MANY_TO_MANY})
_NONE: Final[frozenset[Cardinality]] = frozenset()
_ADDS: Final = frozenset({Action.ASSOCIATE})
_BOTH: Final = frozenset({Action.ASSOCIATE, Action.DISASSOCIATE})
_REMOVES: Final = frozenset({Action.DISASSOCIATE})
_EMPTIES: Final = frozenset({Action.DISASSOCIATE, Action.CLEAR})

#: The last column: where a second, late sending does no harm. A removal without an etag could, on a lookup, empty what
#: somebody else has put there meanwhile.
_RULES: Final[Mapping[Form, _Rule]] = {
    Form.REF_ADD: _Rule(_ADDS, _COLLECTIONS, _ref_add, _COLLECTIONS),
    Form.REF_REMOVE: _Rule(_REMOVES, _COLLECTIONS, _ref_remove, _N_TO_N),
    Form.REF_REMOVE_ID: _Rule(_REMOVES, _COLLECTIONS, _ref_remove_id, _N_TO_N),
    Form.REF_SET: _Rule(_ADDS, _LOOKUP, _ref_set, _LOOKUP),
    Form.REF_CLEAR: _Rule(_EMPTIES, _LOOKUP, _ref_clear, _NONE),
    Form.BIND: _Rule(_ADDS, _LOOKUPS, _bind, _LOOKUPS),
    Form.BIND_CLEAR: _Rule(_EMPTIES, _LOOKUPS, _bind_clear, _LOOKUPS),
    # As an operation of its own, where many at once were refused.
    Form.UPDATE_MULTIPLE: _Rule(_ADDS, _LOOKUPS, _bind, _LOOKUPS),
    Form.MESSAGE: _Rule(_BOTH, _N_TO_N, _message, _N_TO_N),
}
_VERBS: Final[Mapping[Action, str]] = {
    Action.ASSOCIATE: "associate",
    Action.DISASSOCIATE: "disassociate",
    Action.CLEAR: "clear a lookup",
}
_WHAT: Final[Mapping[Cardinality, str]] = {
    Cardinality.MANY_TO_MANY: "{} is N:N",
    Cardinality.LOOKUP: "{} is a lookup on {}",
    Cardinality.COLLECTION: "{} is a collection on {}",
}


# ---- pieces of requests


def _record(base: str, entity_set: str, key: Slot) -> tuple[str | Slot, ...]:
    return (f"{base}/{entity_set}(", key, ")")


def _reference(relationship: Relationship, address: _Address) -> tuple[str | Slot, ...]:
    record = _record(address.api_path, relationship.from_table.entity_set, Slot.FROM_ID)
    return (*record, f"/{relationship.navigation_property}/$ref{_query(address)}")


def _reference_body(relationship: Relationship, address: _Address) -> tuple[str | Slot, ...]:
    # The service takes an absolute reference only.
    return (f'{{"@odata.id":"{address.api_url}/{relationship.to_table.entity_set}(', Slot.TO_ID, ')"}')


def _held(relationship: Relationship, address: _Address) -> tuple[str | Slot, ...]:
    """The record that holds the lookup column."""
    record = _record(address.api_path, relationship.holder_table.entity_set, _holder(relationship))
    return (*record, _query(address))


def _holder(relationship: Relationship) -> Slot:
    return Slot.TO_ID if relationship.holder == "to" else Slot.FROM_ID


def _other(key: Slot) -> Slot:
    return Slot.FROM_ID if key is Slot.TO_ID else Slot.TO_ID


def _query(address: _Address) -> str:
    return f"?{address.query}" if address.query else ""


def check_headers(headers: Headers) -> None:
    """Raise FormError for a header that would break the request apart."""
    for name, value in headers:
        if not (name + value).isprintable():
            raise FormError(f"the value of header {name!r} holds a character that no header can hold", hint="")


def _segments(request: _Request, extra_headers: Headers) -> tuple[Segment, ...]:
    pieces: list[str | Slot] = [f"{request.method} ", *request.target, " HTTP/1.1\r\n"]
    check_headers(extra_headers)
    for name, value in (*request.headers, *extra_headers):
        pieces += [f"{name}: ", value, "\r\n"]
    pieces += ["\r\n", *request.body]
    return _joined(pieces)


def _joined(pieces: Sequence[str | Slot]) -> tuple[Segment, ...]:
    """Neighbouring texts as one segment each."""
    segments: list[Segment] = []
    for _, run in groupby(pieces, key=lambda piece: isinstance(piece, Slot)):
        together = list(run)
        slots = [piece for piece in together if isinstance(piece, Slot)]
        segments += slots or ["".join(str(piece) for piece in together).encode()]
    return tuple(segments)
