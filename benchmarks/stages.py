"""What does each stage of the client cost? CPU per row, beside the straightforward way of doing the same.

CPU is user and system time of this process, the best of `--repeats`; "x floor" is the ratio to prebuilt batches over a
raw socket, measured in the same run (see `floor`). Only ratios carry over to other machines.

    python -m benchmarks.stages [--rows 200000] [--repeats 3]
"""

import argparse
import csv
import email.parser
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd

from benchmarks.floor import ANSWER_TYPE, API_URL, BOUNDARY, OPERATIONS, canned_answer, measure_floor
from bulklink.core.facts import Table
from bulklink.core.forms import operation_template
from bulklink.core.hygiene import Hygiene, Watched
from bulklink.core.keys import guid_texts
from bulklink.core.ledger import OutcomeBlock
from bulklink.core.relationships import Cardinality, Relationship
from bulklink.core.reply import read_batch_reply
from bulklink.core.request import write_batch
from bulklink.core.table import Columns, LinkColumns, check_links
from bulklink.files.entries import SentBatch
from bulklink.files.journal import Journal
from bulklink.files.outcomes import write_outcomes
from bulklink.files.readers import RawChunk, open_input
from bulklink.files.spool import Spool, SpoolWriter
from bulklink.job.settings import Input
from bulklink.vocabulary import Action, Before, Form, Outcome

ACCOUNT, LEAD = Table("account", "accounts", "accountid"), Table("lead", "leads", "leadid")
NAVIGATION = "accountleads_association"
RELATIONSHIP = Relationship(
    NAVIGATION, Cardinality.MANY_TO_MANY, ACCOUNT, LEAD, NAVIGATION, NAVIGATION, turned=False, intersect=None
)
COLUMNS = LinkColumns(Columns(("from_id",), (0,), True), Columns(("to_id",), (1,), True), Action.ASSOCIATE)
EXCEL_SHARE = 10  # One row in ten: openpyxl would take half of the time.

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Stage:
    """What it is, its rows, and how bulklink and the straightforward way do it."""

    name: str
    rows: int
    ours: Callable[[], Any]
    plain_name: str = ""
    plain: Callable[[], Any] | None = None


