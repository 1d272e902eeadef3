"""How much of the ideal schedule does a whole run reach under service protection, over real sockets?

The limits of the service, scaled down: a window of 30 s with 600 requests and 120 s of execution, 8 requests at a time,
so again 4 s of work a second. The job may have 8 in flight and has batches of half a second, which is to this window
what 5 s are to the service's own; everything else is found by itself. The run is a real one: files, journal, HTTP.
Retry-After counts whole seconds, which the scale does not shrink: in a window of 6 s each would cost ten times as much.

The ideal begins each window with a burst of 8 at a time until the window is used up, and begins the next one the moment
it opens. The sandbox counts a request when it ends, so that a burst gets in what is under way at that moment, too: the
ideal may have this as well. Time counts from the first batch's arrival to the last answer.

    python -m benchmarks.live_protection [--windows 3.5] [--seed 1]
"""

import argparse
import contextlib
import csv
import io
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from bulklink import api
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.weather_file import read_weather

GOAL = 0.90
LIMITS = Limits(requests=600, execution_s=120.0, concurrency=8, window_s=30.0)
OPERATION_S = 0.04
REQUEST_S = 0.02
BATCH_SIZE = 12
#: A request that left before the refusal of another one was read cannot know of it.
CROSSING_S = 0.25

JOB = """
version = 1
name = "protected"
[dataverse]
url = "{url}"
auth = "token"
[input]
file = "links.csv"
[link]
relationship = "accountleads_association"
from = {{ table = "account", match = {{ accountid = "From" }} }}
to = {{ table = "lead", match = {{ leadid = "To" }} }}
skip_existing = "never"
[send]
concurrency = {concurrency}
batch_size = {batch_size}
"""


@dataclass
class Record:
    """What the sandbox saw of the batches: when they came and were answered, how, and how many at a time."""

    sandbox: Sandbox
    arrived_s: list[float] = field(default_factory=list)
    answered: list[tuple[float, int, int]] = field(default_factory=list)  # (when, status, Retry-After)
    executed_s: list[float] = field(default_factory=list)
    in_flight: int = 0
    in_flight_max: int = 0

    def __post_init__(self) -> None:
        reception = self.sandbox.reception
        arrive, answer = reception.arrive, reception.answer

        def arrives(request, now_s):
            visit = arrive(request, now_s)
            if visit.is_batch:
                self.arrived_s.append(now_s)
                self.in_flight += 1
                self.in_flight_max = max(self.in_flight_max, self.in_flight)
            return visit

        def answers(visit, now_s):
            done = answer(visit, now_s)
            if visit.is_batch:
                self.in_flight -= 1
                retry_after_s = int(dict(done.headers).get("Retry-After", 0))
                self.answered.append((now_s, done.status, retry_after_s))
                if done.status != 429:
                    self.executed_s.append(now_s - visit.arrived_s)
            return done

        reception.arrive, reception.answer = arrives, answers

    @property
    def refused(self) -> int:
        return sum(status == 429 for _, status, _ in self.answered)

    def sent_while_blocked(self) -> int:
        """Batches that came after a refusal had been read, and before its Retry-After was over."""
        blocks = [(at_s + CROSSING_S, at_s + retry_s) for at_s, status, retry_s in self.answered if status == 429]
        return sum(any(begin < at_s < end - 0.01 for begin, end in blocks) for at_s in self.arrived_s)

    def took_s(self) -> float:
        return self.answered[-1][0] - self.arrived_s[0]


def ideal_s(executed_s: list[float], limits: Limits) -> float:
    """How long the best client takes for this work."""
    work_s, request_s = sum(executed_s), sum(executed_s) / len(executed_s)
    each_s = limits.execution_s + (limits.concurrency - 1) * request_s
    windows, rest_s = divmod(work_s, each_s)
    return windows * limits.window_s + rest_s / limits.concurrency


def guid(kind: int, number: int) -> str:
    return f"0000000{kind}-0000-4000-8000-{number:012d}"


@contextlib.contextmanager
def token() -> Iterator[None]:
    with mock.patch.dict(os.environ, {"BULKLINK_TOKEN": "any"}):
        yield


def run(folder: Path, rows: int, limits: Limits, operation_s: float, batch_size: int, seed: int = 1) -> Record:
    """A job of so many rows under these limits, in latency like real work; every row is associated."""
    organisation = Organisation.sample()
    accounts = min(rows, 500)
    organisation.load_table("account", [{"accountid": guid(1, n)} for n in range(accounts)])
    organisation.load_table("lead", [{"leadid": guid(2, n)} for n in range(rows)])
    weather = f'[latency]\nkind = "lognormal"\nrequest_s = {REQUEST_S}\noperation_s = {operation_s}\nsigma = 0.2\n'
    with (
        Sandbox(organisation, limits=limits, weather=read_weather(weather, "work", seed)).serving() as sandbox,
        token(),
    ):
        record = Record(sandbox)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["From", "To"])
        writer.writerows((guid(1, n % accounts), guid(2, n)) for n in range(rows))
        (folder / "links.csv").write_text(text.getvalue(), encoding="utf-8")
        job = JOB.format(url=sandbox.url, concurrency=limits.concurrency, batch_size=batch_size)
        (folder / "protected.toml").write_text(job, encoding="utf-8")
        summary = api.run(folder / "protected.toml")
        assert summary.facts["outcomes"] == {"associated": rows}, summary.facts["outcomes"]
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=float, default=3.5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = int(options.windows * LIMITS.execution_s / (OPERATION_S + REQUEST_S / BATCH_SIZE))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        record = run(Path(folder), rows, LIMITS, OPERATION_S, BATCH_SIZE, options.seed)
    ideal = ideal_s(record.executed_s, LIMITS)
    ratio = ideal / record.took_s()
    print(
        f"rows                 {rows:>8,} in {len(record.executed_s):,} batches, {time.perf_counter() - started:.0f} s"
    )
    allowed = f"{LIMITS.execution_s:g} s in {LIMITS.window_s:g} s allowed"
    print(f"execution            {sum(record.executed_s):>8.1f} s, {allowed}")
    print(f"took                 {record.took_s():>8.1f} s, the ideal {ideal:.1f} s")
    print(f"of the ideal         {ratio:>8.1%}  (goal {GOAL:.0%}: {'met' if ratio >= GOAL else 'MISSED'})")
    print(f"refused              {record.refused:>8,}")
    print(f"sent while blocked   {record.sent_while_blocked():>8,}")
    print(f"in flight at most    {record.in_flight_max:>8,}  (allowed {LIMITS.concurrency})")


if __name__ == "__main__":
    main()
