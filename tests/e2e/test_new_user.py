"""A new user's first hour, as the README tells it: a clean machine, a few mistakes, a run that ends well, its report.

Installs the package into an environment of its own: minutes, and a package index. Without one it is skipped.
"""

import asyncio
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.chromium import browser, find_chromium, opened

ROOT = Path(__file__).parents[2]
OFFLINE = re.compile("Could not find a version|Temporary failure|Connection|No matching distribution|timed out")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Said:
    code: int
    out: str
    err: str


@dataclass
class Desk:
    """Where the new user sits: a checkout, and what was typed there."""

    checkout: Path
    demo: str
    env: dict[str, str] = field(default_factory=dict)

    def types(self, *words: str) -> Said:
        program = self.checkout / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "bulklink"
        ran = subprocess.run(
            [program, *words], cwd=self.checkout, env=self.env, capture_output=True, text=True, check=False, timeout=120
        )
        assert "Traceback" not in ran.stderr
        return Said(ran.returncode, ran.stdout, ran.stderr)

    def runs(self, job: str) -> list[Path]:
        return sorted((self.checkout / "runs" / job).iterdir())


def readme_command(name: str) -> str:
    """The command below ``<!-- name -->``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^<!-- {name} -->\n```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no {name} command"
    return found[1].strip()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A copy of the checkout in which the README's first command was typed, and the sandbox that it recommends."""
    home = tmp_path_factory.mktemp("new-user")
    checkout = home / "bulklink"
    for name in ("bulklink", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        checkout.mkdir(exist_ok=True)
        copy(ROOT / name, checkout / name)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("BULKLINK_", "PYTHON", "VIRTUAL"))
    }
    env = kept | {"HOME": str(home), "BULKLINK_STATE_DIR": str(home / "state")}
    command = readme_command("demo").replace("python3 ", f"{sys.executable} ", 1)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=checkout, env=env, capture_output=True, text=True, check=False
    )
    if ran.returncode and OFFLINE.search(ran.stderr):
        pytest.skip(f"no package index: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    desk = Desk(checkout, ran.stdout, env)
    program = checkout / ".venv" / "bin" / "bulklink"
    words = [str(program), "sandbox", "--load", str(checkout / "demo" / "organisation"), "--port", "0"]
    with subprocess.Popen(words, cwd=checkout, env=env, stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        url = next(found[1] for line in sandbox.stdout if (found := re.search(r"environment\s+(\S+)", line)))
        desk.env |= {"BULKLINK_URL": url, "BULKLINK_TOKEN": "any"}
        yield desk
        sandbox.terminate()


def links(desk: Desk) -> list[list[str]]:
    with (desk.checkout / "demo" / "account-leads.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=";"))[:31]


SIDES = ("--from", "account=Account", "--to", "lead=Lead")


def test_the_first_hour(desk: Desk) -> None:
    assert "The sandbox holds 4,000 links" in desk.demo
    assert desk.types("--version").out.startswith("bulklink ")
    assert "bulklink demo" in desk.types("--help").out

    # A file that is not there, and one that is not what its name says.
    said = desk.types("associate", "link.csv", "--relationship", "accountleads_association", *SIDES)
    assert (said.code, "link.csv" in said.err, said.out) == (2, True, "")
    shutil.copy(desk.checkout / "demo" / "account-contacts.xlsx", desk.checkout / "links.csv")
    said = desk.types("associate", "links.csv", "--relationship", "accountleads_association", *SIDES)
    assert (said.code, "workbook" in said.err) == (2, True)

    # The right file; a wrong column, then a wrong relationship: both are answered with the right name.
    header, *rows = links(desk)
    rows[7][1] = rows[7][1][:-5]
    with (desk.checkout / "links.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    said = desk.types("associate", "links.csv", "--relationship", "x", "--from", "account=Acount", "--to", "lead=Lead")
    assert (said.code, "Nearest: 'Account'" in said.err) == (2, True)
    said = desk.types("associate", "links.csv", "--relationship", "acountleads_asociation", *SIDES)
    assert said.code == 2
    name = re.search(r"accountleads_association", said.err)
    assert name, said.err
    assert "accountleads_association" in desk.types("relationships", "account", "--with", "lead").out

    # Look first, then do it.
    right = ("associate", "links.csv", "--relationship", name[0], *SIDES)
    said = desk.types(*right, "--dry-run")
    assert (said.code, "nothing was sent" in said.out) == (3, True)
    said = desk.types(*right)
    assert (said.code, "1 of 30 rows not as asked" in said.out) == (3, True), said
    (first,) = desk.runs(f"associate-{name[0]}")

    # troubles.csv is corrected and fed back.
    with (first / "troubles.csv").open(encoding="utf-8", newline="") as file:
        trouble_header, trouble = csv.reader(file)
    assert trouble_header == header
    trouble[1] = links(desk)[8][1]
    with (desk.checkout / "links.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, trouble])
    said = desk.types(*right, "--json")
    assert (said.code, json.loads(said.out)["not_as_asked"]) == (0, 0)
    assert "everything is as asked" in desk.types("report", str(desk.runs(f"associate-{name[0]}")[-1])).out


@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium")
def test_the_reports_of_the_demo_open_in_a_browser_that_has_nothing_to_complain_about(
    desk: Desk, tmp_path: Path
) -> None:
    reports = sorted((desk.checkout / "demo" / "runs").glob("*/*/report.html"))
    assert len(reports) == 4

    async def look(port: int, report: Path) -> None:
        async with opened(port, report) as page:
            verdict = await page.value("document.querySelector('.verdict').innerText")
            assert "as asked" in verdict
            assert await page.value("document.querySelectorAll('#rows tbody tr').length") > 0
            assert page.logged == []
            assert page.requested == [report.as_uri()]

    for number, report in enumerate(reports):
        with browser(tmp_path / str(number)) as port:
            asyncio.run(look(port, report))
