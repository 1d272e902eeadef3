"""A rehearsal: the real job and its real input against a sandbox that holds the records which the input names.

Owns: the records that such an organisation needs, and the job as it is told to run there.
Does not know: weather, rules, how a run goes. Nothing leaves the machine.
Source: the public contract (README, "Commands").
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulklink.core.table import trimmed
from bulklink.errors import UsageError
from bulklink.files.about_run import from_iso
from bulklink.files.readers import InputTable, open_input
from bulklink.job import PRIMARY_KEY, Dataverse, Job, LoadedJob, Side
from bulklink.sandbox.errors import SandboxUsageError

if TYPE_CHECKING:
    from bulklink.sandbox.organisation import Organisation

#: Records are put in so many at a time.
RECORDS_AT_ONCE = 5_000
#: How to go on after something is missing in the sample.
GIVE_METADATA = (
    "rehearse with --metadata FILE, which `bulklink sandbox --snapshot-from JOB.toml --metadata FILE` writes."
)
_SNAPSHOT_HINT = "Take the snapshot once; it holds tables and columns, no records."
#: What the sandbox takes for a token.
TOKEN = "rehearsal"  # noqa: S105  no secret: the sandbox takes any


@dataclass(frozen=True, slots=True)
class Named:
    """Records that the input names: of a table, by columns of it, in columns of the input."""

    table: str
    match: Mapping[str, str]
    separator: str = ""


@dataclass(slots=True)
class _Wanted:
    """The distinct keys of one place, in the order of the input."""

    named: Named
    places: list[int]
    keys: dict[tuple[str, ...], None] = field(default_factory=dict)


def named_records(job: Job) -> Iterator[Named]:
    """Every place where a job looks a record up."""
    for link in job.links:
        yield _side(link.from_)
        if link.to:
            yield _side(link.to)
    if job.record:
        if job.record.match:
            yield Named(job.record.table, job.record.match)
        for side in job.record.lookups.values():
            yield _side(side)
        for collection in job.record.collections.values():
            yield Named(collection.table, collection.match, collection.separator)
        for child in job.record.children.values():
            for side in child.lookups.values():
                yield _side(side)
    if job.parties:
        yield Named(job.parties.table, job.parties.match)
        if job.parties.party.side:
            yield _side(job.parties.party.side)


def _side(side: Side) -> Named:
    return Named(side.table, side.match)


def tables_of(job: Job) -> list[str]:
    """Every table that a job names."""
    own = [job.record.table] if job.record else []
    return list(dict.fromkeys([*own, *(one.table for one in named_records(job))]))


def collections_of(job: Job) -> dict[str, list[str]]:
    """Table -> its collections whose tables the job does not name, because new records go there."""
    return {job.record.table: list(job.record.children)} if job.record else {}


def refuse_unknown(organisation: "Organisation", job: Job) -> None:
    """Raises UsageError for a table or column that the sample does not have: the job is about a real environment."""
    known = organisation.model.tables
    for table in tables_of(job):
        if table not in known:
            raise UsageError(f"The sandbox's sample has no table '{table}'; {GIVE_METADATA}", hint=_SNAPSHOT_HINT)
    for one in named_records(job):
        for column in one.match:
            if column not in (PRIMARY_KEY, *known[one.table].columns):
                words = f"The sandbox's sample has no column '{column}' in table '{one.table}'"
                raise UsageError(f"{words}; {GIVE_METADATA}", hint=_SNAPSHOT_HINT)


def fill(organisation: "Organisation", job: Job, table: InputTable) -> dict[str, int]:
    """Put the records into the organisation that the input names; how many by table.

    A value that its column cannot hold is left out: the run will find it invalid, as it would tonight.
    """
    wanted = [_Wanted(one, [table.column_index(header) for header in one.match.values()]) for one in named_records(job)]
    for chunk in table.chunks():
        for one in wanted:
            cells = [trimmed(chunk.table.column(place)).to_pylist() for place in one.places]
            for values in zip(*cells, strict=True):
                one.keys.update(dict.fromkeys(part for part in _parts(values, one.named.separator) if all(part)))
    made: dict[str, int] = defaultdict(int)
    for one in wanted:
        made[one.named.table] += _insert(organisation, one.named, list(one.keys))
    return dict(made)


def _parts(values: tuple[str, ...], separator: str) -> Iterator[tuple[str, ...]]:
    if not separator:
        yield values
        return
    for one in values[0].split(separator):
        yield (one.strip(),)


def _insert(organisation: "Organisation", named: Named, keys: list[tuple[str, ...]]) -> int:
    primary_id = organisation.table(named.table).primary_id
    columns = [column if column != PRIMARY_KEY else primary_id for column in named.match]
    records = [dict(zip(columns, key, strict=True)) for key in keys]
    made = 0
    for start in range(0, len(records), RECORDS_AT_ONCE):
        made += _insert_some(organisation, named.table, records[start : start + RECORDS_AT_ONCE])
    return made


def _insert_some(organisation: "Organisation", table: str, records: list[dict[str, str]]) -> int:
    """All at once; if one of them does not fit, each by itself."""
    try:
        return organisation.load_table(table, records)
    except SandboxUsageError:
        pass
    made = 0
    for record in records:
        try:
            made += organisation.load_table(table, [record])
        except SandboxUsageError:
            continue
    return made


def job_for(loaded: LoadedJob, url: str) -> LoadedJob:
    """The job as it runs against the sandbox: another address and name, no sign-in of anybody's."""
    there = Dataverse(url=url, auth="token")
    job = loaded.job.model_copy(update={"dataverse": there, "name": f"{loaded.job.name}-rehearsal"})
    return replace(loaded, job=job)


def open_table(loaded: LoadedJob) -> InputTable:
    """The job's input."""
    return open_input(loaded.required_input(), loaded.base_dir)


def organisation_for(metadata: Path | None) -> "Organisation":
    """An empty organisation with the tables of a metadata document, or the sample's."""
    from bulklink.sandbox.organisation import Organisation

    return Organisation.from_csdl(metadata) if metadata else Organisation.sample()


def night_words(summary: Mapping[str, Any], tally: Mapping[str, Any]) -> str:
    """What the night would look like, in one sentence: how long, what the weather did, how it was met."""
    lasted_s = from_iso(summary["ended"]) - from_iso(summary["started"]) if "ended" in summary else 0.0
    faults = ", ".join(f"{count} {name}" for name, count in sorted(tally.get("faults", {}).items()))
    throttled = sum(tally.get("throttled", {}).get("by_code", {}).values())
    parts = [
        f"{lasted_s:,.0f} s, {tally.get('requests', 0):,} requests",
        f"faults: {faults or 'none'}",
        f"{throttled} refused by service protection, {summary.get('waited_s', 0):,.1f} s waited",
        f"{summary.get('retried', 0):,} operations sent again",
    ]
    return "; ".join(parts)
