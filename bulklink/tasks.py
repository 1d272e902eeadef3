"""Which kind of job a job is.

Owns: the way from a job to its task, and back from an earlier run's facts to its rows.
Does not know: how any kind is done.
"""

import json
from collections.abc import Callable, Mapping

from bulklink import linking, party_recording, recording
from bulklink.core.work import Work
from bulklink.files.readers import InputTable
from bulklink.files.spool import Spool
from bulklink.first_pass import Task
from bulklink.job import Job
from bulklink.record_plan import headers_used as headers_of_record
from bulklink.record_plan import plan_record
from bulklink.service.metadata import Metadata


def headers_used(job: Job) -> list[str]:
    """The headers that the input must have."""
    if job.record:
        return headers_of_record(job, job.record)
    if job.parties:
        return party_recording.headers_used(job, job.parties)
    return linking.headers_used(job, job.links[0])


async def plan(job: Job, table: InputTable, metadata: Metadata) -> Task:
    """Fit a job to its input and its environment. Raises errors with exit code 2."""
    if job.record:
        organisation_id = await metadata.organisation_id()
        return recording.RecordTask(job.record, await plan_record(job, job.record, table, metadata, organisation_id))
    if job.parties:
        fitted = await party_recording.plan_parties(job, job.parties, table, metadata)
        return party_recording.PartyTask(job.parties, fitted)
    return await linking.plan_link(job, job.links[0], table, metadata)


def work_for_reading(facts: str, spool: Spool, api_path: str) -> Work:
    """The rows of an earlier run, to be read back only. facts: what its `Task.facts` wrote."""
    readers: Mapping[object, Callable[[str, Spool, str], Work]] = {
        "record": recording.work_for_reading,
        "parties": party_recording.work_for_reading,
    }
    read = readers.get(json.loads(facts).get("kind"), linking.work_for_reading)
    return read(facts, spool, api_path)
