"""The Dataverse-like service without HTTP: one operation in, one answer out.

Owns: the seam to the server and to simulations (`Request`, `Response`, `Service`), transactions, and the choice of
the rule by method and resource.
Does not know: sockets, batches' grammar, asyncio, the clock.
Source: Microsoft Learn, "Perform operations using the Web API".
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote

from bulklink.sandbox import definitions, deletes, operations, queries, records, references
from bulklink.sandbox.addresses import Address, Addresses, Key, Segment, api_path, dereferenced, split_path
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import ODataError, bad_syntax, no_http_resource, not_supported
from bulklink.sandbox.messages import Request, Response, error_answer
from bulklink.sandbox.model import Table
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.toggles import Toggles

__all__ = ["ChangeSet", "Request", "Response", "Service"]

#: What a method does to data that no reference or operation is addressed by.
_RULES: Mapping[str, Callable[[Context, Operation, Address], Response]] = {
    "POST": records.post,
    "PATCH": records.patch,
    "PUT": records.put,
    "DELETE": deletes.delete,
}


class ChangeSet:
    """One open transaction."""

    def __init__(self) -> None:
        self.rolled_back = False

    def rollback(self) -> None:
        """Undo everything when the change set ends."""
        self.rolled_back = True


class Service:
    """Executes operations on one organisation. Not for several threads."""

    def __init__(self, organisation: Organisation, toggles: Toggles) -> None:
        self.organisation = organisation
        self.toggles = toggles
        self._context = Context(organisation, toggles, Addresses(organisation, toggles))
        self._definitions = definitions.Definitions(organisation.model, toggles)
        self._change_set: ChangeSet | None = None

    def execute(self, request: Request, content_ids: dict[str, str] | None = None) -> Response:
        """Answer one operation; on its own it is atomic, inside `change_set` it joins that transaction.

        content_ids: ``$1`` -> entity URL. A create adds to it under the request's ``content-id`` header.
        A refused operation inside a change set makes the whole change set roll back.
        """
        operation = Operation(request, content_ids)
        if request.method == "GET" or self._change_set is not None:
            response = self._answer(operation)
            if response.status >= 400 and self._change_set is not None:
                self._change_set.rollback()
            return response
        self.organisation.begin()
        try:
            response = self._answer(operation)
        except BaseException:
            self.organisation.rollback()
            raise
        if response.status >= 400:
            self.organisation.rollback()
        else:
            self.organisation.commit()
        return response

    @contextmanager
    def change_set(self) -> Iterator[ChangeSet]:
        """A transaction around several operations: kept on normal exit unless one was refused or `rollback` called."""
        if self._change_set is not None:
            raise RuntimeError("change sets do not nest")
        self.organisation.begin()
        self._change_set = change_set = ChangeSet()
        try:
            yield change_set
        except BaseException:
            change_set.rollback()
            raise
        finally:
            self._change_set = None
            if change_set.rolled_back:
                self.organisation.rollback()
            else:
                self.organisation.commit()

    def touched(self, request: Request) -> frozenset[tuple[str, str]]:
        """The (table, id) pairs that an operation writes or references, as far as URL and body tell."""
        found: set[tuple[str, str]] = set()
        try:
            address = self._context.addresses.parse(split_path(request.path))
        except ODataError:
            # What an earlier operation of the change set created is nobody else's yet.
            address = None
        if address is not None:
            self._note(found, address.table, address.key)
            other = self.organisation.model.tables.get(getattr(address.navigation, "other", ""))
            if other is not None:
                self._note(found, other, address.navigation_key)
            for record_id in _target_ids(request, address):
                found.add((address.table.name, record_id))
        for url in _urls_of(request):
            path = api_path(url, request.api_url) or url
            try:
                entity = self._context.addresses.entity(path)
            except ODataError:
                continue
            if entity is not None:
                self._note(found, *entity)
        return frozenset(found)

    def _note(self, found: set[tuple[str, str]], table: Table, key: Key | None) -> None:
        try:
            record_id = self._context.addresses.find(table, key) if key is not None else None
        except OverflowError:
            return
        if record_id is not None:
            found.add((table.name, record_id))

    # ------------------------------------------------------------------ choosing the rule

    def _answer(self, operation: Operation) -> Response:
        request = operation.request
        try:
            path = request.path
            if path.lstrip("/").startswith("$"):
                path = dereferenced(path, operation.content_ids, request.api_url)
            segments = split_path(path)
            whole = self._whole(operation, segments)
            return whole if whole is not None else self._data(operation, self._context.addresses.parse(segments))
        except ODataError as error:
            return error_answer(error, request)
        except (OverflowError, UnicodeEncodeError):
            return error_answer(bad_syntax("A number or a text in the request is out of range."), request)

    def _whole(self, operation: Operation, segments: list[Segment]) -> Response | None:
        """Resources that are no data: metadata, the service document, unbound operations; None if it is data."""
        name = segments[0].name
        if name in definitions.ROOTS:
            if operation.request.method != "GET":
                raise not_supported("changing metadata")
            return self._definitions.answer(operation.request, segments)
        if name not in self.organisation.model.entity_sets and operations.looks_unbound(name):
            return operations.unbound(self._context, operation, segments[0])
        return None

    def _data(self, operation: Operation, address: Address) -> Response:
        request, context = operation.request, self._context
        if address.operation:
            return operations.bound(context, operation, address)
        if request.method == "GET":
            return queries.answer(context, operation, address)
        if address.tail == "$ref":
            return references.answer(context, operation, address)
        rule = _RULES.get(request.method)
        if rule is None:
            raise no_http_resource(f"{request.api_url}/{unquote(request.path)}")
        return rule(context, operation, address)


def _target_ids(request: Request, address: Address) -> list[str]:
    """The ids of the records that a bulk message writes."""
    if not address.operation.endswith("Multiple"):
        return []
    try:
        targets = request.payload().get("Targets")
    except ODataError:
        return []
    ids = [target.get(address.table.primary_id) for target in targets or () if isinstance(target, dict)]
    return [record_id.lower() for record_id in ids if isinstance(record_id, str)]


def _urls_of(request: Request) -> list[str]:
    """Every text in the request that may name a record: ``$id``, ``@odata.id``, binds."""
    urls = [value for name, value in parse_qsl(request.query) if name == "$id"]
    if b"@odata." in request.body:
        try:
            urls += _texts(request.payload())
        except (ODataError, RecursionError):
            return urls
    return urls


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if not isinstance(value, dict):
        return []
    return [
        text
        for name, item in value.items()
        if isinstance(item, (dict, list)) or name.endswith(("@odata.bind", "@odata.id"))
        for text in _texts(item)
    ]
