"""Find out where to sign in for an environment.

Owns: the clouds and their authorities, and which authority hosts may be believed when the environment itself names one.
Does not know: credentials, msal.
Source: Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse" and "National clouds".
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from urllib.request import Request

from bulklink.errors import SignInError, UsageError
from bulklink.service.authority_http import AuthorityHttp
from bulklink.service.challenge import authorization_uri_of
from bulklink.service.connections import Origin, safe_origin

#: The end of an environment's host name -> the authority of its cloud.
CLOUDS: Final = {
    ".dynamics.com": "login.microsoftonline.com",
    ".microsoftdynamics.us": "login.microsoftonline.us",
    ".appsplatform.us": "login.microsoftonline.us",
    ".dynamics.cn": "login.partner.microsoftonline.cn",
}

#: Hosts that Microsoft runs. An environment could name any host in its 401, and would be sent the client's secret.
KNOWN_AUTHORITIES: Final = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoft.com",
        "login.windows.net",
        "sts.windows.net",
        "login.microsoftonline.us",
        "login.usgovcloudapi.net",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
    }
)

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\Z")
_GIVE_TENANT: Final = "Give tenant_id (BULKLINK_TENANT_ID), and authority where it is not one of Microsoft's."


def authority_url(environment: Origin, tenant_id: str, authority: str, ask: Callable[[], str]) -> str:
    """The authority's URL with its tenant, ``https://login.microsoftonline.com/<tenant>``.

    tenant_id, authority: as set, "" if not. ask: gives the ``WWW-Authenticate`` header of the environment's 401; only
    called when the settings leave something open. SignInError when the answer may not be believed or says nothing.
    """
    host, tenant = _given(authority)
    tenant = _checked_tenant(tenant_id) or tenant
    host = host or _cloud_of(environment.host)
    if not (host and tenant):
        found_host, found_tenant = _found(environment, ask())
        host, tenant = host or found_host, tenant or found_tenant
    return f"https://{host}/{tenant}"


def ask_environment(environment: Origin, client: AuthorityHttp) -> str:
    """The ``WWW-Authenticate`` header with which the environment refuses a request without token, or ""."""
    request = Request(f"{environment}/api/data/v9.2/", headers={"Accept": "application/json"})  # noqa: S310
    headers = client.fetch(request).headers
    return next((value for name, value in headers.items() if name.lower() == "www-authenticate"), "")


def _given(authority: str) -> tuple[str, str]:
    """Host (with port) and tenant of the `authority` setting; a bare host name is taken as well."""
    if not authority:
        return "", ""
    url = authority if "://" in authority else f"https://{authority}"
    if safe_origin(url).scheme != "https":
        raise UsageError("The authority must be reached by https.", hint="Write authority as https://HOST/TENANT.")
    parts = urlsplit(url)
    return parts.netloc.lower(), _checked_tenant(parts.path.strip("/").partition("/")[0])


def _cloud_of(host: str) -> str:
    return next((authority for suffix, authority in CLOUDS.items() if host.endswith(suffix)), "")


def _checked_tenant(tenant: str) -> str:
    if tenant and not _TENANT.match(tenant):
        raise UsageError(f"{tenant!r} is no tenant.", hint="tenant_id is a GUID or a domain such as contoso.com.")
    return tenant


def _found(environment: Origin, challenge: str) -> tuple[str, str]:
    """Host and tenant that the environment names, if they may be believed."""
    uri = authorization_uri_of(challenge)
    if not uri:
        raise SignInError(f"{environment} does not say where to sign in.", hint=_GIVE_TENANT)
    parts = urlsplit(uri)
    tenant = parts.path.strip("/").partition("/")[0]
    try:
        origin = safe_origin(uri)
    except UsageError:
        origin = None
    # A host on this machine is believed from an environment on this machine only: the sandbox.
    believed = origin is not None and (
        parts.netloc.lower() in KNOWN_AUTHORITIES or (origin.is_loopback and environment.is_loopback)
    )
    if not believed or parts.scheme != "https" or not _TENANT.match(tenant):
        raise SignInError(
            f"{environment} says to sign in at {parts.hostname}, which is none of Microsoft's sign-in hosts.",
            hint=f"Check the environment's URL. If it is right: {_GIVE_TENANT}",
        )
    return parts.netloc.lower(), tenant
