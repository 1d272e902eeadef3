"""`bulklink demo` tells a true story, from any folder, in time."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SECONDS_MAX = 20.0

#: Job -> outcomes of its runs, in order.
EXPECTED = {
    "account-leads": [
        {"associated": 4000, "duplicate": 20, "invalid": 25, "rejected": 15},
        {"already-associated": 4000, "duplicate": 20, "invalid": 25, "rejected": 15},
    ],
    "account-contacts": [{"associated": 1500, "unresolved": 15}],
    "opportunity-accounts": [{"associated": 747, "already-associated": 250, "invalid": 3, "conflicting": 6}],
}
LINKS_HELD = [
    "4,000 links of accountleads_association",
    "1,500 links of contact_customer_accounts",
    "997 links of opportunity_parent_account",
    "4,000 links of accountleads_association",
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The folder in which the demo ran, what it said, and how long it took."""
    folder = tmp_path_factory.mktemp("anywhere")
    env = {**os.environ, "BULKLINK_TOKEN": "a real token", "BULKLINK_STATE_DIR": str(folder / "state")}
    begun_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "bulklink", "demo"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder, ran.stdout, time.monotonic() - begun_s


def test_every_run_ends_with_the_outcomes_that_its_mistakes_deserve(told: tuple[Path, str, float]) -> None:
    for job, expected in EXPECTED.items():
        runs = sorted((told[0] / "demo" / "runs" / job).glob("*/summary.json"))
        assert [json.loads(path.read_text(encoding="utf-8"))["outcomes"] for path in runs] == expected


def test_the_sandbox_holds_what_the_outcomes_say(told: tuple[Path, str, float]) -> None:
    assert [held for held in LINKS_HELD if f"The sandbox holds {held}." not in told[1]] == []


def test_troubles_come_back_in_the_spreadsheets_own_shape(told: tuple[Path, str, float]) -> None:
    (troubles,) = (told[0] / "demo" / "runs" / "account-contacts").glob("*/troubles.csv")
    with troubles.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Account No", "E-mail"]
    assert rows[0] == ["00200", "contact0@contoso.example"]
    assert len(rows) == 15


def test_a_real_token_does_not_reach_the_demo(told: tuple[Path, str, float]) -> None:
    files = [path for path in told[0].rglob("*") if path.is_file()]
    assert [path for path in files if b"a real token" in path.read_bytes()] == []


def test_it_is_over_in_time(told: tuple[Path, str, float]) -> None:
    assert told[2] < SECONDS_MAX
