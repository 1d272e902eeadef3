"""One run at a time per organisation and relationship, on this machine and for this user.

Owns: the lock files in the user's state directory, and who holds one.
Does not know: runs. The operating system lets go of a lock when its process ends, however it ends.
Source: the public contract (README, "Files of a run", "Lock").
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bulklink.errors import LockHeld
from bulklink.files.about_run import iso
from bulklink.files.writing import FILE_MODE, make_private_directory, replaced, words_for_disk_trouble

STATE_DIRECTORY_VARIABLE: Final = "BULKLINK_STATE_DIR"


def state_directory() -> Path:
    """Where bulklink keeps what belongs to the user rather than to a job; BULKLINK_STATE_DIR says otherwise."""
    import platformdirs

    chosen = os.environ.get(STATE_DIRECTORY_VARIABLE)
    return Path(chosen) if chosen else Path(platformdirs.user_state_dir("bulklink", appauthor=False))


@contextmanager
def locked(
    organisation: str, relationship: str, run_directory: Path, now_s: float, *, state: Path | None = None
) -> Iterator[None]:
    """Hold the lock of a relationship. Raises LockHeld at once if another run holds it."""
    import filelock

    folder = (state or state_directory()) / "locks"
    make_private_directory(folder.parent)
    make_private_directory(folder)
    name = hashlib.sha256(f"{organisation.lower()}\n{relationship.lower()}".encode()).hexdigest()[:32]
    holder = folder / f"{name}.json"
    lock = filelock.FileLock(folder / f"{name}.lock", mode=FILE_MODE, thread_local=False)
    with words_for_disk_trouble(folder):
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise LockHeld(_who(holder, organisation, relationship)) from None
    try:
        with replaced(holder) as file:
            facts = {"pid": os.getpid(), "run_dir": str(run_directory.absolute()), "since": iso(now_s)}
            file.write(json.dumps(facts).encode())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _who(holder: Path, organisation: str, relationship: str) -> str:
    """Who holds the lock, in words. The holder may be between taking it and saying so."""
    facts: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        facts = json.loads(holder.read_bytes())
    by = f"process {facts['pid']}, since {facts['since']}, {facts['run_dir']}" if facts else "it has just begun"
    return f"another run on {relationship} of {organisation} is going on ({by})"
