"""What would stop a job tonight: everything that can be known without writing anything anywhere.

Owns: what is looked at, in the order in which a run would meet it, and the exit code that the run would have.
Does not know: how any of it is shown.
Source: the public contract (README, "Commands", "Exit codes").
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bulklink import tasks
from bulklink.connecting import Connection
from bulklink.core.hygiene import Hygiene, Watched
from bulklink.core.ledger import Ledger, OutcomeBlock
from bulklink.core.privileges import Lack, Need, lacks, link_needs, record_needs
from bulklink.driving import Clock
from bulklink.errors import BulklinkError, ExitCode, GuardStop, LockHeld
from bulklink.examples import Examples
from bulklink.files.journal import Journal
from bulklink.files.lock import locked
from bulklink.files.readers import InputTable, RawChunk, open_input
from bulklink.files.run_directory import JOURNAL, SUMMARY, past_runs, run_to_resume, runs_to_supersede
from bulklink.findings import Checked, Finding, Level, together
from bulklink.first_pass import Task, ask_for_keys, chunks_of, spans
from bulklink.guards import guard_stop
from bulklink.job import Job, LoadedJob, next_deadline
from bulklink.linking import LinkPlan
from bulklink.listener import Listener
from bulklink.run_place import PHASE, SENDING, fingerprint_of
from bulklink.service import rights
from bulklink.several import links_apart
from bulklink.vocabulary import AS_ASKED, Outcome
from bulklink.watching import look_at, watched

#: Seconds of server time that one operation takes, at best and on a slow day; and how many are had per second: the
#: service protection limit gives a user 1,200 s of execution in 300 s.
OPERATION_S: Final = (0.010, 0.100)
EXECUTION_S_PER_S: Final = 4.0


async def check(loaded: LoadedJob, env: Mapping[str, str], clock: Clock) -> Checked:
    """Look at everything. Sends nothing that writes; what cannot be looked at because of something else is left out."""
    parts = [await _check_one(part, env, clock) for part in links_apart(loaded)]
    return parts[0] if len(parts) == 1 else together(loaded.job.name, parts)


async def _check_one(loaded: LoadedJob, env: Mapping[str, str], clock: Clock) -> Checked:
    found = Checked(loaded.job.name)
    table = _look_at_input(loaded, found)
    try:
        async with Connection(loaded, env, Listener(), clock) as connection:
            who = await rights.who_am_i(connection.reader)
            acting = (
                f", acting for {loaded.job.dataverse.caller_object_id}" if loaded.job.dataverse.caller_object_id else ""
            )
            found.add("sign-in", f"{loaded.job.dataverse.url} as user {who.user_id}{acting}")
            await _look_inside(loaded, table, found, connection, who.user_id, clock)
    except BulklinkError as error:
        found.stop("sign-in", error)
        if table is not None:
            _look_at_keys(found, table.chunks(), watched(loaded.job, None, table), several=table.has_parts)
    return found


def _look_at_input(loaded: LoadedJob, found: Checked) -> InputTable | None:
    """The input, if it can be opened and has all columns."""
    try:
        table = open_input(loaded.required_input(), loaded.base_dir)
        headers = tasks.headers_used(loaded.job)
    except BulklinkError as error:
        found.stop("input", error)
        return None
    for one in table.found:
        found.add("input", f"{one.describe()}, changed {one.modified}")
    good = True
    for header in headers:
        try:
            table.column_index(header)
        except BulklinkError as error:
            found.stop("columns", error)
            good = False
    return table if good else None


async def _look_inside(
    loaded: LoadedJob, table: InputTable | None, found: Checked, connection: Connection, user_id: str, clock: Clock
) -> None:
    """What takes a signed-in user; each step as far as it goes."""
    if table is None:
        await _look_at_limits(found, connection)
        return
    try:
        task = await tasks.plan(loaded.job, table, connection.metadata)
    except BulklinkError as error:
        found.stop("relationship", error)
        _look_at_keys(found, table.chunks(), watched(loaded.job, None, table), several=table.has_parts)
        await _look_at_limits(found, connection)
        return
    for label, words in task.words.items():
        found.add(label, words)
    for note in task.notes:
        found.add("note", note, Level.WARNING)
    _look_at_past(loaded, task, table, found, clock)
    try:
        await _look_at_rows(loaded, task, table, found, connection, clock)
    except BulklinkError as error:
        found.stop("rows", error)
    # After the guards: a privilege is missed only when the first row is sent.
    await _look_at_privileges(found, connection, user_id, _needs(loaded.job, task))
    await _look_at_limits(found, connection)
    _foresee_time(loaded, found, clock)


# -- privileges and limits ---------------------------------------------------------------------------------------------


def _needs(job: Job, task: Task) -> list[Need]:
    """What the user must be allowed to do."""
    if isinstance(task, LinkPlan):
        return link_needs(task.relationship)
    if job.record:
        bound = [side.table for side in (*job.record.lookups.values(), *job.record.collections.values())]
        return record_needs(job.record.table, "Create" if job.record.action == "create" else "Write", bound)
    return record_needs(job.parties.table, "Write", [job.parties.party.table]) if job.parties else []


async def _look_at_privileges(found: Checked, connection: Connection, user_id: str, needs: Sequence[Need]) -> None:
    tables = list(dict.fromkeys(need.table for need in needs))
    try:
        known = await rights.privileges(connection.reader, user_id, tables)
    except BulklinkError:
        known = None
    if known is None:
        found.add("privileges", "the service does not tell what this user may do", Level.WARNING)
        return
    missing = lacks(needs, *known)
    for lack in missing:
        _tell_lack(found, lack)
    if not missing:
        words = ", ".join(f"{need.right} {need.table}" for need in needs)
        found.add("privileges", f"all there: {words}")


def _tell_lack(found: Checked, lack: Lack) -> None:
    what = f"{lack.privilege} ({lack.need.right} on {lack.need.table})"
    if lack.depth:
        found.add("privileges", f"{what} reaches only as far as {lack.depth}: not every record", Level.WARNING)
    elif not lack.need.certain:
        found.add("privileges", f"{what} is missing; the service may want it", Level.WARNING)
    else:
        hint = "Give the user a security role with this privilege."
        found.findings.append(Finding("privileges", f"{what} is missing", Level.STOPS, ExitCode.REFUSED, hint))


async def _look_at_limits(found: Checked, connection: Connection) -> None:
    left = await rights.allowance(connection.transport)
    if left is None:
        found.add("limits", "the service could not be asked what is left", Level.WARNING)
        return
    parts = [
        f"{left.requests_left:,} requests" if left.requests_left is not None else "",
        f"{left.execution_s_left:,.0f} s of execution" if left.execution_s_left is not None else "",
    ]
    told = " and ".join(part for part in parts if part)
    hint = f"recommended parallelism {left.dop_hint}" if left.dop_hint is not None else ""
    text = "; ".join(part for part in (f"{told} left in this window" if told else "", hint) if part)
    found.add("limits", text or "the service does not say what is left")


# -- earlier runs, the lock --------------------------------------------------------------------------------------------


def _look_at_past(loaded: LoadedJob, task: Task, table: InputTable, found: Checked, clock: Clock) -> None:
    job, base = loaded.job, loaded.resolve(loaded.job.report.dir)
    try:
        with locked(job.dataverse.url, task.subject, base, clock.wall()):
            pass
    except LockHeld as error:
        found.stop("other runs", error)
    except BulklinkError as error:
        found.stop("state folder", error)
    fingerprint = fingerprint_of(table.fingerprint, job.fingerprint_parts(), task.subject)
    runs = past_runs(base, job.name)
    old = run_to_resume(runs, job.dataverse.url, job.name, fingerprint, clock.wall(), job.send.resume_within)
    if old is not None and not _has_begun_to_send(old.directory):
        old = None
    if old is not None:
        found.add("other runs", f"{old.directory} is unfinished: it will be resumed", Level.WARNING)
    for other in runs_to_supersede(runs, job.dataverse.url, job.name, old):
        text = f"{other.directory} is unfinished and of another input or job, or too old: its doubts will be settled"
        found.add("other runs", text, Level.WARNING)


def _has_begun_to_send(directory: Path) -> bool:
    with Journal.open(directory / JOURNAL, checked=False) as journal:
        return journal.meta(PHASE) == SENDING


# -- rows --------------------------------------------------------------------------------------------------------------


async def _look_at_rows(
    loaded: LoadedJob, task: Task, table: InputTable, found: Checked, connection: Connection, clock: Clock
) -> None:
    """Read, resolve and judge all rows as a run does, in a folder that vanishes."""
    with tempfile.TemporaryDirectory(prefix="bulklink-") as name:
        intake = task.intake(table, Path(name))
        blocks = list(intake.read())
        await ask_for_keys(intake.books, connection.reader, connection.metadata)
        blocks += intake.resolve()
        with intake.spool() as spool:
            ledger = Ledger(spool.n_rows)
            troubles = Examples(spool)

            def settle(block: OutcomeBlock) -> None:
                ledger.settle(block)
                troubles.take(block)

            for block in blocks:
                settle(block)
            task.judge(spool, ledger, settle)
            chunks = (chunk for rows in spans(spool.n_rows) for chunk, _ in chunks_of(spool, rows))
            _look_at_keys(found, chunks, watched(loaded.job, task, table), several=table.has_parts)
    counts = ledger.counts()
    found.rows, found.to_send = len(ledger.outcomes), counts.pop(Outcome.NONE, 0)
    found.outcomes = {outcome.word: n for outcome, n in counts.items()}
    found.add("rows", f"{found.rows:,} rows, {found.to_send:,} would be sent")
    for outcome, n in sorted(counts.items()):
        level = Level.FINE if outcome in AS_ASKED or outcome is Outcome.DUPLICATE else Level.WARNING
        found.add("rows", f"{outcome.word} {n:,}: {'; '.join(troubles.of(outcome))}", level)
    why = guard_stop(loaded.job, ledger, clock.wall() - table.modified_s)
    if why:
        found.stop("guard", GuardStop(why))


def _look_at_keys(found: Checked, chunks: Iterable[RawChunk], columns: Sequence[Watched], *, several: bool) -> None:
    hygiene = Hygiene(columns)
    try:
        for chunk in chunks:
            look_at(hygiene, chunk, several=several)
    except BulklinkError as error:
        found.stop("input", error)
    found.hygiene = hygiene.warnings()
    for warning in found.hygiene:
        found.add("keys", warning.sentence, Level.WARNING)


# -- time --------------------------------------------------------------------------------------------------------------


def _foresee_time(loaded: LoadedJob, found: Checked, clock: Clock) -> None:
    """How long it may take, by the newest finished run or else by what the service allows; and the deadline."""
    if found.to_send is None:
        return
    now = datetime.fromtimestamp(clock.wall(), UTC).astimezone()
    deadline = next_deadline(loaded.job.send.deadline, now)
    left_s = (deadline - now).total_seconds() if deadline else None
    rate = _rate_before(loaded)
    share = loaded.job.send.share
    if rate:
        longest_s = found.to_send / rate
        text = f"about {_minutes(longest_s)} at the {rate:,.0f} rows/s of the last finished run"
    else:
        shortest_s, longest_s = (found.to_send * one / (EXECUTION_S_PER_S * share) for one in OPERATION_S)
        text = f"{_minutes(shortest_s)} to {_minutes(longest_s)}, at 10 to 100 ms of server time for a row"
    if deadline and left_s is not None:
        text += f"; the deadline is {deadline:%Y-%m-%d %H:%M}, in {_minutes(left_s)}"
    level = Level.WARNING if left_s is not None and longest_s > left_s else Level.FINE
    found.add("time", text, level)


def _rate_before(loaded: LoadedJob) -> float:
    """Rows a second of the newest run that has a summary and sent something; 0 if there is none."""
    for run in past_runs(loaded.resolve(loaded.job.report.dir), loaded.job.name):
        try:
            facts = json.loads((run.directory / SUMMARY).read_bytes())
            if facts.get("operations_sent") and facts.get("exit_code") in (0, 3):
                return float(facts.get("rows_per_s") or 0)
        except (OSError, ValueError):
            continue
    return 0.0


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60):,} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
