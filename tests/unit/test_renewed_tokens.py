"""When a token is renewed, and how a busy authority is waited for."""

import anyio
import pytest

from bulklink.errors import SignInError, StoppedEarly
from bulklink.service.authority_http import Unreachable
from bulklink.service.renewed_tokens import RETRY_RENEWAL_S, RenewedTokens
from bulklink.service.sign_in_place import Granted

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds


class ScriptedGrant:
    """Gives token-1, token-2 ...; `troubles` are raised first."""

    kind, who = "client-secret", "application x"

    def __init__(self, lasts_s: float = 3_600.0) -> None:
        self.lasts_s = lasts_s
        self.asked: list[tuple[bool, str]] = []
        self.troubles: list[Exception] = []

    async def ask(self, force: bool, claims: str) -> Granted:
        await anyio.lowlevel.checkpoint()
        self.asked.append((force, claims))
        if self.troubles:
            raise self.troubles.pop(0)
        return Granted(f"token-{len(self.asked)}", self.lasts_s)


def renewed(grant: ScriptedGrant) -> tuple[RenewedTokens, Clock]:
    clock = Clock()
    return RenewedTokens(grant, clock, clock.sleep), clock


async def test_many_senders_cause_one_request() -> None:
    grant = ScriptedGrant()
    source, _ = renewed(grant)
    tokens: list[str] = []

    async def send() -> None:
        tokens.append(await source.token())

    async with anyio.create_task_group() as group:
        for _ in range(52):
            group.start_soon(send)
    assert set(tokens) == {"token-1"}
    assert grant.asked == [(False, "")]


@pytest.mark.parametrize(("lasts_s", "renewed_after_s"), [(3_600.0, 3_480.0), (240.0, 120.0), (60.0, 30.0)])
async def test_a_token_is_renewed_two_minutes_before_its_end_or_at_half_of_a_short_life(
    lasts_s: float, renewed_after_s: float
) -> None:
    source, clock = renewed(ScriptedGrant(lasts_s))
    assert await source.token() == "token-1"
    clock.now_s += renewed_after_s - 0.1
    assert await source.token() == "token-1"
    clock.now_s += 0.1
    assert await source.token() == "token-2"


async def test_force_asks_at_once_and_hands_the_claims_on() -> None:
    grant = ScriptedGrant()
    source, _ = renewed(grant)
    await source.token()
    assert await source.token(force=True, claims="{}") == "token-2"
    assert await source.token() == "token-2"
    assert grant.asked == [(False, ""), (True, "{}")]


async def test_an_authority_out_of_reach_is_asked_four_times() -> None:
    grant = ScriptedGrant()
    grant.troubles = [Unreachable("x is busy"), Unreachable("x is busy", 30.0), Unreachable("x is busy")]
    source, clock = renewed(grant)
    assert await source.token() == "token-4"
    assert clock.waits == [1, 30, 4]


@pytest.mark.parametrize("troubles", [[Unreachable("x is busy")] * 4, [Unreachable("x is busy", 121.0)]])
async def test_when_waiting_does_not_help_the_run_stops(troubles: list[Exception]) -> None:
    grant = ScriptedGrant()
    grant.troubles = list(troubles)
    source, _ = renewed(grant)
    with pytest.raises(StoppedEarly, match="x is busy"):
        await source.token()


async def test_a_token_in_hand_is_used_while_it_lasts_when_it_cannot_be_renewed() -> None:
    grant = ScriptedGrant()
    source, clock = renewed(grant)
    await source.token()
    clock.now_s += 3_481
    grant.troubles = [Unreachable("x is busy")] * 4
    assert await source.token() == "token-1"
    assert await source.token() == "token-1"
    assert len(grant.asked) == 5, "not asked again for each batch"
    clock.now_s += RETRY_RENEWAL_S
    assert await source.token() == "token-6"


async def test_a_token_that_has_expired_is_not_used() -> None:
    grant = ScriptedGrant()
    source, clock = renewed(grant)
    await source.token()
    clock.now_s += 3_601
    grant.troubles = [Unreachable("x is busy")] * 4
    with pytest.raises(StoppedEarly):
        await source.token()


async def test_a_refusal_is_not_retried() -> None:
    grant = ScriptedGrant()
    grant.troubles = [SignInError("the secret is wrong")]
    source, clock = renewed(grant)
    with pytest.raises(SignInError):
        await source.token()
    assert (len(grant.asked), clock.waits) == (1, [])


def test_a_granted_token_does_not_show_itself() -> None:
    assert "planted-secret" not in repr(Granted("planted-secret", 1))
