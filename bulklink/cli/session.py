"""What holds for one command line: how much is said, in which shape, and how errors are worded.

Owns: the readable block of an error (what, where, nearest, next), and its JSON.
Does not know: which errors there are.
"""

import json
import logging
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from bulklink.errors import BulklinkError, ExitCode

_LOGGER: Final = logging.getLogger("bulklink")
_PACKAGE: Final = Path(__file__).parents[1]


@dataclass(slots=True)
class Session:
    """The line that was typed and the manner of speaking it asks for. Errors go to stderr, whatever was asked for."""

    color: bool | None = None
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    log_format: str = "text"
    arguments: tuple[str, ...] = ()
    _heard: logging.Handler | None = None

    def speak_up(self) -> None:
        """`-v`: tracebacks, and what our own modules log. Those of others stay silent: they might log a token."""
        self.verbose = True
        _LOGGER.setLevel(logging.INFO)
        self._heard = self._heard or logging.StreamHandler()
        _LOGGER.addHandler(self._heard)

    def end(self) -> None:
        """Let go of stderr."""
        if self._heard is not None:
            _LOGGER.removeHandler(self._heard)

    def refuse(self, error: BulklinkError) -> None:
        """An error that says what, where and what next."""
        if self.verbose:
            self._say(traceback.format_exc().rstrip())
        self._say_error(str(error), error.hint, error.exit_code)

    def refuse_usage(self, error: click.ClickException) -> None:
        """A command line that cannot be understood."""
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "bulklink"
        self._say_error(error.format_message(), f"See `{command} --help`.", ExitCode.UNUSABLE)

    def say_interrupted(self) -> None:
        """Ctrl-C outside of a run."""
        self._say_error("interrupted", "Run the same command again.", ExitCode.SIGINT)

    def confess(self, error: Exception, trace: str) -> None:
        """A bug: short, unless more was asked for."""
        if self.verbose:
            self._say(trace.rstrip())
        frames = traceback.extract_tb(error.__traceback__)
        # The last line of ours says more than the last line of a library.
        ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents] or frames
        place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
        hint = "This is a bug in bulklink. Please report it with the output of the same command and -v."
        self._say_error(f"{type(error).__name__}{place}: {error}", hint, ExitCode.BUG)

    def _say_error(self, message: str, hint: str, exit_code: ExitCode) -> None:
        if self.log_format == "json":
            words = {"event": "error", "message": message, "next": hint, "exit_code": int(exit_code)}
            self._say(json.dumps(words, ensure_ascii=False))
            return
        first, *others = message.splitlines() or [""]
        self._say(f"{click.style('Error:', fg='red', bold=True)} {first}")
        for line in others:
            self._say(f"  {line}")
        self._say(f"{click.style('Next:', bold=True)} {hint} (exit code {int(exit_code)})")

    def _say(self, text: str) -> None:
        click.echo(text, file=sys.stderr, color=self.color)
