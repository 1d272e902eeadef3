"""Reading how rows stand, many at a time.

Owns: rounds of questions with their pages, until every question of a round is answered or failed.
Does not know: what the findings mean, when to ask, how batches are written.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

from bulklink.core.reply import Answer, BatchReply
from bulklink.core.verdict import Verdict, verdict_of
from bulklink.core.work import Found, Question, Why, Work

#: Rows read by one request: a few inner GETs.
LOOK_ROWS: Final = 500
PAGES_MAX: Final = 1_000

_PASSING: Final = frozenset(
    {Verdict.RETRY, Verdict.RETRY_SMALLER, Verdict.RETRY_ONCE, Verdict.THROTTLED, Verdict.DOUBT}
)


@dataclass(slots=True)
class Round:
    """Some rows being read for one reason. open: (question, the GET to send next, pages so far).

    asked_s: when its first page was asked for; what changed since may stand on a page that was read before.
    """

    why: Why
    rows: list[int]
    open: list[tuple[Question, bytes, list[bytes]]]
    asked_s: float = inf
    tries: int = 0
    found: dict[int, Found] = field(default_factory=dict)


class Unread(NamedTuple):
    """Rows that could not be read: `answer` is the service's refusal, None if the answer was not understood."""

    rows: list[int]
    answer: Answer | None
    is_passing: bool


class LookDesk:
    """Queues of rows to read, and the rounds under way."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._queues: dict[Why, deque[int]] = {why: deque() for why in Why}
        self._rounds: deque[tuple[float, Round]] = deque()
        self._later: list[tuple[float, Why, int]] = []
        self._round_rows = LOOK_ROWS

    def ask(self, why: Why, rows: Sequence[int]) -> None:
        """Queue rows for reading."""
        self._queues[why].extend(rows)

    def ask_later(self, why: Why, row: int, due_s: float) -> None:
        """Queue a row for reading, not before `due_s`."""
        heapq.heappush(self._later, (due_s, why, row))

    def wake(self, now_s: float) -> None:
        """Rows whose pause is over join their queues."""
        while self._later and self._later[0][0] <= now_s:
            _, why, row = heapq.heappop(self._later)
            self._queues[why].append(row)

    def waiting(self, why: Why) -> int:
        """How many rows wait to be read for this reason."""
        return len(self._queues[why])

    @property
    def is_busy(self) -> bool:
        """Whether anything waits to be read."""
        return bool(self._rounds or self._later or any(self._queues.values()))

    def next_round(self, now_s: float, gathering: Why | None = None) -> Round | None:
        """The next round to send: a page or a repetition that is due, else a new one; none of what still gathers."""
        if self._rounds and self._rounds[0][0] <= now_s:
            return self._rounds.popleft()[1]
        for why, queue in self._queues.items():
            if queue and why is not gathering:
                rows = list(dict.fromkeys(queue.popleft() for _ in range(min(self._round_rows, len(queue)))))
                questions = self._work.questions(rows)
                return Round(why, rows, [(question, question.request, []) for question in questions])
        return None

    def next_due_s(self) -> float | None:
        """When the next postponed round or row is due, if there is one."""
        moments = [queue[0][0] for queue in (self._rounds, self._later) if queue]
        return min(moments, default=None)

    def again(self, one: Round, due_s: float) -> None:
        """Send what is still open of a round again, not before `due_s`."""
        self._rounds.append((due_s, one))
        self._rounds = deque(sorted(self._rounds, key=lambda item: item[0]))

    def answered(self, one: Round, reply: BatchReply) -> list[Unread]:
        """Take in the answers to a round's open questions; afterwards `one.open` holds what is to be asked next."""
        unread: list[Unread] = []
        still_open = []
        if reply.refused is not None and reply.refused.status == 413 and len(one.rows) > 1:
            return self._in_halves(one)
        for k, (question, _, pages) in enumerate(one.open):
            answer = reply.answers.get(k, reply.refused)
            if answer is None:
                unread.append(self._unread(one, question, None, is_passing=True))
                continue
            if not 200 <= answer.status < 300:
                unread.append(self._unread(one, question, answer, is_passing=verdict_of(answer) in _PASSING))
                continue
            try:
                following = self._work.next_page(answer.body)
                pages.append(answer.body)
                if following and len(pages) < PAGES_MAX:
                    still_open.append((question, following, pages))
                else:
                    one.found.update(self._work.findings(one.rows, question, pages))
            except ValueError:
                unread.append(self._unread(one, question, None, is_passing=True))
        one.open = still_open
        return unread

    def _in_halves(self, one: Round) -> list[Unread]:
        """Too large to be read in one request: the rows queue again for smaller ones."""
        self._round_rows = max(1, len(one.rows) // 2)
        self.ask(one.why, [one.rows[k] for question, _, _ in one.open for k in question.positions])
        one.open = []
        return []

    @staticmethod
    def _unread(one: Round, question: Question, answer: Answer | None, *, is_passing: bool) -> Unread:
        return Unread([one.rows[k] for k in question.positions], answer, is_passing)
