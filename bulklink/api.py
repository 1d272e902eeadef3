"""The library's front door: everything that the commands do, by the same names.

Owns: how a call becomes a session, in and out of running event loops; signal handlers, where they are asked for.
Does not know: how a run goes.
"""

import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from bulklink.checking import check as look_at
from bulklink.connecting import Connection
from bulklink.core.relationships import Listed
from bulklink.driving import Interruption, SystemClock
from bulklink.errors import ExitCode
from bulklink.files.journal import Journal
from bulklink.files.readers import open_input
from bulklink.files.run_directory import JOURNAL, SPOOL, links_in
from bulklink.files.spool import Spool
from bulklink.findings import Checked
from bulklink.finishing import write_files
from bulklink.job import Job, LoadedJob, RunOptions
from bulklink.job.document import read_side
from bulklink.links_place import report_links
from bulklink.listener import Listener
from bulklink.proposing import Proposals, Proposer, Wish
from bulklink.session import Session
from bulklink.several import Several
from bulklink.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

JobLike = str | Path | Mapping[str, Any] | LoadedJob
_Result = TypeVar("_Result")


def run(
    job: JobLike, *, frame: "pd.DataFrame | None" = None, listener: Listener | None = None, **options: Any
) -> Summary:
    """Run a job and wait for it; also inside a running event loop (notebooks).

    job: the path of a job file, a dict shaped like one, or a loaded job. frame: rows in place of the input file.
    options: those of `RunOptions`. credential: an azure-identity credential, or anything with its `get_token`.
    """
    return _in_its_own_loop(lambda: arun(job, frame=frame, listener=listener, **options))


async def arun(
    job: JobLike,
    *,
    frame: "pd.DataFrame | None" = None,
    listener: Listener | None = None,
    credential: object = None,
    **options: Any,
) -> Summary:
    """`run` for callers that have an event loop."""
    told = listener or Listener()
    return await _sessions(load(job), RunOptions(**options), told, os.environ, Interruption(), frame, credential)()


def run_job(
    loaded: LoadedJob, options: RunOptions, listener: Listener, env: Mapping[str, str] | None = None
) -> Summary:
    """A run as the command line does it: with signal handlers where `options.signals` says so.

    env: the variables that sign-in reads; None: this process's.
    """
    interruption = Interruption()
    run_all = _sessions(loaded, options, listener, os.environ if env is None else env, interruption)
    if not options.signals:
        return _in_its_own_loop(run_all)
    with _signals_end(interruption):
        return anyio.run(run_all)


def _sessions(loaded: LoadedJob, *others: Any) -> Callable[[], Coroutine[Any, Any, Summary]]:
    """What runs the job. others: what a session is given besides."""
    session = Session(loaded, *others)
    return Several(session).run if len(loaded.job.links) > 1 else session.run


def report(run_dir: str | Path) -> Summary:
    """Write outcomes, summary and report of a finished or interrupted run again. Nothing is sent."""
    directory = Path(run_dir)
    if links_in(directory) is not None:
        return report_links(directory, report)
    with Journal.open(directory / JOURNAL) as journal, Spool.open(directory / SPOOL) as spool:
        settings = journal_settings(journal)
        formats = settings.get("report.outcomes") or ["csv"]
        return write_files(directory, spool, journal, formats, html=bool(settings.get("report.html", True)))


def check(job: JobLike) -> Checked:
    """What would stop a job: everything that can be known without writing anything."""
    loaded = load(job)
    return _in_its_own_loop(lambda: look_at(loaded, os.environ, SystemClock()))


def propose(
    input_file: str | Path,
    *,
    url: str,
    relationship: str = "",
    from_side: str | None = None,
    to_side: str | None = None,
    input_words: Mapping[str, str] | None = None,
) -> Proposals:
    """What a spreadsheet may mean in an environment: jobs that would run, best first. Sends nothing that writes.

    from_side, to_side: ``TABLE[.COLUMN]=HEADER``, as far as known. input_words: keys of [input] such as sheet.
    """
    words = {"file": [str(Path(input_file).absolute())], **(input_words or {})}
    values = {"dataverse": {"url": url}, "input": words, "link": {"relationship": "x", "from": _ANY, "to": _ANY}}
    loaded = Job.from_mapping(values, {})
    wish = Wish(relationship, *(_side(text, flag) for text, flag in ((from_side, "--from"), (to_side, "--to"))))

    async def ask() -> Proposals:
        table = open_input(loaded.required_input(), loaded.base_dir)
        async with Connection(loaded, os.environ, Listener(), SystemClock()) as connection:
            return await Proposer(table, connection, wish).propose()

    return _in_its_own_loop(ask)


def _side(text: str | None, flag: str) -> tuple[str, str, str] | None:
    if text is None:
        return None
    side = read_side(text, flag)
    ((column, header),) = side["match"].items()
    return side["table"], column, header


def relationships(table: str, *, url: str, with_table: str = "") -> list[Listed]:
    """A table's relationships: name, kind, other table, navigation property on each side."""

    async def ask() -> list[Listed]:
        values = {"dataverse": {"url": url}, "link": {"relationship": "x", "from": _ANY, "to": _ANY}}
        loaded = Job.from_mapping(values, {})
        async with Connection(loaded, os.environ, Listener(), SystemClock()) as connection:
            return await connection.metadata.listing(table, with_table)

    return _in_its_own_loop(ask)


def load(job: JobLike) -> LoadedJob:
    """A job from whatever describes it. Raises JobFileError with every problem."""
    if isinstance(job, LoadedJob):
        return job
    if isinstance(job, Mapping):
        return Job.from_mapping(job, os.environ)
    return Job.load(job, os.environ)


def journal_settings(journal: Journal) -> Mapping[str, Any]:
    """The settings that a run was begun with."""
    from bulklink.files.about_run import AboutRun

    return AboutRun.from_meta(journal.all_meta()).settings


_ANY = {"table": "x", "match": {"x": "x"}}


def _in_its_own_loop(do: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run to the end, in a thread of its own if this one has a running loop."""
    try:
        import asyncio

        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(do)
    results: list[_Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(anyio.run(do))
        except BaseException as error:  # noqa: BLE001 -- carried over to the calling thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@contextmanager
def _signals_end(interruption: Interruption) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the run cleanly; the second leaves at once, with a journal that resumes."""
    codes = {signal.SIGINT: ExitCode.SIGINT, signal.SIGTERM: ExitCode.SIGTERM}
    if hasattr(signal, "SIGBREAK"):
        codes[signal.SIGBREAK] = ExitCode.SIGINT

    def handle(number: int, _frame: object) -> None:
        code = codes[signal.Signals(number)]
        if interruption.exit_code is not None:
            os._exit(code)
        interruption.request(code)

    before = {number: signal.signal(number, handle) for number in codes}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
