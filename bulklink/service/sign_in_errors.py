"""What a refused sign-in means, in words that say what, where and what next.

Owns: the table of the authority's error numbers; the rule that no secret gets into a message.
Does not know: HTTP, msal.
Source: Microsoft Learn, "Microsoft Entra authentication and authorization error codes"; "Web service error codes".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bulklink.errors import SignInError

_GIVE_VALUE: Final = "Give the secret's value (not its id) in BULKLINK_CLIENT_SECRET or client_secret."
SIGN_IN_AGAIN: Final = "Sign in again: bulklink login URL."

#: AADSTS number -> what it means, what to do.
MEANINGS: Final[Mapping[int, tuple[str, str]]] = {
    7000215: ("the client secret is wrong", _GIVE_VALUE),
    7000222: ("the client secret has expired", "Create a new secret for the app registration and give its value."),
    7000218: ("the app registration asks for a secret or certificate", "Give one, or allow public client flows."),
    7000112: ("the application is disabled in this tenant", "Ask an administrator to enable it."),
    700016: ("the application is not known in this tenant", "Check client_id and tenant_id: are they of one tenant?"),
    700024: ("the signed assertion is outside its time", "Check this machine's clock, or the federated token's age."),
    700027: (
        "the certificate is not registered for the application",
        "Upload its public part to the app registration.",
    ),
    70021: (
        "no federated credential matches the token",
        "Check issuer, subject and audience of the federated credential.",
    ),
    700211: ("no federated credential matches the token's issuer", "Check the issuer of the federated credential."),
    700212: ("no federated credential matches the token's audience", "Check the audience of the federated credential."),
    700213: ("no federated credential matches the token's subject", "Check the subject of the federated credential."),
    90002: ("the tenant does not exist", "Check tenant_id."),
    900023: ("the tenant's name is malformed", "tenant_id is a GUID or a domain such as contoso.com."),
    500011: (
        "the environment is not known in this tenant",
        "Check the URL, and that tenant_id is the environment's own.",
    ),
    65001: ("nobody has consented to the application", "Ask an administrator to grant consent for Dynamics CRM."),
    90094: ("an administrator must consent to the application", "Ask an administrator to grant consent."),
    50105: ("the user is not assigned to the application", "Ask an administrator to assign the user or a group."),
    50034: ("the user does not exist in this tenant", "Check the account, or give --tenant."),
    50126: ("user name or password is wrong", SIGN_IN_AGAIN),
    50076: ("a second factor is asked for", SIGN_IN_AGAIN),
    50079: ("a second factor must be registered", "Sign in to https://aka.ms/mfasetup, then run bulklink login URL."),
    53003: ("Conditional Access blocks it", "Ask an administrator: a policy forbids this sign-in from here."),
    50173: ("the sign-in was revoked", SIGN_IN_AGAIN),
    700082: ("the kept sign-in has expired for lack of use", SIGN_IN_AGAIN),
    70043: ("the kept sign-in has expired", SIGN_IN_AGAIN),
    700084: ("the kept sign-in has expired", SIGN_IN_AGAIN),
    70017: ("it was declined", SIGN_IN_AGAIN),
    70018: ("the code is wrong", SIGN_IN_AGAIN),
    70020: ("the code was not entered in time", SIGN_IN_AGAIN),
}

#: Dataverse's own refusals of a token that the authority did give.
ENVIRONMENT_MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "0x80072560": (
        "the application or user is not a member of the environment",
        "Add an application user with a security role in the Power Platform admin centre.",
    ),
    "0x80040220": ("it lacks a privilege", "Give the user a security role with the privilege that is named."),
    "0x8004a112": ("it lacks a privilege", "Give the user a security role."),
}

_NUMBER: Final = re.compile(r"AADSTS(\d+)")
_WORDS_MAX: Final = 300


def refused(answer: Mapping[str, Any], where: str, secrets: Iterable[str] = ()) -> SignInError:
    """Translate the authority's error.

    answer: the JSON of RFC 6749, 5.2. where: "login.microsoftonline.com/<tenant> as application <id>". secrets: texts
    that must not show, whatever the authority says.
    """
    described = str(answer.get("error_description") or "")
    found = _NUMBER.search(described)
    numbers = answer.get("error_codes") or ([int(found[1])] if found else [])
    number = int(numbers[0]) if numbers else 0
    trace = f", correlation id {answer['correlation_id']}" if answer.get("correlation_id") else ""
    if number in MEANINGS:
        what, following = MEANINGS[number]
        return SignInError(
            scrubbed(f"Sign-in at {where} was refused: {what} (AADSTS{number}{trace}).", secrets), hint=following
        )
    words = described.partition(" Trace ID:")[0].splitlines() or [str(answer.get("error", "no reason given"))]
    return SignInError(scrubbed(f"Sign-in at {where} was refused: {words[0][:_WORDS_MAX]}{trace}", secrets))


def environment_refused(status: int, code: str, message: str, environment: str) -> SignInError:
    """Translate the environment's refusal (401, 403) of a token that the authority did give."""
    known = ENVIRONMENT_MEANINGS.get(code.lower())
    if known is not None:
        return SignInError(f"{environment} refused the sign-in: {known[0]} ({code}). {message}".rstrip(), hint=known[1])
    told = f" {code} {message}".rstrip()
    return SignInError(f"{environment} refused the token (HTTP {status}).{told}")


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret blotted out."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
