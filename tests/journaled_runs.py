"""Finished and unfinished runs in a directory: a spool and a journal made of plain values."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bulklink.core.ledger import OutcomeBlock
from bulklink.files.about_run import AboutRun
from bulklink.files.journal import Journal, SentBatch
from bulklink.files.readers.model import RawChunk
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.vocabulary import Action, Before, Outcome


class Part(NamedTuple):
    """The rows of one file or sheet: (n, columns) cells as text; numbers: row numbers, 1.. if not given."""

    cells: list[list[str]]
    file: str = "links.csv"
    sheet: str = ""
    numbers: list[int] | None = None


def make_spool(path, header, *parts):
    """A spool of these parts; from and to ids are the row's position."""
    places = [(part.file, part.sheet) for part in parts]
    with SpoolWriter(path, header, parts=places) as writer:
        start = 0
        for part in parts:
            n = len(part.cells)
            columns = [pa.array([row[k] for row in part.cells], pa.string()) for k in range(len(header))]
            table = pa.Table.from_arrays(columns, schema=pa.schema([pa.field(name, pa.string()) for name in header]))
            numbers = np.array(part.numbers or range(1, n + 1), np.int64)
            ids = np.zeros((n, 16), np.uint8)
            ids[:, 8:] = np.arange(start, start + n, dtype=">u8").view(np.uint8).reshape(n, 8)
            writer.write(
                RawChunk(table, numbers, part.file, part.sheet, start),
                from_ids=ids,
                to_ids=ids,
                actions=np.full(n, Action.ASSOCIATE, np.uint8),
            )
            start += n
    return Spool.open(path)


def make_journal(path, **meta):
    return Journal.create(path, meta)


def batch(number, rows, at=1_790_000_000.0, attempts=1, before=Before.UNKNOWN, before_ids=None, **more):
    n = len(rows)
    return SentBatch(
        number,
        at,
        np.array(rows, np.int64),
        np.full(n, before, np.uint8),
        before_ids,
        np.full(n, attempts, np.uint8),
        **more,
    )


def block(rows, outcome=Outcome.ASSOCIATED, before=Before.ABSENT, http_status=0, attempts=0, refers_to=None, **more):
    """A block whose outcome, before ... are one value for all rows or one each."""
    n = len(rows)

    def column(value, kind):
        return np.array(value if isinstance(value, list) else [value] * n, kind)

    return OutcomeBlock(
        np.array(rows, np.int64),
        column(outcome, np.uint8),
        column(before, np.uint8),
        http_status=column(http_status, np.uint16),
        attempts=column(attempts, np.uint8),
        refers_to=None if refers_to is None else column(refers_to, np.int64),
        **more,
    )


def about(**facts):
    """The facts of a run of the job "nightly"."""
    known = {
        "run_id": "20261123T124500Z",
        "job": "nightly",
        "organisation": "https://contoso.crm4.dynamics.com",
        "relationship": "accountleads_association",
        "fingerprint": "f1",
        "started": "2026-11-23T12:45:00Z",
    }
    return AboutRun(**known | facts)
