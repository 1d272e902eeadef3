"""What is said about one run and not about the job: where it writes, whether it resumes.

Owns: the options of a run that no job file holds.
Does not know: the command line.
Source: the public contract (README, "Commands", "Running again").
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of one run.

    run_dir: None is ``DIR/<job name>/<UTC time>`` below the job's [report] dir.
    dry_run: read and judge, send nothing, write no outcomes.
    fresh: never resume. retry_failed: send the rows not as asked of the newest finished run.
    allow_removals: lifts both removal limits up to this many, for this run.
    retries: the run directory whose failed rows are sent again, where it is not to be looked for. closes: unfinished
    runs elsewhere that this one takes the place of.
    signals: SIGINT and SIGTERM end the run cleanly; only the command line asks for that.
    command: what a person types to go on with this run; retry_command: to send its failed rows again. The report
    shows them; "" where nobody typed anything.
    """

    run_dir: Path | None = None
    dry_run: bool = False
    fresh: bool = False
    retry_failed: bool = False
    allow_removals: int | None = None
    signals: bool = False
    command: str = ""
    retry_command: str = ""
    retries: Path | None = None
    closes: tuple[Path, ...] = ()
