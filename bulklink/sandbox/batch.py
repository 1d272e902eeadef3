"""Carry out one ``$batch``: bytes in, bytes out.

Owns: order, change sets as transactions, stop or continue, the outer status, where inner URLs lead, what a refusal of
the whole looks like.
Does not know: HTTP servers, clocks, randomness (ids come from the caller), what an operation does (service.py).
Source: protocol 2.4 to 2.11.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from bulklink.sandbox.batch_answer import Answer, write_answer
from bulklink.sandbox.errors import ODataError, no_http_resource
from bulklink.sandbox.messages import JSON_CONTENT_TYPE, Request, Response, error_answer
from bulklink.sandbox.multipart import ChangeSetItem, Grammar, Operation, boundary_of, read_batch
from bulklink.sandbox.refusals import BatchError
from bulklink.sandbox.toggles import Toggles

DEADLOCK_CODE: Final = "0x80044150"

_API_PATH: Final = re.compile(r"/api/data/v9\.[012]/")
_IMPERSONATION: Final = frozenset({"mscrmcallerid", "callerobjectid"})
_ODATA_VERSION: Final = ("OData-Version", "4.0")

HttpAnswer = tuple[int, list[tuple[str, str]], bytes]


class Rollback(Protocol):
    """An open change set."""

    def rollback(self) -> None:
        """Undo everything since it was opened."""


class BatchService(Protocol):
    """What a batch needs of the service."""

    def execute(self, request: Request, content_ids: dict[str, str] | None = None) -> Response:
        """Carry out one operation; refusals are answers too."""

    def change_set(self) -> AbstractContextManager[Rollback]:
        """Open a transaction that commits on leaving."""


@dataclass(frozen=True, slots=True)
class BatchHooks:
    """What the surroundings add to a batch.

    new_id: a fresh GUID as text. before_operation: an answer in place of the operation, e.g. a plug-in's refusal.
    before_commit: an answer for a change set that fails at its end, where no operation can be blamed.
    """

    new_id: Callable[[], str]
    before_operation: Callable[[Request], Response | None] | None = None
    before_commit: Callable[[Sequence[Request]], Response | None] | None = None


def grammar_of(toggles: Toggles) -> Grammar:
    """How strictly the toggles have a batch read."""
    return Grammar(
        operations_max=toggles.operations_max,
        count_total=toggles.count_mode == "total",
        lenient_line_ends=toggles.lenient_eol == "yes",
    )


def run_batch(
    service: BatchService, headers: Mapping[str, str], body: bytes, api_url: str, toggles: Toggles, hooks: BatchHooks
) -> HttpAnswer:
    """Carry out a batch and answer it.

    headers: of the batch, lower-case names. api_url: where the batch was posted, without ``/$batch``.
    """
    content_type = headers.get("content-type")
    if content_type and content_type.partition(";")[0].strip().lower() == "application/json":
        return refusal(int(toggles.json_batch), "The sandbox takes multipart/mixed batches, not JSON batches.", toggles)
    try:
        items: Iterable[Operation | ChangeSetItem] = read_batch(body, boundary_of(content_type), grammar_of(toggles))
        if toggles.malformed_part == "validate-first":
            items = list(items)
        return _Run(service, headers, api_url, toggles, hooks).all(items)
    except BatchError as error:
        return refusal(400, str(error), toggles)


def refusal(status: int, message: str, toggles: Toggles) -> HttpAnswer:
    """The answer to a batch that is refused as a whole: JSON, not multipart."""
    content: Mapping[str, object] = {"error": {"code": "0x80060888", "message": message}}
    if toggles.refused_batch_shape == "legacy":
        content = {
            "Message": message,
            "ExceptionMessage": message,
            "ExceptionType": "Microsoft.OData.ODataException",
            "StackTrace": "",
            "ErrorCode": "0x0",
        }
    return status, [("Content-Type", JSON_CONTENT_TYPE), _ODATA_VERSION], json.dumps(content).encode()


def continues_on_error(headers: Mapping[str, str]) -> bool:
    """Does ``Prefer`` ask to go on behind a failing item?"""
    preferences = [text.strip().lower() for text in headers.get("prefer", "").split(",")]
    return "odata.continue-on-error" in preferences or "odata.continue-on-error=true" in preferences


def requests_of(
    operations: Iterable[Operation], headers: Mapping[str, str], api_url: str, toggles: Toggles
) -> list[Request]:
    """What the operations ask of the service, as far as their URLs can be read; for looking ahead."""
    spread = _spread(headers, toggles)
    found = []
    for operation in operations:
        try:
            found.append(_request(operation, spread, api_url, toggles))
        except ODataError:
            continue
    return found


class _Run:
    """One batch on its way."""

    def __init__(
        self, service: BatchService, headers: Mapping[str, str], api_url: str, toggles: Toggles, hooks: BatchHooks
    ) -> None:
        self._service = service
        self._api_url = api_url
        self._toggles = toggles
        self._hooks = hooks
        self._spread = _spread(headers, toggles)
        self._goes_on = continues_on_error(headers)
        self._content_ids: dict[str, str] = {}

    def all(self, items: Iterable[Operation | ChangeSetItem]) -> HttpAnswer:
        answers: list[Answer | Sequence[Answer]] = []
        status = 200
        for item in items:
            answer, failed = self._change_set(item) if isinstance(item, ChangeSetItem) else self._single(item)
            answers.append(answer)
            if failed and not self._goes_on:
                status = self._outer_status(failed)
                break
        boundary = f"batchresponse_{self._hooks.new_id()}"
        headers = [("Content-Type", f"multipart/mixed; boundary={boundary}"), _ODATA_VERSION]
        return status, headers, write_answer(answers, boundary, self._hooks.new_id)

    def _single(self, operation: Operation) -> tuple[Answer, Response | None]:
        # Outside change sets nothing can be referred to, unless the toggle widens the scope to the batch.
        content_ids = self._content_ids if self._toggles.content_id_scope == "batch" else {}
        response, _ = self._operation(operation, content_ids)
        return self._answer(response, None), response if response.status >= 400 else None

    def _change_set(self, item: ChangeSetItem) -> tuple[Answer | Sequence[Answer], Response | None]:
        content_ids = self._content_ids if self._toggles.content_id_scope == "batch" else {}
        known = dict(content_ids)
        answers: list[Answer] = []
        requests: list[Request] = []
        with self._service.change_set() as transaction:
            for operation in item.operations:
                response, request = self._operation(operation, content_ids)
                if response.status >= 400:
                    transaction.rollback()
                    content_ids.clear()
                    content_ids.update(known)
                    return self._failed(response, operation.content_id), response
                answers.append(self._answer(response, operation.content_id))
                requests += [request] if request else []
            at_commit = self._hooks.before_commit(requests) if self._hooks.before_commit else None
            if at_commit:
                transaction.rollback()
                return self._answer(at_commit, None), at_commit
        return answers, None

    def _failed(self, response: Response, content_id: str | None) -> Answer | Sequence[Answer]:
        """Of a failed change set only the failing operation is answered (protocol 2.7 b)."""
        if self._toggles.unblamed == "always":
            return self._answer(response, None)
        return [self._answer(response, content_id)]

    def _operation(self, operation: Operation, content_ids: dict[str, str]) -> tuple[Response, Request | None]:
        try:
            request = _request(operation, self._spread, self._api_url, self._toggles)
        except ODataError as error:
            return error_answer(error, Request(operation.method, "", "", operation.headers, b"", self._api_url)), None
        refused = self._hooks.before_operation(request) if self._hooks.before_operation else None
        return refused or self._service.execute(request, content_ids), request

    def _answer(self, response: Response, content_id: str | None) -> Answer:
        headers: Sequence[tuple[str, str]] = response.headers
        if response.status >= 400:
            headers = [("REQ_ID", self._hooks.new_id()), *headers]
        return Answer(response.status, headers, response.body, content_id)

    def _outer_status(self, failed: Response) -> int:
        if DEADLOCK_CODE.encode() in failed.body:  # U19
            return int(self._toggles.deadlock_status)
        return failed.status


def _spread(headers: Mapping[str, str], toggles: Toggles) -> dict[str, str]:
    """The headers of the batch that hold for its operations too (U11)."""
    if toggles.outer_headers == "none":
        return {}
    everything = toggles.outer_headers == "all"
    return {
        name: value
        for name, value in headers.items()
        if name in _IMPERSONATION or (everything and name.startswith("mscrm."))
    }


def _request(operation: Operation, spread: Mapping[str, str], api_url: str, toggles: Toggles) -> Request:
    path, query, root = _route(operation.url, api_url, toggles)
    headers: Mapping[str, str] = operation.headers
    if operation.content_id is not None:
        headers = {**spread, **headers, "content-id": operation.content_id}
    elif spread:
        headers = {**spread, **headers}
    return Request(operation.method, path, query, headers, operation.body, root)


def _route(url: str, api_url: str, toggles: Toggles) -> tuple[str, str, str]:
    """(path behind the API's root, raw query, that root) of an inner URL. ODataError if it leads elsewhere."""
    target, _, query = url.partition("?")
    host = api_url[: api_url.index("/api/data/")]
    if target.startswith(("http://", "https://")):
        if urlsplit(target).netloc.lower() != urlsplit(api_url).netloc.lower():
            raise ODataError(400, "0x80060888", f"The URL '{url}' leads to another host than the batch.")
        target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
    if target.startswith("/"):
        root = _API_PATH.match(target)
        if not root:
            raise no_http_resource(url)
        target, api_url = target[root.end() :], host + target[: root.end() - 1]
    elif not target.startswith("$") and toggles.relative_inner_url != "accept":
        raise ODataError(int(toggles.relative_inner_url), "0x80060888", f"The relative URL '{url}' cannot be resolved.")
    if target == "$batch":
        raise ODataError(400, "0x80060888", "A batch cannot hold another batch.")
    return target, query, api_url
