"""Sign-in without a person: client secret, certificate, federated token, managed identity.

Owns: how msal is asked for a token of an application. msal blocks, so it is asked in a worker thread.
Does not know: where the credentials come from, when a token is due.
Source: the MSAL for Python reference; Microsoft Learn, "Managed identities for Azure resources".
"""

from collections.abc import Callable
from typing import Any, Final

from bulklink.errors import SignInError
from bulklink.service.authority_http import Unreachable, raise_if_busy
from bulklink.service.sign_in_errors import refused
from bulklink.service.sign_in_place import Granted, Place, in_thread

MANAGED_IDENTITY_TIMEOUT_S: Final = 10.0


class ClientCredentials:
    """An application signs in as itself: by secret, certificate or a federated token.

    credential: gives what msal calls `client_credential`; called in the worker thread, once. secrets: must not show.
    """

    def __init__(
        self, kind: str, place: Place, client_id: str, credential: Callable[[], Any], secrets: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self._place = place
        self._client_id = client_id
        self._credential = credential
        self._secrets = secrets
        self._application: Any = None

    @property
    def who(self) -> str:
        """The application's id."""
        return f"application {self._client_id}"

    async def ask(self, force: bool, claims: str) -> Granted:
        """Get a token."""
        return await in_thread(self._ask, force, claims)

    def _ask(self, force: bool, claims: str) -> Granted:
        import msal

        if self._application is None:
            self._application = self._place.application(
                msal.ConfidentialClientApplication, self._client_id, client_credential=self._credential()
            )
        if force:
            self._application.remove_tokens_for_client()
        answer = self._application.acquire_token_for_client([self._place.scope], claims_challenge=claims or None)
        return self._place.granted(answer, self.who, self._secrets)


class ManagedIdentity:
    """The machine in Azure signs in as itself. client_id: of a user-assigned identity, "" for the machine's own."""

    kind = "managed-identity"

    def __init__(self, place: Place, client_id: str = "") -> None:
        self._place = place
        self._client_id = client_id
        self._client: Any = None

    @property
    def who(self) -> str:
        """The identity's id, if it is user-assigned."""
        return f"managed identity {self._client_id}".rstrip()

    async def ask(self, force: bool, claims: str) -> Granted:
        """Get a token."""
        return await in_thread(self._ask, force, claims)

    def _ask(self, force: bool, claims: str) -> Granted:
        import msal

        if self._client is None or force:
            identity = (
                msal.UserAssignedManagedIdentity(client_id=self._client_id)
                if self._client_id
                else msal.SystemAssignedManagedIdentity()
            )
            self._client = msal.ManagedIdentityClient(identity, http_client=_metadata_session())
        resource = str(self._place.environment)
        try:
            answer = self._client.acquire_token_for_client(resource=resource, claims_challenge=claims or None)
        except msal.ManagedIdentityError as why:
            raise SignInError(f"Managed identity is not available on this machine: {why}.") from None
        except OSError as why:
            raise Unreachable(
                f"the managed identity endpoint cannot be reached ({type(why).__name__}): is this machine in Azure?"
            ) from None
        if answer and answer.get("access_token"):
            return Granted(str(answer["access_token"]), float(answer["expires_in"]))
        raise refused(answer or {}, f"this machine's managed identity endpoint as {self.who}")


def _metadata_session() -> Any:
    """What msal sends with here; a `requests.Session`, because Service Fabric needs one."""
    import requests

    class Session(requests.Session):
        def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
            options.setdefault("timeout", MANAGED_IDENTITY_TIMEOUT_S)
            response = super().request(method, url, **options)
            raise_if_busy("the managed identity endpoint", response.status_code, response.headers)
            return response

    session = Session()
    session.trust_env = False  # the metadata address is link-local: no proxy, no .netrc
    return session
