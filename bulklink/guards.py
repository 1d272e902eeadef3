"""The guard rails that every job has: what holds all rows back before anything is sent.

Owns: their wording and when each of them stops a run.
Does not know: how rows are settled.
Source: the public contract (README, "Job file", [guard]).
"""

from bulklink.core.ledger import Ledger
from bulklink.job import Job
from bulklink.vocabulary import Outcome


def guard_stop(job: Job, ledger: Ledger, input_age_s: float) -> str:
    """Why nothing may be sent; "" if everything may."""
    guard, counts = job.guard, ledger.counts()
    unresolved = counts[Outcome.UNRESOLVED] + counts[Outcome.AMBIGUOUS]
    most = guard.most_unresolved(is_sync=job.is_sync)
    if len(ledger.outcomes) < guard.fewest_rows(is_sync=job.is_sync):
        fewest = guard.fewest_rows(is_sync=job.is_sync)
        return f"The input has {len(ledger.outcomes)} rows, min_rows asks for {fewest}."
    if most is not None and unresolved > most:
        return f"{unresolved} rows are unresolved or ambiguous, max_unresolved allows {most}."
    if guard.max_input_age and input_age_s > guard.max_input_age:
        return f"The input was last changed {input_age_s / 3600:.1f} h ago, max_input_age allows less."
    return ""