class Material:
    """One input in every state that a stage starts from."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        random = np.random.default_rng(1)
        ids = guid_texts(random.integers(0, 256, (2 * rows, 16), np.uint8))
        texts = [text.decode() for text in ids]
        self.pairs: Pairs = list(zip(texts[::2], texts[1::2], strict=True))
        self.csv, self.xlsx = folder / "pairs.csv", folder / "pairs.xlsx"
        with self.csv.open("w", newline="") as file:
            csv.writer(file).writerows([("from_id", "to_id"), *self.pairs])
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("Links")
        for number, pair in enumerate([("from_id", "to_id"), *self.pairs[: rows // EXCEL_SHARE]]):
            sheet.append([*pair, number, "a remark"])
        book.save(self.xlsx)
        self.chunks = list(self.read(self.csv))
        self.checked = [check_links(chunk.table, COLUMNS) for chunk in self.chunks]
        self.spool_path = folder / "input.arrow"
        self.write_spool()
        self.spool = Spool.open(self.spool_path)
        self.scattered = random.permutation(rows)
        self.template = operation_template(Form.REF_ADD, RELATIONSHIP, API_URL, Action.ASSOCIATE)
        self.texts = [(ids[start : start + 2 * OPERATIONS : 2], ids[start + 1 : start + 2 * OPERATIONS : 2])
                      for start in range(0, 2 * rows, 2 * OPERATIONS)]  # fmt: skip
        self.operations = self.template.render(*self.texts[0], [])
        self.answer = canned_answer()
        self.files = 0

    def fresh(self, suffix: str) -> Path:
        self.files += 1
        return self.folder / f"{self.files}.{suffix}"

    def batches(self) -> Iterator[range]:
        for start in range(0, self.rows, OPERATIONS):
            yield range(start, start + OPERATIONS)

    # -- bulklink's way

    def read(self, path: Path) -> Iterator[RawChunk]:
        return open_input(Input(file=path.name), self.folder).chunks()

    def write_spool(self) -> None:
        with SpoolWriter(self.spool_path, ["from_id", "to_id"]) as writer:
            for chunk, links in zip(self.chunks, self.checked, strict=True):
                assert links.to_side is not None
                writer.write(chunk, from_ids=links.from_side.ids, to_ids=links.to_side.ids, actions=links.actions)

    def draw(self, order: np.ndarray) -> None:
        for batch in self.batches():
            rows = order[batch.start : batch.stop]
            self.spool.from_ids(rows)
            self.spool.to_ids(rows)
            self.spool.actions(rows)

    def watch(self) -> None:
        hygiene = Hygiene([Watched("from_id", 0, holds_guids=True), Watched("to_id", 1, holds_guids=True)])
        for chunk in self.chunks:
            hygiene.update(chunk.table, chunk.rows)

    def render(self) -> None:
        for from_texts, to_texts in self.texts:
            self.template.render(from_texts, to_texts, [])

    def write_batches(self) -> None:
        for _ in self.batches():
            write_batch(BOUNDARY, self.operations, [1] * OPERATIONS)

    def read_replies(self) -> None:
        for _ in self.batches():
            assert read_batch_reply(200, {"content-type": ANSWER_TYPE}, self.answer, [1] * OPERATIONS).all_succeeded

    def record(self) -> Path:
        path = self.fresh("sqlite")
        with Journal.create(path, {}) as journal:
            for number, batch in enumerate(self.batches(), start=1):
                rows = np.arange(batch.start, batch.stop)
                before, ones = np.full(len(rows), Before.UNKNOWN, np.uint8), np.ones(len(rows), np.uint8)
                journal.record([SentBatch(number, 0.0, rows, before, None, ones)])
                outcome = np.full(len(rows), Outcome.ASSOCIATED, np.uint8)
                status = np.full(len(rows), 204, np.uint16)
                journal.record(settled=[OutcomeBlock(rows, outcome, before, None, status, ones)])
        return path

    def outcomes(self, journal_path: Path) -> None:
        with Journal.open(journal_path) as journal:
            write_outcomes(self.folder, self.spool, journal)

    # -- the straightforward way

    def plain_check(self) -> None:
        for from_text, to_text in self.pairs:
            uuid.UUID(from_text)
            uuid.UUID(to_text)

    def plain_spool(self) -> Path:
        path = self.fresh("sqlite")
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE row (i INTEGER PRIMARY KEY, from_id, to_id)")
            connection.executemany("INSERT INTO row (from_id, to_id) VALUES (?, ?)", self.pairs)
        return path

    def plain_draw(self, path: Path, order: np.ndarray) -> None:
        with sqlite3.connect(path) as connection:
            for batch in self.batches():
                marks = ",".join("?" * OPERATIONS)
                rows = (order[batch.start : batch.stop] + 1).tolist()
                connection.execute(f"SELECT * FROM row WHERE i IN ({marks})", rows).fetchall()

    def plain_render(self) -> None:
        for batch in self.batches():
            "".join(
                f"POST /api/data/v9.2/accounts({a})/{NAVIGATION}/$ref HTTP/1.1\r\n"
                "Content-Type: application/json\r\n\r\n"
                f'{{"@odata.id":"{API_URL}/leads({b})"}}'
                for a, b in self.pairs[batch.start : batch.stop]
            ).encode()

    def plain_batches(self) -> None:
        for _ in self.batches():
            parts = []
            for number, one in enumerate(self.operations, start=1):
                inner = f"changeset_{uuid.uuid4()}"
                parts.append(
                    f"--{BOUNDARY}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n--{inner}\r\n"
                    "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
                    f"Content-ID: {number}\r\n\r\n"
                    f"{one.decode()}\r\n--{inner}--\r\n"
                )
            "".join(parts).encode()

    def plain_replies(self) -> None:
        head = f"Content-Type: {ANSWER_TYPE}\r\n\r\n".encode()
        for _ in self.batches():
            email.parser.BytesParser().parsebytes(head + self.answer)

    def plain_record(self) -> None:
        with sqlite3.connect(self.fresh("sqlite")) as connection:
            connection.execute("CREATE TABLE outcome (i INTEGER PRIMARY KEY, outcome, status)")
            for batch in self.batches():
                connection.executemany("INSERT INTO outcome VALUES (?, 'associated', 204)", ((i,) for i in batch))
                connection.commit()

    def plain_outcomes(self) -> None:
        with self.fresh("csv").open("w", newline="") as file:
            writer = csv.writer(file)
            for row, pair in enumerate(self.pairs, start=1):
                writer.writerow([row, *pair, "associated", "absent", "", "", 204, "", 1])

    def plain_excel(self) -> None:
        for _ in openpyxl.load_workbook(self.xlsx, read_only=True)["Links"].iter_rows(values_only=True):
            pass


def stages(material: Material) -> list[Stage]:
    """In the order of one row's way."""
    m, rows = material, material.rows
    in_order = np.arange(rows)
    table, journal = m.plain_spool(), m.record()
    return [
        Stage("read CSV, with its hash", rows, lambda: list(m.read(m.csv)), "pandas, dtype=str",
              lambda: pd.read_csv(m.csv, dtype=str)),
        Stage("read XLSX, 4 columns", rows // EXCEL_SHARE, lambda: list(m.read(m.xlsx)), "openpyxl, read-only",
              m.plain_excel),
        Stage("check a pair of GUIDs", rows, lambda: [check_links(chunk.table, COLUMNS) for chunk in m.chunks],
              "uuid.UUID", m.plain_check),
        Stage("hygiene of a pair of GUIDs", rows, m.watch),
        Stage("spool: write", rows, m.write_spool, "SQLite, row by row", m.plain_spool),
        Stage("spool: draw in order", rows, lambda: m.draw(in_order), "SQLite, by number",
              lambda: m.plain_draw(table, in_order)),
        Stage("spool: draw scattered", rows, lambda: m.draw(m.scattered), "SQLite, by number",
              lambda: m.plain_draw(table, m.scattered)),
        Stage("ids as text, a pair", rows, lambda: [guid_texts(links.from_side.ids) for links in m.checked * 2],
              "str(uuid.UUID)", m.plain_check),
        Stage("render operations", rows, m.render, "f-strings", m.plain_render),
        Stage("write_batch", rows, m.write_batches, "f-strings", m.plain_batches),
        Stage("read_batch_reply", rows, m.read_replies, "email.parser", m.plain_replies),
        Stage("journal: sent and settled", rows, m.record, "SQLite, row by row", m.plain_record),
        Stage("outcomes.csv", rows, lambda: m.outcomes(journal), "csv.writer", m.plain_outcomes),
    ]  # fmt: skip


def cpu_s(work: Callable[[], Any], repeats: int) -> float:
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="a multiple of 1,000")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    floor = measure_floor()
    print(f"{'stage':<28}{'us/row':>8}{'x floor':>9}   {'the straightforward way':<22}{'us/row':>8}{'ratio':>8}")
    print(f"{'raw socket (the floor)':<28}{floor * 1e6:8.3f}{1:9.1f}")
    with tempfile.TemporaryDirectory() as folder:
        total = 0.0
        for stage in stages(Material(Path(folder), options.rows)):
            ours = cpu_s(stage.ours, options.repeats) / stage.rows
            total += 0 if "XLSX" in stage.name or "in order" in stage.name else ours
            line = f"{stage.name:<28}{ours * 1e6:8.3f}{ours / floor:9.1f}"
            if stage.plain:
                plain = cpu_s(stage.plain, 1) / stage.rows
                line += f"   {stage.plain_name:<22}{plain * 1e6:8.3f}{plain / ours:7.1f}x"
            print(line, flush=True)
    print(f"{'sum for a CSV job, unsent':<28}{total * 1e6:8.3f}{total / floor:9.1f}")


if __name__ == "__main__":
    main()
