"""`bulklink check JOB.toml`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bulklink.cli.options import SEND_FLAGS, json_option, setting_flags, settings_said, verbose_option
from bulklink.cli.session import Session

if TYPE_CHECKING:
    from bulklink.findings import Checked

_MARKS: Final = {"fine": ("  ", None), "warning": ("! ", "yellow"), "stops": ("x ", "red")}


@click.command(
    epilog="""
\b
Examples:
  bulklink check account-leads.toml
  bulklink check account-leads.toml --json | jq .exit_code
"""
)
@click.argument("job_file", metavar="JOB.toml", type=click.Path(path_type=Path))
@setting_flags(SEND_FLAGS)
@json_option
@verbose_option
@click.pass_context
def check(ctx: click.Context, /, job_file: Path) -> int:
    """Say what would stop this job tonight: file, columns, keys, relationship, sign-in, privileges, limits, time.

    Reads only. The exit code is the one that a run would end with; 0 if nothing stops it.
    """
    from bulklink import api
    from bulklink.job import Job

    session = ctx.ensure_object(Session)
    found = api.check(Job.load(job_file, os.environ, settings_said(ctx)))
    if session.json:
        click.echo(json.dumps(found.facts(), indent=2, ensure_ascii=False))
    else:
        _show(found)
    return int(found.exit_code)


def _show(found: "Checked") -> None:
    stops = sum(one.level == "stops" for one in found.findings)
    verdict = "nothing would stop it" if not stops else f"{stops} {'thing' if stops == 1 else 'things'} would stop it"
    click.echo(f"{found.job}: {verdict}.")
    topic = ""
    for one in found.findings:
        mark, colour = _MARKS[one.level]
        head = "" if one.topic == topic else one.topic
        topic = one.topic
        click.echo(click.style(f"{mark}{head:<20} {one.text}", fg=colour))
    if stop := found.first_stop:
        click.echo(f"Next: {stop.hint} (exit code {int(found.exit_code)})")
