"""What can go wrong in the sandbox: for the person who starts it, and for the client that calls it.

Owns: `SandboxUsageError` (an unusable file, name or toggle; the command line maps it to exit code 2) and
`ODataError`, with one function per kind of refusal so that codes and texts stand in one place.
Does not know: HTTP, storage.
Source: Microsoft Learn, "Compose HTTP requests and handle errors", "Web service error codes"; recorded answers of the
service.
"""

import difflib
from collections.abc import Iterable

NAMESPACE = "Microsoft.Dynamics.CRM"


class SandboxUsageError(Exception):
    """The sandbox cannot start or load what it was given."""


class ODataError(Exception):
    """One refused operation, as the service words it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def nearest(name: str, valid: Iterable[str]) -> str:
    """The closest valid names as the end of a sentence, or nothing: `` Did you mean 'a' or 'b'?``."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    hits = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(by_folded[hit]) for hit in hits)}?" if hits else ""


def not_supported(what: str) -> ODataError:
    """Honest refusal: the service may do this, the sandbox does not."""
    return ODataError(501, "NotSupportedBySandbox", f"The sandbox does not support {what}.")


def does_not_exist(table: str, record_id: str) -> ODataError:
    """ObjectDoesNotExist."""
    return ODataError(404, "0x80040217", f"Entity '{table}' With Id = {record_id} Does Not Exist")


def no_record_with_key(table: str) -> ODataError:
    """RecordNotFoundByEntityKey."""
    return ODataError(404, "0x80060891", f"A record with the specified key values does not exist in {table} entity")


def not_a_key(table: str) -> ODataError:
    """The columns named are no alternate key."""
    return bad_syntax(
        f"The key in the request URI is not valid for resource '{NAMESPACE}.{table}'. Ensure that the names and number "
        "of key properties match the declared or alternate key properties for this resource."
    )


def no_segment(segment: str) -> ODataError:
    """CrmHttpError: a wrong entity set or navigation property."""
    return ODataError(404, "0x8006088a", f"Resource not found for the segment '{segment}'.")


def ref_after_column(column: str) -> ODataError:
    """CrmHttpError: `$ref` behind a column."""
    return ODataError(404, "0x8006088a", f"The URI segment '$ref' is invalid after the segment '{column}'.")


def no_property(name: str, table: str) -> ODataError:
    """A property that the table does not have, in a query."""
    return bad_syntax(f"Could not find a property named '{name}' on type '{NAMESPACE}.{table}'.")


def bad_syntax(message: str) -> ODataError:
    """A query option or key that cannot be read."""
    return ODataError(400, "0x80060888", message)


def unparsed_url() -> ODataError:
    """A bind target that names no entity set."""
    return bad_syntax(
        "URL was not parsed due to an ODataUnrecognizedPathException. Resource not found for the segment provided in "
        "the URL."
    )


def bad_payload(entity_set: str, inner: str) -> ODataError:
    """A body that the library refuses; `inner` is the library's own text."""
    return ODataError(
        400,
        "0x80048d19",
        f"Error identified in Payload provided by the user for Entity :'{entity_set}', For more information on this "
        "error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ----> InnerException : "
        f"Microsoft.OData.ODataException: {inner}",
    )


def undeclared_property(entity_set: str, name: str) -> ODataError:
    """A bind on a navigation property that does not exist (or in another case)."""
    return bad_payload(
        entity_set,
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value was "
        "found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values.",
    )


def duplicate_record(text: str = "A record with matching key values already exists.") -> ODataError:
    """DuplicateRecord."""
    return ODataError(412, "0x80040237", text)


def duplicate_alternate_key(key_name: str, columns: str) -> ODataError:
    """DuplicateRecordEntityKey."""
    return ODataError(
        412,
        "0x80060892",
        f"A record that has the attribute values {columns} already exists. The entity key {key_name} requires that "
        "this set of attributes contains unique values. Select unique values and try again.",
    )


def version_mismatch() -> ODataError:
    """ConcurrencyVersionMismatch."""
    return ODataError(
        412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided."
    )


def forward_reference(reference: str) -> ODataError:
    """A Content-ID that no earlier operation of the change set defined."""
    return bad_syntax(f"Content-ID Reference: '{reference}' does not exist in the batch context.")


def method_not_allowed(method: str) -> ODataError:
    """The resource is there, the method is not."""
    return ODataError(405, "", f"The requested resource does not support http method '{method}'.")


def no_http_resource(url: str) -> ODataError:
    """A path that nothing answers."""
    return ODataError(404, "", f"No HTTP resource was found that matches the request URI '{url}'.")
