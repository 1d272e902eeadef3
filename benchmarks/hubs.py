"""Does one busy record cause deadlocks, and does it hold up the others?

A file of 20,000 rows in which one account has 5,000; the same file shuffled; a file in which no account has more than
a few. The real engine with default settings links them on a virtual clock. The service takes 10 ms a request and 10 ms
an operation, times a log-normal jitter of sigma 0.2, 50 ms for the way, works on so many requests at a time as its hint
says and lets the others wait. Where two requests at work touch one account, the later one loses a deadlock at that row.

"others done" is when 99 % of the rows of all other accounts were settled: that is what the hub must not hold up.
"hub_parallelism 52" switches the protection off, to show what it is for.

    python -m benchmarks.hubs [--rows 20000] [--hub 5000] [--hint 4]
"""

import argparse
import heapq
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bulklink.core.change_set_size import ChangeSetSizer
from bulklink.core.engine import Engine
from bulklink.core.forms import choose_form, operation_template
from bulklink.core.ledger import Ledger
from bulklink.core.link_work import LinkWork
from bulklink.core.pace import Pace, PaceSettings
from bulklink.core.packing import BusySide, bucket_count, bucket_of
from bulklink.core.relationships import Cardinality, Intersect, Relationship, Table
from bulklink.core.steps import EngineSettings, Finished, Halted, Send
from bulklink.core.wishes import Wishes
from bulklink.vocabulary import Action, Form

REQUEST_S, OPERATION_S, WAY_S, SIGMA = 0.010, 0.010, 0.050, 0.2
API_URL = "https://org.example/api/data/v9.2"
RELATIONSHIP = Relationship(
    "accountleads_association",
    Cardinality.MANY_TO_MANY,
    Table("account", "accounts", "accountid"),
    Table("lead", "leads", "leadid"),
    "accountleads_association",
    "accountleads_association",
    False,
    Intersect("accountleadscollection", "accountleadid", "accountid", "leadid"),
)
_DONE = b"HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n\r\n"
_DEADLOCK = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\r\n"
    b'{"error":{"code":"0x80044150","message":"Generic SQL error. Sql Number: 1205"}}\r\n'
)
_NOTHING = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"value":[]}\r\n'
_APPLICATION = b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"


