"""The cells of keys, looked at while the input is read: signs that a spreadsheet is not what somebody meant.

Owns: which columns each kind of job has looked at.
Does not know: what the signs are (`core.hygiene`), what becomes of the warnings.
"""

from collections.abc import Mapping

from bulklink.core.hygiene import Hygiene, Watched
from bulklink.files.readers import InputTable, RawChunk
from bulklink.first_pass import Task
from bulklink.job import PRIMARY_KEY, Job
from bulklink.linking import LinkPlan


def watched(job: Job, task: Task | None, table: InputTable) -> list[Watched]:
    """The columns that name records, and which of them hold ids. Without a task ids are told by the columns' names."""
    sides = _sides(job)
    if isinstance(task, LinkPlan):
        ids = {header for side in task.sides if side.match.is_primary_key for header in side.headers}
    else:
        ids = {
            header
            for name, match in sides
            for column, header in match.items()
            if column in (PRIMARY_KEY, f"{name}id", "activityid")
        }
    headers = dict.fromkeys(header for _, match in sides for header in match.values())
    return [Watched(header, table.column_index(header), header in ids) for header in headers]


def watch(job: Job, task: Task, table: InputTable) -> Hygiene:
    """Look at every chunk of the input as it is drawn; ask for the warnings when it was drawn to its end."""
    hygiene = Hygiene(watched(job, task, table))
    table.watch(lambda chunk: look_at(hygiene, chunk, several=table.has_parts))
    return hygiene


def look_at(hygiene: Hygiene, chunk: RawChunk, *, several: bool) -> None:
    """Take in one chunk. several: rows are told apart by file or sheet."""
    hygiene.update(chunk.table, chunk.rows, (chunk.sheet or chunk.file) if several else "")


def _sides(job: Job) -> list[tuple[str, Mapping[str, str]]]:
    """Table, and column of the table -> header, wherever the job names a record by cells."""
    sides = [side for link in job.links for side in (link.from_, link.to) if side is not None]
    if job.record:
        sides += [*job.record.lookups.values(), *job.record.collections.values()]
    if job.parties and job.parties.party.side:
        sides.append(job.parties.party.side)
    named: list[tuple[str, Mapping[str, str]]] = [(side.table, side.match) for side in sides]
    for whole in (job.record, job.parties):
        if whole and whole.match:
            named.append((whole.table, whole.match))
    return named
