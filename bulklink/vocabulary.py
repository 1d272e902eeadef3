"""The words of the contract as values.

Owns: outcomes, actions, what was there before, isolation modes and wire forms.
Does not know: anything else of bulklink; it stands first in the line of imports.
Source: the public contract (README, "Outcomes", "Which form does what").
"""

from enum import IntEnum, StrEnum
from typing import Final


class Outcome(IntEnum):
    """What finally happened to one row. `NONE` is no outcome: the row is not settled yet."""

    NONE = 0
    ASSOCIATED = 1
    DISASSOCIATED = 2
    ALREADY_ASSOCIATED = 3
    ALREADY_DISASSOCIATED = 4
    CREATED = 5
    ALREADY_CREATED = 6
    UPDATED = 7
    UNCHANGED = 8
    DUPLICATE = 9
    INVALID = 10
    UNRESOLVED = 11
    AMBIGUOUS = 12
    CONFLICTING = 13
    GUARDED = 14
    REJECTED = 15
    GROUP_FAILED = 16
    EXHAUSTED = 17
    IN_DOUBT = 18
    NOT_ATTEMPTED = 19

    @property
    def word(self) -> str:
        """The outcome as the contract spells it, e.g. ``already-associated``."""
        return "" if self is Outcome.NONE else self.name.lower().replace("_", "-")


#: The outcomes that are as asked. `DUPLICATE` is not among them: it is as asked when the row it repeats is.
AS_ASKED: Final = frozenset(
    {
        Outcome.ASSOCIATED,
        Outcome.DISASSOCIATED,
        Outcome.ALREADY_ASSOCIATED,
        Outcome.ALREADY_DISASSOCIATED,
        Outcome.CREATED,
        Outcome.ALREADY_CREATED,
        Outcome.UPDATED,
        Outcome.UNCHANGED,
    }
)

#: Outcomes that only an unfinished run shows.
UNFINISHED: Final = frozenset({Outcome.IN_DOUBT, Outcome.NOT_ATTEMPTED})


class Action(IntEnum):
    """What a row asks for."""

    NONE = 0
    ASSOCIATE = 1
    DISASSOCIATE = 2
    CLEAR = 3
    CREATE = 4
    UPDATE = 5


class Before(IntEnum):
    """What was there when the run looked. `POINTS_AT` comes with the id that a lookup held."""

    UNKNOWN = 0
    ABSENT = 1
    PRESENT = 2
    POINTS_AT = 3


class Isolation(StrEnum):
    """Which rows may share a change set, and who falls when one of them is refused."""

    ROW = "row"
    CHANGE_SET = "change-set"
    GROUP = "group"


class Form(StrEnum):
    """The wire forms of an association."""

    AUTO = "auto"
    REF_ADD = "ref-add"
    REF_REMOVE = "ref-remove"
    REF_REMOVE_ID = "ref-remove-id"
    REF_SET = "ref-set"
    REF_CLEAR = "ref-clear"
    BIND = "bind"
    BIND_CLEAR = "bind-clear"
    CREATE = "create"
    PARTIES = "parties"
    UPDATE_MULTIPLE = "update-multiple"
    MESSAGE = "message"


#: The columns that outcomes.csv adds behind the input's own.
OUTCOME_COLUMNS: Final = ("outcome", "before", "code", "message", "http_status", "request_id", "attempts")
