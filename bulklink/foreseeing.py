"""A dry run: read, check, resolve, judge and look, and say what would be done. Nothing is sent, nothing is kept.

Owns: the counts of a dry run and its exit code.
Does not know: run directories; it works in one that vanishes.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from bulklink.connecting import Connection
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.work import Found, Settlement, Work
from bulklink.driving import Clock
from bulklink.errors import ExitCode, GuardStop
from bulklink.examples import Examples
from bulklink.files.readers import InputTable
from bulklink.files.spool import Spool
from bulklink.first_pass import Task, ask_for_keys
from bulklink.guards import guard_stop
from bulklink.job import LoadedJob
from bulklink.listener import Listener
from bulklink.service.reading import Reader
from bulklink.summary import Summary
from bulklink.vocabulary import AS_ASKED, Outcome
from bulklink.watching import watch

READ_ROWS = 1_000


async def foresee(
    loaded: LoadedJob,
    task: Task,
    table: InputTable,
    connection: Connection,
    listener: Listener,
    clock: Clock,
    why: str = "",
) -> Summary:
    """What a run would do now, as counts of outcomes; exit code 0, 3 or 5 as the run would have.

    why: what holds it back whatever its own rows are.
    """
    with tempfile.TemporaryDirectory(prefix="bulklink-") as name:
        hygiene = watch(loaded.job, task, table)
        with await _spooled(task, table, connection, Path(name)) as (spool, ledger, examples):
            for warning in hygiene.warnings():
                listener.note(warning.sentence)

            def settle(block: OutcomeBlock) -> None:
                ledger.settle(block)
                examples.take(block)

            first = task.judge(spool, ledger, settle)
            why = why or guard_stop(loaded.job, ledger, clock.wall() - table.modified_s)
            if why:
                counts = ledger.counts()
                counts[Outcome.GUARDED] += counts.pop(Outcome.NONE, 0)
            else:
                work = task.work(first, loaded.job.dataverse.api_url, [])
                counts = await _look(work, ledger, connection.reader)
            rows = spool.n_rows
    listener.note("dry run: nothing was sent")
    error = GuardStop(why) if why else None
    exit_code = error.exit_code if error else _exit_code(counts)
    facts = {
        "job": loaded.job.name,
        "dry_run": True,
        "exit_code": int(exit_code),
        "rows": rows,
        "outcomes": {outcome.word: counts[outcome] for outcome in Outcome if counts[outcome]},
        "why": why,
        "examples": {outcome.word: examples.of(outcome) for outcome in Outcome if examples.of(outcome)},
    }
    return Summary(facts, None, exit_code, error)


async def why_held_back(loaded: LoadedJob, task: Task, table: InputTable, connection: Connection, clock: Clock) -> str:
    """What a guard rail says of the rows as they are now; "" if nothing."""
    guard = loaded.job.guard
    if guard.max_unresolved is None and guard.min_rows is None and not guard.max_input_age:
        return ""
    with (
        tempfile.TemporaryDirectory(prefix="bulklink-") as name,
        await _spooled(task, table, connection, Path(name)) as (_, ledger, _),
    ):
        return guard_stop(loaded.job, ledger, clock.wall() - table.modified_s)


async def _spooled(
    task: Task, table: InputTable, connection: Connection, directory: Path
) -> AbstractContextManager[tuple[Spool, Ledger, Examples]]:
    """The first pass: the rows, and the outcomes of those that are wrong by themselves."""
    intake = task.intake(table, directory)
    blocks = list(intake.read())
    await ask_for_keys(intake.books, connection.reader, connection.metadata)
    blocks += intake.resolve()

    @contextmanager
    def opened() -> Iterator[tuple[Spool, Ledger, Examples]]:
        with intake.spool() as spool:
            ledger, examples = Ledger(spool.n_rows), Examples(spool)
            for block in blocks:
                ledger.settle(block)
                examples.take(block)
            yield spool, ledger, examples

    return opened()


def _exit_code(counts: Counter[Outcome]) -> ExitCode:
    bad = sum(n for outcome, n in counts.items() if outcome not in AS_ASKED and outcome is not Outcome.DUPLICATE)
    return ExitCode.TROUBLES if bad else ExitCode.AS_ASKED


async def _look(work: Work, ledger: Ledger, reader: Reader) -> Counter[Outcome]:
    """Read how the open rows stand and count what would become of them."""
    counts = ledger.counts()
    del counts[Outcome.NONE]
    open_rows = ledger.open_rows()
    ridden = {rider for row in open_rows.tolist() for rider in work.riders(row)}
    rows = [row for row in open_rows.tolist() if row not in ridden]
    for start in range(0, len(rows), READ_ROWS):
        part = rows[start : start + READ_ROWS]
        for row, found in (await read_rows(work, part, reader)).items():
            settlement = work.decide(row, found)
            done = Outcome(int(work.success(np.array([row], np.int64))[0]))
            counts[settlement.outcome if settlement else done] += 1
            for rider in work.riders(row):
                fate = settlement or Settlement(done)
                counts[work.rider_outcome(rider, row, fate, found).outcome] += 1
    return counts


async def read_rows(work: Work, rows: list[int], reader: Reader) -> dict[int, Found]:
    """How these rows stand."""
    questions = work.questions(rows)
    pages: dict[int, list[bytes]] = {}
    await reader.ask_pages(
        [question.request for question in questions], lambda k, page: pages.setdefault(k, []).append(page)
    )
    found: dict[int, Found] = {}
    for k, question in enumerate(questions):
        found.update(work.findings(rows, question, pages[k]))
    return found
