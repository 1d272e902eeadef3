"""`bulklink relationships TABLE`."""

import dataclasses
import json

import click

from bulklink.cli.options import json_option, verbose_option
from bulklink.cli.session import Session
from bulklink.cli.wording import columns


@click.command(
    epilog="""
\b
Examples:
  bulklink relationships account --url https://contoso.crm4.dynamics.com
  bulklink relationships account --with lead --json
"""
)
@click.argument("table")
@click.option("--url", required=True, envvar="BULKLINK_URL", show_envvar=True, help="Address of the environment.")
@click.option("--with", "with_table", default="", metavar="TABLE", help="Only relationships with this table.")
@json_option
@verbose_option
@click.pass_context
def relationships(ctx: click.Context, /, table: str, url: str, with_table: str) -> int:
    """List a table's relationships: name, kind, other table, navigation property on each side."""
    from bulklink import api

    found = api.relationships(table, url=url, with_table=with_table)
    if ctx.ensure_object(Session).json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    header = ("name", "kind", "other table", f"navigation property on {table}", "on the other table", "via")
    for line in columns([header, *(dataclasses.astuple(one) for one in found)]):
        click.echo(line)
    return 0
