"""`bulklink associate` and `bulklink disassociate`: a whole job in one line."""

import os
from collections.abc import Callable
from typing import Any

import click

from bulklink.cli.options import INPUT_FLAGS, Flag, run_options, setting_flags, settings_said
from bulklink.cli.running import run_loaded

_EXAMPLES = """
\b
Examples:
  bulklink {name} links.csv --url https://contoso.crm4.dynamics.com \\
    --relationship accountleads_association \\
    --from "account=Account Id" --to "lead=Lead Id"
  bulklink {name} links.xlsx --sheet Links --url https://contoso.crm4.dynamics.com \\
    --relationship accountleads_association \\
    --from "account.accountnumber=Account No" --to "lead.emailaddress1=E-mail" --dry-run
\b
Sign-in: BULKLINK_TOKEN or BULKLINK_TOKEN_FILE, else BULKLINK_TENANT_ID, BULKLINK_CLIENT_ID and
BULKLINK_CLIENT_SECRET, else what `bulklink login` remembered.
"""
_FORM = Flag("link.form", "FORM", "Wire form. Default: auto, by relationship and action.")


def _link_command(action: str, about: str) -> click.Command:
    decorators: tuple[Callable[[Any], Any], ...] = (
        click.argument("input_file", metavar="INPUT", type=click.Path()),
        click.option(
            "--url", required=True, envvar="BULKLINK_URL", show_envvar=True, help="Address of the environment."
        ),
        click.option("--relationship", required=True, metavar="NAME", help="Schema, intersect or navigation name."),
        click.option("--from", "from_side", required=True, metavar="TABLE[.COLUMN]=HEADER", help="The from record."),
        click.option("--to", "to_side", required=True, metavar="TABLE[.COLUMN]=HEADER", help="The to record."),
        setting_flags((_FORM, *INPUT_FLAGS)),
        run_options,
        click.pass_context,
    )

    def command(
        ctx: click.Context, input_file: str, url: str, relationship: str, from_side: str, to_side: str, **said: Any
    ) -> int:
        from bulklink.job import Job

        loaded = Job.from_one_line(
            action,
            input_file,
            relationship=relationship,
            from_side=from_side,
            to_side=to_side,
            env=os.environ,
            overrides={**settings_said(ctx), "dataverse.url": url},
        )
        return run_loaded(ctx, loaded, **said)

    command.__doc__ = about
    for decorate in reversed(decorators):
        command = decorate(command)
    return click.command(action, epilog=_EXAMPLES.format(name=action))(command)


associate = _link_command(
    "associate",
    """Make the links that the rows of INPUT name.

    TABLE=HEADER: that column of the spreadsheet holds the record's GUID. TABLE.COLUMN=HEADER: it holds the value
    of that column of the table.
    """,
)
disassociate = _link_command(
    "disassociate",
    """Remove the links that the rows of INPUT name. A lookup is cleared only if it points at the row's to record.

    TABLE=HEADER: that column of the spreadsheet holds the record's GUID. TABLE.COLUMN=HEADER: it holds the value
    of that column of the table.
    """,
)
