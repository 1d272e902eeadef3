"""What does it cost to find records by business keys? Requests, seconds, memory, against the sandbox over HTTP.

A CSV of `--rows` rows with `--keys` distinct account numbers and as many e-mail addresses is read, resolved and spooled
as the first pass of a run does it; the sandbox serves from a process of its own. Three sizes with the same keys: as
many rows as keys, `--rows`, and four times as many. Memory is the peak of a process that does nothing else.

    python -m benchmarks.keys [--rows 200000] [--keys 50000]
"""

import argparse
import csv
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from bulklink import tasks
from bulklink.connecting import Connection as Environment
from bulklink.driving import SystemClock
from bulklink.files.readers import open_input
from bulklink.first_pass import ask_for_keys
from bulklink.job import Job
from bulklink.listener import Listener
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox

LINK = {
    "relationship": "contact_customer_accounts",
    "from": {"table": "account", "match": {"accountnumber": "Account"}},
    "to": {"table": "contact", "match": {"emailaddress1": "E-mail"}},
}


def record_id(kind: int, number: int) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def serve(keys: int, pipe: Connection) -> None:
    """A sandbox with that many accounts and contacts."""
    organisation = Organisation.sample()
    accounts = ({"accountid": record_id(1, n), "accountnumber": f"{n:08}"} for n in range(keys))
    contacts = ({"contactid": record_id(2, n), "emailaddress1": f"person.{n}@contoso.example"} for n in range(keys))
    organisation.load_table("account", accounts)
    organisation.load_table("contact", contacts)
    with Sandbox(organisation, limits=Limits.off()).serving() as sandbox:
        pipe.send(sandbox.url)
        pipe.recv()


def write_csv(path: Path, rows: int, keys: int) -> None:
    chance = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("Account", "E-mail"))
        for row in range(rows):
            # Every key at least once, the others at random; one row in a hundred names nobody.
            account, contact = (row, row) if row < keys else (chance.randrange(keys), chance.randrange(keys))
            lost = row % 100 == 99
            writer.writerow((f"{account:08}", f"person.{contact}@contoso.example{'.invalid' if lost else ''}"))


def peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def work(path: Path, url: str, pipe: Connection) -> None:
    """Read, resolve, spool; tells requests, operations, seconds and megabytes."""
    os.environ["BULKLINK_TOKEN"] = "any"
    values = {"dataverse": {"url": url, "auth": "token"}, "input": {"file": str(path)}, "link": LINK}
    loaded = Job.from_mapping(values, {})
    counts = {"requests": 0, "bytes": 0}

    async def resolve() -> tuple[int, int]:
        table = open_input(loaded.required_input(), loaded.base_dir)
        async with Environment(loaded, os.environ, Listener(), SystemClock()) as environment:
            post = environment.transport.post

            async def counted(where, body, headers=None):
                counts["requests"] += 1
                counts["bytes"] += len(body)
                return await post(where, body, headers)

            environment.transport.post = counted
            task = await tasks.plan(loaded.job, table, environment.metadata)
            with tempfile.TemporaryDirectory() as folder:
                intake = task.intake(table, Path(folder))
                fallen = sum(len(block) for block in intake.read())
                counts["requests"] = counts["bytes"] = 0
                await ask_for_keys(intake.books, environment.reader, environment.metadata)
                fallen += sum(len(block) for block in intake.resolve())
                with intake.spool() as spool:
                    return spool.n_rows, fallen

    before_mb, began = peak_mb(), time.perf_counter()
    rows, fallen = anyio.run(resolve)
    seconds = time.perf_counter() - began
    pipe.send((rows, fallen, counts["requests"], counts["bytes"] / 1e6, seconds, before_mb, peak_mb()))


def measured(path: Path, url: str) -> tuple[float, ...]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(path, url, theirs))
    process.start()
    found = ours.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--keys", type=int, default=50_000)
    asked = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(asked.keys, theirs), daemon=True)
    server.start()
    url = ours.recv()
    print(
        f"{'rows':>10} {'not found':>10} {'requests':>9} {'MB sent':>8} {'seconds':>8} {'MB before':>10} {'MB peak':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for rows in (asked.keys, asked.rows, 4 * asked.rows):
            path = Path(folder) / f"{rows}.csv"
            write_csv(path, rows, asked.keys)
            found = measured(path, url)
            print("{:>10,} {:>10,} {:>9,} {:>8.1f} {:>8.1f} {:>10.0f} {:>8.0f}".format(*found))
    ours.send("stop")
    server.join(5)


if __name__ == "__main__":
    main()
