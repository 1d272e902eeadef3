"""The page itself: facts in, one HTML file out.

Owns: which fact stands where, what is escaped (everything), and what the page may load or run (nothing but its own).
Does not know: the journal, the spool.
Source: CSP Level 3 (hashes of inline style and script): were a cell ever to escape its quotes, it still would not run.
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bulklink.errors import ExitCode
from bulklink.files.about_run import InputFacts, RunState, from_iso
from bulklink.files.report.charts import Tick, outcome_bars, percent, time_chart, tone
from bulklink.files.report.facts import HEADER_CHARACTERS_MAX, ReportFacts, shortened
from bulklink.files.report.words import count, duration, moment, size, verdict
from bulklink.files.writing import replaced
from bulklink.vocabulary import Outcome

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATE: Final = "page.html.j2"
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BACKQUOTED: Final = re.compile("`([^`]*)`")
_NEAR_THE_END: Final = 92  # percent; a centred label would stick out
_LINES_MAX: Final = 50  # of waits and of input files
_HASH_SHOWN: Final = 16  # characters; summary.json has all of them
_NAMED: Final = ("bypass", "caller_object_id")
_TONES: Final = {outcome.word: tone(outcome) for outcome in Outcome}
_FILE_WORDS: Final[Mapping[str, str]] = {
    "outcomes.csv": "every row with its outcome",
    "outcomes.xlsx": "the same as a workbook",
    "outcomes.parquet": "the same for analysis",
    "troubles.csv": "the rows not as asked, ready to be corrected",
    "removals.csv": "links removed that had no row",
    "summary.json": "this run in figures, for programs",
    "log.jsonl": "what happened, event by event",
    "journal.sqlite": "what was sent and answered; the other files are made from it",
    "input.arrow": "the input as it was read",
}
_RESUMES: Final = "Run the same command again: it resumes. Rows with an outcome are not sent again, doubts are settled."


class Step(NamedTuple):
    """Something to do, and the exact command for it, if there is one."""

    words: str
    command: str = ""


def write_report(path: Path, facts: ReportFacts) -> None:
    """Write report.html in place of the old one."""
    page = render(facts).encode("utf-8", "replace")
    with replaced(path) as file:
        file.write(page)


def render(facts: ReportFacts) -> str:
    """The page as text."""
    import jinja2

    def part(name: str) -> str:
        return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    environment.filters.update(_FILTERS)
    values = _values(facts)
    ticks = values["chart"].ticks if values["chart"] else ()
    # Inline style attributes would need a weaker policy: the places of the ticks are rules of the style sheet instead.
    style = part("page.css") + "".join(_tick_rule(k, tick) for k, tick in enumerate(ticks))
    script = part("page.js")
    from markupsafe import Markup

    return environment.from_string(part(_TEMPLATE)).render(
        values,
        style=Markup(style),  # noqa: S704 (our own)
        script=Markup(script),  # noqa: S704 (our own)
        style_hash=Markup(_policy_hash(style)),  # noqa: S704 (base64)
        script_hash=Markup(_policy_hash(script)),  # noqa: S704 (base64)
    )


def _tick_rule(number: int, tick: Tick) -> str:
    end = ";transform:translateX(-100%)" if tick.percent > _NEAR_THE_END else ""
    return f".axis-x .t{number}{{left:{tick.percent:.2f}%{end}}}\n"


def _values(facts: ReportFacts) -> dict[str, Any]:
    about, summary, books = facts.about, facts.summary, facts.books
    sentence, mood = verdict(books, facts.end)
    settings = {name: _setting(value) for name, value in about.settings.items()}
    return {
        "about": about,
        "end": facts.end,
        "summary": summary,
        "books": books,
        "verdict": sentence,
        "tone": mood,
        "took": from_iso(summary["ended"]) - from_iso(summary["started"]),
        "steps": steps(facts),
        "commands": commands(facts),
        "bars": outcome_bars(books.counts, books.rows),
        "chart": time_chart(facts.timeline),
        "faults": facts.faults,
        "troubles": facts.troubles,
        "headers": facts.headers,
        "headers_all": facts.headers_all,
        "has_origins": any(trouble.origin for trouble in facts.troubles),
        "outcomes": sorted({trouble.outcome for trouble in facts.troubles}),
        "codes": sorted({fault.code for fault in facts.faults if fault.code}),
        "task": list(about.task.items()) or [("Relationship", about.relationship)],
        "effort": _effort(facts),
        "hubs": facts.hubs,
        "waits": list(facts.timeline.waits.items())[:_LINES_MAX],
        "inputs": about.inputs[:_LINES_MAX],
        "bypass": _named(settings, _NAMED[0]),
        "impersonation": _named(settings, _NAMED[1]),
        "settings": [(key, words) for key, words in settings.items() if words and _is_plain_setting(key)],
        "directory": str(facts.directory),
        "files": facts.files,
        "environment": list(about.environment.items()),
    }


def steps(facts: ReportFacts) -> list[Step]:
    """What to do after this run, by how it ended."""
    again = facts.about.command
    found: list[Step] = []
    if facts.end.state is RunState.SUPERSEDED:
        return [Step("Nothing: a later run took the place of this one.")]
    if facts.summary["exit_code"] == ExitCode.GUARDED:
        found.append(Step("Check the input. If it is right, raise the limit in [guard] and run again.", again))
    elif facts.books.unfinished:
        found.append(Step(facts.end.hint or _RESUMES, again))
    elif facts.books.not_as_asked:
        found.append(Step("Correct the rows in troubles.csv and give that file to the same job as its input."))
        if facts.about.retry_command:
            found.append(
                Step(
                    "If the cause lay in the environment and is removed, send only the rows not as asked again.",
                    facts.about.retry_command,
                )
            )
    return found


def commands(facts: ReportFacts) -> list[Step]:
    """What else can be done with the run, now or later."""
    directory = shlex.quote(str(facts.directory))
    return [Step("Write these files again from the journal", f"bulklink report {directory}")]


def _effort(facts: ReportFacts) -> list[tuple[str, str]]:
    summary = facts.summary
    return [
        ("Operations sent", f"{summary['operations_sent']:,}"),
        ("Batches", f"{summary['batches_sent']:,}"),
        ("Change sets rolled back", f"{summary['change_sets_rolled_back']:,}"),
        ("Sent again", count(summary["retried"], "operation")),
        ("Throttled", count(summary["throttled"], "answer")),
        ("Waited", duration(summary["waited_s"])),
        ("Working time", duration(facts.timeline.length_s)),
        ("Resumed", "yes" if summary["resumed"] else "no"),
    ]


def _setting(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_setting(one)}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _is_plain_setting(key: str) -> bool:
    """Whether the page does not say it elsewhere."""
    return key not in ("version", "name") and key.rpartition(".")[2] not in _NAMED


def _named(settings: Mapping[str, str], name: str) -> str:
    """The value of the setting of this name, in whatever section it stands."""
    return next((value for key, value in settings.items() if key.rpartition(".")[2] == name and value), "")


def _printable(value: Any) -> Any:
    """Control characters are not allowed in HTML; their pictures are."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _CONTROL.sub(lambda found: "␡" if found[0] == "\x7f" else chr(0x2400 + ord(found[0])), value)
    return value


