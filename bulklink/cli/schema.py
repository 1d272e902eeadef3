"""`bulklink schema`."""

import json

import click


@click.command(
    epilog="""
\b
Example:
  bulklink schema > bulklink.schema.json
and as first line of the job file, for editors that know TOML schemas:
  #:schema ./bulklink.schema.json
"""
)
def schema() -> int:
    """Print the JSON Schema (draft 2020-12) of the job file."""
    from bulklink.job import job_schema

    click.echo(json.dumps(job_schema(), indent=2, ensure_ascii=False))
    return 0
