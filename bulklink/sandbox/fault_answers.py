"""What a fault looks like on the wire.

Owns: statuses, codes and texts of injected faults, the HTML pages of front ends, the 401 with its challenge.
Does not know: when a fault strikes.
Source: protocol 3.3, 4.2, 8.
"""

from collections.abc import Mapping
from typing import Final

from bulklink.sandbox.errors import ODataError
from bulklink.sandbox.exchange import HttpAnswer
from bulklink.sandbox.messages import Request, Response, error_answer
from bulklink.sandbox.protection import (
    Limits,
    Throttled,
    concurrency_exceeded,
    requests_exceeded,
    time_exceeded,
)
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather import Fault, Kind

#: The tenant that the sandbox pretends to live in.
TENANT_ID: Final = "5a4db0b5-0000-4000-8000-000000000000"


#: Kind -> (status, code, message) of operations that fail (protocol 3.3).
_OPERATION_FAULTS: Final[Mapping[Kind, tuple[int, str, str]]] = {
    Kind.DEADLOCK: (
        500,
        "0x80044150",
        # The leading blank is real.
        " Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: 1205",
    ),
    Kind.SQL_TIMEOUT: (
        500,
        "0x80044151",
        "Sql error: SQL timeout expired. CRM ErrorCode: -2147204783 Sql ErrorCode: -2146232060 Sql Number: -2",
    ),
    Kind.LOCK_TIMEOUT: (
        500,
        "0x80044339",
        "Cannot obtain lock on resource 'SandboxLock'. stored procedure sp_getapplock returned error code -3.",
    ),
    Kind.PLUGIN_ERROR: (400, "0x80040265", ""),
    Kind.PLUGIN_CRASH: (
        500,
        "0x80040224",
        (
            "An unexpected error occurred from ISV code. (ErrorType = ClientError) Unexpected exception from plug-in "
            "(Execute): Contoso.Plugins.OnAssociate: System.NullReferenceException: Object reference not set to an "
            "instance of an object."
        ),
    ),
    Kind.PRIVILEGE: (
        403,
        "0x80040220",
        (
            "Principal user (Id=00000000-0000-0000-0000-0000000000a1, type=8, roleCount=1, privilegeCount=12, "
            "accessMode='0 Read-Write') is missing prvAppend privilege (Id=00000000-0000-0000-0000-0000000000a2) on "
            "OTC=1 for entity 'account'."
        ),
    ),
    Kind.THROTTLE_PART: (
        429,
        "0x80071151",
        "Cannot start the requested operation because there is another one running at this moment.",
    ),
}

_PAGES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("Unauthorized", "HTTP Error 401 - Unauthorized: Access is denied"),
    413: ("Request Entity Too Large", "The page was not displayed because the request entity is too large."),
    502: ("Bad Gateway", "Web server received an invalid response while acting as a gateway or proxy server."),
    503: ("Service Unavailable", "The service is unavailable."),
    504: ("Gateway Timeout", "The gateway did not receive a timely response from the upstream server."),
}


def operation_fault(fault: Fault, request: Request, toggles: Toggles) -> Response:
    """The answer to an operation, or to a change set at its commit, that the fault befell."""
    status, code, message = _OPERATION_FAULTS.get(fault.kind, (fault.status, fault.code, fault.message))
    if fault.kind is Kind.LOCK_TIMEOUT:  # U22
        status = int(toggles.sql_status)
    response = error_answer(ODataError(status, code, message or fault.message), request)
    if fault.retry_after_s:
        response.headers.append(("Retry-After", str(fault.retry_after_s)))
    return response


def throttled(refusal: Throttled) -> HttpAnswer:
    """429, with the wait if one is told."""
    answer = json_error(429, refusal.code, refusal.message)
    if refusal.retry_after_s:
        answer.headers.insert(0, ("Retry-After", str(refusal.retry_after_s)))
    return answer


def throttle_fault(fault: Fault, limits: Limits) -> Throttled:
    """The refusal that a `throttle` rule asks for."""
    real = Limits()
    made = {
        "requests": requests_exceeded(limits.requests or real.requests, limits.window_s),
        "time": time_exceeded(limits.execution_s or real.execution_s, limits.window_s),
        "concurrency": concurrency_exceeded(limits.concurrency or real.concurrency),
    }[fault.answer]
    return Throttled(made.code, made.message, fault.retry_after_s)


def json_error(status: int, code: str, message: str) -> HttpAnswer:
    """A refusal of the request as such, in the service's shape."""
    response = error_answer(ODataError(status, code, message), Request("", "", "", {}, b"", ""))
    return HttpAnswer(status, response.headers, response.body)


def page(status: int, retry_after_s: int = 0) -> HttpAnswer:
    """A refusal by a front end: HTML, no JSON."""
    title, sentence = _PAGES[status]
    body = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\r\n'
        f"<html><head><title>{status} - {title}</title></head>\r\n"
        f"<body><h2>{status} - {title}</h2><p>{sentence}</p></body></html>\r\n"
    )
    headers = [("Retry-After", str(retry_after_s))] if retry_after_s else []
    return HttpAnswer(status, [*headers, ("Content-Type", "text/html; charset=utf-8")], body.encode())


def challenge_of(origin: str) -> str:
    """What ``WWW-Authenticate`` tells of tenant and resource."""
    return (
        f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT_ID}/oauth2/authorize, "
        f"resource_id={origin}/"
    )


def unauthorized(challenge: str, *, expired: bool = False) -> HttpAnswer:
    """401; of an expired token in the service's shape, else as the front end words it."""
    answer = json_error(401, "0x8004a101", "The authentication ticket has expired.") if expired else page(401)
    answer.headers.insert(0, ("WWW-Authenticate", challenge))
    return answer
