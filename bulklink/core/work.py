"""The seam between the engine and a kind of job.

Owns: the words in which the engine asks a job what to read, what to send, and what an answer means for a row.
Does not know: batches, retries, time (the engine's), nor any wire form (a job's).
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bulklink.core.answer import Answer
from bulklink.core.verdict import Verdict
from bulklink.vocabulary import Before, Outcome

Rows = NDArray[np.int64]


class Found(NamedTuple):
    """What a read found for one row.

    before_id: the 16 bytes of the id that a lookup holds, else b"". etag: of the record that holds the lookup.
    missing: the record itself is not there. other_type: the lookup holds a record of another table.
    details: what else the job has read, for its own use.
    """

    before: Before
    before_id: bytes = b""
    etag: str = ""
    missing: bool = False
    other_type: bool = False
    details: object = None


class Question(NamedTuple):
    """One GET for a read batch. positions: which of the asked rows it is about."""

    request: bytes
    positions: list[int]


class Settlement(NamedTuple):
    """The outcome of one row and what to tell about it. found: how the row stood, where it stood in its own way."""

    outcome: Outcome
    message: str = ""
    found: Found | None = None


class Whole(NamedTuple):
    """One request that asks for many rows at once, all or nothing, in place of a batch. path: below the API's URL."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Why(IntEnum):
    """Why rows are read: before their first sending, after a refusal that may mean "already so", or in doubt."""

    FIRST = 0
    REFUSED = 1
    DOUBT = 2


class Work(Protocol):
    """One kind of job as the engine sees it. Rows are positions of operations; riders share one's fate."""

    rows: int
    #: (rows,) uint16: rows with one number may touch one busy record and are not sent by two batches at once.
    buckets: NDArray[np.uint16]
    #: Whether any row shares its operation with another.
    has_riders: bool

    def looks_first(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) which of these rows are to be read before they are sent."""

    def looked(self, looked: int, already: int) -> None:
        """Learn from a first look: of `looked` rows `already` were as asked."""

    def questions(self, rows: Sequence[int]) -> list[Question]:
        """The GETs that tell how these rows stand."""

    def findings(self, rows: Sequence[int], question: Question, pages: Sequence[bytes]) -> dict[int, Found]:
        """Row -> what was found. Raises ValueError if the pages cannot be understood."""

    def next_page(self, page: bytes) -> bytes | None:
        """The GET for the page behind this one, or None."""

    def decide(self, row: int, found: Found) -> Settlement | None:
        """Before sending: the outcome if the row is as asked already or must not be sent, None if it is to be sent."""

    def operations(self, rows: Rows, found: Sequence[Found | None]) -> list[bytes]:
        """One inner HTTP request per row."""

    def whole(self, rows: Rows) -> Whole | None:
        """One request for all these rows, or None: they go in a batch, an operation each."""

    def whole_refused(self, rows: Rows) -> None:
        """The service has refused to do these rows at once, and none was done: they go in a batch from now on."""

    def success(self, rows: Rows) -> NDArray[np.uint8]:
        """The outcome that a 2xx means for each row."""

    def before_success(self, rows: Rows) -> NDArray[np.uint8]:
        """What a 2xx proves about the time before, for rows that nobody had read: UNKNOWN or ABSENT."""

    def after_reading(self, row: int, now: Found, first: Found | None, why: Why) -> Settlement | None:
        """After a refusal or a lost answer: the outcome if the row is as asked now, None if it is not."""

    def may_resend_unread(self, row: int) -> bool:
        """Whether sending again, alone, can do no harm although an earlier sending may still take effect."""

    def may_send_unread(self, row: int) -> bool:
        """Whether a row that cannot be read may be sent nevertheless. If so, rows like it are not read any more."""

    def refusal_may_mean_done(self, row: int, verdict: Verdict) -> bool:
        """Whether this refusal is what the service says when the row is as asked already."""

    def is_read_again(self, row: int) -> bool:
        """Whether a row that comes back is read before it is sent again: its operation does not carry an etag."""

    def has_another_way(self, row: int, answer: Answer) -> bool:
        """Whether the service refused the way of asking, and the row is to be sent again in another form."""

    def riders(self, row: int) -> Sequence[int]:
        """The rows that share this row's operation."""

    def rider_outcome(self, rider: int, row: int, settlement: Settlement, found: Found | None) -> Settlement:
        """What the fate of `row` means for a row that shares its operation."""

    def name_row(self, row: int) -> str:
        """The row as people know it, e.g. "row 12"."""
