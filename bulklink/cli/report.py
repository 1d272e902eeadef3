"""`bulklink report RUN_DIR`."""

import json
from pathlib import Path

import click

from bulklink.cli.closing import closing_block
from bulklink.cli.options import json_option, verbose_option
from bulklink.cli.session import Session


@click.command()
@click.argument("run_dir", metavar="RUN_DIR", type=click.Path(file_okay=False, path_type=Path))
@json_option
@verbose_option
@click.pass_context
def report(ctx: click.Context, /, run_dir: Path) -> int:
    """Write outcomes, summary and report of a finished or interrupted run again, from its journal.

    Nothing is sent. The exit code is the run's own.
    """
    from bulklink import api

    summary = api.report(run_dir)
    if ctx.ensure_object(Session).json:
        click.echo(json.dumps(summary.facts, indent=2, ensure_ascii=False))
    else:
        click.echo(closing_block(summary.facts, summary.run_dir))
    return int(summary.exit_code)
