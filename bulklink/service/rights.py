"""Who is signed in, what that user is allowed to do, and what is left of the service protection limits.

Owns: the requests that tell, and the reading of their headers.
Does not know: what a job needs (core.privileges).
Source: Microsoft Learn, "WhoAmI function", "RetrieveUserPrivileges function", "Service protection API limits".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bulklink.core.answer import read_answer
from bulklink.core.keys import quote_key
from bulklink.core.looking import get_request
from bulklink.core.privileges import Privilege, read_table_privileges, read_user_privileges
from bulklink.service.reading import Reader, checked
from bulklink.service.transport import Transport, TransportFailure


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is signed in."""

    user_id: str
    organisation_id: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left in this window; None where the service does not say."""

    requests_left: int | None = None
    execution_s_left: float | None = None
    dop_hint: int | None = None


async def who_am_i(reader: Reader) -> Identity:
    """Raises SignInError if the user is refused."""
    values = json.loads(checked(await reader.get("WhoAmI"), "WhoAmI").body)
    return Identity(str(values.get("UserId", "")), str(values.get("OrganizationId", "")))


async def allowance(transport: Transport) -> Allowance | None:
    """What the service says is left; None if it cannot be asked just now."""
    try:
        reply = await transport.get("WhoAmI")
    except TransportFailure:
        return None
    if read_answer(reply.status, reply.headers, reply.body, reply.headers, keep_body=False).status != 200:
        return None
    burst = reply.headers.get("x-ms-ratelimit-burst-remaining-xrm-requests", "")
    left_s = reply.headers.get("x-ms-ratelimit-time-remaining-xrm-requests", "").replace(",", "")
    hint = reply.headers.get("x-ms-dop-hint", "")
    return Allowance(
        requests_left=int(burst) if burst.isdigit() else None,
        execution_s_left=float(left_s) if left_s.replace(".", "", 1).isdigit() else None,
        dop_hint=int(hint) if hint.isdigit() else None,
    )


async def privileges(
    reader: Reader, user_id: str, tables: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, Privilege]], Mapping[str, str]] | None:
    """(privileges of each table, privilege id -> depth that the user holds); None if the service does not tell."""
    urls = [f"systemusers({user_id})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges"]
    urls += [f"EntityDefinitions(LogicalName={quote_key(table)})?$select=LogicalName,Privileges" for table in tables]
    answers = await reader.ask([get_request(f"{reader.api_path}/{url}") for url in urls])
    if any(answer.status != 200 for answer in answers):
        return None
    try:
        of_tables = [read_table_privileges(answer.body) for answer in answers[1:]]
        return dict(zip(tables, of_tables, strict=True)), read_user_privileges(answers[0].body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
