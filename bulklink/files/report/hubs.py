"""The records that most rows name, found in flat memory.

Owns: the counting.
Does not know: why it matters (two batches in flight never touch one busy record).
Method: a first pass counts the rows per bucket of a hash; a second one counts exactly, but only in the fullest buckets.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bulklink.core.keys import guid_text
from bulklink.core.wishes import mix_ids
from bulklink.files.row_outcomes import spans
from bulklink.files.spool import Spool

_BUCKETS: Final = 1 << 18
_BUCKETS_COUNTED: Final = 64
#: Fewer rows than this are no hub.
HUB_ROWS_MIN: Final = 10

_Positions = NDArray[np.int64]
_Ids = NDArray[np.uint8]
_Pieces = Callable[[], Iterator[tuple[_Positions, _Ids]]]


class Hub(NamedTuple):
    """A record that many rows name. first_row: the first of them, as people number it."""

    side: str
    record: str
    rows: int
    first_row: int


def find_hubs(spool: Spool, most: int = 5) -> list[Hub]:
    """The busiest from and to records with at least `HUB_ROWS_MIN` rows, up to `most` of each side, busiest first."""
    sides = (("from", spool.from_ids, spool.has_from_id), ("to", spool.to_ids, spool.has_to_id))
    hubs = []
    for side, ids_at, has_id in sides:

        def pieces(
            ids_at: Callable[[_Positions], _Ids] = ids_at, has_id: Callable[[_Positions], NDArray[np.bool_]] = has_id
        ) -> Iterator[tuple[_Positions, _Ids]]:
            for start, stop in spans(spool.n_rows):
                positions = np.arange(start, stop)
                positions = positions[has_id(positions)]
                yield positions, ids_at(positions)

        # The nil GUID stands where a row has no id; it is no record.
        busiest = [found for found in _busiest(pieces, most + 1) if any(found[0])][:most]
        numbers = spool.row_numbers_at(np.array([first for _, _, first in busiest], np.int64)).tolist()
        hubs += [Hub(side, guid_text(record), rows, n) for (record, rows, _), n in zip(busiest, numbers, strict=True)]
    return sorted(hubs, key=lambda hub: -hub.rows)


def _busiest(pieces: _Pieces, most: int) -> list[tuple[bytes, int, int]]:
    """(id, rows, first position) of the ids that occur most."""
    fullest = _fullest_buckets(pieces)
    found: Counter[bytes] = Counter()
    first: dict[bytes, int] = {}
    for positions, ids in pieces() if fullest.any() else ():
        chosen = fullest[_bucket(ids)]
        distinct, at, rows = np.unique(ids[chosen], axis=0, return_index=True, return_counts=True)
        for record, position, count in zip(distinct, positions[chosen][at].tolist(), rows.tolist(), strict=True):
            found[record.tobytes()] += count
            first.setdefault(record.tobytes(), position)
    return [(record, rows, first[record]) for record, rows in found.most_common(most) if rows >= HUB_ROWS_MIN]


def _fullest_buckets(pieces: _Pieces) -> NDArray[np.bool_]:
    counts = np.zeros(_BUCKETS, np.int64)
    for _, ids in pieces():
        counts += np.bincount(_bucket(ids), minlength=_BUCKETS)
    fullest = np.zeros(_BUCKETS, np.bool_)
    fullest[np.argsort(counts)[-_BUCKETS_COUNTED:]] = True
    fullest &= counts >= HUB_ROWS_MIN
    return fullest


def _bucket(ids: _Ids) -> NDArray[np.int64]:
    return (mix_ids(ids) % np.uint64(_BUCKETS)).astype(np.int64)
