"""The directory that holds one run for each link of a job, and what is written about all of them together.

Owns: which directory that is, when it goes on, the books and files of the whole.
Does not know: how a run goes.
Source: the public contract (README, "Files of a run", "Running again").
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bulklink.errors import BulklinkError, ExitCode, JobError, JournalMismatch
from bulklink.files.linked_outcomes import write_linked_outcomes
from bulklink.files.run_directory import (
    JOURNAL,
    LINKS,
    SUMMARY,
    chosen_run_directory,
    links_in,
    new_run_directory,
    stamped_directories,
)
from bulklink.files.summary import write_summary
from bulklink.job import RunOptions
from bulklink.run_place import Identity
from bulklink.summary import Summary

#: A link that ends so lets the next one begin; everything else would stop that too, or asks for somebody to look.
GOES_ON: Final = (ExitCode.AS_ASKED, ExitCode.TROUBLES)
_UNFINISHED: Final = "unfinished"
_FINISHED: Final = "finished"
_SUMS: Final = (
    "rows", "operations_sent", "batches_sent", "change_sets_rolled_back", "throttled", "retried", "waited_s",
    "as_asked", "not_as_asked",
)  # fmt: skip


@dataclass(slots=True)
class LinksPlace:
    """A directory with one run for each link. closes: unfinished runs that this one takes the place of."""

    directory: Path
    facts: dict[str, Any]
    closes: list[Path] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether an earlier process has begun with a link."""
        return any((run / JOURNAL).exists() for run in self.runs)

    @property
    def runs(self) -> list[Path]:
        """The directory of each link's run."""
        return [self.directory / name for name in self.facts["runs"]]

    def note(self, state: str) -> None:
        """Write down what the directory is, and how it stands."""
        write_summary(self.directory / LINKS, {**self.facts, "state": state})

    def options(self, k: int, options: RunOptions) -> RunOptions:
        """The options of one link's run."""
        old = self.facts.get("retry_of")
        closes = [run for path in self.closes for run in _runs_in(path)] if k == 0 else []
        return replace(
            options,
            run_dir=self.runs[k],
            retries=Path(old) / self.facts["runs"][k] if old else None,
            closes=tuple(closes),
        )

    def close(self, done: Sequence[Summary], formats: Sequence[str], stop: BulklinkError | None = None) -> Summary:
        """Write the files of the whole. stop: what kept the link after the last one done from being begun."""
        for path in self.closes:
            LinksPlace(path, links_in(path) or {"runs": []}).note("superseded")
        summary = together(self.facts["job"], done, len(self.runs), stop)
        runs = [part.run_dir for part in done]
        notes = write_linked_outcomes(self.directory, [*runs, *[None] * (len(self.runs) - len(runs))], formats)
        facts = {**summary.facts, "run_id": self.directory.name, "notes": [*summary.facts["notes"], *notes]}
        facts["retry_of"] = Path(self.facts["retry_of"]).name if "retry_of" in self.facts else None
        write_summary(self.directory / SUMMARY, facts)
        is_over = len(done) == len(self.runs) and summary.exit_code in (*GOES_ON, ExitCode.GUARDED)
        self.note(_FINISHED if is_over else _UNFINISHED)
        return replace(summary, facts=facts, run_dir=self.directory)


