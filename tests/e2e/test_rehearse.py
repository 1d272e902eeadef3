"""`bulklink rehearse`: the real job, a night of one's choice, and nothing leaves the machine."""

import csv
import json
import os
import subprocess
import sys
import uuid
from collections import Counter

import pytest

JOB = """
version = 1
name = "tonight"
[dataverse]
url = "https://contoso.crm4.dynamics.com"
auth = "token"
[input]
file = "links.csv"
[link]
relationship = "accountleads_association"
from = { table = "account", match = { accountnumber = "Account" } }
to = { table = "lead", match = { leadid = "Lead" } }
[send]
settle_after = "3s"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tonight.toml").write_text(JOB, encoding="utf-8")
    with (tmp_path / "links.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Account", "Lead"])
        writer.writerows([f"A-{k % 20:03}", uuid.uuid5(uuid.NAMESPACE_OID, str(k))] for k in range(300))
        writer.writerow(["A-001", "nonsense"])
    return tmp_path


def rehearse(folder, *words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("BULKLINK_")}
    env |= {"BULKLINK_STATE_DIR": str(folder / "state"), "BULKLINK_TOKEN": "of-the-real-environment"}
    command = [sys.executable, "-m", "bulklink", "rehearse", "tonight.toml", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)


def test_a_calm_night_links_every_row_that_makes_sense(folder):
    done = rehearse(folder, "--json")
    assert done.returncode == 3, done.stderr
    facts = json.loads(done.stdout)
    assert facts["outcomes"] == {"associated": 300, "invalid": 1}
    assert facts["rehearsal"]["sandbox"]["faults"] == {}


def test_a_busy_day_ends_with_balanced_books_and_says_what_the_weather_was(folder):
    done = rehearse(folder, "--weather", "busy-day", "--seed", "5", "--json")
    assert done.returncode == 3, done.stderr
    facts = json.loads(done.stdout)
    assert sum(facts["outcomes"].values()) == facts["rows"] == 301
    with (folder / "runs" / "tonight-rehearsal" / facts["run_id"] / "outcomes.csv").open(encoding="utf-8") as file:
        assert Counter(row["outcome"] for row in csv.DictReader(file)) == Counter(facts["outcomes"])
    assert facts["rehearsal"]["weather"] == "busy-day"


def test_a_weather_that_does_not_exist_is_refused_with_the_nearest_name(folder):
    done = rehearse(folder, "--weather", "rouhg-night")
    assert done.returncode == 2
    assert "rough-night" in done.stderr
