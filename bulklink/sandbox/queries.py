"""Reading: one record, collections, navigation properties, references, counts.

Owns: the choice of what a GET on data reads, and the frame of its answer.
Does not know: the SQL of a page, the grammar of filters.
Source: Microsoft Learn, "Retrieve a table row", "Query data using the Web API", "Count number of rows".
"""

from typing import Any

from bulklink.sandbox.addresses import Address
from bulklink.sandbox.context import Context, Operation
from bulklink.sandbox.errors import ODataError, bad_syntax, does_not_exist, no_segment
from bulklink.sandbox.messages import Response, json_answer, no_content, text_answer
from bulklink.sandbox.model import LookupNavigation, Table
from bulklink.sandbox.options import PAGE_MAX, Options, read_options
from bulklink.sandbox.pages import Pages, Source
from bulklink.sandbox.storage import from_storage


def answer(context: Context, operation: Operation, address: Address) -> Response:
    """Answer a GET on data."""
    context.require("Read", address.table.name)
    pages = _pages(context, operation)
    if address.key is None:
        return _collection(pages, operation, address, Source(address.table))
    record_id = context.addresses.existing_id(address.table, address.key)
    if address.column is not None:
        return _property(context, operation, address, record_id)
    if address.navigation is None:
        return _record(operation, context, address.table, record_id)
    if isinstance(address.navigation, LookupNavigation) or address.navigation_key is not None:
        return _related_answer(context, operation, address, record_id)
    return _collection(pages, operation, address, pages.members(address.navigation, record_id))


def _pages(context: Context, operation: Operation) -> Pages:
    return Pages(context.organisation, operation.request.api_url)


def one(context: Context, operation: Operation, table: Table, record_id: str) -> dict[str, Any]:
    """A record as JSON with its context; ODataError if it is not there."""
    options = read_options(operation.request)
    pages = _pages(context, operation)
    page = pages.page(pages.one(table, record_id), options, 1)
    if not page.records:
        raise does_not_exist(table.name, record_id)
    return {"@odata.context": _context_url(operation, table, options) + "/$entity", **page.records[0]}


def _record(operation: Operation, context: Context, table: Table, record_id: str) -> Response:
    shown = one(context, operation, table, record_id)
    tag = shown["@odata.etag"]
    if operation.request.headers.get("if-none-match") == tag:
        return Response(304, [("OData-Version", "4.0")], b"")
    response = json_answer(shown, applied=read_options(operation.request).applied)
    response.headers.append(("ETag", tag))
    return response


def _property(context: Context, operation: Operation, address: Address, record_id: str) -> Response:
    assert address.column is not None
    record = context.organisation.read(address.table, record_id) or {}
    value = from_storage(address.column, record.get(address.column.name))
    if value is None:
        return no_content()
    if address.tail == "$value":
        return text_answer(str(value), "text/plain")
    key = f"{address.table.entity_set}({record_id})/{address.column.property_name}"
    return json_answer({"@odata.context": f"{operation.request.api_url}/$metadata#{key}", "value": value})


def related(context: Context, operation: Operation, address: Address, record_id: str) -> tuple[Table, str]:
    """The record behind a navigation property; ODataError if there is none or it is not among the related."""
    pages, navigation = _pages(context, operation), address.navigation
    if isinstance(navigation, LookupNavigation):
        found = pages.target(navigation, record_id)
        if found is None:
            raise no_segment(navigation.name)
        return found
    if navigation is None or address.navigation_key is None:
        raise bad_syntax("The request must name one record.")
    source = pages.members(navigation, record_id)
    other_id = context.addresses.existing_id(source.table, address.navigation_key)
    if not pages.has(source, other_id):
        raise does_not_exist(source.table.name, other_id)
    return source.table, other_id


def _related_answer(context: Context, operation: Operation, address: Address, record_id: str) -> Response:
    try:
        table, other_id = related(context, operation, address, record_id)
    except ODataError:
        if isinstance(address.navigation, LookupNavigation):
            return no_content()
        raise
    if address.tail == "$ref":
        url = context.url(operation, table, other_id)
        return json_answer({"@odata.context": f"{operation.request.api_url}/$metadata#$ref", "@odata.id": url})
    return _record(operation, context, table, other_id)


def _collection(pages: Pages, operation: Operation, address: Address, source: Source) -> Response:
    options = read_options(operation.request)
    source = pages.filtered(source, options)
    if address.tail == "$count":
        return text_answer(str(min(pages.count(source), PAGE_MAX)), "text/plain")
    if address.tail == "$ref":
        return _references(pages, source)
    body: dict[str, Any] = {"@odata.context": _context_url(operation, source.table, options)}
    if options.given.get("$count") == "true":
        _add_count(body, pages.count(source), options)
    top = options.top()
    # With both, $top is the one that the service ignores.
    if top is not None and options.page_size is None:
        body["value"] = pages.page(source, options, min(top, PAGE_MAX)).records
        return json_answer(body, applied=options.applied)
    size = options.page_size or PAGE_MAX
    page = pages.page(source, options, size + 1)
    body["value"] = page.records[:size]
    if len(page.records) > size:
        body["@odata.nextLink"] = _next_link(operation, options, size, page.places[size - 1])
    return json_answer(body, applied=options.applied)


def _add_count(body: dict[str, Any], count: int, options: Options) -> None:
    body["@odata.count"] = min(count, PAGE_MAX)
    if options.annotations:
        body["@Microsoft.Dynamics.CRM.totalrecordcount"] = min(count, PAGE_MAX)
        body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] = count > PAGE_MAX


def _next_link(operation: Operation, options: Options, size: int, last_place: int) -> str:
    number, place = options.cookie
    # Sorted rows are counted, unsorted ones continue behind the last row even when others were written meanwhile.
    following = place + size if options.order else last_place
    return f"{operation.request.api_url}/{operation.request.path}?{options.query_for(number + 1, following)}"


def _references(pages: Pages, source: Source) -> Response:
    value = [{"@odata.id": f"{pages.api_url}/{source.table.entity_set}({i})"} for i in pages.ids(source)]
    return json_answer({"@odata.context": f"{pages.api_url}/$metadata#Collection($ref)", "value": value})


def _context_url(operation: Operation, table: Table, options: Options) -> str:
    select = f"({options.select})" if options.select else ""
    return f"{operation.request.api_url}/$metadata#{table.entity_set}{select}"
