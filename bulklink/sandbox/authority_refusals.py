"""How the sandbox's sign-in authority says no.

Owns: the refusals, each with HTTP status, OAuth error and AADSTS number.
Does not know: when they are due.
Source: Microsoft Learn, "Microsoft Entra authentication and authorization error codes"; RFC 6749, 5.2; RFC 8628, 3.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the authority says no: HTTP status, OAuth error, AADSTS number, words."""

    status: int
    error: str
    number: int
    words: str


REFUSALS: Final[Mapping[str, Refusal]] = {
    "unknown tenant": Refusal(400, "invalid_request", 90002, "Tenant '{tenant}' not found."),
    "unknown application": Refusal(
        400, "unauthorized_client", 700016, "Application with identifier '{client_id}' was not found in the directory."
    ),
    "no credential": Refusal(
        401, "invalid_client", 7000218, "The request body must contain: 'client_assertion' or 'client_secret'."
    ),
    "wrong secret": Refusal(
        401, "invalid_client", 7000215, "Invalid client secret provided for a secret added to app '{client_id}'."
    ),
    "expired secret": Refusal(
        401, "invalid_client", 7000222, "The provided client secret keys for app '{client_id}' are expired."
    ),
    "wrong assertion": Refusal(
        401, "invalid_client", 700027, "The certificate used to sign the client assertion is not registered."
    ),
    "expired assertion": Refusal(401, "invalid_client", 700024, "Client assertion is not within its valid time range."),
    "wrong federation": Refusal(
        401, "invalid_client", 700213, "No matching federated identity record found for presented assertion subject."
    ),
    "unknown resource": Refusal(
        400, "invalid_resource", 500011, "The resource principal named {resource} was not found in the tenant."
    ),
    "no consent": Refusal(
        400, "invalid_grant", 65001, "The user or administrator has not consented to use the application."
    ),
    "pending": Refusal(400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending."),
    "declined": Refusal(400, "authorization_declined", 70017, "The end user denied the authorization request."),
    "expired code": Refusal(400, "expired_token", 70020, "The provided value for the code has expired."),
    "wrong code": Refusal(400, "invalid_grant", 70000, "The provided authorization code or refresh token is invalid."),
    "revoked": Refusal(400, "invalid_grant", 50173, "The provided grant has been revoked. Sign in again."),
    "unsupported grant": Refusal(400, "unsupported_grant_type", 70003, "The grant type '{grant}' is not supported."),
}


class Refused(Exception):
    """The authority says no."""

    def __init__(self, which: str, **names: str) -> None:
        super().__init__(which)
        self.refusal = REFUSALS[which]
        self.words = f"AADSTS{self.refusal.number}: {self.refusal.words.format(**names)}"
