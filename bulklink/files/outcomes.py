"""The files that people read after a run: outcomes.csv, .xlsx, .parquet and troubles.csv.

Owns: which of these files there are, and that all of them tell the same.
Does not know: how the service is spoken to, how a row came to its outcome, the format of a workbook.
Source: the public contract (README, "Files of a run").
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from bulklink.errors import BooksError
from bulklink.files.csv_lines import csv_line, csv_lines
from bulklink.files.journal import Journal
from bulklink.files.outcome_table import OutcomeTable
from bulklink.files.row_outcomes import Books, RowOutcomes
from bulklink.files.spool import Spool
from bulklink.files.workbook import parquet_file, workbook_file
from bulklink.files.writing import replaced, words_for_disk_trouble

TROUBLES: Final = "troubles.csv"

#: Takes consecutive rows.
Sink = Callable[[pa.Table], None]


@dataclass(slots=True)
class Written:
    """What was written: the books, the files, and what people should know about them."""

    books: Books
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_outcomes(directory: Path, spool: Spool, journal: Journal, formats: Sequence[str] = ("csv",)) -> Written:
    """Write the outcomes of all rows in input order, and the rows not as asked, as the journal has them now.

    formats: of "csv", "xlsx", "parquet". Files of an earlier call that are not written now are removed.
    Raises BooksError if the books do not balance, RunDirectoryError if the disk does not allow it.
    """
    outcomes = RowOutcomes(journal, spool.n_rows)
    books = outcomes.books()
    books.check()
    table = OutcomeTable(spool, outcomes)
    written = Written(books, [directory / f"outcomes.{name}" for name in SINKS if name in formats])
    if books.not_as_asked:
        written.files.append(directory / TROUBLES)
    _write(table, written)
    with words_for_disk_trouble(directory):
        for path in (directory / TROUBLES, *(directory / f"outcomes.{name}" for name in SINKS)):
            if path not in written.files:
                path.unlink(missing_ok=True)
    return written


def _write(table: OutcomeTable, written: Written) -> None:
    rows = in_trouble = 0
    with ExitStack() as files:
        sinks = [
            files.enter_context(SINKS[path.suffix[1:]](path, table.header, written.notes))
            for path in written.files
            if path.name != TROUBLES
        ]
        troubles = [
            files.enter_context(_csv_file(path, table.input_header, written.notes))
            for path in written.files
            if path.name == TROUBLES
        ]
        for chunk, not_as_asked in table.chunks():
            for write in sinks:
                write(chunk)
            for write in troubles:
                write(table.input_cells(chunk).filter(pa.array(not_as_asked)))
            rows += chunk.num_rows
            in_trouble += int(not_as_asked.sum())
        if rows != written.books.rows or in_trouble != written.books.not_as_asked:
            raise BooksError(f"{rows} of {written.books.rows} rows were written, {in_trouble} of them as troubles")


@contextmanager
def _csv_file(path: Path, header: list[str], _: list[str]) -> Iterator[Sink]:
    with replaced(path) as file:

        def write(chunk: pa.Table) -> None:
            with words_for_disk_trouble(path):
                file.write(csv_lines(chunk))

        file.write(csv_line(header))
        yield write


SINKS: Final[Mapping[str, Callable[[Path, list[str], list[str]], AbstractContextManager[Sink]]]] = {
    "csv": _csv_file,
    "xlsx": workbook_file,
    "parquet": parquet_file,
}