def choose_links_place(
    base: Path, identity: Identity, runs: Sequence[str], options: RunOptions, now_s: float, resume_within_s: float
) -> LinksPlace:
    """A new directory, or one that goes on. runs: names of the directories in it. Raises JournalMismatch, JobError."""
    facts: dict[str, Any] = {
        "job": identity.job,
        "organisation": identity.organisation,
        "fingerprint": identity.fingerprint,
        "runs": list(runs),
    }
    if options.run_dir is not None:
        return _chosen(options.run_dir, facts, options)
    found = [(path, known) for path in stamped_directories(base, identity.job) if (known := links_in(path))]
    ours = [(path, known) for path, known in found if known["organisation"] == identity.organisation]
    same = [(path, known) for path, known in ours if _is_same(known, facts)]
    unfinished = [path for path, known in ours if known["state"] == _UNFINISHED]
    if options.retry_failed:
        ended = [path for path, known in same if known["state"] == _FINISHED]
        if not ended:
            raise JobError("There is no finished run of this job and input whose failed rows could be sent again.")
        facts["retry_of"] = str(ended[0])
    elif not options.fresh:
        for path, known in same:
            if path in unfinished and now_s - (path / LINKS).stat().st_mtime <= resume_within_s:
                return LinksPlace(path, known, [other for other in unfinished if other != path])
    return LinksPlace(new_run_directory(base, identity.job, now_s), facts, unfinished)


def _chosen(directory: Path, facts: dict[str, Any], options: RunOptions) -> LinksPlace:
    known = links_in(directory)
    if known is not None and _is_same(known, facts) and not options.fresh:
        return LinksPlace(directory, known)
    if not options.fresh and (known is not None or (directory / JOURNAL).exists()):
        raise JournalMismatch(f"{directory} holds a run of another input, job or environment.")
    return LinksPlace(chosen_run_directory(directory), {**facts, "chosen": True})


def report_links(directory: Path, report: Callable[[Path], Summary]) -> Summary:
    """Write the files of all links again. report: does it for one."""
    known = links_in(directory)
    assert known is not None
    place = LinksPlace(directory, known)
    done = [report(run) for run in place.runs if (run / JOURNAL).exists()]
    if not done:
        raise JournalMismatch(f"{directory} holds no run that has begun.", hint="Run the job again.")
    summary = place.close(done, done[0].facts["settings"].get("report.outcomes") or ["csv"])
    place.note(known["state"])
    return summary


def together(name: str, done: Sequence[Summary], links: int, stop: BulklinkError | None = None) -> Summary:
    """The books of all links as one. links: how many there are; the rows of those not begun are not attempted."""
    first, last = done[0], done[-1]
    bad = next((part for part in done if part.exit_code not in GOES_ON), None)
    error = bad.error if bad else stop
    exit_code = bad.exit_code if bad else stop.exit_code if stop else max(part.exit_code for part in done)
    outcomes, removals = (_counted(done, key) for key in ("outcomes", "removals"))
    sums = {key: sum(part.facts.get(key) or 0 for part in done) for key in _SUMS if key in first.facts}
    waiting = int(first.facts["rows"]) * (links - len(done))
    if waiting:
        outcomes["not-attempted"] += waiting
        sums |= {key: sums[key] + waiting for key in ("rows", "not_as_asked") if key in sums}
    facts: dict[str, Any] = {
        **{key: value for key, value in first.facts.items() if key != "examples"},
        **sums,
        "job": name,
        "ended": last.facts.get("ended", ""),
        "exit_code": int(exit_code),
        "outcomes": dict(outcomes),
        "removals": dict(removals),
        "resumed": any(part.facts.get("resumed") for part in done),
        "relationship": ", ".join(str(part.facts.get("relationship", "")) for part in done),
        "why": str(error or (bad.facts.get("why") if bad else "") or ""),
        "hint": error.hint if error else "",
        "notes": list(dict.fromkeys(note for part in done for note in part.facts.get("notes", ()))),
        "runs": [{**part.facts, "run_dir": part.run_dir.name if part.run_dir else ""} for part in done],
    }
    return Summary(facts, None, exit_code, error, tuple(done))


def _counted(parts: Sequence[Summary], key: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.facts.get(key) or {})
    return counts


def _is_same(known: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return all(known.get(key) == facts[key] for key in ("job", "organisation", "fingerprint", "runs"))


def _runs_in(directory: Path) -> list[Path]:
    known = links_in(directory) or {"runs": []}
    return [directory / name for name in known["runs"] if (directory / name / JOURNAL).exists()]
