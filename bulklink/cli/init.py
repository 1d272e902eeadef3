"""`bulklink init INPUT`: a job file from a spreadsheet.

Owns: the questions, which are asked on a terminal only, and the file that is written.
Does not know: how a proposal is found.
"""

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulklink.cli.options import INPUT_FLAGS, json_option, setting_flags, settings_said, verbose_option
from bulklink.cli.session import Session
from bulklink.cli.wording import columns
from bulklink.errors import JobError, UsageError

if TYPE_CHECKING:
    from bulklink.proposing import Proposal

#: Candidates shown; more than these are noise.
_SHOWN = 12


@click.command(
    epilog="""
\b
Examples:
  bulklink init links.xlsx --url https://contoso.crm4.dynamics.com
  bulklink init links.csv --url https://contoso.crm4.dynamics.com --yes \\
    --relationship accountleads_association \\
    --from "account.accountnumber=Account No" --to "lead=Lead Id" --out account-leads.toml
"""
)
@click.argument("input_file", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--url", required=True, envvar="BULKLINK_URL", show_envvar=True, help="Address of the environment.")
@click.option("--relationship", default="", metavar="NAME", help="Schema, intersect or navigation name.")
@click.option("--from", "from_side", metavar="TABLE[.COLUMN]=HEADER", help="The from record.")
@click.option("--to", "to_side", metavar="TABLE[.COLUMN]=HEADER", help="The to record.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Job file. Default: INPUT's name, .toml.")
@click.option("--yes", is_flag=True, help="Take the best proposal without asking, if there is a best one.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@setting_flags(INPUT_FLAGS)
@json_option
@verbose_option
@click.pass_context
def init(
    ctx: click.Context, /, input_file: Path, url: str, out: Path | None, yes: bool, force: bool, **said: Any
) -> int:
    """Look at a spreadsheet and an environment, and write a job file that runs.

    Headers, cells and the environment's tables, keys and relationships say what the columns may mean; a sample is
    looked for in the tables. Asks only on a terminal, and every answer can be given as an option.
    """
    from bulklink import api
    from bulklink.job_text import job_text

    session = ctx.ensure_object(Session)
    target = out or Path(input_file.stem + ".toml")
    if target.exists() and not force:
        raise UsageError(f"{target} is there already.", hint="Give another --out, or --force.")
    words = {key.removeprefix("input."): str(value) for key, value in settings_said(ctx).items()}
    found = api.propose(input_file, url=url, input_words=words, **said)
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not yes and not session.json
    chosen = _ask(found.candidates) if asks else _decide(found.candidates, is_clear=found.is_clear)
    if chosen is None:
        return 0
    inputs = {"file": os.path.relpath(input_file.absolute(), target.absolute().parent)} | words
    text = job_text(chosen, name=target.stem, file=target.name, url=url, input_words=inputs)
    target.write_text(text, encoding="utf-8")
    if session.json:
        click.echo(json.dumps({"job": str(target), **asdict(chosen)}, indent=2, ensure_ascii=False))
    else:
        click.echo(f"Wrote {target}: {_words(chosen)}.\nNext: bulklink check {shlex.quote(str(target))}")
    return 0


def _decide(candidates: "list[Proposal]", *, is_clear: bool) -> "Proposal":
    if not is_clear:
        lines = [f"  {line}" for line in _table(candidates)]
        raise JobError(
            "The input may mean several things:\n" + "\n".join(lines),
            hint="Say which, by --relationship, --from and --to.",
        )
    return candidates[0]


def _ask(candidates: "list[Proposal]") -> "Proposal | None":
    """The person's choice; None to leave it."""
    click.echo("The input may mean, best first:", err=True)
    for number, line in enumerate(_table(candidates), 1):
        click.echo(f"{number:>3}  {line}", err=True)
    numbers = click.IntRange(0, min(len(candidates), _SHOWN))
    number = click.prompt("Which one? (0: none, write nothing)", type=numbers, default=1, err=True)
    return candidates[number - 1] if number else None


def _table(candidates: "list[Proposal]") -> list[str]:
    return columns([(one.relationship, one.kind, *_sides(one)) for one in candidates[:_SHOWN]])


def _sides(one: "Proposal") -> tuple[str, str]:
    sides = []
    for flag, key in (("--from", one.from_key), ("--to", one.to_key)):
        column = "" if key.is_primary_key else f".{key.column}"
        sides.append(f'{flag} "{key.table}{column}={key.header}" ({key.found} of {key.tried} found)')
    return sides[0], sides[1]


def _words(one: "Proposal") -> str:
    return f"{one.relationship} ({one.kind}), {' '.join(_sides(one))}"
