"""`bulklink explain CODE`."""

import re
from collections.abc import Callable
from typing import Final

import click

from bulklink.errors import UsageError, nearest
from bulklink.explanations import EXIT_CODES, OUTCOMES

_HEX: Final = r"[0-9A-Fa-f]{8}"
_EXIT_CODES: Final = {str(int(exit_code)): exit_code for exit_code in EXIT_CODES}
_WORDS: Final = {outcome.word: outcome for outcome in OUTCOMES}


@click.command(
    context_settings={"ignore_unknown_options": True},  # a decimal code begins with a minus
    epilog="""
\b
Examples:
  bulklink explain 0x80040237     a service code, as in outcomes.csv
  bulklink explain -2147220937    the same, as the service's logs write it
  bulklink explain unresolved     an outcome
  bulklink explain 4              an exit code
  bulklink explain 429            an HTTP status
""",
)
@click.argument("code")
def explain(code: str) -> int:
    """Say what a service code, an outcome or an exit code means, and what to do."""
    found = next((text for look_up in _LOOK_UPS if (text := look_up(code.strip()))), "")
    if not found:
        near = nearest(code, _WORDS)
        hint = (
            f"Nearest: {', '.join(near)}." if near else "Give a code as in outcomes.csv, an outcome, or an exit code."
        )
        raise UsageError(
            f"{code!r} is no code of the service that is known here, no outcome and no exit code.", hint=hint
        )
    click.echo(found)
    return 0


def explain_exit_code(code: str) -> str:
    """An exit code in words; "" if it is none."""
    exit_code = _EXIT_CODES.get(code)
    return _block(f"Exit code {code}", *EXIT_CODES[exit_code]) if exit_code is not None else ""


def explain_outcome(word: str) -> str:
    """An outcome in words; "" if it is none."""
    outcome = _WORDS.get(word.lower().replace("_", "-"))
    return _block(f"Outcome {outcome.word}", *OUTCOMES[outcome]) if outcome else ""


def explain_service_code(code: str) -> str:
    """A code of the service in words (hex with or without 0x, decimal, name, HTTP status); "" if it is not known."""
    from bulklink.core import verdict

    # Eight digits may be hex without its 0x.
    meaning = verdict.explain(code) or (verdict.explain(f"0x{code}") if re.fullmatch(_HEX, code) else None)
    if meaning is None:
        return ""
    name = f": {meaning.name}" if meaning.name else ""
    return _block(f"Service code {code}{name}", meaning.words, meaning.advice)


_LOOK_UPS: Final[tuple[Callable[[str], str], ...]] = (explain_exit_code, explain_outcome, explain_service_code)


def _block(title: str, meaning: str, advice: str) -> str:
    return f"{title}\n  {meaning.rstrip('.')}.\n  Next: {advice.rstrip('.')}."
