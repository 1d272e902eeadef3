"""Files that are either the old ones or the new ones, whole, and for their owner's eyes only.

Owns: how a file of a run comes to be: written beside its place, synced, renamed; modes 0600 and 0700.
Does not know: what is written.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from bulklink.errors import RunDirectoryError

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700


def make_private_directory(path: Path) -> None:
    """Make the directory and its parents; the last one is for its owner only.

    Raises RunDirectoryError if that cannot be.
    """
    with words_for_disk_trouble(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A private empty file to fill in place of `path`; it takes that place when the block ends well.

    Raises RunDirectoryError if the disk does not allow it; then, as after any other error, `path` is as before.
    """
    draft = path.with_name(f".{path.name}.partial")
    with words_for_disk_trouble(path):
        try:
            draft.unlink(missing_ok=True)
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
            yield draft
            _sync(draft, os.O_RDWR)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """`draft_of`, opened for writing bytes."""
    with draft_of(path) as draft, draft.open("wb", buffering=1 << 20) as file:
        yield file


@contextmanager
def words_for_disk_trouble(path: Path) -> Iterator[None]:
    """Turn an OSError into a RunDirectoryError that names the file."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be written: {error.strerror or error}") from error


def sync_directory(path: Path) -> None:
    """Make renames in the directory survive a power cut, where the system can do that."""
    with suppress(OSError):  # Windows cannot open directories; some network file systems refuse to sync them
        _sync(path, os.O_RDONLY)


def open_private(path: str, flags: int) -> int:
    """An opener for `open`: a new file is for its owner only."""
    return os.open(path, flags, FILE_MODE)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
