"""What the engine is told at the start, and what it answers when it is asked what to do.

Owns: the settings of a run's second pass, and the kinds of step.
Does not know: how a step comes about, who takes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.work import Rows
from bulklink.errors import BulklinkError


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a run may do.

    boundary: a random token that no cell holds. deadline_s: on the clock that is passed in.
    last_number: the highest number that a batch of an earlier process of the same run had.
    """

    boundary: str
    last_number: int = 0
    settle_after_s: float = 300.0
    hub_parallelism: int = 1
    max_failures: float = inf
    deadline_s: float = inf


class Send(NamedTuple):
    """Post this body to `path`, which is ``$batch`` but for messages that take many rows at once.

    rows: what the journal must know first (empty for reads): one for each of the `operations`, in their order, then
    the rows that share one of these.
    """

    number: int
    body: bytes
    headers: Mapping[str, str]
    rows: Rows
    before: NDArray[np.uint8]
    before_ids: NDArray[np.uint8] | None
    attempts: NDArray[np.uint8]
    operations: int = 0
    path: str = "$batch"

    @property
    def is_read(self) -> bool:
        """Whether nothing can change by this request."""
        return not len(self.rows)


class Wait(NamedTuple):
    """Nothing to do before `until_s` (infinite: before an answer arrives), and why, in words.

    is_pause: nothing is sent meanwhile; not so while the run only waits for answers.
    """

    until_s: float
    why: str
    is_pause: bool = True


class Finished(NamedTuple):
    """Every row is settled."""


class Halted(NamedTuple):
    """The run stops here; open rows stay open."""

    error: BulklinkError


Step = Send | Wait | Finished | Halted
