"""The clients of others: where they lie, and a world in the sandbox for them to work on."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox

DIRECTORY = Path(os.environ.get("BULKLINK_INTEROP_DIR") or platformdirs.user_cache_path("bulklink-interop"))
NODE_MODULES = DIRECTORY / "node_modules"
PYTHON_PACKAGES = DIRECTORY / "python"
INSTALL = "python tests/interop/install_others.py installs it"


@dataclass(frozen=True, slots=True)
class World:
    """A sandbox with records to link. `missing` is the id of no record."""

    sandbox: Sandbox
    accounts: list[str]
    leads: list[str]
    contacts: list[str]
    missing: str

    def linked(self, account: str) -> set[str]:
        """The leads linked with an account."""
        pairs = self.sandbox.organisation.links("accountleads_association")
        return {lead for one, lead in pairs if one == account}


@contextmanager
def world(*, tls: bool = False) -> Iterator[World]:
    """Twenty accounts, 1,001 leads, three contacts."""
    organisation = Organisation.sample()
    made = {}
    for table, count, name in (("account", 20, "name"), ("lead", 1001, "lastname"), ("contact", 3, "lastname")):
        made[table] = sorted(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{table} {number}")) for number in range(count))
        organisation.load_table(table, [{f"{table}id": record_id, name: "Sample"} for record_id in made[table]])
    with Sandbox(organisation, tls=tls).serving() as sandbox:
        yield World(sandbox, made["account"], made["lead"], made["contact"], str(uuid.uuid4()))


def node(script: Path, package: str, question: dict[str, Any]) -> Any:
    """Ask a Node script one question; skips the test if Node or the package is not there."""
    executable = shutil.which("node")
    if executable is None:
        pytest.skip("Node is not here")
    if not (NODE_MODULES / package).exists():
        pytest.skip(f"the npm package {package} is not here: {INSTALL}")
    asked = json.dumps({"modules": str(NODE_MODULES), **question})
    ran = subprocess.run(
        [executable, str(script)], input=asked, text=True, capture_output=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
