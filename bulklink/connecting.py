"""Everything that speaks to one environment in one run: transport, pace, reader, metadata.

Owns: how a job's settings become these, and which headers its operations carry.
Does not know: what is read or sent.
Source: Microsoft Learn, "Bypass custom business logic", "Impersonate another user using the Web API".
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import anyio

from bulklink.core.pace import Pace, PaceSettings
from bulklink.driving import Clock
from bulklink.files.lock import state_directory
from bulklink.gate import PaceGate
from bulklink.job import Dataverse, LoadedJob
from bulklink.listener import Listener
from bulklink.service.metadata import Metadata
from bulklink.service.reading import Reader, checked
from bulklink.service.sign_in import Settings, token_source
from bulklink.service.transport import Transport

_BYPASS: Final[Mapping[str, str]] = {"custom-sync": "CustomSync", "custom-async": "CustomAsync"}

#: Who cannot be reached at all is more likely misspelt than restarting: some 10 to 20 s are enough to tell.
FIRST_ATTEMPTS: Final = 5


def operation_headers(dataverse: Dataverse) -> list[tuple[str, str]]:
    """The optional headers of a job. They stand on each operation and on the batch: nobody knows which one counts."""
    headers = []
    if dataverse.caller_object_id:
        headers.append(("CallerObjectId", dataverse.caller_object_id))
    logic = ",".join(_BYPASS[one] for one in dataverse.bypass if one in _BYPASS)
    if logic:
        headers.append(("MSCRM.BypassBusinessLogicExecution", logic))
    if "flows" in dataverse.bypass:
        headers.append(("MSCRM.SuppressCallbackRegistrationExpanderJob", "true"))
    if dataverse.duplicate_detection:
        # The Web API leaves detection out unless it is asked not to.
        headers.append(("MSCRM.SuppressDuplicateDetection", "false"))
    return headers


class Connection:
    """One environment, signed in. Use as ``async with``."""

    def __init__(
        self,
        loaded: LoadedJob,
        env: Mapping[str, str],
        listener: Listener,
        clock: Clock,
        credential: object = None,
    ) -> None:
        dataverse, send = loaded.job.dataverse, loaded.job.send
        ca_file = str(loaded.resolve(dataverse.ca_file)) if dataverse.ca_file else ""
        settings = _sign_in_settings(loaded, dataverse, ca_file)
        self._tokens = tokens = token_source(settings, env, state_directory(), credential=credential)
        #: What must not get into any file.
        self.secrets = [
            secret
            for secret in (
                settings.client_secret,
                settings.certificate_password,
                env.get("BULKLINK_TOKEN", ""),
                env.get("BULKLINK_CLIENT_SECRET", ""),
            )
            if secret
        ]
        self.transport = Transport(
            dataverse.api_url,
            tokens,
            ca_file=ca_file,
            request_timeout_s=send.request_timeout,
            headers=dict(operation_headers(dataverse)),
        )
        self.pace = Pace(
            PaceSettings(
                concurrency=None if send.concurrency == "auto" else int(send.concurrency),
                batch_size=None if send.batch_size == "auto" else int(send.batch_size),
                share=send.share,
            )
        )

        def waiting(seconds: float, why: str) -> None:
            listener.waiting(clock.wall() + seconds, why)

        gate = PaceGate(self.pace, clock.monotonic, waiting)
        self.reader = Reader(self.transport, dataverse.api_url, gate, waiting=waiting)
        self.metadata = Metadata(self.reader)

    async def __aenter__(self) -> Self:
        await self.transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):  # an interrupted run closes its connections all the same
            await self.transport.__aexit__(kind, error, trace)

    @property
    def signed_in_as(self) -> str:
        """How it is signed in, and as whom, as far as that is known; no secret."""
        return f"{self._tokens.kind}, {self._tokens.who}"

    async def who_am_i(self) -> None:
        """The cheapest signed request: sign-in and x-ms-dop-hint. Raises SignInError if the user is refused."""
        checked(await self.reader.get("WhoAmI", attempts=FIRST_ATTEMPTS), "WhoAmI")


def _sign_in_settings(loaded: LoadedJob, dataverse: Dataverse, ca_file: str) -> Settings:
    def secret(value: object) -> str:
        return value.get_secret_value() if hasattr(value, "get_secret_value") else ""

    return Settings(
        url=dataverse.url,
        auth=dataverse.auth,
        tenant_id=dataverse.tenant_id,
        client_id=dataverse.client_id,
        client_secret=secret(dataverse.client_secret),
        certificate_file=str(loaded.resolve(dataverse.certificate_file)) if dataverse.certificate_file else "",
        certificate_password=secret(dataverse.certificate_password),
        authority=dataverse.authority,
        ca_file=ca_file,
    )
