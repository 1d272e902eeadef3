"""A sign-in authority for rehearsals, the demo and tests: OpenID discovery, tokens, device codes.

Owns: the endpoints, in the layout of Microsoft Entra, and their faults: throttled, slow to approve, unknown tenant.
Does not know: Dataverse; who may have a token is `authority_grants`.
Source: Microsoft Learn, "OpenID Connect on the Microsoft identity platform"; RFC 8628; what msal asks for.
"""

import json
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import escape
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from bulklink.sandbox.authority_grants import Application, Grants
from bulklink.sandbox.authority_refusals import Refused

TENANT: Final = "11111111-2222-4333-8444-555555555555"

_Handler = Callable[[web.Request], Any]


class Authority:
    """One tenant's authority.

    grants: register applications here, set `expires_in_s`, revoke. user: who approves device codes and signs in in the
    browser; "" leaves device codes pending until `grants.decide`. requests: how often each endpoint was asked.
    """

    def __init__(self, tenant: str = TENANT, *, user: str = "") -> None:
        self.tenant = tenant
        self.user = user
        self.grants = Grants(tenant)
        self.requests: Counter[str] = Counter()
        self.origin = ""
        self.device_code_interval_s = 5
        self._faults: list[tuple[int, str]] = []

    def register(self, client_id: str, **credentials: Any) -> Application:
        """Register an application; without credentials it is a public client."""
        application = Application(client_id, **credentials)
        self.grants.register(application)
        return application

    def is_valid(self, token: str) -> bool:
        """Whether this authority issued the token and still stands by it."""
        return self.grants.holder(token) is not None

    def user_of(self, token: str) -> str | None:
        """The user or application that a valid token stands for; None for any other token."""
        held = self.grants.holder(token)
        return (held.user or held.client_id) if held else None

    def throttle(self, times: int, status: int = 429, retry_after: str = "1") -> None:
        """Refuse the next requests of the token endpoint, whatever they ask."""
        self._faults += [(status, retry_after)] * times

    @property
    def url(self) -> str:
        """The authority's URL with its tenant, as sign-in libraries want it."""
        return f"{self.origin}/{self.tenant}"

    def challenge(self, environment: str) -> str:
        """What an environment that trusts this authority puts into ``WWW-Authenticate`` of a 401."""
        return f"Bearer authorization_uri={self.url}/oauth2/authorize, resource_id={environment}/"

    # ------------------------------------------------------------------ HTTP

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[_in_entras_words])
        app.add_routes(
            [
                web.get("/common/discovery/instance", self._instance),
                web.get("/{tenant}/v2.0/.well-known/openid-configuration", self._openid_configuration),
                web.get("/{tenant}/oauth2/v2.0/authorize", self._authorize),
                web.post("/{tenant}/oauth2/v2.0/devicecode", self._device_code),
                web.post("/{tenant}/oauth2/v2.0/token", self._token),
                web.get("/metadata/identity/oauth2/token", self._managed_identity),
            ]
        )
        return app

    @asynccontextmanager
    async def serving(
        self, tls: ssl.SSLContext | None, *, host: str = "127.0.0.1", port: int = 0
    ) -> AsyncIterator[str]:
        """Serve until the block ends; gives the origin. Sign-in libraries insist on TLS, managed identity has none."""
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, ssl_context=tls)
            await site.start()
            bound = runner.addresses[0][1]
            self.origin = f"{'https' if tls else 'http'}://{host}:{bound}"
            self.grants.token_endpoint = f"{self.url}/oauth2/v2.0/token"
            yield self.origin
        finally:
            await runner.cleanup()

    async def _instance(self, request: web.Request) -> web.Response:
        self.requests["instance"] += 1
        endpoint = f"{self.url}/v2.0/.well-known/openid-configuration"
        host = request.host
        aliases = [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}]
        return web.json_response({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": aliases})

    async def _openid_configuration(self, request: web.Request) -> web.Response:
        self.requests["openid"] += 1
        tenant = request.match_info["tenant"]
        if tenant not in (self.tenant, "organizations", "common"):
            raise Refused("unknown tenant", tenant=tenant)
        base = f"{self.origin}/{tenant}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "response_types_supported": ["code"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "subject_types_supported": ["pairwise"],
            }
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        """The browser's way in: whoever asks is `user`, at once."""
        self.requests["authorize"] += 1
        query = request.query
        answer = {"state": query.get("state", "")}
        try:
            answer["code"] = self.grants.start_code(request.match_info["tenant"], query, self.user or "nobody")
        except Refused as refused:
            answer |= {"error": refused.refusal.error, "error_description": refused.words}
        if query.get("response_mode") == "form_post":
            return web.Response(text=_self_posting_form(query["redirect_uri"], answer), content_type="text/html")
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode(answer)}")

    async def _device_code(self, request: web.Request) -> web.Response:
        self.requests["device_code"] += 1
        device_code, user_code = self.grants.start_device_code(request.match_info["tenant"], await _form(request))
        if self.user:
            self.grants.decide(user_code, self.user)
        page = f"{self.origin}/devicelogin"
        return web.json_response(
            {
                "device_code": device_code,
                "user_code": user_code,
                "verification_uri": page,
                "expires_in": 900,
                "interval": self.device_code_interval_s,
                "message": f"To sign in, open {page} and enter the code {user_code}.",
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        self.requests["token"] += 1
        if self._faults:
            status, retry_after = self._faults.pop(0)
            return web.Response(status=status, headers={"Retry-After": retry_after}, text="Too busy.")
        return web.json_response(self.grants.token(request.match_info["tenant"], await _form(request)))

    async def _managed_identity(self, request: web.Request) -> web.Response:
        """What a machine in Azure asks on its link-local address."""
        self.requests["managed_identity"] += 1
        if request.headers.get("Metadata") != "true":
            return web.json_response(
                {"error": "bad_request_102", "error_description": "No Metadata header"}, status=400
            )
        answer = self.grants.managed(request.query.get("resource", "").rstrip("/"))
        return web.json_response({**answer, "expires_in": str(answer["expires_in"])})


def _self_posting_form(action: str, fields: Mapping[str, str]) -> str:
    """OAuth 2.0 Form Post Response Mode: the browser carries the answer in a body, not in its history."""
    inputs = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in fields.items())
    return f'<body onload="document.forms[0].submit()"><form method="post" action="{escape(action)}">{inputs}</form>'


async def _form(request: web.Request) -> Mapping[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}


@web.middleware
async def _in_entras_words(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as refused:
        trace, correlation = str(uuid.uuid4()), request.headers.get("client-request-id", str(uuid.uuid4()))
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        body = {
            "error": refused.refusal.error,
            "error_description": f"{refused.words} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}",
            "error_codes": [refused.refusal.number],
            "timestamp": moment,
            "trace_id": trace,
            "correlation_id": correlation,
        }
        return web.Response(status=refused.refusal.status, text=json.dumps(body), content_type="application/json")
    return response
