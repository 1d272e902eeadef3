"""Install the clients of others that the interop tests use, from npm and PyPI, into a directory of their own.

    python tests/interop/install_others.py

The directory is `BULKLINK_INTEROP_DIR`, or one in the user's cache. The tests skip, with a reason, what is not there.
"""

import shutil
import subprocess
import sys

from tests.others import DIRECTORY, NODE_MODULES, PYTHON_PACKAGES

#: Exactly these versions were read when the tests were written.
NPM = {"dynamics-web-api": "2.5.0", "@sap-cloud-sdk/odata-common": "4.8.0"}
PYPI = "PowerPlatform-Dataverse-Client==1.1.0"


def main() -> int:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    failures = 0
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not here: no tests with dynamics-web-api and SAP Cloud SDK")
    elif not all((NODE_MODULES / name).exists() for name in NPM):
        wanted = [f"{name}@{version}" for name, version in NPM.items()]
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(DIRECTORY), *wanted]
        failures += subprocess.run(command, check=False).returncode != 0
    if not (PYTHON_PACKAGES / "PowerPlatform").exists():
        # Its dependencies are ours too (extra `test`), but it must not be importable by accident.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PYTHON_PACKAGES), PYPI]
        failures += subprocess.run(pip, check=False).returncode != 0
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
