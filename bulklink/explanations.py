"""What outcomes and exit codes mean, and what to do.

Owns: these two tables of sentences.
Does not know: the service's codes; `core.verdict` has them.
Source: the public contract (README, "Outcomes", "Exit codes").
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bulklink.errors import ExitCode
from bulklink.vocabulary import Outcome


class Explanation(NamedTuple):
    """A meaning, and what a person should do about it. Neither ends in a full stop."""

    meaning: str
    next: str


NOTHING: Final = "Nothing"

OUTCOMES: Final[Mapping[Outcome, Explanation]] = {
    Outcome.ASSOCIATED: Explanation("This run made the link; `before` says what was there", NOTHING),
    Outcome.DISASSOCIATED: Explanation("This run removed the link; `before` says what was there", NOTHING),
    Outcome.ALREADY_ASSOCIATED: Explanation("The link was there already; a read established it", NOTHING),
    Outcome.ALREADY_DISASSOCIATED: Explanation("There was no such link; a read established it", NOTHING),
    Outcome.CREATED: Explanation("This run created the record", NOTHING),
    Outcome.ALREADY_CREATED: Explanation("An earlier run or an earlier attempt had created the record", NOTHING),
    Outcome.UPDATED: Explanation("This run updated the record", NOTHING),
    Outcome.UNCHANGED: Explanation("sync: the link is right as it is", NOTHING),
    Outcome.DUPLICATE: Explanation(
        "The row wishes the same as an earlier one; `message` names it and its outcome",
        "Look at the row that `message` names; remove the repetition if it was not meant",
    ),
    Outcome.INVALID: Explanation(
        "The row itself is wrong: no GUID, an empty key, a wrong type; it was never sent",
        "Correct the cell that `message` names in troubles.csv and feed that file back",
    ),
    Outcome.UNRESOLVED: Explanation(
        "A key matches no record; `message` says which side",
        "Correct the key, or create the record first, then feed troubles.csv back",
    ),
    Outcome.AMBIGUOUS: Explanation(
        "A key matches several records; `message` says which side and shows some of them",
        "Match on a column that is unique, or narrow the side down with `where`",
    ),
    Outcome.CONFLICTING: Explanation(
        "The row contradicts other rows, such as two targets for one lookup; none of them was sent",
        "Decide which row is right and remove the others",
    ),
    Outcome.GUARDED: Explanation(
        "A guard rail held the row back; nothing was sent",
        "Check the file; if it is right, raise the limit in [guard] and run again",
    ),
    Outcome.REJECTED: Explanation(
        "The service refused it and this run did not change it; code and message are the service's",
        "`bulklink explain CODE` with the row's code; then feed troubles.csv back",
    ),
    Outcome.GROUP_FAILED: Explanation(
        "Another row of its group failed, so the group was not done; `message` names that row",
        "Correct the row that `message` names, then feed troubles.csv back",
    ),
    Outcome.EXHAUSTED: Explanation(
        "Transient failures until the attempts or the time ran out; a read established that it is not done",
        "Run again with --retry-failed when the service is well",
    ),
    Outcome.IN_DOUBT: Explanation(
        "Only in an unfinished run: it was sent, and the answer is not known yet",
        "Run the same command again: the row is settled by reading, not sent blindly",
    ),
    Outcome.NOT_ATTEMPTED: Explanation(
        "Only in an unfinished run: its turn did not come",
        "Run the same command again: it resumes",
    ),
}

EXIT_CODES: Final[Mapping[ExitCode, Explanation]] = {
    ExitCode.AS_ASKED: Explanation("Every row, and every removal, is as asked", NOTHING),
    ExitCode.BUG: Explanation(
        "A bug in bulklink, or books that do not balance", "Report it, with the run directory; trust nothing until then"
    ),
    ExitCode.UNUSABLE: Explanation(
        "The command line, the job file or the input cannot be used; nothing was sent",
        "Correct what the message names; running again unchanged fails again",
    ),
    ExitCode.TROUBLES: Explanation(
        "Finished; some rows or removals are not as asked, or verify found differences",
        "Read troubles.csv, correct it and feed it back",
    ),
    ExitCode.STOPPED_EARLY: Explanation(
        "Stopped early: service unreachable, deadline, too many failures, or rows still in doubt",
        "Run the same command again: it resumes",
    ),
    ExitCode.GUARDED: Explanation(
        "A guard rail stopped the run before anything was sent", "Check the file, or raise the limit in [guard]"
    ),
    ExitCode.REFUSED: Explanation(
        "Sign-in or permission was refused", "Correct the credentials or privileges, then run again: it resumes"
    ),
    ExitCode.LOCKED: Explanation("Another run on this relationship is going on", "Wait until it has ended"),
    ExitCode.SIGINT: Explanation(
        "Interrupted by SIGINT (Ctrl-C); the journal is closed cleanly", "Run the same command again: it resumes"
    ),
    ExitCode.SIGTERM: Explanation(
        "Ended by SIGTERM; the journal is closed cleanly", "Run the same command again: it resumes"
    ),
}
