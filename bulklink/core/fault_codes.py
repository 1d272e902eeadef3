"""The service's fault codes: what each means for a row, in plain words, and what to do.

Owns: the table of codes and the table of statuses.
Does not know: which row, how often it was tried, whether a batch or one operation was answered.
Source of the codes: Microsoft Learn, "Web service error codes" and "Service protection API limits"; where another
source decides the verdict, the line says so.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple


class Verdict(IntEnum):
    """What an answer asks for."""

    DONE = 0
    DUPLICATE = 1  # what was asked for may be there already: look it up
    GONE = 2  # a record is not there: look it up where that may be as asked
    STALE = 3  # the record was changed since it was read: read again, decide again
    REJECT = 4  # permanent: the row gets the service's own words
    RETRY = 5  # passing fault, rolled back: send again
    RETRY_SMALLER = 6  # passing fault that a smaller batch avoids
    RETRY_ONCE = 7  # may be passing: one more try
    THROTTLED = 8  # nothing was executed: wait as told, then send again
    SIGN_IN = 9  # the signed-in user as such is refused
    HALVE = 10  # the batch was too large: send it in smaller ones
    DOUBT = 11  # may have been executed: read back


class Meaning(NamedTuple):
    """A line of the table. name: as in Microsoft's list, "" where it has none."""

    verdict: Verdict
    name: str
    words: str
    advice: str


_NOTHING_TO_DO: Final = "Nothing: bulklink sends it again by itself."
_PRIVILEGES: Final = (
    "Give the signed-in user a security role with Append on one table and AppendTo on the other "
    "(for a lookup also Write on the table that holds it), then run the same command again."
)
_SIGN_IN: Final = "Ask an administrator of the environment, then run the same command again: it resumes."
_FIX_JOB: Final = "`bulklink relationships TABLE` lists the right names; correct the job."
_FIX_ROW: Final = "Correct the row in troubles.csv and feed it back."
_V: Final = Verdict

