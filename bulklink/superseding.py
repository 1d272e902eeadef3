"""Close an unfinished run that a newer one takes the place of.

Owns: what becomes of its rows in doubt: they are settled by reading, nothing is sent for it any more.
Does not know: what the new run does.
Source: the public contract (README, "Running again").
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from bulklink.core.ledger import Ledger
from bulklink.core.settling import Settler
from bulklink.core.work import Found, Settlement, Why
from bulklink.files.about_run import RunEnd, RunState, iso
from bulklink.files.journal import Journal
from bulklink.files.run_directory import JOURNAL, SPOOL, PastRun
from bulklink.files.spool import Spool
from bulklink.finishing import write_files
from bulklink.foreseeing import read_rows
from bulklink.run_place import PHASE, SENDING
from bulklink.service.reading import Reader
from bulklink.tasks import work_for_reading
from bulklink.vocabulary import Before, Outcome

#: The journal's fact that says how a run's rows are read back.
FACTS: Final = "facts"
READ_ROWS: Final = 500


async def supersede(
    run: PastRun, reader: Reader, settle_after_s: float, pause: Callable[[float], Awaitable[None]]
) -> None:
    """Settle an old run's rows in doubt by reading, write its files, close it."""
    with Journal.open(run.directory / JOURNAL) as journal:
        batches = journal.unsettled_batches()
        if batches:
            with Spool.open(run.directory / SPOOL) as spool:
                sent_s = max(batch.at for batch in batches)
                # A clock that was set back since must not lengthen the wait.
                await pause(min(settle_after_s, max(0.0, sent_s + settle_after_s - time.time())))
                for batch in batches:
                    found = [
                        Found(Before(int(kind)), batch.before_ids[k].tobytes() if batch.before_ids is not None else b"")
                        for k, kind in enumerate(batch.before.tolist())
                    ]
                    await _settle(batch.rows.tolist(), found, journal, spool, reader)
        end = RunEnd(RunState.SUPERSEDED, run.end.exit_code, iso(time.time()), "a newer run took its place")
        journal.set_meta(**end.to_meta())
        if journal.meta(PHASE) == SENDING:
            with Spool.open(run.directory / SPOOL) as spool:
                write_files(run.directory, spool, journal, ("csv",), html=False)


async def _settle(rows: list[int], first: list[Found], journal: Journal, spool: Spool, reader: Reader) -> None:
    work = work_for_reading(journal.meta(FACTS), spool, reader.api_path)
    settler = Settler(work, Ledger(spool.n_rows), np.ones(spool.n_rows, np.uint8))
    known_before = dict(zip(rows, first, strict=True))
    for start in range(0, len(rows), READ_ROWS):
        for row, now in (await read_rows(work, rows[start : start + READ_ROWS], reader)).items():
            known = known_before[row]
            before = None if known.before is Before.UNKNOWN else known
            settlement = work.after_reading(row, now, before, Why.DOUBT)
            not_done = Settlement(Outcome.EXHAUSTED, "not done: the answer was lost, and a newer run took over")
            settler.settle(row, settlement or not_done, None, before)
    journal.record(settled=settler.take())
