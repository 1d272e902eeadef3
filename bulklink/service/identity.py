"""Who the environment takes us for.

Owns: the WhoAmI question, and how a refusal of a good token is told.
Does not know: how the token was obtained.
Source: Microsoft Learn, "WhoAmI function", "systemuser" and "organization" entity types.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bulklink.errors import SignInError, StoppedEarly
from bulklink.service.sign_in_errors import environment_refused
from bulklink.service.transport import HttpReply, Transport, TransportFailure


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller, as the environment sees it. Names are "" where the caller may not read them."""

    user_id: str
    user_name: str
    organisation_id: str
    organisation_name: str
    business_unit_id: str


async def who_am_i(transport: Transport, environment: str) -> Identity:
    """Ask the environment.

    SignInError if it refuses us, StoppedEarly if it cannot be reached or answers with something else.
    """
    try:
        reply = await transport.get("WhoAmI")
        if reply.status != 200:
            raise _trouble(reply, environment)
        ids = _content(reply)
        user_id, organisation_id = str(ids.get("UserId", "")), str(ids.get("OrganizationId", ""))
        return Identity(
            user_id,
            await _name(transport, f"systemusers({user_id})", "fullname"),
            organisation_id,
            await _name(transport, f"organizations({organisation_id})", "name"),
            str(ids.get("BusinessUnitId", "")),
        )
    except TransportFailure as failure:
        raise StoppedEarly(failure.message) from None


async def _name(transport: Transport, record: str, column: str) -> str:
    reply = await transport.get(f"{record}?$select={column}")
    return str(_content(reply).get(column) or "") if reply.status == 200 else ""


def _trouble(reply: HttpReply, environment: str) -> SignInError | StoppedEarly:
    error = _content(reply).get("error")
    told: Mapping[str, Any] = error if isinstance(error, dict) else {}
    code, message = str(told.get("code", "")), str(told.get("message", ""))
    if reply.status in (401, 403):
        return environment_refused(reply.status, code, message, environment)
    return StoppedEarly(f"{environment} answered WhoAmI with HTTP {reply.status} {code} {message}".rstrip())


def _content(reply: HttpReply) -> Mapping[str, Any]:
    try:
        content = json.loads(reply.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