#: By code, lower-case hex.
FAULT_CODES: Final[Mapping[str, Meaning]] = {
    # -- already so, not there, changed meanwhile --
    "0x80040237": Meaning(
        _V.DUPLICATE,
        "DuplicateRecord",
        "A record or link with this key exists already. A plug-in's own record may be the one that exists.",
        "Nothing: bulklink reads the link back and reports what it found.",
    ),
    "0x80040217": Meaning(
        _V.GONE,
        "ObjectDoesNotExist",
        "One of the two records does not exist, or the signed-in user may not see it.",
        "Check the row's ids: of another environment, perhaps, or the record was deleted after the export.",
    ),
    "0x80060891": Meaning(
        _V.GONE, "RecordNotFoundByEntityKey", "No record has these values in its alternate key.", _FIX_ROW
    ),
    "0x80060882": Meaning(
        _V.STALE,
        "ConcurrencyVersionMismatch",
        "Somebody changed the record after bulklink had read it.",
        "Nothing: bulklink reads it again and decides again.",
    ),
    "0x80060892": Meaning(
        _V.REJECT, "DuplicateRecordEntityKey", "Another record has these values in its alternate key.", _FIX_ROW
    ),
    "0x80040333": Meaning(
        _V.REJECT,
        "DuplicateRecordsFound",
        "A duplicate detection rule of the environment found a record like this one.",
        "Merge the records, or change the rule.",
    ),
    "0x80048208": Meaning(_V.REJECT, "ConnectionExists", "This connection row exists already.", _FIX_ROW),
    "0x8006088d": Meaning(
        _V.REJECT,
        "OptimisticConcurrencyNotEnabled",
        "The table keeps no row version, so a change cannot be made to depend on what was read.",
        "Use a `$ref` form (`ref-set`, `ref-clear`) for this table.",
    ),
    # -- the request does not fit the environment --
    "0x80060888": Meaning(
        _V.REJECT,
        "",
        "The service could not understand the request: a name that does not exist, or a value of the wrong kind.",
        _FIX_JOB,
    ),
    "0x8006088a": Meaning(
        _V.REJECT, "CrmHttpError", "The table or navigation property in the address does not exist.", _FIX_JOB
    ),
    "0x80048d19": Meaning(
        _V.REJECT,
        "",
        "The body names a navigation property that the table does not have. Upper and lower case count.",
        _FIX_JOB,
    ),
    "0x80040203": Meaning(_V.REJECT, "InvalidArgument", "A value is not acceptable.", _FIX_ROW),
    "0x80044331": Meaning(_V.REJECT, "StringLengthTooLong", "A text is too long for its column.", _FIX_ROW),
    "0x80044332": Meaning(
        _V.REJECT,
        "EntityCannotParticipateInEntityAssociation",
        "A table of this kind cannot take part in the relationship.",
        _FIX_JOB,
    ),
    "0x8004830f": Meaning(
        _V.REJECT, "EntityIsIntersect", "Intersect tables cannot be written; the relationship can.", _FIX_JOB
    ),
    "0x80044820": Meaning(
        _V.REJECT, "", "Virtual tables do not take part in many-to-many relationships.", "Write to the table's origin."
    ),
    "0x80040506": Meaning(
        _V.REJECT, "", "The record would become its own ancestor.", "Remove the circle from the rows."
    ),
    "0x80040507": Meaning(
        _V.REJECT, "", "The account would become its own parent.", "Remove the circle from the rows."
    ),
    "0x80040509": Meaning(
        _V.REJECT, "", "The contact would become its own parent.", "Remove the circle from the rows."
    ),
    "0x80040227": Meaning(
        _V.REJECT,
        "CannotDeleteDueToAssociation",
        "Other records depend on this link.",
        "Remove these first, or change the relationship's behaviour on delete.",
    ),
    "0x80040265": Meaning(
        _V.REJECT,
        "IsvAborted",
        "A plug-in of the environment refused the row; the message is the plug-in's own.",
        "Correct the row as the message says, or ask who maintains the plug-in.",
    ),
    # -- privileges: permanent for the row, and as a rule for every row --
    "0x80040220": Meaning(
        _V.REJECT, "PrivilegeDenied", "The signed-in user lacks a privilege on one of the tables.", _PRIVILEGES
    ),
    "0x80048306": Meaning(
        _V.REJECT, "PrincipalPrivilegeDenied", "The signed-in user has no access to one of the records.", _PRIVILEGES
    ),
    "0x80040299": Meaning(_V.REJECT, "CrmCheckPrivilege", "The signed-in user lacks a privilege.", _PRIVILEGES),
    "0x80040256": Meaning(_V.REJECT, "CrmSecurityError", "The service refused access.", _PRIVILEGES),
    "0x80048405": Meaning(_V.REJECT, "AccessDenied", "The service refused access.", _PRIVILEGES),
    # -- the user as such --
    "0x80072560": Meaning(
        _V.SIGN_IN,
        "UserNotMemberOfOrg",
        "The token is fine, but this environment does not know the user.",
        "Create an application user for the client id in the environment and give it a security role.",
    ),
    "0x80042f09": Meaning(_V.SIGN_IN, "", "The user has no security role in this environment.", _SIGN_IN),
    "0x8004d24b": Meaning(_V.SIGN_IN, "", "The user has no licence.", _SIGN_IN),
    "0x80095ffc": Meaning(_V.SIGN_IN, "", "The environment lets this application in only by permission.", _SIGN_IN),
    "0x8004a104": Meaning(_V.SIGN_IN, "", "The environment is disabled.", _SIGN_IN),
    "0x8004a101": Meaning(
        _V.SIGN_IN, "ExpiredAuthTicket", "The token has expired.", "Sign in again (`bulklink login`), then run again."
    ),
    # -- service protection --
    "0x80072322": Meaning(
        _V.THROTTLED, "", "More than 6,000 requests in five minutes.", "Nothing: bulklink waits as long as it is told."
    ),
    "0x80072321": Meaning(
        _V.THROTTLED,
        "",
        "More than 20 minutes of execution time in five minutes.",
        "Nothing: bulklink waits as long as it is told. `share` leaves a part of the time to others.",
    ),
    "0x80072326": Meaning(
        _V.THROTTLED, "", "More than 52 requests at the same time.", "Nothing: bulklink sends fewer at a time."
    ),
    "0x8005f103": Meaning(_V.THROTTLED, "Throttling", "Too many requests.", "Nothing: bulklink waits."),
    # -- passing faults; Microsoft's .NET client retries 0x80044150 too, but without looking at the number in it --
    "0x80044150": Meaning(
        _V.REJECT,
        "GenericSqlError",
        "The database refused the change. With Sql Number 1205 (deadlock) or a lost connection it is sent again.",
        "If the message shows another Sql Number, give the request id to Microsoft's support.",
    ),
    "0x80044151": Meaning(
        _V.RETRY_SMALLER, "SqlTimeout", "The database took too long.", "Nothing: bulklink sends smaller batches."
    ),
    "0x80044339": Meaning(_V.RETRY, "CouldNotObtainLockOnResource", "Another process held a lock.", _NOTHING_TO_DO),
    "0x8004ed47": Meaning(_V.RETRY, "AppLockTimeout", "Another process held a lock for too long.", _NOTHING_TO_DO),
    "0x80071154": Meaning(_V.RETRY, "ConcurrentOperationFailure", "Two operations collided.", _NOTHING_TO_DO),
    "0x80048105": Meaning(
        _V.RETRY,
        "",
        "Two requests touched one and the same record at the same time.",
        "Nothing: bulklink sends it again. If it happens often, leave `hub_parallelism` at 1.",
    ),
    "0x80072324": Meaning(_V.RETRY, "AzureSqlMaxConcurrentWorkers", "The database was too busy.", _NOTHING_TO_DO),
    "0x80071151": Meaning(_V.RETRY, "", "A solution was being imported or published at that moment.", _NOTHING_TO_DO),
    "0x8004418d": Meaning(_V.RETRY, "", "The process that runs plug-ins crashed.", _NOTHING_TO_DO),
    "0x80081116": Meaning(
        _V.RETRY, "SandboxWorkerThrottleLimit", "The process that runs plug-ins was too busy.", _NOTHING_TO_DO
    ),
    "0x80040216": Meaning(_V.RETRY_ONCE, "UnExpected", "The service failed in an unexpected way.", _NOTHING_TO_DO),
    "0x80040224": Meaning(
        _V.RETRY_ONCE,
        "IsvUnExpected",
        "A plug-in of the environment failed. One more try, then it is the row's.",
        "Ask who maintains the plug-in; the request id leads to its trace.",
    ),
    "0x80040255": Meaning(
        _V.RETRY_ONCE,
        "TransactionAborted",
        "The transaction was broken off, as a rule by a plug-in that hid its own error.",
        "Ask who maintains the environment's plug-ins.",
    ),
    "0x80040251": Meaning(
        _V.RETRY_ONCE,
        "TransactionNotStarted",
        "There was no transaction any more, as a rule after a plug-in that hid its own error.",
        "Ask who maintains the environment's plug-ins.",
    ),
}

