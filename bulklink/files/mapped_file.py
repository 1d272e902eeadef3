"""A file in the address space, with a bound on how much of it is resident.

Owns: the map and giving its pages back; they stay in the system's cache, and reading them again costs little.
Does not know: what is in the file.
Source: Linux `madvise(2)`: MADV_DONTNEED on a shared file mapping only drops pages that can be read again. Where
the system has no such call, its own working-set trimming has to do.
"""

import contextlib
import mmap
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: So much may be resident before it is given back.
_RESIDENT_BYTES_MAX: Final = 32 << 20
#: Linux maps so many bytes around a page that is touched (fault-around).
_FAULT_BYTES: Final = 1 << 16


class MappedFile:
    """A read-only map. `bytes` and `words` (8 bytes each) are the whole file as arrays, `buffer` is it for Arrow."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.buffer = pa.py_buffer(self._map)
        self.bytes = np.frombuffer(self._map, np.uint8)
        self.words = np.frombuffer(self._map, np.uint64, count=len(self._map) // 8)
        self._resident = 0

    def touch(self, positions: npt.NDArray[np.int64], item_bytes: int) -> None:
        """Count the pages that reading these items will map: their span, or one fault each if they are scattered."""
        if len(positions):
            span = int(positions.max() - positions.min() + 1) * item_bytes + _FAULT_BYTES
            self.count(min(span, len(positions) * _FAULT_BYTES))

    def count(self, mapped_bytes: int) -> None:
        """Say that so many bytes are going to be read in one piece."""
        self._resident += mapped_bytes
        if self._resident > _RESIDENT_BYTES_MAX and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._resident = mapped_bytes

    def close(self) -> None:
        """Let go of the file; views that were handed out stay good."""
        del self.buffer, self.bytes, self.words
        # While views are handed out the map lives on, and goes with the last of them.
        with contextlib.suppress(BufferError):
            self._map.close()
