"""One run of a job from sign-in to its files.

Owns: the order of the steps, what is recorded before the first sending, how a run ends.
Does not know: how any of the steps is done.
Source: the public contract (README, "Commands", "Files of a run", "Exit codes").
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
from numpy.typing import NDArray

from bulklink import tasks
from bulklink.connecting import Connection, operation_headers
from bulklink.core.change_set_size import ChangeSetSizer
from bulklink.core.engine import Engine
from bulklink.core.groups import Groups
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.steps import EngineSettings
from bulklink.core.wishes import before_sending
from bulklink.core.work import Found
from bulklink.driving import Clock, Interruption, Run, SystemClock
from bulklink.errors import BulklinkError, GuardStop, JournalError
from bulklink.files.about_run import AboutRun, InputFacts, iso
from bulklink.files.entries import Event, EventKind, SentBatch
from bulklink.files.journal import Journal
from bulklink.files.lock import locked
from bulklink.files.log import EventLog, Redactor
from bulklink.files.readers import InputTable, open_frame, open_input
from bulklink.files.row_outcomes import RowOutcomes
from bulklink.files.run_directory import JOURNAL, LOG, SPOOL, PastRun, prune, set_aside
from bulklink.files.spool import Spool
from bulklink.finishing import finish, write_files
from bulklink.first_pass import FirstPass, Settle, Task, ask_for_keys
from bulklink.foreseeing import foresee
from bulklink.guards import guard_stop
from bulklink.job import Job, LoadedJob, RunOptions, next_deadline
from bulklink.listener import Listener, RunFacts
from bulklink.logged import LoggedListener
from bulklink.progress import ProgressMeter
from bulklink.run_place import PHASE, SENDING, Identity, RunPlace, choose_place, fingerprint_of
from bulklink.summary import Summary
from bulklink.superseding import FACTS, supersede
from bulklink.vocabulary import UNFINISHED, Before, Isolation, Outcome
from bulklink.watching import watch

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True)
class Session:
    """What one call of `run` knows: the job, how it is to be run, who listens, and the world around it."""

    loaded: LoadedJob
    options: RunOptions
    listener: Listener
    env: Mapping[str, str]
    interruption: Interruption
    frame: "pd.DataFrame | None" = None
    credential: object = None
    clock: Clock = field(default_factory=SystemClock)
    #: Why nothing may be sent, whatever this run's own rows are; "" if nothing is known.
    held_back: str = ""

    @property
    def job(self) -> Job:
        """The job."""
        return self.loaded.job

    async def run(self) -> Summary:
        """The whole run. Raises BulklinkError if it ended before there was anything to write files about."""
        return await self.interruption.ends(self._run)

    async def _run(self) -> Summary:
        table = self.opened(tasks.headers_used(self.job))
        for found in table.found:
            self.listener.note(found.describe())
        async with Connection(self.loaded, self.env, self.listener, self.clock, self.credential) as connection:
            await connection.who_am_i()
            task = await tasks.plan(self.job, table, connection.metadata)
            if self.options.dry_run:
                for note in task.notes:
                    self.listener.note(note)
                return await foresee(self.loaded, task, table, connection, self.listener, self.clock, self.held_back)
            identity = Identity(
                self.job.dataverse.url,
                self.job.name,
                fingerprint_of(table.fingerprint, self.job.fingerprint_parts(), task.subject),
            )
            base = self.loaded.resolve(self.job.report.dir)
            wall_s = self.clock.wall()
            # The lock comes first: whoever holds it may be writing to the very run that this one would resume.
            with locked(identity.organisation, task.subject, base, wall_s):
                resume_within_s = self.job.send.resume_within
                place = choose_place(base, identity, self.options, wall_s, resume_within_s)
                return await self._run_in(place, identity, task, table, connection)

    def opened(self, headers: list[str]) -> InputTable:
        """The input. Raises InputError if it lacks one of the headers."""
        if self.frame is not None:
            table = open_frame(self.frame, now_s=self.clock.wall())
        else:
            table = open_input(self.loaded.required_input(), self.loaded.base_dir)
        for header in headers:
            table.column_index(header)
        return table

    async def _run_in(
        self, place: RunPlace, identity: Identity, task: Task, table: InputTable, connection: Connection
    ) -> Summary:
        report = self.job.report
        if place.is_over:
            with Journal.open(place.directory / JOURNAL) as journal, Spool.open(place.directory / SPOOL) as spool:
                self.listener.note(f"{place.directory} holds a finished run: nothing is sent.")
                return write_files(place.directory, spool, journal, report.outcomes, html=report.html)
        closed = [await self._closed(old, connection) for old in place.superseded]
        redact, who = Redactor(connection.secrets), connection.signed_in_as
        with EventLog(place.directory / LOG, redact) as log, self._journal(place, identity, task, who) as journal:
            self.listener = LoggedListener(self.listener, log, journal, self.clock.wall)
            log.write("began", job=identity.job, organisation=identity.organisation, resumed=place.resumes)
            journal.record(events=[Event(self.clock.wall(), EventKind.SESSION)])
            for note in (*closed, *task.notes):
                self.listener.note(note)
            try:
                summary = await self._work(place, task, table, connection, journal)
            except BulklinkError as error:
                log.write("error", message=str(error), exit_code=int(error.exit_code))
                raise
            log.write("ended", **{key: summary.facts[key] for key in ("exit_code", "outcomes", "why", "notes")})
        self.listener.ended(summary.facts)
        if self.options.run_dir is None:
            prune(self.loaded.resolve(report.dir), identity.job, report.keep)
        return summary

    async def _closed(self, old: PastRun, connection: Connection) -> str:
        """Close an unfinished run that this one takes the place of. Says what became of it."""
        try:
            await supersede(old, connection.reader, self.job.send.settle_after, anyio.sleep)
        except JournalError as error:
            # Nobody can ever read it again, and no later run is to stumble over it.
            set_aside(old.directory)
            return f"The unfinished run {old.directory} cannot be closed and is set aside: {error}"
        return f"The unfinished run {old.directory} is closed: this run takes its place."

    def _journal(self, place: RunPlace, identity: Identity, task: Task, who: str) -> Journal:
        path = place.directory / JOURNAL
        if place.resumes:
            return Journal.open(path)
        about = AboutRun(
            run_id=place.directory.name,
            job=identity.job,
            organisation=identity.organisation,
            relationship=task.subject,
            fingerprint=identity.fingerprint,
            started=iso(self.clock.wall()),
            task=task.words,
            settings=self.loaded.settings_by_key(),
            environment={"environment": identity.organisation, "signed in as": who},
            key_headers=task.key_headers,
            command=self.options.command,
            retry_command=self.options.retry_command,
            chosen=self.options.run_dir is not None,
            retry_of=place.retry_of.about.run_id if place.retry_of else "",
        )
        return Journal.create(path, about.to_meta() | {PHASE: "reading", FACTS: task.facts()})

    async def _work(
        self, place: RunPlace, task: Task, table: InputTable, connection: Connection, journal: Journal
    ) -> Summary:
        """First pass (unless it was done by an earlier process), second pass, files."""
        report = self.job.report
        if place.resumes:
            spool = Spool.open(place.directory / SPOOL)
            ledger = _replayed(journal, spool.n_rows)
            done = f"{ledger.settled:,} of {spool.n_rows:,} rows had their outcome"
            self.listener.note(f"Resumed at {iso(self.clock.wall())}: {done}.")
        else:
            kept = _take_over(place.retry_of.directory, journal) if place.retry_of else None
            spool = await self._read_input(task, table, connection, journal, place.directory, kept)
            ledger = _replayed(journal, spool.n_rows)
        with spool:

            def settle(block: OutcomeBlock) -> None:
                ledger.settle(block)
                journal.record(settled=[block])

            first = task.judge(spool, ledger, settle)
            if not place.resumes:
                stopped = self._guarded(table, ledger, settle)
                journal.set_meta(**self._about_input(journal, table, spool), **{PHASE: SENDING})
                if stopped:
                    return finish(place.directory, spool, journal, stopped, report.outcomes, html=report.html)
            error = await self._send(place, task, first, ledger, connection, journal)
            return finish(place.directory, spool, journal, error, report.outcomes, html=report.html)

    async def _read_input(
        self,
        task: Task,
        table: InputTable,
        connection: Connection,
        journal: Journal,
        directory: Path,
        kept: NDArray[np.bool_] | None,
    ) -> Spool:
        """Spool the input. kept: rows whose outcome stands, whatever their keys mean by now."""

        def settle(block: OutcomeBlock) -> None:
            journal.record(settled=[block if kept is None else _part(block, ~kept[block.rows])])

        hygiene = watch(self.job, task, table)
        intake = task.intake(table, directory)
        for block in intake.read():
            settle(block)
        for warning in hygiene.warnings():
            self.listener.note(warning.sentence)
        await ask_for_keys(intake.books, connection.reader, connection.metadata)
        for block in intake.resolve():
            settle(block)
        return intake.spool()

    def _about_input(self, journal: Journal, table: InputTable, spool: Spool) -> dict[str, str]:
        """The facts about the input, known once it was read to its end."""
        about = AboutRun.from_meta(journal.all_meta())
        inputs = tuple(
            InputFacts(one.file, one.rows, one.sha256, one.modified, one.sheet, one.format, one.delimiter, one.encoding)
            for one in table.found
        )
        meta = replace(about, inputs=inputs).to_meta()
        return {key: value for key, value in meta.items() if key.startswith("about.")}

    def _guarded(self, table: InputTable, ledger: Ledger, settle: Settle) -> GuardStop | None:
        """Hold everything back if a guard rail says so."""
        why = self.held_back or guard_stop(self.job, ledger, self.clock.wall() - table.modified_s)
        if not why:
            return None
        settle(before_sending(ledger.open_rows(), Outcome.GUARDED, message=why))
        return GuardStop(why)

    # -- the second pass -------------------------------------------------------------------------------------------

    async def _send(
        self,
        place: RunPlace,
        task: Task,
        first: FirstPass,
        ledger: Ledger,
        connection: Connection,
        journal: Journal,
    ) -> BulklinkError | None:
        headers = operation_headers(self.job.dataverse)
        work = task.work(first, self.job.dataverse.api_url, headers, self.job.dataverse.tag)
        groups = Groups(first.group_of, first.buckets) if first.group_of is not None else None
        engine = Engine(work, ledger, self._settings(ledger, journal), connection.pace, self._sizer(), groups)
        self._resume_doubts(engine, journal)
        meter = ProgressMeter(ledger, engine, self.clock)
        self.listener.started(
            RunFacts(
                self.job.name,
                place.directory.name,
                place.directory,
                self.job.dataverse.url,
                len(ledger.outcomes),
                place.resumes,
            )
        )
        run = Run(engine, connection.transport, journal, meter.progress, self.listener, self.interruption, self.clock)
        return await run.drive()

    def _settings(self, ledger: Ledger, journal: Journal) -> EngineSettings:
        send, now_s = self.job.send, self.clock.monotonic()
        deadline = next_deadline(send.deadline, datetime.fromtimestamp(self.clock.wall(), UTC).astimezone())
        # What failed in an earlier process does not stop this one again, or it could never go on.
        max_failures = ledger.not_as_asked + send.max_failures.rows_of(len(ledger.outcomes))
        return EngineSettings(
            boundary=secrets.token_hex(8),
            last_number=journal.last_batch_number(),
            settle_after_s=send.settle_after,
            hub_parallelism=send.hub_parallelism,
            max_failures=max_failures,
            deadline_s=now_s + deadline.timestamp() - self.clock.wall() if deadline else float("inf"),
        )

    def _sizer(self) -> ChangeSetSizer:
        send = self.job.send
        if send.isolation is Isolation.ROW:
            return ChangeSetSizer(1)
        return ChangeSetSizer(None if send.change_set_size == "auto" else int(send.change_set_size))

    def _resume_doubts(self, engine: Engine, journal: Journal) -> None:
        now_s, wall_s = self.clock.monotonic(), self.clock.wall()
        for block in journal.blocks():
            engine.resume_attempts(block.rows, block.attempts)
        for batch in journal.unsettled_batches():
            engine.resume_attempts(batch.rows, batch.attempts)
            engine.resume_doubt(batch.rows.tolist(), _found_before(batch), now_s - (wall_s - batch.at), now_s)


def _found_before(batch: SentBatch) -> list[Found]:
    """What had been read of each row of a batch before it was sent."""
    ids = batch.before_ids
    return [
        Found(Before(kind), ids[k].tobytes() if ids is not None and kind == Before.POINTS_AT else b"")
        for k, kind in enumerate(batch.before.tolist())
    ]


def _replayed(journal: Journal, rows: int) -> Ledger:
    """The outcomes that the journal has for good."""
    ledger = Ledger(rows)
    for block in journal.blocks():
        settles = ~np.isin(block.outcome, list(UNFINISHED)) & (ledger.outcomes[block.rows] == 0)
        if settles.any():
            ledger.settle(_part(block, settles))
    return ledger


def _take_over(old: Path, journal: Journal) -> NDArray[np.bool_]:
    """What was as asked in the run whose failures are sent again keeps its outcome. Returns which rows that are."""
    with Journal.open(old / JOURNAL) as past, Spool.open(old / SPOOL) as spool:
        kept = ~RowOutcomes(past, spool.n_rows).not_as_asked(0, spool.n_rows)
        for block in past.blocks():
            keeps = kept[block.rows] & ~np.isin(block.outcome, list(UNFINISHED))
            if keeps.any():
                journal.record(settled=[_part(block, keeps)])
    return kept


def _part(block: OutcomeBlock, chosen: Any) -> OutcomeBlock:
    """The chosen rows of a block."""

    def some(texts: str | list[str]) -> str | list[str]:
        if isinstance(texts, str):
            return texts
        return [text for text, wanted in zip(texts, chosen.tolist(), strict=True) if wanted]

    return OutcomeBlock(
        rows=block.rows[chosen],
        outcome=block.outcome[chosen],
        before=block.before[chosen],
        before_ids=block.before_ids[chosen] if block.before_ids is not None else None,
        http_status=block.http_status[chosen],
        attempts=block.attempts[chosen],
        code=some(block.code),
        message=some(block.message),
        request_id=some(block.request_id),
        refers_to=block.refers_to[chosen] if block.refers_to is not None else None,
    )
