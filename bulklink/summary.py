"""What a run gives back to whoever started it.

Owns: the summary's facts as an object, and the way from it to the outcomes of the rows.
Does not know: how the run went.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulklink.errors import BulklinkError, ExitCode

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. facts: what summary.json holds. error: what stopped it early, None if nothing did.

    parts: of a job with several [[link]], the run of each.
    """

    facts: Mapping[str, Any]
    run_dir: Path | None
    exit_code: ExitCode
    error: BulklinkError | None = None
    parts: "tuple[Summary, ...]" = ()

    @property
    def outcomes(self) -> "pd.DataFrame":
        """One line per row of the input, all columns as text, as in outcomes.csv."""
        import pandas as pd

        if self.run_dir is None:
            raise ValueError("a dry run has no outcomes")
        if (self.run_dir / "outcomes.csv").exists():
            return pd.read_csv(self.run_dir / "outcomes.csv", dtype=str, keep_default_na=False)
        if (self.run_dir / "outcomes.parquet").exists():
            return pd.read_parquet(self.run_dir / "outcomes.parquet").astype("string").fillna("").astype(object)
        return pd.read_excel(self.run_dir / "outcomes.xlsx", dtype=str, keep_default_na=False, engine="calamine")