def file_of(rows: int, hub: int, *, shuffled: bool = False, seed: int = 1) -> NDArray[np.int64]:
    """(rows,) the account of each row: number 0 has `hub` rows one after the other, the others about eight each."""
    rng = np.random.default_rng(seed)
    others = rng.integers(1, max(2, (rows - hub) // 8), rows - hub)
    start = (rows - hub) // 3
    accounts = np.concatenate([others[:start], np.zeros(hub, np.int64), others[start:]])
    return rng.permutation(accounts) if shuffled else accounts


def engine_for(accounts: NDArray[np.int64], hub_parallelism: int) -> Engine:
    """The engine as a run with default settings makes it."""
    rows = len(accounts)
    from_ids, to_ids = _ids(1, accounts), _ids(2, np.arange(rows))
    busy = BusySide()
    busy.add(from_ids, to_ids)
    buckets = bucket_of(to_ids if busy.is_to else from_ids, bucket_count(rows))
    actions = np.full(rows, Action.ASSOCIATE, np.uint8)
    form = choose_form(RELATIONSHIP, Action.ASSOCIATE, Form.AUTO)
    template = operation_template(form, RELATIONSHIP, API_URL, Action.ASSOCIATE)
    work = LinkWork(
        RELATIONSHIP,
        lambda some: Wishes(from_ids[some], to_ids[some], actions[some]),
        {Action.ASSOCIATE: template},
        buckets,
        {},
        "auto",
        "/api/data/v9.2",
        lambda row: f"row {row + 1}",
    )
    settings = EngineSettings(boundary="hubs", hub_parallelism=hub_parallelism)
    return Engine(work, Ledger(rows), settings, Pace(PaceSettings()), ChangeSetSizer(None))


def _ids(kind: int, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    ids = np.zeros((len(numbers), 16), np.uint8)
    ids[:, 3] = kind
    ids[:, 8:] = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    return ids


@dataclass
class Service:
    """So many requests at work at a time; a request that touches what another one touches loses a deadlock."""

    accounts: NDArray[np.int64]
    workers: int
    seed: int = 1
    deadlocks: int = 0
    free_s: list[float] = field(default_factory=list)
    at_work: dict[int, tuple[float, float, set[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.free_s = [0.0] * self.workers
        self.chance = random.Random(self.seed)

    def take(self, send: Send, now_s: float) -> tuple[float, bytes]:
        """When the answer is back, and what it says."""
        operations = len(send.rows) or send.body.count(b"GET /")
        begins_s = max(now_s + WAY_S / 2, heapq.heappop(self.free_s))
        ends_s = begins_s + (REQUEST_S + operations * OPERATION_S) * self.chance.lognormvariate(-0.02, SIGMA)
        heapq.heappush(self.free_s, ends_s)
        if send.is_read:
            return ends_s + WAY_S / 2, _answer([b"--b\r\n" + _APPLICATION + b"\r\n" + _NOTHING] * operations)
        touched = self.accounts[send.rows]
        self.at_work = {k: one for k, one in self.at_work.items() if one[1] > begins_s}
        taken = set().union(*(mine for began_s, _, mine in self.at_work.values() if began_s < ends_s), set())
        self.at_work[send.number] = (begins_s, ends_s, set(touched.tolist()))
        lost = [account in taken for account in touched.tolist()]
        self.deadlocks += sum(lost)
        return ends_s + WAY_S / 2, _answer(list(_change_sets(lost)))


def _change_sets(lost: list[bool]) -> Iterator[bytes]:
    # The engine's change sets stay at one here: what one row loses, no other row loses with it.
    for number, is_lost in enumerate(lost, start=1):
        head = b"--b\r\nContent-Type: multipart/mixed; boundary=c%d\r\n\r\n--c%d\r\n" % (number, number)
        outcome = _DEADLOCK if is_lost else _DONE
        yield head + _APPLICATION + b"Content-ID: %d\r\n\r\n" % number + outcome + b"--c%d--\r\n" % number


def _answer(parts: list[bytes]) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


@dataclass
class Result:
    """What came of one file."""

    seconds: float
    others_seconds: float
    deadlocks: int
    together_max: int


def simulate(accounts: NDArray[np.int64], *, hint: int = 4, hub_parallelism: int = 1, seed: int = 1) -> Result:
    """Link the whole file. together_max: requests in flight that touched one account at the same time."""
    engine = engine_for(accounts, hub_parallelism)
    service = Service(accounts, hint, seed)
    headers: Mapping[str, str] = {"content-type": "multipart/mixed; boundary=b", "x-ms-dop-hint": str(hint)}
    order = itertools.count()
    events: list[tuple[float, int, int, bytes]] = []
    flying: dict[int, set[int]] = {}
    now_s, together = 0.0, 0
    others_s: list[float] = []
    while True:
        step = engine.next_step(now_s)
        for block in engine.take_settled():
            others_s += [now_s] * int(np.count_nonzero(accounts[block.rows]))
        if isinstance(step, Finished):
            return Result(now_s, float(np.percentile(others_s, 99)), service.deadlocks, together)
        assert not isinstance(step, Halted), step
        if isinstance(step, Send):
            at_s, body = service.take(step, now_s)
            heapq.heappush(events, (at_s, next(order), step.number, body))
            flying[step.number] = set(accounts[step.rows].tolist())
            together = max(together, _most_together(flying))
        elif events and events[0][0] <= step.until_s:
            now_s, _, number, body = heapq.heappop(events)
            del flying[number]
            engine.replied(number, 200, headers, body, now_s)
        else:
            now_s = max(now_s + 1e-3, step.until_s)


def _most_together(flying: Mapping[int, set[int]]) -> int:
    newest = flying[max(flying)]
    return max((sum(account in mine for mine in flying.values()) for account in newest), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--hub", type=int, default=5_000)
    parser.add_argument("--hint", type=int, action="append", help="x-ms-dop-hint; 4, 8 and 16 if not given")
    arguments = parser.parse_args()
    files = {
        "one hub, in one block": file_of(arguments.rows, arguments.hub),
        "the same, shuffled": file_of(arguments.rows, arguments.hub, shuffled=True),
        "no hub": file_of(arguments.rows, 0),
        "the others of the hub's file alone": file_of(arguments.rows - arguments.hub, 0),
    }
    print("hint  file                                 all done   rows/s   others done   rows/s   deadlocks   together")
    for hint in arguments.hint or (4, 8, 16):
        for name, accounts in files.items():
            _print(hint, name, accounts, simulate(accounts, hint=hint))
        shuffled = files["the same, shuffled"]
        _print(hint, "shuffled, hub_parallelism 52", shuffled, simulate(shuffled, hint=hint, hub_parallelism=52))


def _print(hint: int, name: str, accounts: NDArray[np.int64], one: Result) -> None:
    others = int((accounts != 0).sum())
    print(
        f"{hint:4}  {name:36} {one.seconds:6.1f} s {len(accounts) / one.seconds:8.0f} {one.others_seconds:11.1f} s"
        f" {others / one.others_seconds:8.0f} {one.deadlocks:11} {one.together_max:10}"
    )


if __name__ == "__main__":
    main()
