"""Several [[link]] in one job: one run each, in order.

Owns: how a job is taken apart, when the next link is not begun, and what the whole is called.
Does not know: how a run goes.
Source: the public contract (README, "Job file").
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from bulklink.errors import BulklinkError, ExitCode
from bulklink.job import LoadedJob, RunOptions
from bulklink.summary import Summary

#: After these the next link is begun; everything else would stop it too, or says that somebody should look first.
_GOES_ON: Final = (ExitCode.AS_ASKED, ExitCode.TROUBLES)


def links_apart(loaded: LoadedJob) -> list[LoadedJob]:
    """One job for each link, named after the whole and its place; the job itself if it has no more than one."""
    links = loaded.job.links
    if len(links) < 2:
        return [loaded]
    name = loaded.job.name
    jobs = [
        loaded.job.model_copy(update={"links": (link,), "name": f"{name}-{place}"})
        for place, link in enumerate(links, 1)
    ]
    return [replace(loaded, job=job) for job in jobs]


def options_of(options: RunOptions, place: int, count: int) -> RunOptions:
    """The options of one of the runs: a folder of its own below --run-dir."""
    if options.run_dir is None or count < 2:
        return options
    return replace(options, run_dir=options.run_dir / str(place))


async def run_in_order(name: str, runs: Sequence[Callable[[], Awaitable[Summary]]]) -> Summary:
    """Run one after the other until one is stopped. A single run is passed on as it is."""
    if len(runs) == 1:
        return await runs[0]()
    parts: list[Summary] = []
    for run in runs:
        try:
            parts.append(await run())
        except BulklinkError as error:
            if not parts:
                raise
            facts = {"job": f"{name}-{len(parts) + 1}", "exit_code": int(error.exit_code), "rows": 0, "outcomes": {}}
            parts.append(Summary(facts, None, error.exit_code, error))
        if parts[-1].exit_code not in _GOES_ON:
            break
    return _together(name, parts)


def _together(name: str, parts: Sequence[Summary]) -> Summary:
    outcomes: Counter[str] = Counter()
    for part in parts:
        outcomes.update(part.facts.get("outcomes") or {})
    last = parts[-1]
    worst = max(part.exit_code for part in parts) if last.exit_code in _GOES_ON else last.exit_code
    facts: dict[str, Any] = {
        "job": name,
        "exit_code": int(worst),
        "rows": sum(int(part.facts.get("rows") or 0) for part in parts),
        "outcomes": dict(outcomes),
        "runs": [part.facts for part in parts],
    }
    return Summary(facts, None, worst, last.error, tuple(parts))
