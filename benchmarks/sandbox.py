"""How fast is the sandbox? Links a second end to end, as a ratio to plain SQLite inserts of the same rows.

    python benchmarks/sandbox.py [--links 50000] [--change-set 100] [--batch 100] [--connections 4] [--durable]

The server runs in a process of its own without weather; the client is a bare socket with bodies made beforehand, so
that what is measured is the server. The plain inserts write the same pairs into the same kind of table, one transaction
for each change set. With --durable both write to a file, in the same mode (WAL, synchronous = NORMAL), as
`bulklink sandbox --data FILE` does. Judge by the ratio: it carries over to other machines, the absolute numbers do not.
"""

import argparse
import asyncio
import multiprocessing
import sqlite3
import tempfile
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox

#: The goal: operations a second on two shared vCPUs.
GOAL = 5_000

ACCOUNTS = 500


def ids(table: str, count: int) -> list[str]:
    return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{table} {number}")) for number in range(count)]


def pairs_of(links: int) -> list[tuple[str, str]]:
    accounts, leads = ids("account", ACCOUNTS), ids("lead", links)
    return [(accounts[number % ACCOUNTS], lead) for number, lead in enumerate(leads)]


def serve(links: int, file: Path | None, pipe: Connection) -> None:
    organisation = Organisation.sample(file)
    organisation.load_table("account", [{"accountid": record_id} for record_id in ids("account", ACCOUNTS)])
    organisation.load_table("lead", [{"leadid": record_id} for record_id in ids("lead", links)])

    async def run() -> None:
        async with Sandbox(organisation, limits=Limits.off()) as sandbox:
            pipe.send(sandbox.port)
            await asyncio.to_thread(pipe.recv)
            pipe.send(sum(1 for _ in organisation.links("accountleads_association")))

    asyncio.run(run())


def bodies(port: int, pairs: list[tuple[str, str]], change_set: int, batch: int) -> list[bytes]:
    api = f"http://127.0.0.1:{port}/api/data/v9.2"
    made = []
    for first in range(0, len(pairs), batch):
        lines = []
        rows = pairs[first : first + batch]
        for number, (account, lead) in enumerate(rows):
            if number % change_set == 0:
                lines += ["--cs--"] * bool(number) + ["--b", "Content-Type: multipart/mixed; boundary=cs", ""]
            lines += ["--cs", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
            lines += [f"Content-ID: {number + 1}", ""]
            lines += [f"POST /api/data/v9.2/accounts({account})/accountleads_association/$ref HTTP/1.1"]
            lines += ["Content-Type: application/json", "", f'{{"@odata.id":"{api}/leads({lead})"}}']
        text = "\r\n".join([*lines, "--cs--", "--b--", ""]).encode()
        head = (
            f"POST /api/data/v9.2/$batch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer any\r\n"
            f"Content-Type: multipart/mixed; boundary=b\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        made.append(head.encode() + text)
    return made


async def send(port: int, queue: list[bytes]) -> int:
    """Send what is in the queue over one connection; the number of 204s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while queue:
        writer.write(queue.pop())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(int(length.split(b":")[1]))
        done += body.count(b"HTTP/1.1 204 ")
    writer.close()
    return done


def through_the_sandbox(
    pairs: list[tuple[str, str]], change_set: int, batch: int, connections: int, file: Path | None
) -> float:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(len(pairs), file, there), daemon=True)
    server.start()
    port = here.recv()
    queue = bodies(port, pairs, change_set, batch)

    async def all_connections() -> int:
        return sum(await asyncio.gather(*[send(port, queue) for _ in range(connections)]))

    started = time.perf_counter()
    done = asyncio.run(all_connections())
    took_s = time.perf_counter() - started
    here.send("stop")
    linked = here.recv()
    server.join()
    assert done == linked == len(pairs), f"{done} answered, {linked} linked, {len(pairs)} asked"
    return took_s


def plain_inserts(pairs: list[tuple[str, str]], change_set: int, file: Path | None) -> float:
    connection = sqlite3.connect(file or ":memory:", isolation_level=None)
    if file:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE accountleads (id INTEGER PRIMARY KEY, accountid TEXT, leadid TEXT)")
    connection.execute("CREATE UNIQUE INDEX pair ON accountleads (accountid, leadid)")
    started = time.perf_counter()
    for first in range(0, len(pairs), change_set):
        connection.execute("BEGIN")
        for pair in pairs[first : first + change_set]:
            connection.execute("INSERT INTO accountleads (accountid, leadid) VALUES (?, ?)", pair)
        connection.execute("COMMIT")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=50_000)
    parser.add_argument("--change-set", type=int, default=100)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--durable", action="store_true")
    options = parser.parse_args()
    pairs = pairs_of(options.links)
    with tempfile.TemporaryDirectory() as folder:
        files = (Path(folder, "sandbox"), Path(folder, "plain")) if options.durable else (None, None)
        sandbox_s = through_the_sandbox(pairs, options.change_set, options.batch, options.connections, files[0])
        plain_s = plain_inserts(pairs, options.change_set, files[1])
    rate = options.links / sandbox_s
    print(f"sandbox        {rate:>10,.0f} links/s  (goal {GOAL:,}: {'met' if rate >= GOAL else 'MISSED'})")
    print(f"plain SQLite   {options.links / plain_s:>10,.0f} inserts/s")
    print(f"ratio          {sandbox_s / plain_s:>10.1f} times the time of plain inserts")


if __name__ == "__main__":
    main()
