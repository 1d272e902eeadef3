"""One operation and its answer, without HTTP.

Owns: `Request`, `Response`, the preferences of a request, and the making of answers.
Does not know: rules, storage, sockets.
Source: Microsoft Learn, "Compose HTTP requests and handle errors".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bulklink.sandbox.errors import ODataError

JSON_CONTENT_TYPE = "application/json; odata.metadata=minimal"
_ODATA_VERSION = ("OData-Version", "4.0")
_PREFERENCE = re.compile(r'\s*([^\s=;,"]+)\s*(?:=\s*("[^"]*"|[^\s;,"]*))?[^,"]*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Request:
    """One operation.

    path: behind ``/api/data/v9.x/``, still percent-encoded. query: raw, without ``?``. headers: lower-case names; an
    operation of a change set carries its ``content-id`` there. api_url: e.g. ``http://127.0.0.1:8080/api/data/v9.2``.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    api_url: str

    def preference(self, name: str) -> str | None:
        """The value of one preference of ``Prefer``, "" if it stands without one, None if it is absent."""
        text = self.headers.get("prefer")
        if not text:
            return None
        found = {m[1].lower(): (m[2] or "").strip('"') for m in _PREFERENCE.finditer(text)}
        return found.get(name)

    @property
    def wants_representation(self) -> bool:
        """Does the client ask for the record in the answer?"""
        return self.preference("return") == "representation"

    def payload(self) -> dict[str, Any]:
        """The JSON object of the body; ODataError if there is none."""
        if not self.body.strip():
            raise ODataError(400, "0x80048d19", "Error identified in Payload provided by the user: the body is empty.")
        try:
            value = json.loads(self.body, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            raise ODataError(
                400, "0x80048d19", f"Error identified in Payload provided by the user: invalid JSON. {error}"
            ) from error
        if not isinstance(value, dict):
            raise ODataError(400, "0x80048d19", "Error identified in Payload provided by the user: not a JSON object.")
        return value


def _no_json(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value.")


@dataclass(slots=True)
class Response:
    """The answer to one operation; the server adds the request id."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def no_content() -> Response:
    """204 as a reference operation gives it."""
    return Response(204, [_ODATA_VERSION], b"")


def written(url: str) -> Response:
    """204 of a create or update, naming the record."""
    return Response(204, [_ODATA_VERSION, ("Location", url), ("OData-EntityId", url)], b"")


def json_answer(value: object, status: int = 200, applied: str = "") -> Response:
    """An answer with a JSON body. applied: what ``Preference-Applied`` says."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [("Content-Type", JSON_CONTENT_TYPE), _ODATA_VERSION]
    if applied:
        headers.append(("Preference-Applied", applied))
    return Response(status, headers, body)


def text_answer(text: str, content_type: str) -> Response:
    """An answer that is not JSON: ``$metadata``, ``$count``, ``$value``."""
    return Response(200, [("Content-Type", content_type), _ODATA_VERSION], text.encode())


def error_answer(error: ODataError, request: Request) -> Response:
    """The error object; with details where the client asked for their annotations."""
    content = {"code": error.code, "message": error.message}
    wanted = request.preference("odata.include-annotations") or ""
    if wanted == "*" or "Microsoft.PowerApps.CDS" in wanted:
        number = int(error.code, 16) if error.code.startswith("0x") else 0
        content["@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus"] = "0"
        content["@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode"] = str(number)
        content["@Microsoft.PowerApps.CDS.HelpLink"] = (
            f"http://go.microsoft.com/fwlink/?LinkID=398563&error={NAMESPACE_OF_ERRORS}%3a{number:X}&client=platform"
        )
        content["@Microsoft.PowerApps.CDS.TraceText"] = ""
        content["@Microsoft.PowerApps.CDS.InnerError.Message"] = error.message
    return json_answer({"error": content}, error.status)


NAMESPACE_OF_ERRORS = "Microsoft.Crm.CrmException"
