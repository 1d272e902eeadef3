"""What goes into the journal comes out of it, also after the power was cut in the middle of a write."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from bulklink.core.ledger import OutcomeBlock
from bulklink.errors import JournalError
from bulklink.files.columns import ColumnReader, DamagedColumnsError
from bulklink.files.entries import pack_batch, pack_block, unpack_batch, unpack_block
from bulklink.files.journal import Event, EventKind, Journal, SentBatch
from bulklink.vocabulary import Outcome

CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def positions(draw, n):
    consecutive = draw(st.booleans())
    if consecutive:
        start = draw(st.integers(0, 1 << 40))
        return np.arange(start, start + n)
    high = draw(st.sampled_from([1 << 7, 1 << 15, 1 << 31, 1 << 62]))
    return draw(nps.arrays(np.int64, n, elements=st.integers(0, high)))


@st.composite
def texts(draw, n):
    return draw(st.one_of(CHARACTERS, st.lists(CHARACTERS, min_size=n, max_size=n)))


@st.composite
def outcome_blocks(draw):
    n = draw(st.integers(1, 40))
    ids = draw(st.one_of(st.none(), nps.arrays(np.uint8, (n, 16))))
    refers = draw(st.one_of(st.none(), nps.arrays(np.int64, n, elements=st.integers(-1, 1 << 40))))
    return OutcomeBlock(
        draw(positions(n)),
        draw(nps.arrays(np.uint8, n, elements=st.integers(0, len(Outcome) - 1))),
        draw(nps.arrays(np.uint8, n)),
        ids,
        draw(nps.arrays(np.uint16, n)),
        draw(nps.arrays(np.uint8, n)),
        draw(texts(n)),
        draw(texts(n)),
        draw(texts(n)),
        refers,
    )


def as_lists(block):
    return [
        column.tolist() if isinstance(column, np.ndarray) else column
        for column in (getattr(block, name) for name in block.__dataclass_fields__)
    ]


@given(outcome_blocks())
def test_a_block_comes_back_as_it_was_written(block):
    read = unpack_block(pack_block(block))
    assert as_lists(read) == as_lists(block)
    assert (read.outcome.dtype, read.http_status.dtype, read.rows.dtype) == (np.uint8, np.uint16, np.int64)


@given(st.data())
def test_a_batch_comes_back_as_it_was_written(data):
    n = data.draw(st.integers(1, 40))
    ids = data.draw(st.one_of(st.none(), nps.arrays(np.uint8, (n, 16))))
    numbers = nps.arrays(np.uint8, n)
    batch = SentBatch(3, 1.5, data.draw(positions(n)), data.draw(numbers), ids, data.draw(numbers))
    assert as_lists(unpack_batch(3, 1.5, pack_batch(batch))) == as_lists(batch)


@given(outcome_blocks(), st.data())
def test_bytes_that_were_cut_or_changed_are_noticed(block, data):
    body = bytearray(pack_block(block))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        ColumnReader(bytes(body))
    except DamagedColumnsError:
        return
    raise AssertionError("damage was not noticed")


@given(st.text(), st.lists(st.text(), min_size=1, max_size=5))
def test_lone_surrogates_never_break_a_block(text, each):
    n = len(each)
    zeros = np.zeros(n, np.uint8)
    block = OutcomeBlock(np.arange(n), zeros, zeros, code=text, message=each)
    read = unpack_block(pack_block(block))
    assert read.message == [message.encode("utf-8", "replace").decode() for message in each]
    assert read.code == text.encode("utf-8", "replace").decode()


def written_journal(directory, lengths):
    """A journal with one commit per length: batch k, then block k; left open as a killed process leaves it."""
    journal = Journal.create(directory / "journal.sqlite", {"job": "torn"})
    for number, length in enumerate(lengths, start=1):
        rows = np.arange(number * 1000, number * 1000 + length)
        zeros, ones = np.zeros(length, np.uint8), np.ones(length, np.uint8)
        journal.record(
            [SentBatch(number, float(number), rows, zeros, None, ones)],
            [OutcomeBlock(rows[: length // 2], ones[: length // 2], zeros[: length // 2], message=f"batch {number}")],
            [Event(float(number), EventKind.PACE, in_flight=number)],
        )
    return journal


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 700), min_size=1, max_size=12),
    cut=st.floats(0, 1),
    junk=st.binary(max_size=64),
)
def test_a_torn_log_opens_to_a_prefix_of_what_was_committed(lengths, cut, junk):
    """Torn journal: the log is cut at any byte, and whatever the disk held may follow."""
    with tempfile.TemporaryDirectory() as folder:
        live = Path(folder) / "live"
        live.mkdir()
        with written_journal(live, lengths) as journal:
            torn = Path(folder) / "torn"
            shutil.copytree(live, torn, ignore=shutil.ignore_patterns("*-shm"))
            log = torn / "journal.sqlite-wal"
            size = log.stat().st_size
            kept_bytes = round(size * cut)
            log.write_bytes(log.read_bytes()[:kept_bytes] + junk)
            whole = list(journal.events())
        with Journal.open(torn / "journal.sqlite") as again:
            events = list(again.events())
            assert events == whole[: len(events)]
            assert cut < 1 or len(events) == len(lengths)
            assert [len(block) for block in again.blocks()] == [length // 2 for length in lengths[: len(events)]]
            left = again.unsettled_batches()
            assert [batch.number for batch in left] == list(range(1, len(events) + 1))
            again.record(events=[Event(99.0, EventKind.SESSION)])
            assert list(again.events())[-1].at == 99.0


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(2, 700), min_size=1, max_size=12), cut=st.floats(0, 1))
def test_a_torn_database_is_a_prefix_or_is_refused(lengths, cut):
    """The file itself lost its end: never anything but the truth or a JournalError."""
    with tempfile.TemporaryDirectory() as folder:
        journal = written_journal(Path(folder), lengths)
        whole = list(journal.events())
        journal.close()
        content = journal.path.read_bytes()
        journal.path.write_bytes(content[: round(len(content) * cut)])
        try:
            with Journal.open(journal.path) as again:
                events = list(again.events())
                blocks = list(again.blocks())
        except JournalError:
            return
        assert events == whole[: len(events)]
        assert [len(block) for block in blocks] == [length // 2 for length in lengths[: len(events)]]
