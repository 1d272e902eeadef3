"""The commands, and a group that imports one only when it is called.

Owns: the table of commands; one line adds one.
Does not know: what a command does.
Source: the public contract (README, "Commands").
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from bulklink.errors import nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is found, and its line in the help. Its function has the command's name."""

    section: str
    module: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "associate": Entry("Links", "links", "Make the links that a spreadsheet names."),
    "disassociate": Entry("Links", "links", "Remove the links that a spreadsheet names."),
    "run": Entry("Links", "run", "Do what a job file says: read, check, resolve, send, report."),
    "report": Entry("Links", "report", "Write outcomes, summary and report of a run again."),
    "init": Entry("Links", "init", "Look at a spreadsheet and write a job file for it."),
    "check": Entry("Links", "check", "Say what would stop a job tonight; reads only."),
    "relationships": Entry("Environment", "relationships", "List a table's relationships."),
    "login": Entry("Environment", "account", "Sign in and remember it."),
    "logout": Entry("Environment", "account", "Forget what login remembered."),
    "whoami": Entry("Environment", "account", "Say who is signed in, and where."),
    "schema": Entry("Help", "schema", "Print the JSON Schema of the job file."),
    "explain": Entry("Help", "explain", "Say what a service code, an outcome or an exit code means."),
    "sandbox": Entry("Try it", "sandbox", "Serve a local Dataverse-like Web API."),
    "rehearse": Entry("Try it", "rehearse", "The whole job against a sandbox, in the weather of your choice."),
    "demo": Entry("Try it", "demo", "Sandbox, sample organisation and spreadsheets, end to end; no account needed."),
}


class LazyGroup(click.Group):
    """A group whose commands are the lines of a table."""

    def __init__(self, *args: Any, entries: dict[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(f"bulklink.cli.{entry.module}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none is answered with the nearest one."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            near = nearest(name, self.entries, 1)
            also = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{also}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from the table alone: no command is imported for it."""
        sections = dict.fromkeys(entry.section for entry in self.entries.values())
        width = max(map(len, self.entries))
        for section in sections:
            rows: Sequence[tuple[str, str]] = [
                (name.ljust(width), entry.help) for name, entry in self.entries.items() if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)
