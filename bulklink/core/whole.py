"""Many lookups in one request: UpdateMultiple, all or nothing.

Owns: the request for many rows at once, and what its one answer says about each.
Does not know: which rows, when it is used, what happens after a refusal.
Source: Microsoft Learn, "Use bulk operation messages" (standard tables: one transaction, the first error is returned
and names no row; `@odata.type` in every target).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bulklink.core.answer import Answer, read_answer
from bulklink.core.relationships import Relationship
from bulklink.core.reply import BatchReply, Fate
from bulklink.core.verdict import Verdict, verdict_of
from bulklink.core.work import Whole

MESSAGE: Final = "UpdateMultiple"
#: What concerns the user, the pace or an answer that tells nothing, and no row.
_NO_ROWS_FAULT: Final = frozenset({Verdict.THROTTLED, Verdict.DOUBT})
_NAMESPACE: Final = "Microsoft.Dynamics.CRM"


@dataclass(frozen=True, slots=True)
class WholeTemplate:
    """One UpdateMultiple with holes for its targets. headers, query: as operations carry them."""

    relationship: Relationship
    headers: Sequence[tuple[str, str]] = ()
    query: str = ""

    def write(self, holders: Sequence[bytes], targets: Sequence[bytes]) -> Whole:
        """The request that points each holder's lookup at its target. ids: 36 characters each."""
        table, navigation = self.relationship.holder_table, self.relationship.lookup_navigation_property
        kind = f"{_NAMESPACE}.{table.logical_name}"
        head = f'{{"@odata.type":"{kind}",{json.dumps(table.primary_id)}:"'.encode()
        entity_set = self.relationship.target_table.entity_set
        bind = f'",{json.dumps(navigation + "@odata.bind")}:"{entity_set}('.encode()
        members = [head + holder + bind + target + b')"}' for holder, target in zip(holders, targets, strict=True)]
        path = f"{table.entity_set}/{_NAMESPACE}.{MESSAGE}{f'?{self.query}' if self.query else ''}"
        headers = {"Content-Type": "application/json", **dict(self.headers)}
        return Whole(path, b'{"Targets":[' + b",".join(members) + b"]}", headers)


def read_whole_reply(status: int, headers: Mapping[str, str], body: bytes, rows: int) -> BatchReply:
    """The one answer as that of every row: done, or refused as a whole."""
    answer = read_answer(status, headers, body, headers, keep_body=False)
    nothing = np.full(rows, Fate.UNKNOWN, np.uint8)
    none = np.zeros(rows, np.uint16)
    if 200 <= status < 300 and "html" in headers.get("content-type", ""):
        # A gateway's page: nobody has heard of the rows.
        return BatchReply(nothing, none, trouble=f"status {status} with a page instead of an answer")
    if 200 <= status < 300:
        fates = np.full(rows, Fate.ANSWERED, np.uint8)
        statuses = np.full(rows, status, np.uint16)
        return BatchReply(fates, statuses, all_succeeded=True, request_id=answer.request_id)
    return BatchReply(nothing, none, refused=answer, request_id=answer.request_id, retry_after_s=answer.retry_after_s)


def is_whole_refusal(answer: Answer) -> bool:
    """Whether the transaction is known to have been rolled back because of some row: each must be asked for alone."""
    return answer.status != 401 and verdict_of(answer) not in _NO_ROWS_FAULT
