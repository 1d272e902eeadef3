"""Conservation on paper: whatever the cells hold and however the rows were settled, the files tell it all, in order."""

import csv
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.files.outcomes import write_outcomes
from bulklink.vocabulary import AS_ASKED, Outcome
from tests.journaled_runs import Part, batch, block, make_journal, make_spool

CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SETTLED = [outcome for outcome in Outcome if outcome not in {Outcome.NONE, Outcome.DUPLICATE}]


@st.composite
def runs(draw):
    width = draw(st.integers(1, 4))
    header = draw(st.lists(CELLS, min_size=width, max_size=width))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=30))
    outcomes = draw(st.lists(st.sampled_from([*SETTLED, None]), min_size=len(rows), max_size=len(rows)))
    messages = draw(st.lists(CELLS, min_size=len(rows), max_size=len(rows)))
    order = draw(st.permutations(range(len(rows))))
    return header, rows, outcomes, messages, order, draw(st.integers(1, 10))


@settings(max_examples=80, deadline=None)
@given(runs())
def test_outcomes_read_back_by_another_reader_equal_what_went_in(run):
    header, rows, outcomes, messages, order, size = run
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        spool = make_spool(directory / "input.arrow", header, Part(rows))
        with spool, make_journal(directory / "journal.sqlite") as journal:
            for start in range(0, len(order), size):
                some = list(order[start : start + size])
                journal.record([batch(start, some)])
                settled = [i for i in some if outcomes[i] is not None]
                said = [block(settled, [int(outcomes[i]) for i in settled], message=[messages[i] for i in settled])]
                journal.record(settled=said if settled else [])
            books = write_outcomes(directory, spool, journal).books
        with (directory / "outcomes.csv").open(encoding="utf-8", newline="") as file:
            names, *lines = csv.reader(file, strict=True)
        found = [outcome or Outcome.IN_DOUBT for outcome in outcomes]
        assert names[1 : 1 + len(header)] == header
        assert [line[1 : 1 + len(header)] for line in lines] == rows
        assert [line[1 + len(header)] for line in lines] == [outcome.word for outcome in found]
        assert [line[0] for line in lines] == [str(number) for number in range(1, len(rows) + 1)]
        told = [line[4 + len(header)] for line in lines]
        assert all(
            text == message
            for text, message, outcome in zip(told, messages, outcomes, strict=True)
            if outcome in SETTLED and outcome is not Outcome.IN_DOUBT
        )
        assert books.as_asked == sum(outcome in AS_ASKED for outcome in found)
        assert books.as_asked + books.not_as_asked == len(rows)
        troubles = [row for row, outcome in zip(rows, found, strict=True) if outcome not in AS_ASKED]
        assert (directory / "troubles.csv").exists() == bool(troubles)
        if troubles and len(header) > 1:
            with (directory / "troubles.csv").open(encoding="utf-8", newline="") as file:
                assert list(csv.reader(file, strict=True)) == [header, *troubles]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.data())
def test_the_books_do_not_depend_on_the_order_of_settling(n, data):
    """Any order: the same outcomes in other blocks are the same books."""
    outcomes = data.draw(st.lists(st.sampled_from(SETTLED), min_size=n, max_size=n))
    orders = [data.draw(st.permutations(range(n))) for _ in range(2)]
    files = []
    for order in orders:
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            spool = make_spool(directory / "input.arrow", ["a"], Part([[str(i)] for i in range(n)]))
            with spool, make_journal(directory / "journal.sqlite") as journal:
                cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
                for piece in np.split(np.array(order), cuts):
                    if len(piece):
                        journal.record(settled=[block(piece.tolist(), [int(outcomes[i]) for i in piece])])
                books = write_outcomes(directory, spool, journal).books
                files.append((books, (directory / "outcomes.csv").read_bytes()))
    assert files[0] == files[1]
