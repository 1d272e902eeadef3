"""`bulklink run JOB.toml`."""

import os
from pathlib import Path
from typing import Any

import click

from bulklink.cli.options import run_options, settings_said
from bulklink.cli.running import run_loaded


@click.command(
    epilog="""
\b
Examples:
  bulklink run account-leads.toml --dry-run
  bulklink run account-leads.toml --quiet --deadline 06:00
  bulklink run account-leads.toml --retry-failed
  BULKLINK_SEND_CONCURRENCY=8 bulklink run account-leads.toml --show-settings
"""
)
@click.argument("job_file", metavar="JOB.toml", type=click.Path(path_type=Path))
@run_options
@click.pass_context
def run(ctx: click.Context, /, job_file: Path, **said: Any) -> int:
    """Do what a job file says: read, check, resolve, send, report. Never asks anything.

    Run again after an interruption: it resumes. Every key of the job file can be overridden by
    BULKLINK_<SECTION>_<KEY>, and by the options below.
    """
    from bulklink.job import Job

    loaded = Job.load(job_file, os.environ, settings_said(ctx))
    loaded.required_input()
    return run_loaded(ctx, loaded, **said)
