"""The options that several commands share.

Owns: their names and help, and which setting of the job a flag stands for.
Does not know: whether a value is good; the job's models judge that.
Source: the public contract (README, "Commands").
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click

from bulklink.cli.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])

_SAID: Final = "bulklink.settings"


class Flag(NamedTuple):
    """A flag that sets one key of the job; it has the key's name."""

    key: str
    metavar: str
    help: str
    is_path: bool = False

    @property
    def name(self) -> str:
        """As it is typed: ``--batch-size``."""
        return "--" + self.key.rpartition(".")[2].replace("_", "-")


#: What a run may be told about sending, whatever the job file says.
SEND_FLAGS: Final = (
    Flag("send.concurrency", "N|auto", "Batches in flight."),
    Flag("send.batch_size", "N|auto", "Operations in a batch, at most 1000."),
    Flag("send.change_set_size", "N|auto", "Operations in a change set."),
    Flag("send.isolation", "row|change-set|group", "Which rows share a change set, and who falls with whom."),
    Flag("send.deadline", "HH:MM|ISO|DURATION", "Stop sending then."),
    Flag("send.max_failures", "N|N%", "Rows that may fail before the run stops."),
    Flag(
        "dataverse.ca_file",
        "FILE",
        "PEM file of certification authorities to trust besides the system's.",
        is_path=True,
    ),
)

#: How the one-line commands are told about the file.
INPUT_FLAGS: Final = (
    Flag("input.sheet", "NAME", "Sheet of a workbook. Default: the first visible one."),
    Flag("input.delimiter", "CHAR|auto", "Character between the cells of a text file."),
    Flag("input.encoding", "NAME|auto", "Encoding of a text file, such as cp1252."),
)


def settings_said(ctx: click.Context) -> dict[str, object]:
    """The settings that this command line gives: ``{"send.batch_size": "100"}``."""
    return dict(ctx.meta.get(_SAID, {}))


def setting_flags(flags: tuple[Flag, ...]) -> Callable[[Command], Command]:
    """Options that are not parameters of the command: `settings_said` has them."""

    def decorate(command: Command) -> Command:
        for flag in reversed(flags):
            command = _setting_option(flag)(command)
        return command

    return decorate


def _setting_option(flag: Flag) -> Callable[[Command], Command]:
    def remember(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            # The job's own paths start at the job file; what is typed starts where it is typed.
            ctx.meta.setdefault(_SAID, {})[flag.key] = str(Path(value).absolute()) if flag.is_path else value

    return click.option(flag.name, metavar=flag.metavar, help=flag.help, expose_value=False, callback=remember)


def _session_option(*names: str, attribute: str, **words: Any) -> Callable[[Command], Command]:
    """An option that changes the manner of speaking, not what is done."""

    def remember(ctx: click.Context, _: click.Parameter, value: object) -> None:
        session = ctx.find_object(Session)
        if session is not None and value:
            setattr(session, attribute, value)

    # Eager: an error in any other option is to be worded in the manner asked for.
    return click.option(*names, expose_value=False, is_eager=True, callback=remember, **words)


def json_option(command: Command) -> Command:
    """`--json`: one JSON value on stdout and nothing else there."""
    option = _session_option("--json", attribute="json", is_flag=True, help="The summary as JSON on stdout.")
    return option(command)


def verbose_option(command: Command) -> Command:
    """`-v`: say more, above all when something goes wrong."""

    def speak_up(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.ensure_object(Session).speak_up()

    option = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=speak_up,
        help="Say more; show tracebacks.",
    )
    return option(command)


def run_options(command: Command) -> Command:
    """Everything that commands which send have in common."""
    decorators: tuple[Callable[[Any], Any], ...] = (
        click.option("--run-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder of this run."),
        click.option("--dry-run", is_flag=True, help="Show what would be done; send nothing, write no outcomes."),
        setting_flags(SEND_FLAGS),
        click.option("--allow-removals", type=click.IntRange(min=0), metavar="N", help="sync: remove up to N links."),
        click.option("--fresh", is_flag=True, help="Start anew: do not resume."),
        click.option("--retry-failed", is_flag=True, help="Send the rows not as asked of the newest finished run."),
        json_option,
        _session_option("--quiet", "-q", attribute="quiet", is_flag=True, help="Nothing but the summary."),
        _session_option(
            "--log-format",
            attribute="log_format",
            type=click.Choice(["text", "json"]),
            help="Shape of progress and errors on stderr. Default: text.",
        ),
        click.option("--show-settings", is_flag=True, help="Show every setting and where it came from, then stop."),
        verbose_option,
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command
