"""`bulklink` itself: the group of commands, and what becomes of an error.

Owns: the one place where an error turns into text and exit code.
Does not know: what the commands do.
Source: the public contract (README, "Exit codes").
"""

import os
import sys
import traceback
from collections.abc import Sequence

import click

import bulklink
from bulklink.cli.commands import COMMANDS, LazyGroup
from bulklink.cli.session import Session
from bulklink.errors import BulklinkError, ExitCode

EPILOG = """
\b
Try it without an account:
  bulklink demo
\b
One line for one file:
  bulklink associate links.csv --url https://contoso.crm4.dynamics.com \\
    --relationship accountleads_association \\
    --from "account=Account Id" --to "lead=Lead Id"
\b
Every night, from a job file (see samples/nightly):
  bulklink run account-leads.toml --quiet

Exit codes: 0 all as asked, 1 a bug, 2 cannot be used, 3 some rows not as asked, 4 stopped early (run again),
5 guard rail, 6 sign-in or permission, 7 another run is going on, 130/143 interrupted (run again).
`bulklink explain CODE` says more.

\b
Completion:
  bash, zsh:  eval "$(_BULKLINK_COMPLETE=bash_source bulklink)"   (or zsh_source)
  fish:       _BULKLINK_COMPLETE=fish_source bulklink | source
"""


@click.command(
    cls=LazyGroup,
    entries=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(bulklink.__version__, prog_name="bulklink", message="%(prog)s %(version)s")
@click.pass_context
def front_door(ctx: click.Context) -> None:
    """Spreadsheet rows become links between Dataverse records: in bulk, with one true outcome per row."""
    ctx.color = ctx.ensure_object(Session).color


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line. Returns the exit code; never raises."""
    typed = tuple(sys.argv[1:] if arguments is None else arguments)
    session = Session(color=False if os.environ.get("NO_COLOR") else None, arguments=typed)
    try:
        code = front_door.main(
            args=list(typed),
            prog_name="bulklink",
            standalone_mode=False,
            obj=session,
        )
    except click.ClickException as error:
        session.refuse_usage(error)
        return ExitCode.UNUSABLE
    except (KeyboardInterrupt, click.Abort):
        session.say_interrupted()
        return ExitCode.SIGINT
    except BulklinkError as error:
        session.refuse(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone, such as `head`. Nothing may be flushed into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SIGINT
    except Exception as error:  # noqa: BLE001  the last line of defence: a bug must not look like an outcome
        session.confess(error, traceback.format_exc())
        return ExitCode.BUG
    finally:
        session.end()
    return int(code or ExitCode.AS_ASKED)
