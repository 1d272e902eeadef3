"""Rows in, outcomes out: a link job by the library against a sandbox, in a folder of its own."""

import csv
from collections.abc import Sequence
from pathlib import Path

from bulklink import api
from bulklink.job import Job, RunOptions
from bulklink.listener import Listener
from bulklink.sandbox.server import Sandbox

Rows = Sequence[Sequence[str]]


def link(relationship: str, one: tuple[str, str], other: tuple[str, str] | None = None, **more: object) -> dict:
    """A [link] section. one, other: (table, column matched) of the from and the to side; headers From and To."""
    sides = {"from": one, **({"to": other} if other else {})}
    named = {side: {"table": table, "match": {column: side.capitalize()}} for side, (table, column) in sides.items()}
    return {"relationship": relationship, **named, **more}


def run_rows(
    sandbox: Sandbox, folder: Path, section: dict, rows: Rows, header: Sequence[str] = ("From", "To")
) -> list[tuple[str, str, str]]:
    """(outcome, before, message) of each row."""
    with (folder / "links.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    values = {
        "name": "job",
        "dataverse": {"url": sandbox.url, "auth": "token"},
        "input": {"file": str(folder / "links.csv")},
        "link": section,
        "report": {"dir": str(folder / "runs"), "html": False},
    }
    summary = api.run_job(Job.from_mapping(values, {}), RunOptions(fresh=True), Listener())
    assert summary.run_dir is not None
    with (summary.run_dir / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return [(one["outcome"], one["before"], one["message"]) for one in csv.DictReader(file)]


def words(found: Sequence[Sequence[str]]) -> list[str]:
    """The outcomes alone."""
    return [one[0] for one in found]
