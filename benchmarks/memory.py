"""Does memory grow with the file? Peak resident memory of reading, checking, spooling and drawing.

Each size runs in a process of its own: a CSV of random pairs is read, checked and spooled, then every row's ids are
drawn in scattered batches of 1,000 (as the engine does) and every row's cells in order (as the outcomes file does).
What the engine itself keeps for each row (its book, buckets, exact duplicates) is not in here.

    python -m benchmarks.memory [--rows 100000 1000000 5000000]
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bulklink.core.keys import guid_texts
from bulklink.core.table import Columns, LinkColumns, check_links
from bulklink.files.readers import open_input
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.job.settings import Input
from bulklink.vocabulary import Action

COLUMNS = LinkColumns(Columns(("from_id",), (0,), True), Columns(("to_id",), (1,), True), Action.ASSOCIATE)
BATCH_ROWS = 1_000
SPAN_ROWS = 50_000


def write_csv(path: Path, rows: int) -> None:
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        file.write(b"from_id,to_id\n")
        for start in range(0, rows, SPAN_ROWS):
            texts = guid_texts(random.integers(0, 256, (2 * min(SPAN_ROWS, rows - start), 16), np.uint8))
            file.writelines(b"%b,%b\n" % pair for pair in zip(texts[::2], texts[1::2], strict=True))


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def work(csv_path: Path, spool_path: Path, pipe: Connection) -> None:
    """Both passes over one file; tells the peaks at the start, after the first pass and at the end, and the CPU."""
    start = peak_bytes()
    table = open_input(Input(file=str(csv_path)), csv_path.parent)
    with SpoolWriter(spool_path, table.header) as writer:
        for chunk in table.chunks():
            links = check_links(chunk.table, COLUMNS)
            assert links.to_side is not None
            writer.write(chunk, from_ids=links.from_side.ids, to_ids=links.to_side.ids, actions=links.actions)
    first_pass, first_cpu_s = peak_bytes(), time.process_time()
    with Spool.open(spool_path) as spool:
        # Like rows of one bucket: a stride through the whole file, so that no two rows of a batch are neighbours.
        batches = max(1, spool.n_rows // BATCH_ROWS)
        for batch in range(batches):
            rows = np.arange(batch, spool.n_rows, batches)
            spool.from_ids(rows)
            spool.to_ids(rows)
        for first in range(0, spool.n_rows, SPAN_ROWS):
            spool.cells(first, first + SPAN_ROWS).combine_chunks()
    pipe.send((start, first_pass, peak_bytes(), first_cpu_s, time.process_time() - first_cpu_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    print(f"{'rows':>12}{'start':>10}{'1st pass':>10}{'end':>10}{'ratio':>7}{'1st pass us/row':>17}{'draw us/row':>13}")
    previous = 0
    with tempfile.TemporaryDirectory() as folder:
        for rows in parser.parse_args().rows:
            write_csv(Path(folder) / "pairs.csv", rows)
            ours, theirs = multiprocessing.Pipe()
            arguments = (Path(folder) / "pairs.csv", Path(folder) / "input.arrow", theirs)
            child = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
            child.start()
            start, first_pass, end, first_s, draw_s = ours.recv()
            child.join()
            megabytes = "".join(f"{peak / 2**20:7.0f} MB" for peak in (start, first_pass, end))
            ratio = f"{end / previous:7.2f}" if previous else " " * 7
            print(f"{rows:12,}{megabytes}{ratio}{first_s / rows * 1e6:17.3f}{draw_s / rows * 1e6:13.3f}", flush=True)
            previous = end


if __name__ == "__main__":
    main()
