"""Several [[link]] in one job: all are checked, then one run for each, in order.

Owns: how a job is taken apart, what is looked at before anything is sent, when the next link is not begun.
Does not know: how a run goes, where its files are.
Source: the public contract (README, "Job file").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bulklink import tasks
from bulklink.connecting import Connection
from bulklink.errors import BulklinkError
from bulklink.files.run_directory import prune
from bulklink.foreseeing import why_held_back
from bulklink.job import LoadedJob, RunOptions
from bulklink.links_place import GOES_ON, LinksPlace, choose_links_place, together
from bulklink.run_place import Identity, fingerprint_of
from bulklink.session import Session
from bulklink.summary import Summary

_NOT_PLAIN: Final = re.compile(r"[^\w.-]+")
_NAME_CHARACTERS_MAX: Final = 80


def links_apart(loaded: LoadedJob) -> list[LoadedJob]:
    """One job for each link; the job itself if it has no more than one."""
    links = loaded.job.links
    if len(links) < 2:
        return [loaded]
    jobs = [loaded.job.model_copy(update={"links": (link,)}) for link in links]
    return [replace(loaded, job=job) for job in jobs]


@dataclass(slots=True)
class Several:
    """The links of one job. session: what a run of each is made from."""

    session: Session

    async def run(self) -> Summary:
        """Check all links, then run one after the other until one is stopped."""
        session, parts = self.session, links_apart(self.session.loaded)
        fingerprint, why = await session.interruption.ends(lambda: self._looked_at(parts))
        if session.options.dry_run:
            done = [await self._run(part, session.options, why) for part in parts]
            return together(session.job.name, done, len(parts))
        report = session.job.report
        place = choose_links_place(
            session.loaded.resolve(report.dir),
            Identity(session.job.dataverse.url, session.job.name, fingerprint),
            [_plain(number, part) for number, part in enumerate(parts, 1)],
            session.options,
            session.clock.wall(),
            session.job.send.resume_within,
        )
        # What has begun to be sent is not for a guard to hold back any more.
        summary = await self._run_all(parts, place, "" if place.has_begun else why)
        if session.options.run_dir is None:
            prune(session.loaded.resolve(report.dir), session.job.name, report.keep)
        return summary

    async def _run_all(self, parts: Sequence[LoadedJob], place: LinksPlace, why: str) -> Summary:
        session = self.session
        place.note("unfinished")
        done: list[Summary] = []
        stop: BulklinkError | None = None
        for k, part in enumerate(parts):
            session.listener.note(f"Link {k + 1} of {len(parts)}: {part.job.links[0].relationship}")
            try:
                done.append(await self._run(part, place.options(k, session.options), why))
            except BulklinkError as error:
                if not done:
                    raise
                stop = error
                break
            if done[-1].exit_code not in GOES_ON and not why:
                break
        return place.close(done, session.job.report.outcomes, stop)

    async def _run(self, part: LoadedJob, options: RunOptions, why: str) -> Summary:
        return await replace(self.session, loaded=part, options=options, held_back=why).run()

    async def _looked_at(self, parts: Sequence[LoadedJob]) -> tuple[str, str]:
        """What makes the whole the same work as another, and why nothing may be sent.

        Raises what makes the job unusable: nothing of any link was sent then.
        """
        session = self.session
        table = session.opened([header for part in parts for header in tasks.headers_used(part.job)])
        async with Connection(
            session.loaded, session.env, session.listener, session.clock, session.credential
        ) as connection:
            await connection.who_am_i()
            found = [await tasks.plan(part.job, table, connection.metadata) for part in parts]
            why = ""
            for part, task in zip(parts, found, strict=True):
                why = why or await why_held_back(part, task, table, connection, session.clock)
        subjects = [task.subject for task in found]
        return fingerprint_of(table.fingerprint, session.job.fingerprint_parts(), *subjects), why


def _plain(number: int, part: LoadedJob) -> str:
    """The name of the directory of one link's run."""
    return f"{number}-{_NOT_PLAIN.sub('-', part.job.links[0].relationship)[:_NAME_CHARACTERS_MAX]}"
