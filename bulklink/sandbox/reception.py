"""From an HTTP request to its answer, without sockets: who may come in, what befalls it, when the work is done.

Owns: sign-in, payload rules, protection and weather in their order; the moments of work and answer; the headers.
Does not know: sockets, clocks, sleeping; the moment is passed in as `now_s`, so a simulation can drive it as the server
does.
Source: protocol 2.10, 2.11, 4, 8, 10.

To drive it: `visit = arrive(request, now_s)`; then go through `visit.steps` in order of time, calling
`work(visit, now_s)` at `Step.WORK` and delivering `answer(visit, now_s)` as `visit.delivery` says at `Step.ANSWER`.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from bulklink.sandbox.access import Access
from bulklink.sandbox.batch import BatchHooks, BatchService, grammar_of, requests_of, run_batch
from bulklink.sandbox.exchange import HttpAnswer, HttpRequest
from bulklink.sandbox.fault_answers import json_error, operation_fault, page, throttle_fault, throttled
from bulklink.sandbox.messages import Request, Response
from bulklink.sandbox.multipart import ChangeSetItem, Operation, boundary_of, read_batch
from bulklink.sandbox.protection import Limits, Protection, Throttled
from bulklink.sandbox.refusals import BatchError
from bulklink.sandbox.service_headers import Ids, Servers, service_headers
from bulklink.sandbox.tally import Refused, Tally
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.visits import Step, Visit, plan
from bulklink.sandbox.weather import Facts, Fault, Kind, Level, Records, Weather
from bulklink.sandbox.weather_file import throttled_parts

_API: Final = re.compile(r"(/api/data/v9\.[012])(?:/(.*))?", re.DOTALL)


class VisitedService(BatchService, Protocol):
    """What the reception needs of the service."""

    def touched(self, request: Request) -> Records:
        """The records that an operation reads or writes."""


class Reception:
    """The whole sandbox behind its socket."""

    def __init__(
        self,
        service: VisitedService,
        *,
        access: Access | None = None,
        limits: Limits | None = None,
        weather: Weather | None = None,
        toggles: Toggles | None = None,
        seed: int = 0,
    ) -> None:
        self.toggles = toggles or Toggles()
        self.tally = Tally()
        self._service = service
        self._access = access or Access(claims_wanted=self.toggles.claims_challenge == "challenge")
        self._protection = Protection(limits or Limits())
        self._servers = Servers(self._protection.limits.servers)
        weather = weather or Weather()
        self._weather = throttled_parts(weather) if self.toggles.throttled_part == "inject" else weather
        self._ids = Ids(seed)
        self._touched: Counter[tuple[str, str]] = Counter()
        self._weather_began_s: float | None = None
        self._ordinals = Counter[Level]()

    def reset(self) -> None:
        """Begin anew: counts, windows of service protection, weather."""
        self.tally = Tally(in_flight=self.tally.in_flight)
        self._protection = Protection(self._protection.limits)
        self._ordinals.clear()
        self._weather_began_s = None

    # ------------------------------------------------------------------ the three moments

    def arrive(self, request: HttpRequest, now_s: float) -> Visit:
        """Let a request in and plan what becomes of it. Nothing is executed yet."""
        self.tally.requests += 1
        self.tally.in_flight += 1
        visit = Visit(request, now_s, self.toggles, steps=((now_s, Step.ANSWER),), server=self._servers.choose(request))
        visit.instead = self._refused_at_the_door(visit, now_s)
        if visit.instead is None:
            self._plan(visit, now_s)
        return visit

    def work(self, visit: Visit, now_s: float) -> None:
        """Do what the request asks, with what befalls its operations."""
        root = _API.fullmatch(visit.request.path)
        assert root is not None, "the door lets no other path in"
        api_url, path = visit.request.origin + root[1], root[2] or ""
        hooks = self._hooks(visit, now_s)
        request = visit.request
        if visit.is_batch:
            answer = run_batch(self._service, request.headers, request.body, api_url, visit.toggles, hooks)
            visit.done = HttpAnswer(*answer)
        else:
            operation = Request(request.method, path, request.query, request.headers, request.body, api_url)
            befallen = hooks.before_operation(operation) if hooks.before_operation else None
            response = befallen or self._service.execute(operation)
            visit.done = HttpAnswer(response.status, list(response.headers), response.body)
        self._release(visit, now_s)

    def answer(self, visit: Visit, now_s: float) -> HttpAnswer:
        """The answer with all its headers, as the client is to see it (or would, were it not for the delivery)."""
        # A visit whose work comes after its answer keeps its place until then.
        if visit.steps[-1][1] is Step.ANSWER:
            self._release(visit, now_s)
        content = visit.instead or visit.done
        assert content is not None, "an answer comes after the work or in its place"
        self.tally.in_flight -= 1
        self.tally.statuses[content.status] += 1
        headers = [*content.headers, *service_headers(self._ids)]
        if not any(name == "OData-Version" for name, _ in content.headers):
            headers.append(("OData-Version", "4.0"))
        if visit.user:
            headers += self._protection.headers(visit.user, visit.server)
        headers.append(("Set-Cookie", self._servers.cookie(visit.server)))
        headers.append(("Set-Cookie", f"ReqClientId={self._ids.new()};Path=/;HttpOnly"))
        client_request_id = visit.request.headers.get("x-ms-client-request-id")
        if client_request_id and self.toggles.client_request_id == "echo":
            headers.append(("x-ms-client-request-id", client_request_id))
        return HttpAnswer(content.status, headers, content.body)

    # ------------------------------------------------------------------ at the door

    def _refused_at_the_door(self, visit: Visit, now_s: float) -> HttpAnswer | None:
        if not _API.fullmatch(visit.request.path):
            url = visit.request.origin + visit.request.path
            return json_error(404, "", f"No HTTP resource was found that matches the request URI '{url}'.")
        user = self._access.user(visit.request)
        if isinstance(user, HttpAnswer):
            return user
        visit.user = user
        refused = self._refused_payload(visit)
        if refused:
            return refused
        admission = self._protection.arrive(user, visit.server, now_s)
        if isinstance(admission, Throttled):
            self._count_throttled(visit, admission, now_s)
            return throttled(admission)
        visit.admission = admission
        return None

    def _refused_payload(self, visit: Visit) -> HttpAnswer | None:
        encoding = visit.request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":  # U16
            if encoding != "gzip" or self.toggles.request_gzip != "accept":
                return json_error(415, "0x80060888", f"The content encoding '{encoding}' is not supported.")
            try:
                body = zlib.decompress(visit.request.body, wbits=zlib.MAX_WBITS | 16)
            except zlib.error as error:
                return json_error(400, "0x80060888", f"The body is no gzip stream ({error}).")
            visit.request = replace(visit.request, body=body)
        maximum = self.toggles.payload_bytes_max
        return page(413) if maximum and len(visit.request.body) > maximum else None

    def _count_throttled(self, visit: Visit, refusal: Throttled, now_s: float) -> None:
        self.tally.refuse(
            Refused(now_s, visit.user, visit.server, refusal.code, refusal.message, refusal.retry_after_s)
        )

    # ------------------------------------------------------------------ weather

    def _plan(self, visit: Visit, now_s: float) -> None:
        """Ask the weather and set the visit's course."""
        self._ordinals[Level.REQUEST] += 1
        ordinal = self._ordinals[Level.REQUEST]
        if self._weather_began_s is None:
            self._weather_began_s = now_s
        request = visit.request
        operations = _operations_of(visit)
        self.tally.batches += visit.is_batch
        self.tally.operations += operations
        weather = self._weather
        if weather.looks_at_records(Level.REQUEST) or weather.looks_at_contention:
            visit.records = self._records_of(visit)
            self._touched.update(visit.records)
        facts = Facts(
            Level.REQUEST,
            request.method,
            visit.is_batch,
            operations,
            len(request.body),
            visit.records,
            now_s=now_s - self._weather_began_s,
        )
        fault = weather.decide(ordinal, facts)
        if fault:
            self._note(visit, fault, now_s)
        if fault and fault.kind is Kind.EXPIRE_TOKEN:
            visit.instead = self._access.expired(request, for_good=fault.for_good)
            return
        plan(visit, fault, now_s + weather.service_time_s(ordinal, operations), self._protection.limits)

    def _note(self, visit: Visit, fault: Fault, now_s: float) -> None:
        self.tally.faults[fault.kind] += 1
        if fault.kind is Kind.THROTTLE:
            self._count_throttled(visit, throttle_fault(fault, self._protection.limits), now_s)

    def _records_of(self, visit: Visit) -> Records:
        """All records that the request touches; nothing where it cannot be read."""
        root = _API.fullmatch(visit.request.path)
        assert root is not None, "the door lets no other path in"
        request = visit.request
        api_url = request.origin + root[1]
        if not visit.is_batch:
            alone = Request(request.method, root[2] or "", request.query, request.headers, request.body, api_url)
            return self._service.touched(alone)
        requests = requests_of(_readable(visit), request.headers, api_url, self.toggles)
        return frozenset().union(*[self._service.touched(inner) for inner in requests if inner.method != "GET"])

    def _hooks(self, visit: Visit, now_s: float) -> BatchHooks:
        """What befalls single operations and change sets of a visit."""
        began_s = now_s if self._weather_began_s is None else self._weather_began_s

        def befall(level: Level, requests: Sequence[Request]) -> Response | None:
            return self._befall(visit, level, requests, now_s - began_s)

        return BatchHooks(
            self._ids.new,
            (lambda request: befall(Level.OPERATION, [request])) if self._weather.has(Level.OPERATION) else None,
            (lambda requests: befall(Level.CHANGE_SET, requests)) if self._weather.has(Level.CHANGE_SET) else None,
        )

    def _befall(self, visit: Visit, level: Level, requests: Sequence[Request], weather_s: float) -> Response | None:
        self._ordinals[level] += 1
        records: Records = frozenset()
        if self._weather.looks_at_records(level):
            records = frozenset().union(*[self._service.touched(request) for request in requests])
        method = requests[0].method if requests else ""
        contended = method != "GET" and any(self._touched[record] > (record in visit.records) for record in records)
        facts = Facts(level, method, visit.is_batch, len(requests), 0, records, contended, weather_s)
        fault = self._weather.decide(self._ordinals[level], facts)
        if fault is None:
            return None
        self.tally.faults[fault.kind] += 1
        blamed = requests[0] if requests else Request("", "", "", {}, b"", "")
        return operation_fault(fault, blamed, self.toggles)

    def _release(self, visit: Visit, now_s: float) -> None:
        """The service is no longer busy with this visit."""
        if visit.admission:
            self._protection.leave(visit.admission, now_s, now_s - visit.arrived_s)
            visit.admission = None
        for record in visit.records:
            self._touched[record] -= 1
            if not self._touched[record]:
                del self._touched[record]
        visit.records = frozenset()


def _operations_of(visit: Visit) -> int:
    """How many operations a request holds, without reading it: every operation of a batch has this header."""
    return visit.request.body.count(b"application/http") if visit.is_batch else 1


def _readable(visit: Visit) -> list[Operation]:
    """The operations of a batch up to the first mistake of grammar."""
    found: list[Operation] = []
    try:
        boundary = boundary_of(visit.request.headers.get("content-type"))
        for item in read_batch(visit.request.body, boundary, grammar_of(visit.toggles)):
            found += item.operations if isinstance(item, ChangeSetItem) else [item]
    except BatchError:
        pass  # it is refused when it is worked on
    return found
