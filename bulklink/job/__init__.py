"""The job file: TOML, variables and flags become one checked, immutable `Job`.

`values` spells single values, `settings` and `kinds` are the sections, `toml_lines` reads, `problems` words what is
wrong, `layers` puts file, environment and flags on top of each other, `document` is the whole, `schema` says it in
JSON Schema, `options` is what is said about one run only.
"""

from bulklink.job.document import Job, LoadedJob, Setting
from bulklink.job.kinds import PRIMARY_KEY, ActionColumn, Child, Collection, Link, Parties, Record, Side
from bulklink.job.options import RunOptions
from bulklink.job.problems import JobFileError, Problem
from bulklink.job.schema import job_schema
from bulklink.job.settings import Dataverse, Guard, Input, Report, Send, Verify, is_loopback
from bulklink.job.values import Limit, next_deadline

__all__ = [
    "PRIMARY_KEY",
    "ActionColumn",
    "Child",
    "Collection",
    "Dataverse",
    "Guard",
    "Input",
    "Job",
    "JobFileError",
    "Limit",
    "Link",
    "LoadedJob",
    "Parties",
    "Problem",
    "Record",
    "Report",
    "RunOptions",
    "Send",
    "Setting",
    "Side",
    "Verify",
    "is_loopback",
    "job_schema",
    "next_deadline",
]
