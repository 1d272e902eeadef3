"""samples/records does what its README says."""

import csv
import re
from pathlib import Path

import pytest

from bulklink import api
from bulklink.job import Job, RunOptions
from bulklink.listener import Listener
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox

SAMPLES = Path(__file__).parents[2] / "samples" / "records"
#: Job -> its column in the table of the README.
JOBS = {"create": 1, "update": 2, "parties": 3}


def promised(column: int) -> list[str]:
    """The outcomes that the README's table tells, row by row."""
    lines = re.findall(r"^\| \d+ \|.*$", (SAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    cells = [line.split("|")[column + 1].strip() for line in lines]
    return [cell.partition(":")[0] for cell in cells if cell]


def run(job: str, sandbox: Sandbox, folder: Path) -> list[str]:
    flags = {"dataverse.url": sandbox.url, "report.dir": str(folder)}
    summary = api.run_job(Job.load(SAMPLES / f"{job}.toml", {}, flags), RunOptions(), Listener())
    assert summary.run_dir is not None
    with (summary.run_dir / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        return [row["outcome"] for row in csv.DictReader(file)]


def test_every_row_of_the_samples_becomes_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    organisation = Organisation.sample()
    organisation.load(SAMPLES / "organisation")
    with Sandbox(organisation).serving() as sandbox:
        for job, column in JOBS.items():
            assert run(job, sandbox, tmp_path) == promised(column), job
        again = run("create", sandbox, tmp_path)
    assert again == [outcome.replace("created", "already-created") for outcome in promised(JOBS["create"])]
    held = organisation.connection.execute("SELECT subject FROM task ORDER BY subject").fetchall()
    assert held == [("Call purchasing",), ("Send drawings",)]
