"""samples/library does what its README says, as a script and as a notebook; samples/README.md names every sample."""

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox

SAMPLES = Path(__file__).parents[2] / "samples"
NOTEBOOK = SAMPLES / "library" / "notebook.py"


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    for name in list(os.environ):
        if name.startswith("BULKLINK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    organisation = Organisation.sample()
    organisation.load(SAMPLES / "library" / "organisation")
    with Sandbox(organisation).serving() as sandbox:
        monkeypatch.setenv("BULKLINK_URL", sandbox.url)
        yield sandbox


def check(said: str, sandbox: Sandbox) -> None:
    counts = "{'associated': 4, 'duplicate': 1, 'unresolved': 1}"
    assert said.count(counts) == 2, said
    assert "dry run: nothing was sent" in said
    assert re.search(r"6 +00009 +emil@leads.example unresolved", said)
    assert "exit code 2: " in said
    assert "accountleads_association" in said.splitlines()[-1]
    assert sum(1 for _ in sandbox.organisation.links("accountleads_association")) == 4


def test_as_a_script(sandbox: Sandbox) -> None:
    ran = subprocess.run([sys.executable, NOTEBOOK], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    check(ran.stdout, sandbox)


def test_as_a_notebook_whose_cells_run_inside_an_event_loop(sandbox: Sandbox) -> None:
    said, names = io.StringIO(), {"__name__": "__main__"}

    async def kernel() -> None:
        for cell in NOTEBOOK.read_text(encoding="utf-8").split("# %%"):
            exec(compile(cell.partition("\n")[2], str(NOTEBOOK), "exec"), names)

    with contextlib.redirect_stdout(said):
        asyncio.run(kernel())
    check(said.getvalue(), sandbox)


def test_the_index_names_every_sample() -> None:
    index = (SAMPLES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\((\w+)/README\.md\)", index))
    assert named == {path.name for path in SAMPLES.iterdir() if path.is_dir()}
    assert [name for name in named if not (SAMPLES / name / "README.md").is_file()] == []
