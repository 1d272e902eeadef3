"""What goes into the spool comes out of it: cells, ids, row numbers, in any order of asking."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.files.readers import RawChunk
from bulklink.files.spool import Spool, SpoolWriter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
GUID = st.none() | st.binary(min_size=16, max_size=16)
ROWS = st.lists(st.tuples(TEXT, GUID, GUID, st.integers(0, 5), st.integers(1, 3)), max_size=30)


def as_ids(guids: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    joined = b"".join(guid or b"\xff" * 16 for guid in guids)
    return np.frombuffer(joined, np.uint8).reshape(-1, 16), np.array([guid is not None for guid in guids], np.bool_)


@given(chunks=st.lists(ROWS, max_size=4), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_any_row_comes_back_unchanged(chunks: list[list[tuple]], seed: int) -> None:
    """Round trip; a row without id has zeros for one, whatever was handed over in its place."""
    with tempfile.TemporaryDirectory() as folder:
        written, number = [], 0
        with SpoolWriter(Path(folder) / "input.arrow", ["a"]) as writer:
            for rows in chunks:
                texts, froms, tos, actions, gaps = map(list, zip(*rows, strict=True)) if rows else ([],) * 5
                numbers = number + np.cumsum(np.array(gaps, np.int64))  # Blank rows lie in between.
                number = int(numbers[-1]) if rows else number
                (from_ids, from_valid), (to_ids, to_valid) = as_ids(froms), as_ids(tos)
                chunk = RawChunk(pa.table({"a": pa.array(texts, pa.string())}), numbers, "a.csv", "")
                writer.write(
                    chunk,
                    from_ids=from_ids,
                    to_ids=to_ids,
                    actions=np.array(actions, np.uint8),
                    from_valid=from_valid,
                    to_valid=to_valid,
                )
                written += list(zip(numbers.tolist(), texts, froms, tos, actions, strict=True))
        with Spool.open(Path(folder) / "input.arrow") as spool:
            order = np.random.default_rng(seed).permutation(len(written))
            from_ids, to_ids = spool.from_ids(order), spool.to_ids(order)
            read = [
                (
                    int(spool.row_numbers_at(order)[k]),
                    spool.cells(int(i), int(i) + 1).column(0)[0].as_py(),
                    from_ids[k].tobytes() if spool.has_from_id(order)[k] else None,
                    to_ids[k].tobytes() if spool.has_to_id(order)[k] else None,
                    int(spool.actions(order)[k]),
                )
                for k, i in enumerate(order)
            ]
            assert read == [written[i] for i in order]
            assert not from_ids[~spool.has_from_id(order)].any()
