"""`bulklink report RUN_DIR`."""

from pathlib import Path

import click

from bulklink.cli.options import json_option, verbose_option
from bulklink.cli.running import say_summary
from bulklink.cli.session import Session


@click.command(
    epilog="""
\b
Examples:
  bulklink report runs/account-leads/20261123T020000Z
  bulklink report runs/account-leads/20261123T020000Z --json | jq .outcomes
"""
)
@click.argument("run_dir", metavar="RUN_DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
@verbose_option
@click.pass_context
def report(ctx: click.Context, /, run_dir: Path) -> int:
    """Write outcomes, summary and report of a finished or interrupted run again, from its journal.

    Nothing is sent. The exit code is the run's own.
    """
    from bulklink import api

    return say_summary(api.report(run_dir), ctx.ensure_object(Session))
