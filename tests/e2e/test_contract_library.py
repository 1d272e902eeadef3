"""The library as another program uses it: same names, same outcomes, exceptions with exit code and hint."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import bulklink
from tests.desk import Desk, account, lead

HEAVY = ("pandas", "numpy", "pyarrow", "aiohttp", "pydantic", "msal", "openpyxl")
PAIR = 'relationship = "accountleads_association"\nfrom = { table = "account", match = { accountid = "A" } }\n'
PAIR += 'to = { table = "lead", match = { leadid = "L" } }'


@pytest.fixture
def at_home(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("BULKLINK_TOKEN", "any")
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(desk.folder / "state"))
    monkeypatch.chdir(desk.folder)
    desk.pairs("in.csv", (account(1), lead(1)), (account(1), lead(1)), ("x", lead(2)))
    desk.job(PAIR)
    return desk


def job_of(desk: Desk) -> dict[str, object]:
    """The same job as a dict, without an input."""
    return {
        "name": "from-a-frame",
        "dataverse": {"url": desk.url},
        "link": {
            "relationship": "accountleads_association",
            "from": {"table": "account", "match": {"accountid": "A"}},
            "to": {"table": "lead", "match": {"leadid": "L"}},
        },
    }


def test_run_waits_and_gives_back_the_summary(at_home: Desk) -> None:
    summary = bulklink.run("job.toml")
    assert (summary.exit_code, summary.facts["outcomes"]) == (3, {"associated": 1, "duplicate": 1, "invalid": 1})
    assert isinstance(summary.outcomes, pd.DataFrame)
    assert summary.outcomes["outcome"].tolist() == ["associated", "duplicate", "invalid"]
    assert summary.outcomes["row"].tolist() == ["1", "2", "3"]
    assert summary.run_dir == at_home.run_dir().resolve() or summary.run_dir == at_home.run_dir()
    assert bulklink.report(summary.run_dir).facts["outcomes"] == summary.facts["outcomes"]


def test_run_works_inside_a_running_event_loop(at_home: Desk) -> None:
    async def notebook() -> bulklink.Summary:
        return bulklink.run(Path("job.toml"))

    assert asyncio.run(notebook()).facts["outcomes"]["associated"] == 1


def test_arun_takes_rows_from_a_frame(at_home: Desk) -> None:
    frame = pd.DataFrame({"A": [account(1), account(2)], "L": [lead(1), lead(2)], "Amount": [1.5, None]})
    summary = asyncio.run(bulklink.arun(job_of(at_home), frame=frame))
    assert summary.exit_code == 0
    assert summary.outcomes["outcome"].tolist() == ["associated"] * 2
    assert summary.outcomes["Amount"].tolist() == ["1.5", ""]
    assert at_home.links() == {(account(1), lead(1)), (account(2), lead(2))}
    again = bulklink.run(job_of(at_home), frame=frame)
    assert again.outcomes["outcome"].tolist() == ["already-associated"] * 2


def test_outcomes_come_from_whatever_format_was_written(at_home: Desk) -> None:
    for formats in (["parquet"], ["xlsx"]):
        at_home.job(PAIR, more=f"[report]\noutcomes = {formats}")
        outcomes = bulklink.run("job.toml").outcomes
        assert outcomes["outcome"].tolist()[1:] == ["duplicate", "invalid"]
        assert outcomes["http_status"].tolist()[1:] == ["", ""]


def test_errors_carry_exit_code_and_hint(at_home: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(bulklink.BulklinkError) as raised:
        bulklink.run("nowhere.toml")
    assert (raised.value.exit_code, bool(raised.value.hint)) == (2, True)
    monkeypatch.delenv("BULKLINK_TOKEN")
    with pytest.raises(bulklink.BulklinkError) as raised:
        bulklink.run("job.toml")
    assert (raised.value.exit_code, bool(raised.value.hint)) == (6, True)


def test_signals_are_left_alone(at_home: Desk) -> None:
    # Handlers can be set in the main thread only: from another one it would fail.
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(bulklink.run("job.toml").exit_code))
    thread.start()
    thread.join(60)
    assert found == [3]


@pytest.mark.parametrize("first", ["bulklink.errors", "bulklink.api", "bulklink.session", "bulklink.driving"])
def test_the_names_are_functions_whatever_was_imported_before(first: str) -> None:
    code = f"import {first}, bulklink; print(callable(bulklink.run), callable(bulklink.arun), 'run' in dir(bulklink))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "True", "True"]


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, bulklink; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
