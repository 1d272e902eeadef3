"""When a run must stop before its end.

Owns: the limits on time, on failures, on an unreachable service, and on the same refusal for everybody.
Does not know: batches or rows; it is told what happened and answers whether to go on.
Source: the public contract, "Exit codes": `--deadline`, `--max-failures`, "the first 200 answers".
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from bulklink.core.reply import Answer
from bulklink.errors import BulklinkError, SignInError, StoppedEarly

Held = TypeVar("Held")

EQUAL_ANSWERS: Final = 200
#: Nothing but failures for so long: the service, or the way to it, is gone.
UNREACHABLE_AFTER_S: Final = 120.0


class EqualAnswers(Generic[Held]):
    """Holds refusals back until it is clear that they are not one refusal of the whole job.

    If the first 200 answers all carry the same permanent code, the rows are not at fault, the job is: nothing is
    settled, so that running again sends them.
    """

    def __init__(self, release: Callable[[Held], None], limit: int = EQUAL_ANSWERS) -> None:
        self._release = release
        self._limit = limit
        self._fault: tuple[int, str] | None = None
        self.held: list[Held] = []
        self._is_over = self._have_agreed = False
        self._told = 0

    def refused(self, answer: Answer, held: Held) -> BulklinkError | None:
        """A row was refused for good. Returns the error to stop with, once all agree, and for all that agree then."""
        if self._is_over:
            self._release(held)
            return None
        fault = (answer.status, answer.code)
        if self._have_agreed:
            # On their way while the run stops: the same job is at fault.
            if fault != self._fault:
                self._release(held)
                return None
            self.held.append(held)
            return same_refusal(answer, len(self.held))
        if self._fault not in (None, fault):
            self.answered_otherwise()
            self._release(held)
            return None
        self._fault = fault
        self.held.append(held)
        if len(self.held) < self._limit:
            return None
        self._have_agreed = True
        return same_refusal(answer, len(self.held))

    def news(self) -> list[Held]:
        """What is held and was not asked for yet."""
        news, self._told = self.held[self._told :], len(self.held)
        return news

    def answered_otherwise(self) -> None:
        """An answer differed: from now on refusals are the rows' own."""
        if not self._have_agreed:
            self._is_over = True
            self.let_go()

    def let_go(self) -> None:
        """Release what is held, in order."""
        held, self.held = self.held, []
        for one in held:
            self._release(one)


def same_refusal(answer: Answer, count: int) -> BulklinkError:
    """The error for a refusal that concerns the whole job."""
    said = " ".join(part for part in (str(answer.status), answer.code, answer.message) if part)
    message = f"The first {count} answers were all the same: {said}" if count > 1 else f"The service refused: {said}"
    return SignInError(message) if answer.status in (401, 403) else StoppedEarly(message)


def cannot_settle(answer: Answer | None) -> BulklinkError:
    """The error for rows in doubt of which nobody will say how they stand. answer: None if it was not understood."""
    said = f"{answer.status} {answer.code} {answer.message}" if answer else "the answers are not understood"
    message = f"Rows in doubt cannot be read back: {said}"
    return SignInError(message) if answer and answer.status in (401, 403) else StoppedEarly(message)


class Reachability:
    """Notices that nothing comes back any more."""

    def __init__(self) -> None:
        self._failing_since_s: float | None = None
        self._failures = 0

    def answered(self) -> None:
        """Something came back that only the service can have said."""
        self._failing_since_s = None
        self._failures = 0

    def failed(self, now_s: float, why: str) -> BulklinkError | None:
        """A request was lost or could not be sent; the error to stop with if that has gone on for too long."""
        self._failures += 1
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        lasted_s = now_s - self._failing_since_s
        if lasted_s < UNREACHABLE_AFTER_S:
            return None
        failures = f"{self._failures} failures in {lasted_s:.0f} s"
        return StoppedEarly(f"The service cannot be reached: {failures}, last: {why}")

    def pause_s(self) -> float:
        """How long to wait before the next try: 0.5 s, 1 s, 2 s ... 30 s."""
        return float(min(30.0, 0.5 * 2 ** max(0, self._failures - 1))) if self._failures else 0.0
