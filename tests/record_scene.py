"""Record and parties jobs in this process against a sandbox on a real socket."""

import csv
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bulklink import api
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.protection import Limits
from bulklink.sandbox.server import Sandbox
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather_file import read_weather
from bulklink.summary import Summary

CALM = "[latency]\nrequest_s = 0\n"


def lost(ordinal: int, when: str = "after") -> str:
    """One request is executed (or not), and its answer never comes."""
    return f'{CALM}[[fault]]\nkind = "reset"\nwhen = "{when}"\nordinals = [{ordinal}]\n'


def guid(number: int) -> str:
    return str(uuid.UUID(int=(0x5000 << 64) | (0x8000 << 48) | number))


@dataclass
class Scene:
    """An organisation behind a sandbox, and a folder for spreadsheets and runs."""

    folder: Path
    sandbox: Sandbox
    runs: list[Path] = field(default_factory=list)
    #: The path and the body of every POST that arrived.
    posts: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def organisation(self) -> Organisation:
        return self.sandbox.organisation

    def write(self, header: Sequence[str], *rows: Sequence[str], name: str = "rows.csv") -> None:
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def job(self, **sections: Any) -> dict[str, Any]:
        return {
            "name": "job",
            "dataverse": {"url": self.sandbox.url, "auth": "token"},
            "input": {"file": str(self.folder / "rows.csv")},
            "report": {"dir": str(self.folder / "runs"), "html": False},
            "send": {"settle_after": "1s", **sections.pop("send", {})},
            **sections,
        }

    def run(self, job: Mapping[str, Any], **options: Any) -> Summary:
        summary = api.run(job, **options)
        if summary.run_dir is not None:
            self.runs.append(summary.run_dir)
        return summary

    def rows(self) -> list[dict[str, str]]:
        with (self.runs[-1] / "outcomes.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.rows()]

    def messages(self) -> list[str]:
        return [row["message"] for row in self.rows()]

    def select(self, columns: str, table: str) -> list[tuple[Any, ...]]:
        return sorted(self.organisation.connection.execute(f"SELECT {columns} FROM {table}"), key=str)

    def record(self, table: str, record_id: str) -> dict[str, Any]:
        found = self.organisation.read(self.organisation.model.tables[table], record_id)
        assert found is not None, f"no {table} {record_id}"
        return dict(found)


@contextmanager
def scene(folder: Path, monkeypatch: pytest.MonkeyPatch, weather: str = CALM, **toggles: Any) -> Iterator[Scene]:
    """Three accounts, contacts and competitors, three e-mails; no record of any other kind."""
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(folder / "state"))
    organisation = Organisation.sample()
    for n in (1, 2, 3):
        organisation.create_record("account", {"accountid": guid(n), "name": f"Acc {n}", "accountnumber": f"A-{n}"})
        organisation.create_record(
            "contact", {"contactid": guid(n), "lastname": f"Con {n}", "emailaddress1": f"c{n}@x.example"}
        )
        organisation.create_record("competitor", {"competitorid": guid(n), "name": f"Comp {n}"})
        organisation.create_record("email", {"activityid": guid(10 + n), "subject": f"Mail {n}"})
    made = Sandbox(
        organisation, weather=read_weather(weather, "weather"), toggles=Toggles.parse(toggles), limits=Limits.off()
    )
    with made.serving() as sandbox:
        at = Scene(folder, sandbox)
        arrive = sandbox.reception.arrive

        def arrives(request: Any, now_s: float) -> Any:
            if request.method == "POST":
                at.posts.append(request.path)
                at.bodies.append(request.body)
            return arrive(request, now_s)

        monkeypatch.setattr(sandbox.reception, "arrive", arrives)
        yield at
