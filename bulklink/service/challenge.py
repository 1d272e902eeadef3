"""Read the challenge that comes with a 401.

Owns: the two things a ``WWW-Authenticate`` header of Dataverse can tell: where to sign in, and which claims the next
token must carry.
Does not know: whether what it reads may be trusted.
Source: Microsoft Learn, "Use OAuth authentication with Microsoft Dataverse" (``authorization_uri=``, unquoted) and
"Claims challenges, claims requests and client capabilities" (``claims="..."``, base64 of JSON).
"""

import base64
import binascii
import re
from typing import Final

_CLAIMS: Final = re.compile(r'\bclaims="([^"]*)"', re.IGNORECASE)
_AUTHORIZATION_URI: Final = re.compile(r'\bauthorization_uri="?([^",\s]+)', re.IGNORECASE)


def authorization_uri_of(www_authenticate: str) -> str:
    """The URL of the authority's authorization endpoint, or "" if the header names none."""
    found = _AUTHORIZATION_URI.search(www_authenticate)
    return found[1] if found else ""


def claims_of(www_authenticate: str) -> str:
    """The claims challenge as JSON text, or "" if there is none that can be read."""
    found = _CLAIMS.search(www_authenticate)
    if found is None:
        return ""
    # Both base64 alphabets are seen, with and without padding.
    packed = found[1].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text if text.startswith("{") else ""
