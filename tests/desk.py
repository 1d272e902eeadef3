"""A desk for tests of the contract: a sandbox with a few records, a folder, and the command line as people type it."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bulklink.sandbox.access import Access
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.weather import Weather

SECONDS_MAX = 100
RECORDS = 9
_NUMBERS = {"account": 1, "lead": 2, "contact": 3, "opportunity": 4, "new_project": 5, "campaign": 6}
OURS = ["outcome", "before", "code", "message", "http_status", "request_id", "attempts"]


def record(table: str, number: int) -> str:
    """The id of a record at the desk; numbers above `RECORDS` do not exist."""
    return f"{_NUMBERS[table]:08x}-abcd-4000-8000-{number:012d}"


def account(number: int) -> str:
    return record("account", number)


def lead(number: int) -> str:
    return record("lead", number)


def contact(number: int) -> str:
    return record("contact", number)


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Desk:
    """One person's desk."""

    folder: Path
    sandbox: Sandbox
    env: dict[str, str] = field(default_factory=dict)

    @property
    def organisation(self) -> Organisation:
        return self.sandbox.organisation

    @property
    def url(self) -> str:
        return self.sandbox.url

    # -- what is typed

    def bulklink(self, *words: object, **env: str) -> Ran:
        """Type a command in the folder, without terminal. env: "" takes a variable away."""
        around = {name: value for name, value in os.environ.items() if not name.startswith("BULKLINK_")}
        around |= {"BULKLINK_TOKEN": "any", "BULKLINK_STATE_DIR": str(self.folder / "state"), **self.env, **env}
        ran = subprocess.run(
            [sys.executable, "-m", "bulklink", *map(str, words)],
            cwd=self.folder,
            env={name: value for name, value in around.items() if value},
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def link(self, action: str, file: str, relationship: str, from_: str, to: str, *words: object, **env: str) -> Ran:
        """A one-line command."""
        sides = ("--from", from_, "--to", to)
        return self.bulklink(action, file, "--url", self.url, "--relationship", relationship, *sides, *words, **env)

    def associate(self, file: str, *words: object, **env: str) -> Ran:
        """The one-line command for accounts and leads by id, columns A and L."""
        return self.link("associate", file, "accountleads_association", "account=A", "lead=L", *words, **env)

    # -- files

    def write(self, name: str, text: str, encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))
        return path

    def pairs(self, name: str, *pairs: tuple[str, str]) -> Path:
        """A file of accounts and leads, columns A and L."""
        return self.write(name, "A,L\n" + "".join(f"{one},{other}\n" for one, other in pairs))

    def job(self, link: str, *, file: str = '"in.csv"', more: str = "", name: str = "job.toml") -> Path:
        """A job file. link: the lines of [link], or whole tables that begin with [[link]]."""
        table = link if link.lstrip().startswith("[[") else f"[link]\n{link}"
        text = f'version = 1\n[dataverse]\nurl = "{self.url}"\n[input]\nfile = {file}\n{table}\n{more}\n'
        return self.write(name, text)

    def run_dirs(self, job: str = "*") -> list[Path]:
        """All run directories, oldest first."""
        return sorted(path.parent for path in (self.folder / "runs").glob(f"{job}/*/journal.sqlite"))

    def run_dir(self) -> Path:
        """The only run directory."""
        (path,) = self.run_dirs()
        return path

    def summary(self, run_dir: Path | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(((run_dir or self.run_dir()) / "summary.json").read_text("utf-8"))
        return found

    # -- what is linked

    def links(self, relationship: str = "accountleads_association") -> set[tuple[str, str]]:
        return set(self.organisation.links(relationship))

    def held(self, table: str, number: int, column: str) -> str | None:
        """What a lookup points at."""
        found = self.organisation.read(self.organisation.table(table), record(table, number))
        assert found is not None
        value: str | None = found[column]
        return value

    def writes(self) -> int:
        """How many requests that change something were served."""
        return self.sandbox.reception.tally.change_sets


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a file, by the rules of RFC 4180."""
    header, *rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True)
    assert all(len(row) == len(header) for row in rows)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def outcomes(run_dir: Path) -> list[dict[str, str]]:
    return read_csv(run_dir / "outcomes.csv")[1]


def words(run_dir: Path) -> list[str]:
    """The outcome of each row, in order."""
    return [row["outcome"] for row in outcomes(run_dir)]


@contextmanager
def a_desk(folder: Path, *, weather: Weather | None = None, access: Access | None = None) -> Iterator[Desk]:
    """A desk with its sandbox running."""
    organisation = Organisation.sample()
    for table in _NUMBERS:
        for number in range(1, RECORDS + 1):
            organisation.create_record(table, _columns(table, number))
    with Sandbox(organisation, weather=weather, access=access).serving() as sandbox:
        yield Desk(folder, sandbox)


def _columns(table: str, number: int) -> dict[str, str]:
    model = Organisation.sample().table(table)
    values = {model.primary_id: record(table, number), model.primary_name: f"{table.title()} {number}"}
    if table == "account":
        # The last two accounts have one name.
        values |= {"accountnumber": f"{number:05}", "name": f"Account {min(number, RECORDS - 1)}"}
    if table == "contact":
        values |= {"emailaddress1": f"c{number}@contoso.example"}
    return values