_BUSY: Final = "The service, or a machine in front of it, did not answer in time. It may have done the work."

#: By status, where the code says nothing. Source: Microsoft Learn, "Compose HTTP requests and handle errors".
STATUSES: Final[Mapping[int, Meaning]] = {
    400: Meaning(_V.REJECT, "Bad Request", "The service could not accept the request.", _FIX_ROW),
    401: Meaning(_V.SIGN_IN, "Unauthorized", "The token was refused, a fresh one too.", "Check the sign-in settings."),
    403: Meaning(_V.REJECT, "Forbidden", "The signed-in user may not do this.", _PRIVILEGES),
    404: Meaning(_V.REJECT, "Not Found", "The address, or the record in it, does not exist.", _FIX_JOB),
    405: Meaning(_V.REJECT, "Method Not Allowed", "This cannot be done with a record or link of this kind.", _FIX_JOB),
    408: Meaning(_V.DOUBT, "Request Timeout", _BUSY, "Nothing: bulklink reads back what was done."),
    412: Meaning(_V.REJECT, "Precondition Failed", "The record is not in the state that was asked for.", _FIX_ROW),
    413: Meaning(_V.HALVE, "Payload Too Large", "The batch was too large.", "Nothing: bulklink sends smaller ones."),
    429: Meaning(
        _V.THROTTLED, "Too Many Requests", "Service protection limit.", "Nothing: bulklink waits as long as it is told."
    ),
    500: Meaning(_V.RETRY, "Internal Server Error", "The service failed.", _NOTHING_TO_DO),
    501: Meaning(_V.REJECT, "Not Implemented", "The service cannot do this at all.", "Use another form."),
    502: Meaning(_V.DOUBT, "Bad Gateway", _BUSY, "Nothing: bulklink reads back what was done."),
    503: Meaning(_V.DOUBT, "Service Unavailable", _BUSY, "Nothing: bulklink reads back what was done."),
    504: Meaning(_V.DOUBT, "Gateway Timeout", _BUSY, "Nothing: bulklink reads back what was done."),
}
