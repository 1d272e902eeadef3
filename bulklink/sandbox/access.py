"""Who may come in: bearer tokens.

Owns: which token stands for which user, expired tokens, the claims challenge of U20.
Does not know: protection, what a user may do.
Source: protocol 8.
"""

import base64
from collections.abc import Callable, Collection, Mapping
from typing import Final

from bulklink.sandbox.exchange import HttpAnswer, HttpRequest
from bulklink.sandbox.fault_answers import challenge_of, unauthorized

#: The user of every token where nobody says otherwise.
USER: Final = "sandbox"

_CLAIMS: Final = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()

#: Token -> the user it stands for, None if it is refused.
TokenCheck = Callable[[str], str | None]


def any_token(token: str) -> str | None:
    """Any token that is not empty will do; all are the same user's."""
    return USER if token else None


def only(tokens: Collection[str] | Mapping[str, str]) -> TokenCheck:
    """These tokens and no other; a mapping tells each one's user."""
    users = dict(tokens) if isinstance(tokens, Mapping) else dict.fromkeys(tokens, USER)
    return users.get


class Access:
    """The door.

    claims_wanted: refuse every token once with a claims challenge. challenge: origin -> what ``WWW-Authenticate`` says,
    for an environment that trusts another authority than the public cloud's.
    """

    def __init__(
        self,
        check: TokenCheck = any_token,
        *,
        claims_wanted: bool = False,
        challenge: Callable[[str], str] = challenge_of,
    ) -> None:
        self._check = check
        self._claims_wanted = claims_wanted
        self._challenge = challenge
        self._challenged: set[str] = set()
        self._expired: set[str] = set()

    def user(self, request: HttpRequest) -> str | HttpAnswer:
        """The user who asks, or the 401."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        user = self._check(token) if scheme.lower() == "bearer" else None
        if user is None:
            return unauthorized(self._challenge(request.origin))
        if token in self._expired:
            return self.expired(request)
        if self._claims_wanted and token not in self._challenged:
            self._challenged.add(token)
            return unauthorized(f'{self._challenge(request.origin)}, error="insufficient_claims", claims="{_CLAIMS}"')
        return user

    def expired(self, request: HttpRequest, *, for_good: bool = False) -> HttpAnswer:
        """The 401 for an expired token; `for_good`: it is refused from now on."""
        if for_good:
            self._expired.add(request.headers.get("authorization", "").partition(" ")[2].strip())
        return unauthorized(self._challenge(request.origin), expired=True)
