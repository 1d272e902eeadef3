"""A job, an organisation and a sandbox on a real socket; the installed command runs against it, or the library.

The sandbox serves from a thread of this process, so that a test sees what arrives, to the moment.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from bulklink.driving import Interruption
from bulklink.errors import BulklinkError
from bulklink.files.journal import Journal
from bulklink.files.run_directory import JOURNAL
from bulklink.files.spool import Spool
from bulklink.job import Job, RunOptions
from bulklink.listener import Listener
from bulklink.sandbox.access import Access
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather_file import load_weather, read_weather
from bulklink.session import Session

ACCOUNTS, LEADS, CONTACTS = 60, 400, 60
RUN_S_MAX = 60

NN = """
[link]
relationship = "accountleads_association"
action = {action}
from = {{ table = "account", match = {{ accountid = "From" }} }}
to = {{ table = "lead", match = {{ leadid = "To" }} }}
"""
LOOKUP = """
[link]
relationship = "primarycontactid"
action = {action}
from = {{ table = "account", match = {{ accountid = "From" }} }}
to = {{ table = "contact", match = {{ contactid = "To" }} }}
"""
COLLECTION = """
[link]
relationship = "account_primary_contact"
action = {action}
from = {{ table = "contact", match = {{ contactid = "From" }} }}
to = {{ table = "account", match = {{ accountid = "To" }} }}
"""
CUSTOMER = """
[link]
relationship = "parentcustomerid_account"
action = {action}
from = {{ table = "contact", match = {{ contactid = "From" }} }}
to = {{ table = "account", match = {{ accountid = "To" }} }}
"""
ADD, REMOVE, MIXED = '"associate"', '"disassociate"', '{ column = "Action" }'
QUICK = "[latency]\nrequest_s = 0.01\noperation_s = 0.001\n"


def account(n: int) -> str:
    return record(1, n)


def lead(n: int) -> str:
    return record(2, n)


def contact(n: int) -> str:
    return record(3, n)


def record(kind: int, n: int) -> str:
    return str(uuid.UUID(int=(kind << 96) | (0x4000 << 64) | (0x8000 << 48) | n))


_INNER = re.compile(rb"^(?:POST|PATCH|PUT|DELETE) .*?(?=^--|\Z)", re.DOTALL | re.MULTILINE)
_GUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class Watch:
    """Sees every request at the sandbox: when it arrives, when it is executed, when it is answered.

    sent: the records of each operation that arrived, in order. on: called with (what, ordinal of the request).
    """

    sandbox: Sandbox
    sent: list[frozenset[str]] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    requests: int = 0
    on: Callable[[str, int], None] = lambda what, ordinal: None

    def __post_init__(self) -> None:
        reception = self.sandbox.reception
        arrive, work, answer = reception.arrive, reception.work, reception.answer

        def arrives(request, now_s):
            self.requests += 1
            self.arrivals_s.append(now_s)
            self.sent += [frozenset(g.decode() for g in _GUID.findall(one)) for one in _INNER.findall(request.body)]
            self.on("arrives", self.requests)
            return arrive(request, now_s)

        def works(visit, now_s):
            work(visit, now_s)
            self.on("is executed", self.requests)

        def answers(visit, now_s):
            done = answer(visit, now_s)
            self.on("is answered", self.requests)
            return done

        reception.arrive, reception.work, reception.answer = arrives, works, answers


@dataclass
class Ran:
    """How the command ended."""

    code: int
    out: str
    err: str


@dataclass
class Scene:
    """One folder with a job and its input, and an organisation behind a sandbox."""

    folder: Path
    sandbox: Sandbox
    watch: Watch
    relationship: str
    variables: dict[str, str] = field(default_factory=lambda: {"BULKLINK_TOKEN": "any"})

    # -- the job ---------------------------------------------------------------------------------------------------

    def write_rows(self, rows: Sequence[Sequence[str]], header: Sequence[str] = ("From", "To", "Action")) -> None:
        with (self.folder / "links.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def write_job(self, link: str, **sections: str) -> None:
        """link: its section. sections: further lines by section, `send` with quick defaults."""
        known = {
            "dataverse": f'url = "{self.sandbox.url}"\nauth = "token"',
            "input": 'file = "links.csv"',
            "send": 'settle_after = "1s"\nbatch_size = 10\nconcurrency = 2',
            "report": "html = false",
        } | sections
        text = 'version = 1\nname = "job"\n' + "".join(f"\n[{name}]\n{lines}\n" for name, lines in known.items())
        (self.folder / "job.toml").write_text(text + link, encoding="utf-8")

    # -- running it ------------------------------------------------------------------------------------------------

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BULKLINK_")}
        return kept | {"BULKLINK_STATE_DIR": str(self.folder / "state")} | self.variables

    def start(self, *flags: str, command: Sequence[str] = (sys.executable, "-m", "bulklink")) -> subprocess.Popen[str]:
        """The installed command, under way."""
        return subprocess.Popen(
            [*command, "run", "job.toml", "--quiet", *flags],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *flags: str, **how) -> Ran:
        """The installed command, to its end."""
        with self.start(*flags, **how) as process:
            return end_of(process)

    last_error: BulklinkError | None = None

    def call(
        self, listener: Listener | None = None, interruption: Interruption | None = None, **options: object
    ) -> int:
        """The library in this process, to its end: the exit code."""
        loaded = Job.load(self.folder / "job.toml", {})
        session = Session(
            loaded, RunOptions(**options), listener or Listener(), self.env, interruption or Interruption()
        )
        try:
            return int(anyio.run(session.run).exit_code)
        except BulklinkError as error:
            self.last_error = error
            return int(error.exit_code)

    # -- what came of it -------------------------------------------------------------------------------------------

    def run_dirs(self) -> list[Path]:
        return sorted((self.folder / "runs" / "job").glob("*"), key=lambda path: (len(path.name), path.name))

    @property
    def run_dir(self) -> Path:
        return self.run_dirs()[-1]

    def rows(self, directory: Path | None = None) -> list[dict[str, str]]:
        with ((directory or self.run_dir) / "outcomes.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def outcomes(self, directory: Path | None = None) -> list[str]:
        return [row["outcome"] for row in self.rows(directory)]

    def summary(self, directory: Path | None = None) -> dict:
        return json.loads(((directory or self.run_dir) / "summary.json").read_text(encoding="utf-8"))

    def links(self) -> set[tuple[str, str]]:
        """(from, to) as the organisation holds them: N:N as account and lead, 1:N as account and contact."""
        return {tuple(sorted(pair)) for pair in self.sandbox.organisation.links(self.relationship)}

    def journaled(self, directory: Path | None = None) -> tuple[set[frozenset[str]], set[frozenset[str]]]:
        """The pairs that the journal says were sent, and those that it calls settled."""
        directory = directory or self.run_dir
        sent: set[frozenset[str]] = set()
        settled: set[frozenset[str]] = set()
        with Journal.open(directory / JOURNAL) as journal, Spool.open(directory / "input.arrow") as spool:

            def pairs(rows):
                ids = zip(spool.from_ids(rows), spool.to_ids(rows), strict=True)
                return {frozenset(str(uuid.UUID(bytes=one.tobytes())) for one in pair) for pair in ids}

            for batch in journal.unsettled_batches():
                sent |= pairs(batch.rows)
            for block in journal.blocks():
                done = block.rows[(block.outcome < 18) & (block.attempts > 0)]
                settled |= pairs(done)
        return sent | settled, settled


def end_of(process: subprocess.Popen[str]) -> Ran:
    """Wait for the command; what it said."""
    try:
        out, err = process.communicate(timeout=RUN_S_MAX)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"the command does not end: {out[-2000:]} {err[-2000:]}") from None
    return Ran(process.returncode, out, err)


def organisation(
    linked: Sequence[tuple[int, int]] = (),
    held: Mapping[int, int] | None = None,
    customers: Mapping[int, str] | None = None,
) -> Organisation:
    """Accounts, leads and contacts.

    linked: (account, lead) pairs that exist; held: account -> its primary contact; customers: contact -> id of the
    account or contact that is its customer.
    """
    made = Organisation.sample()
    for kind in ("account", "contact", ""):
        made.load_table(
            "contact",
            [
                {"contactid": contact(n), "lastname": f"Contact {n}"}
                | ({f"parentcustomerid_{kind}": (customers or {})[n]} if kind else {})
                for n in range(CONTACTS)
                if _kind((customers or {}).get(n, "")) == kind
            ],
        )
    made.load_table(
        "account",
        [
            {"accountid": account(n), "name": f"Account {n}", "accountnumber": f"{n:05}"}
            | ({"primarycontactid": contact(held[n])} if held and n in held else {})
            for n in range(ACCOUNTS)
        ],
    )
    made.load_table("lead", [{"leadid": lead(n), "lastname": f"Lead {n}"} for n in range(LEADS)])
    made.load_table("accountleads", [{"accountid": account(a), "leadid": lead(b)} for a, b in linked])
    return made


def _kind(record_id: str) -> str:
    return {"1": "account", "3": "contact"}[record_id[7]] if record_id else ""


@contextmanager
def scene(
    folder: Path,
    *,
    weather: str = QUICK,
    toggles: Toggles | None = None,
    linked: Sequence[tuple[int, int]] = (),
    held: Mapping[int, int] | None = None,
    customers: Mapping[int, str] | None = None,
    relationship: str = "accountleads_association",
    limits: Limits | None = None,
    access: Access | None = None,
    seed: int = 0,
) -> Iterator[Scene]:
    """A sandbox with this weather (a script or the name of a preset), ready for a job."""
    folder.mkdir(parents=True, exist_ok=True)
    script = read_weather(weather, "weather", seed) if "=" in weather else load_weather(weather, seed)
    made = Sandbox(
        organisation(linked, held, customers),
        weather=script,
        toggles=toggles,
        limits=limits or Limits.off(),
        access=access,
    )
    with made.serving() as sandbox:
        yield Scene(folder, sandbox, Watch(sandbox), relationship)
