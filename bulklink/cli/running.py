"""Run a loaded job and say how it ended: what all commands that send have in common.

Owns: the way from a loaded job to output and exit code.
Does not know: how a job was made.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bulklink.cli.closing import closing_block
from bulklink.cli.progress import listener_for
from bulklink.cli.session import Session
from bulklink.cli.wording import columns
from bulklink.errors import UsageError

if TYPE_CHECKING:
    from bulklink.job import LoadedJob
    from bulklink.summary import Summary

_FRESH: Final = "--fresh"
_RETRY: Final = "--retry-failed"


def run_loaded(
    ctx: click.Context,
    loaded: "LoadedJob",
    *,
    run_dir: Path | None,
    dry_run: bool,
    allow_removals: int | None,
    fresh: bool,
    retry_failed: bool,
    show_settings: bool,
) -> int:
    """Run the job, print the closing block or the summary's JSON, return the exit code."""
    session = ctx.ensure_object(Session)
    if fresh and retry_failed:
        raise UsageError("--fresh and --retry-failed contradict each other.", hint="Give one of them.")
    if show_settings:
        return _show_settings(loaded, session)
    from bulklink import api
    from bulklink.job import RunOptions

    again = command_again(session.arguments)
    options = RunOptions(
        run_dir=run_dir,
        dry_run=dry_run,
        fresh=fresh,
        retry_failed=retry_failed,
        allow_removals=allow_removals,
        signals=True,
        command=again,
        # A run that lies elsewhere is not found among the job's finished ones.
        retry_command="" if run_dir else f"{again} {_RETRY}",
    )
    with listener_for(session) as listener:
        summary = api.run_job(loaded, options, listener)
    return say_summary(summary, session, dry_run=dry_run)


def command_again(arguments: Sequence[str]) -> str:
    """What to type so that the same work goes on: the line as it was typed, without what would begin anew."""
    words = ["bulklink", *(word for word in arguments if word not in (_FRESH, _RETRY))]
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def say_summary(summary: "Summary", session: Session, *, dry_run: bool = False) -> int:
    """The last words of a run: what stopped it, if anything did, then block or JSON. Returns the exit code."""
    if summary.error is not None:
        session.refuse(summary.error)
    if session.json:
        click.echo(json.dumps(summary.facts, indent=2, ensure_ascii=False))
    else:
        for number, part in enumerate(summary.parts, 1):
            facts = {**part.facts, "job": f"{part.facts['job']}, link {number}"}
            click.echo(closing_block(facts, part.run_dir, dry_run=dry_run, advise=False))
        click.echo(closing_block(summary.facts, summary.run_dir, dry_run=dry_run, advise=summary.error is None))
    return int(summary.exit_code)


def _show_settings(loaded: "LoadedJob", session: Session) -> int:
    if session.json:
        rows = [{"key": one.key, "value": one.value, "source": one.source} for one in loaded.settings]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
        return 0
    shown = [(one.key, json.dumps(one.value, ensure_ascii=False, default=str), one.source) for one in loaded.settings]
    for line in columns(shown, width_max=40):
        click.echo(line)
    return 0
