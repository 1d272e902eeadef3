"""`bulklink demo`: a first look, end to end, without an account.

Owns: the story that the demo tells.
Does not know: anything that the commands do not do as well; the runs are real runs over real HTTP.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulklink.cli.demo_files import JOBS, write_demo_files
from bulklink.cli.options import verbose_option
from bulklink.cli.progress import listener_for
from bulklink.cli.running import say_summary
from bulklink.cli.session import Session
from bulklink.errors import ExitCode

if TYPE_CHECKING:
    from bulklink.sandbox.server import Sandbox

_GOOD_ENDS = (ExitCode.AS_ASKED, ExitCode.TROUBLES)


@click.command(
    epilog="""
\b
Example:
  bulklink demo --dir play
"""
)
@click.option(
    "--dir", "folder", default="demo", show_default=True, type=click.Path(file_okay=False, path_type=Path),
    help="Where spreadsheets, job files and runs go.",
)  # fmt: skip
@verbose_option
@click.pass_context
def demo(ctx: click.Context, /, folder: Path) -> int:
    """Start a sandbox, fill it, and run three jobs against it, as if it were Dataverse.

    Thousands of rows from CSV and Excel, N:N, 1:N and a lookup, some wrong on purpose. Nothing leaves this machine.
    """
    from bulklink.sandbox.organisation import Organisation
    from bulklink.sandbox.server import Sandbox

    session = ctx.ensure_object(Session)
    write_demo_files(folder)
    organisation = Organisation.sample()
    loaded = organisation.load(folder / "organisation")
    with Sandbox(organisation).serving() as sandbox, _signed_in():
        counts = ", ".join(f"{table} {rows:,}" for table, rows in sorted(loaded.items()))
        click.echo(f"A sandbox listens on {sandbox.url}. Its records: {counts}.")
        codes = [_run(name, folder, sandbox, session) for name in JOBS]
        click.echo("\nThe first job once more: everything is there already, nothing is written twice.")
        codes.append(_run("account-leads", folder, sandbox, session))
    _say_how_to_go_on(folder)
    return max((code for code in codes if code not in _GOOD_ENDS), default=ExitCode.AS_ASKED)


def _run(name: str, folder: Path, sandbox: "Sandbox", session: Session) -> int:
    """Run one job as `bulklink run` does, then compare the outcomes with what the sandbox holds."""
    from bulklink import api
    from bulklink.job import Job, RunOptions

    click.echo(f"\n$ bulklink run {folder / name}.toml")
    flags = {"dataverse.url": sandbox.url, "dataverse.auth": "token"}
    with listener_for(session) as listener:
        summary = api.run_job(Job.load(folder / f"{name}.toml", {}, flags), RunOptions(signals=True), listener)
    code = say_summary(summary, session)
    links = sum(1 for _ in sandbox.organisation.links(JOBS[name]))
    click.echo(f"The sandbox holds {links:,} links of {JOBS[name]}.")
    return code


@contextmanager
def _signed_in() -> Iterator[None]:
    """The sandbox takes any token; a real one of the user's is not for it."""
    before = {name: os.environ.pop(name, None) for name in ("BULKLINK_TOKEN", "BULKLINK_TOKEN_FILE")}
    os.environ["BULKLINK_TOKEN"] = "demo"  # noqa: S105  no secret: the sandbox takes any
    try:
        yield
    finally:
        del os.environ["BULKLINK_TOKEN"]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _say_how_to_go_on(folder: Path) -> None:
    click.echo(f"""
Spreadsheets, job files, outcomes and reports are in {folder.absolute()}.
Look at troubles.csv and report.html of a run, change a spreadsheet, and go on:
  bulklink sandbox --load {folder / "organisation"}
and in another terminal:
  BULKLINK_URL=http://127.0.0.1:8642 BULKLINK_TOKEN=any bulklink run {folder / "account-leads.toml"}""")