def _prose(text: str) -> "Markup":
    """A sentence of ours, ended by a full stop, with what stands in backquotes as code."""
    from markupsafe import Markup, escape

    ended = text if text.endswith((".", "!", "?", "…", ":")) else f"{text}."
    return Markup(_BACKQUOTED.sub(r"<code>\1</code>", str(escape(ended))))  # noqa: S704 (escaped)


def _input_words(one: InputFacts) -> str:
    delimiter = {"\t": "tab"}.get(one.delimiter, one.delimiter)
    parts = [
        one.format,
        f"delimiter {delimiter}" if delimiter else "",
        one.encoding,
        f"of {moment(one.modified)}" if one.modified else "",
        f"SHA-256 {one.sha256[:_HASH_SHOWN]}…" if one.sha256 else "",
    ]
    return ", ".join(filter(None, parts))


def _policy_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "n": lambda number: f"{number:,}",
    "rate": lambda rate: f"{rate:,.0f}" if rate >= 10 else f"{rate:,.1f}",
    "duration": duration,
    "moment": moment,
    "size": size,
    "count": count,
    "percent": percent,
    "tone": lambda word: _TONES.get(word, "bad"),
    "prose": _prose,
    "short": lambda text: shortened(text, HEADER_CHARACTERS_MAX),
    "file_words": lambda name: _FILE_WORDS[name],
    "input_words": _input_words,
}
