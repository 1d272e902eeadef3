"""Workbooks that are ZIP archives: what is refused before anything of them is unpacked.

Owns: the limit on how much an archive may grow.
Does not know: what is inside.
Source: APPNOTE.TXT 6.3 (central directory). Deflate packs at most 1032 : 1; sheets of real data reach 10 to 60 : 1.
"""

import zipfile
from pathlib import Path
from typing import Final

from bulklink.errors import InputError

#: Smaller parts do no harm, however much they grow.
GROWN_BYTES_MIN: Final = 64_000_000
GROWTH_MAX: Final = 200


def refuse_bombs(path: Path, shown: str) -> None:
    """Raise InputError if a part of the archive would grow out of all proportion. Other files pass unseen."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError):
        return  # whoever reads it says what is wrong
    for part in parts:
        if part.file_size > GROWN_BYTES_MIN and part.file_size > GROWTH_MAX * max(1, part.compress_size):
            raise InputError(
                f"{shown}: {part.filename} would grow from {part.compress_size:,} to {part.file_size:,} bytes; "
                "no sheet of data does.",
                hint="Open it in a spreadsheet program and save it again, or export it as CSV.",
            )
