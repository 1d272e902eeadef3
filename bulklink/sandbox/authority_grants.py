"""Who may have a token: the rules of the sandbox's sign-in authority.

Owns: registered applications and their credentials, tokens issued and revoked.
Does not know: HTTP.
Source: RFC 6749, 7523, 7636 and 8628; Microsoft Learn, "Microsoft identity platform and the OAuth 2.0 client
credentials flow".
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bulklink.sandbox.authority_refusals import Refused

JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(slots=True)
class Federation:
    """A foreign issuer whose assertions count as this application's credential."""

    issuer: str
    subject: str
    audience: str
    public_key_pem: str


@dataclass(slots=True)
class Application:
    """An app registration. One without credentials is a public client."""

    client_id: str
    secrets: set[str] = field(default_factory=set, repr=False)
    expired_secrets: set[str] = field(default_factory=set, repr=False)
    certificates: list[x509.Certificate] = field(default_factory=list)
    federations: list[Federation] = field(default_factory=list)
    consented: bool = True

    @property
    def is_public(self) -> bool:
        """Whether it can keep no secret: a program on a person's machine."""
        return not (self.secrets or self.expired_secrets or self.certificates or self.federations)


@dataclass(slots=True)
class Issued:
    """What a token, a refresh token, a code or a device code stands for."""

    client_id: str
    user: str
    resource: str
    expires_at: float
    claims: str = ""
    challenge: str = ""  # PKCE
    nonce: str = ""
    state: str = "open"  # device codes: open, approved, declined


