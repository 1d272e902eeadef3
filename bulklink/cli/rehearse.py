"""`bulklink rehearse JOB.toml`: tonight's job against a sandbox, in the weather of one's choice.

Owns: what is said before and after.
Does not know: how a run goes, or how the sandbox works.
"""

import json
import os
from pathlib import Path
from typing import Any

import click

from bulklink.cli.closing import closing_block
from bulklink.cli.options import run_options, settings_said
from bulklink.cli.progress import listener_for
from bulklink.cli.session import Session
from bulklink.errors import JobError, RelationshipError, UsageError


@click.command(
    epilog="""
\b
Examples:
  bulklink rehearse account-leads.toml --weather calm
  bulklink sandbox --snapshot-from account-leads.toml --metadata contoso-metadata.xml
  bulklink rehearse account-leads.toml --weather rough-night --metadata contoso-metadata.xml --seed 7
"""
)
@click.argument("job_file", metavar="JOB.toml", type=click.Path(path_type=Path))
@click.option(
    "--weather",
    default="calm",
    show_default=True,
    metavar="NAME|FILE",
    help="calm, busy-day, rough-night, or a TOML file of faults.",
)
@click.option(
    "--metadata",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The environment's tables: what `bulklink sandbox --snapshot-from` writes, or its $metadata document. "
    "Default: the sandbox's sample tables.",
)
@click.option("--seed", type=int, help="Seed of the weather: the same number brings the same night.")
@run_options
@click.pass_context
def rehearse(
    ctx: click.Context, /, job_file: Path, weather: str, metadata: Path | None, seed: int | None, **said: Any
) -> int:
    """Run a whole job against a local sandbox that holds the records which its input names.

    The job and the input are the real ones, the environment is not: nothing leaves this machine.
    """
    from bulklink import api
    from bulklink.cli import rehearsal
    from bulklink.job import Job, RunOptions
    from bulklink.sandbox.errors import SandboxUsageError
    from bulklink.sandbox.server import Sandbox
    from bulklink.sandbox.weather_file import load_weather

    session = ctx.ensure_object(Session)
    loaded = Job.load(job_file, os.environ, settings_said(ctx))
    said.pop("show_settings")
    try:
        organisation = rehearsal.organisation_for(metadata)
        if metadata is None:
            rehearsal.refuse_unknown(organisation, loaded.job)
        made = rehearsal.fill(organisation, loaded.job, rehearsal.open_table(loaded))
        sky = load_weather(weather, seed)
    except SandboxUsageError as error:
        raise UsageError(str(error), hint="See `bulklink rehearse --help`.") from error
    with Sandbox(organisation, weather=sky).serving() as sandbox, listener_for(session) as listener:
        listener.note(f"a sandbox with {_counts(made)}; weather: {weather}")
        env = {**os.environ, "BULKLINK_TOKEN": rehearsal.TOKEN}
        env.pop("BULKLINK_TOKEN_FILE", None)
        options = RunOptions(signals=True, **said)
        try:
            summary = api.run_job(rehearsal.job_for(loaded, sandbox.url), options, listener, env)
        except (JobError, RelationshipError) as error:
            if metadata is None:
                error.hint = f"The sandbox's sample may lack what your environment has: {rehearsal.GIVE_METADATA}"
            raise
        tally = sandbox.reception.tally.as_json()
    facts = {**summary.facts, "rehearsal": {"weather": weather, "seed": seed, "sandbox": tally}}
    if session.json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        click.echo(closing_block(summary.facts, summary.run_dir, dry_run=options.dry_run))
        click.echo(f"  the night: {rehearsal.night_words(summary.facts, tally)}")
        click.echo("A rehearsal: nothing left this machine.")
    return int(summary.exit_code)


def _counts(made: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {table} records" for table, count in sorted(made.items())) or "no records"
