"""`bulklink sandbox --snapshot-from JOB.toml`: the environment's tables in a file, for sandboxes and rehearsals.

Owns: the file's name and how it comes to be, what is said about it.
Does not know: what a snapshot holds.
"""

import os
from pathlib import Path

import click

from bulklink.errors import UsageError


def write_snapshot(job_file: Path, file: Path | None) -> None:
    """Write the metadata of a job's environment. file: not given: named after the job, in this directory."""
    import anyio

    from bulklink.cli import rehearsal
    from bulklink.connecting import Connection
    from bulklink.driving import SystemClock
    from bulklink.job import Job
    from bulklink.listener import Listener
    from bulklink.service.snapshot import Snapshot, take_snapshot

    loaded = Job.load(job_file, os.environ)
    target = file or Path(f"{loaded.job.name}-metadata.xml")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"There is no directory {target.absolute().parent} for the snapshot.")

    async def take() -> Snapshot:
        async with Connection(loaded, os.environ, Listener(), SystemClock()) as connection:
            tables = rehearsal.tables_of(loaded.job)
            return await take_snapshot(connection.reader, tables, rehearsal.collections_of(loaded.job))

    snapshot = anyio.run(take)
    _replace(target, snapshot.document)
    size = f"{len(snapshot.document) / 1e6:.1f} MB"
    click.echo(f"{target}: the tables of {loaded.job.dataverse.url} ({size}), no records;")
    click.echo(f"with the columns, labels, keys and relationships of {', '.join(snapshot.tables)}.")
    click.echo(f"Next: bulklink rehearse {job_file} --metadata {target}")


def _replace(target: Path, document: bytes) -> None:
    """The old file stays until the new one is whole."""
    draft = target.with_name(f".{target.name}.partial")
    try:
        draft.write_bytes(document)
        draft.replace(target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.") from error
