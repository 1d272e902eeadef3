"""kill -9 at any moment: what `record` returned for is in the journal, and nothing half done is."""

import random
import subprocess
import sys

import pytest

from bulklink.files.journal import Journal
from bulklink.files.row_outcomes import RowOutcomes
from bulklink.vocabulary import Outcome

KILLS = 8
ROWS = 300  # of each batch

WRITER = """
import sys
from pathlib import Path
from bulklink.files.journal import Journal
from tests.journaled_runs import batch, block
journal = Journal.open(Path(sys.argv[1]))
number = journal.last_batch_number()
while True:
    number += 1
    rows = range((number - 1) * {rows}, number * {rows})
    journal.record([batch(number, rows)])
    print(number, "sent", flush=True)
    journal.record(settled=[block(rows, message=[f"row {{row}}" for row in rows])])
    print(number, "settled", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of Unix")
def test_what_was_recorded_before_a_kill_is_there_after_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal.create(path, {}).close()
    moments = random.Random(20261123)
    settled = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER.format(rows=ROWS), str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            said = [writer.stdout.readline().split() for _ in range(moments.randint(1, 60))]
            writer.kill()
            said += [line.split() for line in writer.stdout if line.endswith("\n")]
        sent = max(int(number) for number, _ in said)
        settled = max([settled, *(int(number) for number, word in said if word == "settled")])
        with Journal.open(path) as journal:
            assert sent <= journal.last_batch_number() <= sent + 1
            blocks = [block.rows.tolist() for block in journal.blocks()]
            numbers = {rows[0] // ROWS + 1 for rows in blocks}
            assert all(len(rows) == ROWS for rows in blocks)
            doubt = {batch.number for batch in journal.unsettled_batches()}
            # Everything sent is settled or in doubt; what a dead writer left in doubt no later one settles here.
            assert numbers | doubt == set(range(1, journal.last_batch_number() + 1))
            assert not numbers & doubt
            assert settled in numbers
            outcomes = RowOutcomes(journal, journal.last_batch_number() * ROWS)
            assert outcomes.books().counts.get(Outcome.ASSOCIATED, 0) == len(blocks) * ROWS
            assert outcomes.books().counts.get(Outcome.IN_DOUBT, 0) == len(doubt) * ROWS