class Grants:
    """Registered applications, and everything handed out so far. clock: seconds since the epoch."""

    def __init__(self, tenant: str, clock: Callable[[], float] = time.time) -> None:
        self.tenant = tenant
        self.clock = clock
        self.applications: dict[str, Application] = {}
        self.resources: set[str] = set()  # none: every resource is known
        self.expires_in_s = 3600
        self.token_endpoint = ""
        self.tokens: dict[str, Issued] = {}
        self.refresh_tokens: dict[str, Issued] = {}
        self.codes: dict[str, Issued] = {}
        self.device_codes: dict[str, Issued] = {}
        self.user_codes: dict[str, str] = {}

    def register(self, application: Application) -> None:
        """Let an application in."""
        self.applications[application.client_id] = application

    def holder(self, token: str) -> Issued | None:
        """Whom a token that is neither unknown, expired nor revoked was issued to."""
        issued = self.tokens.get(token)
        return issued if issued and issued.expires_at > self.clock() else None

    def revoke_everything(self) -> None:
        """As if an administrator had revoked all sessions: no token and no refresh token counts any more."""
        self.tokens.clear()
        self.refresh_tokens.clear()

    # ------------------------------------------------------------------ the token endpoint

    def token(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a request of the token endpoint; raises Refused."""
        application = self._application(tenant, form)
        grant = form.get("grant_type", "")
        answers = {
            "client_credentials": self._client_credentials,
            "refresh_token": self._refresh,
            "authorization_code": self._authorization_code,
            DEVICE_CODE: self._device_code,
        }
        if grant not in answers:
            raise Refused("unsupported grant", grant=grant)
        if grant == "client_credentials" or not application.is_public:
            self._check_credential(application, form)
        return answers[grant](application, form)

    def _application(self, tenant: str, form: Mapping[str, str]) -> Application:
        if tenant not in (self.tenant, "organizations", "common"):
            raise Refused("unknown tenant", tenant=tenant)
        client_id = form.get("client_id", "")
        if client_id not in self.applications:
            raise Refused("unknown application", client_id=client_id)
        return self.applications[client_id]

    def _client_credentials(self, application: Application, form: Mapping[str, str]) -> dict[str, Any]:
        return self._issue(Issued(application.client_id, "", self._resource(form), 0, form.get("claims", "")))

    def _check_credential(self, application: Application, form: Mapping[str, str]) -> None:
        if "client_secret" in form:
            self._check_secret(application, form["client_secret"])
        elif form.get("client_assertion_type") == JWT_BEARER:
            self._check_assertion(application, form.get("client_assertion", ""))
        else:
            raise Refused("no credential")

    @staticmethod
    def _check_secret(application: Application, secret: str) -> None:
        if secret in application.expired_secrets:
            raise Refused("expired secret", client_id=application.client_id)
        if secret not in application.secrets:
            raise Refused("wrong secret", client_id=application.client_id)

    def _check_assertion(self, application: Application, assertion: str) -> None:
        try:
            issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss", "")
            header = jwt.get_unverified_header(assertion)
        except jwt.PyJWTError:
            raise Refused("wrong assertion") from None
        if issuer != application.client_id:
            return self._check_federation(application, assertion, issuer)
        thumbprint = header.get("x5t#S256") or header.get("x5t") or ""
        for certificate in application.certificates:
            if thumbprint in thumbprints(certificate):
                key = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
                return _verify(assertion, key, self.token_endpoint, application.client_id, "wrong assertion")
        raise Refused("wrong assertion")

    @staticmethod
    def _check_federation(application: Application, assertion: str, issuer: str) -> None:
        for known in application.federations:
            if known.issuer == issuer:
                return _verify(assertion, known.public_key_pem, known.audience, known.subject, "wrong federation")
        raise Refused("wrong federation")

    def _refresh(self, application: Application, form: Mapping[str, str]) -> dict[str, Any]:
        held = self.refresh_tokens.get(form.get("refresh_token", ""))
        if held is None or held.client_id != application.client_id:
            raise Refused("revoked")
        return self._issue(Issued(held.client_id, held.user, self._resource(form), 0, form.get("claims", "")))

    def _authorization_code(self, application: Application, form: Mapping[str, str]) -> dict[str, Any]:
        held = self.codes.pop(form.get("code", ""), None)
        if held is None or held.client_id != application.client_id:
            raise Refused("wrong code")
        answer = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if held.challenge and base64.urlsafe_b64encode(answer).rstrip(b"=").decode() != held.challenge:
            raise Refused("wrong code")
        claims = form.get("claims", "")
        return self._issue(Issued(held.client_id, held.user, held.resource, 0, claims, nonce=held.nonce))

    def _device_code(self, application: Application, form: Mapping[str, str]) -> dict[str, Any]:
        held = self.device_codes.get(form.get("device_code", ""))
        if held is None or held.client_id != application.client_id:
            raise Refused("wrong code")
        if held.expires_at <= self.clock():
            raise Refused("expired code")
        if held.state != "approved":
            raise Refused("declined" if held.state == "declined" else "pending")
        del self.device_codes[form["device_code"]]
        return self._issue(Issued(held.client_id, held.user, held.resource, 0, form.get("claims", "")))

    # ------------------------------------------------------------------ codes

    def start_device_code(self, tenant: str, form: Mapping[str, str]) -> tuple[str, str]:
        """A new device code and the user code that a person types to approve it."""
        application = self._application(tenant, form)
        device_code, user_code = secrets.token_urlsafe(24), secrets.token_hex(4).upper()
        self.device_codes[device_code] = Issued(
            application.client_id, "", self._resource(form), self.clock() + 900, form.get("claims", "")
        )
        self.user_codes[user_code] = device_code
        return device_code, user_code

    def decide(self, user_code: str, user: str, approved: bool = True) -> None:
        """What the person at the other device does with a user code."""
        held = self.device_codes[self.user_codes[user_code]]
        held.user, held.state = user, "approved" if approved else "declined"

    def start_code(self, tenant: str, query: Mapping[str, str], user: str) -> str:
        """A new authorization code for a user who has just signed in."""
        application = self._application(tenant, query)
        if not application.consented:
            raise Refused("no consent")
        code = secrets.token_urlsafe(24)
        self.codes[code] = Issued(
            application.client_id,
            user,
            self._resource(query),
            0,
            challenge=query.get("code_challenge", ""),
            nonce=query.get("nonce", ""),
        )
        return code

    def managed(self, resource: str) -> dict[str, Any]:
        """A token for the identity of the machine itself."""
        return self._issue(Issued("managed-identity", "", resource, 0))

    # ------------------------------------------------------------------ handing out

    def _resource(self, form: Mapping[str, str]) -> str:
        """The resource of the one scope that is not OpenID's own."""
        own = {"openid", "profile", "offline_access", "email"}
        asked = [scope for scope in form.get("scope", "").split() if scope not in own]
        resource = asked[0].rpartition("/")[0].rstrip("/") if asked else ""
        if not resource or (self.resources and resource not in self.resources):
            raise Refused("unknown resource", resource=resource)
        return resource

    def _issue(self, issued: Issued) -> dict[str, Any]:
        if not self.applications.get(issued.client_id, Application("")).consented:
            raise Refused("no consent")
        issued.expires_at = self.clock() + self.expires_in_s
        token = secrets.token_urlsafe(900)  # about as long as a real one
        self.tokens[token] = issued
        answer: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": self.expires_in_s,
            "ext_expires_in": self.expires_in_s,
            "scope": f"{issued.resource}/.default",
        }
        if issued.user:
            refresh_token = secrets.token_urlsafe(300)
            self.refresh_tokens[refresh_token] = issued
            answer |= {"refresh_token": refresh_token, "id_token": self._id_token(issued)}
            answer["client_info"] = _packed({"uid": issued.user, "utid": self.tenant})
        return answer

    def _id_token(self, issued: Issued) -> str:
        now = int(self.clock())
        claims = {
            "iss": self.token_endpoint.replace("/oauth2/v2.0/token", "/v2.0"),
            "aud": issued.client_id,
            "sub": issued.user,
            "oid": issued.user,
            "tid": self.tenant,
            "preferred_username": issued.user,
            "iat": now,
            "exp": now + self.expires_in_s,
        } | ({"nonce": issued.nonce} if issued.nonce else {})
        # Clients get it over TLS from the token endpoint and so need not check a signature (OpenID Connect, 3.1.3.7).
        return f"{_packed({'typ': 'JWT', 'alg': 'none'})}.{_packed(claims)}."


def thumbprints(certificate: x509.Certificate) -> set[str]:
    """The two spellings by which a client may name its certificate in an assertion."""
    der = certificate.public_bytes(Encoding.DER)
    digests = (hashlib.sha256(der).digest(), hashlib.sha1(der, usedforsecurity=False).digest())
    return {base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for digest in digests} | {
        base64.urlsafe_b64encode(digest).decode() for digest in digests
    }


def _verify(assertion: str, key: str, audience: str, subject: str, wrong: str) -> None:
    try:
        claims = jwt.decode(assertion, key, algorithms=["PS256", "RS256"], audience=audience)
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise Refused("expired assertion") from None
    except jwt.PyJWTError:
        raise Refused(wrong) from None
    if claims.get("sub") != subject:
        raise Refused(wrong)


def _packed(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
