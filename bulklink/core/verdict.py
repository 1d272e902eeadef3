"""Decide what an answer asks for: the truth table.

Owns: the order of the rules, the numbers inside messages that decide, the limits on trying again.
Does not know: rows, batches, which action was asked for, time; chance is passed in.
Source: `fault_codes` for the meaning of each code and status; Microsoft's .NET client for its retry set.

Read from above; the first line that fits decides.
  status 2xx                            DONE
  status 429                            THROTTLED   whatever the code: nothing was executed, Retry-After counts
  a maximum number is named             HALVE       "A maximum number of '1000' operations are allowed in ..."
  code 0x80044150, Sql Number:
    1205 (deadlock), a lost connection  RETRY
    -2 (time-out)                       RETRY_SMALLER
    any other, or none                  REJECT
  a code of the table                   as it says
  a status of the table                 as it says
  any other 4xx                         REJECT      with the service's own words
  any other 5xx                         RETRY       until the attempts run out
  anything else                         DOUBT
"""

import re
from collections.abc import Mapping
from typing import Final

from bulklink.core.answer import Answer
from bulklink.core.fault_codes import FAULT_CODES, STATUSES, Meaning, Verdict
from bulklink.core.reply import BatchReply, Fate

__all__ = [
    "ATTEMPTS_MAX",
    "ATTEMPTS_MAX_ONCE",
    "BACKOFF_FIRST_S",
    "BACKOFF_S_MAX",
    "Verdict",
    "backoff_s",
    "explain",
    "is_about_size",
    "is_permanent",
    "is_permission",
    "is_understood",
    "throttling",
    "too_many_limit",
    "verdict_of",
    "wants_smaller",
]

#: How often one row is sent before its passing faults count as lasting; with the pauses below about two minutes.
ATTEMPTS_MAX: Final = 8
#: The same where the table says RETRY_ONCE.
ATTEMPTS_MAX_ONCE: Final = 2
#: The pause before the second attempt; it doubles. Source: the .NET and Python clients of Microsoft do alike.
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_S_MAX: Final = 60.0

_GENERIC_SQL: Final = "0x80044150"
_SQL_NUMBER: Final = re.compile(r"Sql Number:\s*(-?[0-9]{1,9})", re.IGNORECASE)
_SQL_VERDICTS: Final[Mapping[int, Verdict]] = {
    1205: Verdict.RETRY,  # deadlock victim
    # The connection to the database broke; Microsoft Learn, "Troubleshoot transient connection errors in SQL".
    **dict.fromkeys((64, 233, 10053, 10054, 10060), Verdict.RETRY),
    -2: Verdict.RETRY_SMALLER,
}
_MAXIMUM: Final = re.compile(r"maximum number of '([0-9]{1,9})'", re.IGNORECASE)
_PERMANENT: Final = frozenset({Verdict.REJECT, Verdict.GONE, Verdict.SIGN_IN})
_SERVICE_PROTECTION: Final = frozenset(code for code, line in FAULT_CODES.items() if line.verdict is Verdict.THROTTLED)


def verdict_of(answer: Answer) -> Verdict:
    """What this answer asks for."""
    if 200 <= answer.status < 300:
        return Verdict.DONE
    if answer.status == 429:
        return Verdict.THROTTLED
    if too_many_limit(answer) is not None:
        return Verdict.HALVE
    if answer.code == _GENERIC_SQL:
        number = _SQL_NUMBER.search(answer.message)
        return _SQL_VERDICTS.get(int(number[1]), Verdict.REJECT) if number else Verdict.REJECT
    meaning = FAULT_CODES.get(answer.code) or STATUSES.get(answer.status)
    if meaning:
        return meaning.verdict
    return {4: Verdict.REJECT, 5: Verdict.RETRY}.get(answer.status // 100, Verdict.DOUBT)


def too_many_limit(answer: Answer) -> int | None:
    """The number of operations that a refusal names as the maximum, None if it names none."""
    match = _MAXIMUM.search(answer.message) if 400 <= answer.status < 500 else None
    return max(1, int(match[1])) if match else None


def is_permanent(answer: Answer) -> bool:
    """Would the same request be answered the same tomorrow? Many rows with one such answer point at the job."""
    return verdict_of(answer) in _PERMANENT


def is_permission(answer: Answer) -> bool:
    """Is the signed-in user refused, as such or for lack of a privilege?"""
    return answer.status in (401, 403) or verdict_of(answer) is Verdict.SIGN_IN


def throttling(reply: BatchReply) -> Answer | None:
    """The answer that makes every request of the user wait, None if there is none.

    A 429 for the batch as such, or for one operation in the name of the service protection limits; any other 429 inside
    a part concerns that operation alone.
    """
    if reply.refused is not None:
        return reply.refused if verdict_of(reply.refused) is Verdict.THROTTLED else None
    answers = [*reply.answers.values(), *reply.unblamed.values()]
    limits = [answer for answer in answers if answer.code in _SERVICE_PROTECTION]
    return max(limits, key=lambda answer: answer.retry_after_s or 0.0, default=None)


def wants_smaller(reply: BatchReply) -> bool:
    """Whether the database timed out over some of it."""
    said = (*reply.answers.values(), *reply.unblamed.values())
    return any(verdict_of(answer) is Verdict.RETRY_SMALLER for answer in said)


def is_about_size(answer: Answer) -> bool:
    """Is a batch refused for its size, so that no other of this size need be tried?"""
    return answer.status == 413 or too_many_limit(answer) is not None


def is_understood(reply: BatchReply) -> bool:
    """Did the service itself answer? A page of a gateway, a redirection or a body that broke off say nothing of it."""
    if reply.refused is not None:
        return 400 <= reply.refused.status < 500
    return bool((reply.fates != Fate.UNKNOWN).any())


def backoff_s(attempt: int, jitter: float) -> float:
    """The pause after the attempt with this number (1, 2, ...). jitter: chance in [0, 1), adds up to a half."""
    pause_s = min(BACKOFF_S_MAX, BACKOFF_FIRST_S * 2.0 ** min(max(attempt, 1) - 1, 30))
    return pause_s * (1 + jitter / 2)


def explain(code: str) -> Meaning | None:
    """Look a code up as people write it: hex with or without 0x, signed decimal, the name, or an HTTP status."""
    text = code.strip().lower()
    spellings = [text, f"0x{text}"]
    if re.fullmatch(r"-?[0-9]{1,10}", text):
        if int(text) in STATUSES:
            return STATUSES[int(text)]
        spellings.append(f"0x{int(text) & 0xFFFFFFFF:08x}")
    by_name = {line.name.lower(): line for line in FAULT_CODES.values() if line.name}
    return next((FAULT_CODES[spelling] for spelling in spellings if spelling in FAULT_CODES), by_name.get(text))
