"""What becomes of a request that has been let in: when it is worked on, when and how it is answered.

Owns: `Visit` and the meaning of each fault of a request as moments, delivery and answer.
Does not know: who drives the visit, how the work is done.
Source: protocol 2.11, 2.12, 4.2, 9.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from bulklink.sandbox.exchange import HttpAnswer, HttpRequest
from bulklink.sandbox.fault_answers import page, throttle_fault, throttled
from bulklink.sandbox.protection import Admission, Limits
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather import Fault, Kind, Records, When


class Step(Enum):
    """What is due."""

    WORK = "work"
    ANSWER = "answer"


class Delivery(Enum):
    """How much of the answer reaches the client."""

    WHOLE = "whole"
    TRUNCATED = "truncated"
    RESET = "reset"


@dataclass(slots=True)
class Visit:
    """One request on its way through the house.

    steps: (when, what), in order of time. keep: the share of the body that a truncated answer still holds.
    instead: what the client gets in place of the work's own answer. done: that answer, after the work.
    """

    request: HttpRequest
    arrived_s: float
    toggles: Toggles
    steps: tuple[tuple[float, Step], ...]
    delivery: Delivery = Delivery.WHOLE
    keep: float = 1.0
    instead: HttpAnswer | None = None
    done: HttpAnswer | None = None
    user: str = ""
    server: int = 0
    admission: Admission | None = None
    records: Records = frozenset()

    @property
    def is_batch(self) -> bool:
        """Is it a ``$batch``?"""
        return self.request.method == "POST" and self.request.path.endswith("/$batch")


def plan(visit: Visit, fault: Fault | None, ready_s: float, limits: Limits) -> None:
    """Set the visit's course. ready_s: when the service would have done the work in good weather."""
    cut_s = visit.arrived_s + visit.toggles.batch_time_max_s
    if fault:
        _COURSES[fault.kind](visit, fault, ready_s, limits)
    elif (
        visit.is_batch and visit.toggles.batch_time_max_s and ready_s > cut_s
    ):  # U13: the front end gives up, the work goes on
        _lost(visit, visit.toggles.batch_time_answer)
        visit.steps = ((cut_s, Step.ANSWER), (ready_s, Step.WORK))
    else:
        visit.steps = ((ready_s, Step.WORK), (ready_s, Step.ANSWER))


def _lost(visit: Visit, how: str) -> None:
    """The client does not learn what became of its request: a front end's page, or a reset."""
    if how == "reset":
        visit.delivery = Delivery.RESET
    visit.instead = page(503 if how == "reset" else int(how))


def _steps(visit: Visit, fault: Fault, ready_s: float, answer_s: float) -> None:
    """Work first if the fault comes after it, then the answer."""
    work = ((ready_s, Step.WORK),) if fault.when is When.AFTER else ()
    visit.steps = (*work, (answer_s, Step.ANSWER))


def _slow(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    visit.steps = ((ready_s + fault.delay_s, Step.WORK), (ready_s + fault.delay_s, Step.ANSWER))


def _throttle(visit: Visit, fault: Fault, _: float, limits: Limits) -> None:
    visit.instead = throttled(throttle_fault(fault, limits))
    visit.steps = ((visit.arrived_s, Step.ANSWER),)


def _front_end(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    visit.instead = page(_FRONT_END_STATUS[fault.kind], fault.retry_after_s)
    _steps(visit, fault, ready_s, ready_s)


def _reset(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    _lost(visit, "reset")
    _steps(visit, fault, ready_s, ready_s)


def _truncate(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    visit.delivery, visit.keep = Delivery.TRUNCATED, fault.keep
    visit.steps = ((ready_s, Step.WORK), (ready_s, Step.ANSWER))


def _hang(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    _lost(visit, "reset")
    _steps(visit, fault, ready_s, ready_s + fault.delay_s)


def _late_commit(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    _lost(visit, fault.answer)
    visit.steps = ((ready_s, Step.ANSWER), (ready_s + fault.delay_s, Step.WORK))


def _too_large(visit: Visit, *_: object) -> None:
    visit.instead = page(413)


def _too_many_operations(visit: Visit, fault: Fault, ready_s: float, _: Limits) -> None:
    # The reader itself refuses, so that it says which of the two counts is over.
    visit.toggles = replace(visit.toggles, operations_max=min(fault.maximum, visit.toggles.operations_max))
    visit.steps = ((ready_s, Step.WORK), (ready_s, Step.ANSWER))


_FRONT_END_STATUS: Final = {Kind.UNAVAILABLE: 503, Kind.BAD_GATEWAY: 502, Kind.GATEWAY_TIMEOUT: 504}

_COURSES: Final[Mapping[Kind, Callable[[Visit, Fault, float, Limits], None]]] = {
    Kind.SLOW: _slow,
    Kind.THROTTLE: _throttle,
    Kind.UNAVAILABLE: _front_end,
    Kind.BAD_GATEWAY: _front_end,
    Kind.GATEWAY_TIMEOUT: _front_end,
    Kind.RESET: _reset,
    Kind.TRUNCATE: _truncate,
    Kind.HANG: _hang,
    Kind.LATE_COMMIT: _late_commit,
    Kind.TOO_LARGE: _too_large,
    Kind.TOO_MANY_OPERATIONS: _too_many_operations,
}
