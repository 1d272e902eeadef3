"""A file in the address space, with a bound on how much of it is resident.

Owns: the map, giving its pages back, and reading around it where giving back would cost more.
Does not know: what is in the file.
Source: Linux `madvise(2)`: MADV_DONTNEED on a shared file mapping only drops pages that can be read again. Measured on
a virtual machine: an item on a page that is not mapped costs 4.8 us, by `pread` 0.7 us, on a mapped page 0.1 us.
"""

import contextlib
import mmap
import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Linux maps so many bytes around a page that is touched (fault-around), if they are in its cache.
_WINDOW_SHIFT: Final = 16
#: So much may be resident (40 MB): the ids of a million rows, which are drawn in any order.
_RESIDENT_WINDOWS_MAX: Final = 40 << 20 >> _WINDOW_SHIFT
#: Fewer items than this on a window are not worth mapping it when others must be given back for it.
_DENSE: Final = 8

Offsets = npt.NDArray[np.int64]


class MappedFile:
    """A read-only map; `buffer` is the whole file for Arrow, whose reader counts what it touches by `touch`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            self._file.close()
            raise
        self.buffer = pa.py_buffer(self._map)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._words = np.frombuffer(self._map, np.uint64, count=len(self._map) // 8)
        self._touched = np.zeros((len(self._map) >> _WINDOW_SHIFT) + 1, np.bool_)

    def bytes_at(self, offsets: Offsets) -> npt.NDArray[np.uint8]:
        """(k,) the bytes at these offsets."""
        found: npt.NDArray[np.uint8] = self._bytes[offsets] if self._may_map(offsets) else self._read(offsets, 1)
        return found

    def words_at(self, offsets: Offsets, count: int) -> npt.NDArray[np.uint64]:
        """(k, count) so many words of 8 bytes each from these offsets on, which are multiples of 8."""
        if not self._may_map(offsets):
            return self._read(offsets, 8 * count).view(np.uint64).reshape(-1, count)
        found: npt.NDArray[np.uint64] = self._words[(offsets >> 3)[:, None] + np.arange(count)]
        return found

    def touch(self, offset: int, length: int) -> None:
        """Say that these bytes are going to be read from `buffer`."""
        windows = np.zeros_like(self._touched)
        windows[offset >> _WINDOW_SHIFT : ((offset + length) >> _WINDOW_SHIFT) + 1] = True
        self._map_windows(windows)

    def _may_map(self, offsets: Offsets) -> bool:
        """Whether to read through the map: what it takes fits into the bound, or is dense enough to give back for."""
        windows = np.zeros_like(self._touched)
        windows[offsets >> _WINDOW_SHIFT] = True
        fits = np.count_nonzero(self._touched | windows) <= _RESIDENT_WINDOWS_MAX
        if not fits and len(offsets) < _DENSE * np.count_nonzero(windows) and hasattr(os, "pread"):
            return False
        self._map_windows(windows)
        return True

    def _map_windows(self, windows: npt.NDArray[np.bool_]) -> None:
        self._touched |= windows
        if np.count_nonzero(self._touched) > _RESIDENT_WINDOWS_MAX and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = windows

    def _read(self, offsets: Offsets, length: int) -> npt.NDArray[np.uint8]:
        """The items, one call to the system each; the map stays as it is."""
        read, descriptor = os.pread, self._file.fileno()
        return np.frombuffer(
            bytearray().join([read(descriptor, length, offset) for offset in offsets.tolist()]), np.uint8
        )

    def close(self) -> None:
        """Let go of the file; views that were handed out stay good."""
        self._file.close()
        del self.buffer, self._bytes, self._words
        # While views are handed out the map lives on, and goes with the last of them.
        with contextlib.suppress(BufferError):
            self._map.close()
