"""Laws of the wire: what is written is read back, and every operation that was sent is accounted for."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.core.reply import Fate, read_batch_reply, read_read_reply
from bulklink.core.request import write_batch, write_read_batch
from tests.batch_answers import MULTIPART, batch, change_set, error, part

# -- round trip --------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=30)
bodies = st.one_of(st.just(b""), st.text(max_size=60).map(lambda text: text.replace("\n", "\\n").encode()))


@st.composite
def operations(draw):
    """An inner request as `forms` renders it; JSON never holds a raw line end."""
    body = draw(bodies).replace(b"\r", b"")
    lines = [f"{draw(st.sampled_from(['POST', 'DELETE', 'PATCH']))} /api/data/v9.2/{draw(texts)} HTTP/1.1"]
    lines += [f"{name}: {draw(texts)}" for name in draw(st.sampled_from([[], ["If-Match"], ["Prefer", "X-Y"]]))]
    return "\r\n".join([*lines, "", ""]).encode() + body


@st.composite
def partitions(draw, count):
    """Sizes of change sets that add up to `count`."""
    sizes = []
    while sum(sizes) < count:
        sizes.append(draw(st.integers(1, min(count - sum(sizes), 40))))
    return sizes


def read_strictly(body, boundary):
    """RFC 2046 to the letter: the parts between the delimiter lines, each as (headers, content)."""
    opening, closing = b"--" + boundary + b"\r\n", b"--" + boundary + b"--"
    assert body.startswith(opening)
    body = b"\r\n" + body
    inner, separator, epilogue = body.partition(b"\r\n" + closing)
    assert separator
    assert epilogue == b"\r\n"
    preamble, *parts = inner.split(b"\r\n" + opening)
    assert preamble == b""
    read = []
    for one in parts:
        head, blank, content = one.partition(b"\r\n\r\n")
        assert blank
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
        assert len(headers) == len(head.split(b"\r\n"))
        read.append((headers, content))
    return read


@settings(deadline=None)
@given(st.data(), st.lists(operations(), min_size=1, max_size=60))
def test_a_strict_reader_gets_back_precisely_the_operations(data, sent):
    sizes = data.draw(partitions(len(sent)))
    items = read_strictly(write_batch("batch_0a1b", sent, sizes), b"batch_0a1b")
    got, content_ids, boundaries = [], [], []
    for (headers, content), size in zip(items, sizes, strict=True):
        kind, _, boundary = headers[b"Content-Type"].partition(b"; boundary=")
        assert (kind, len(headers)) == (b"multipart/mixed", 1)
        boundaries.append(boundary.strip(b'"'))
        parts = read_strictly(content, boundaries[-1])
        assert len(parts) == size
        for part_headers, operation in parts:
            assert part_headers[b"Content-Type"] == b"application/http"
            assert part_headers[b"Content-Transfer-Encoding"] == b"binary"
            assert len(part_headers) == 3
            content_ids.append(part_headers[b"Content-ID"])
            got.append(operation)
    assert got == sent
    assert content_ids == [b"%d" % number for number in range(1, len(sent) + 1)]
    assert len(set(boundaries)) == len(boundaries)


@settings(deadline=None)
@given(st.lists(operations(), min_size=1, max_size=60))
def test_a_strict_reader_gets_back_precisely_the_reads(sent):
    items = read_strictly(write_read_batch("batch_0a1b", sent), b"batch_0a1b")
    assert [content for _, content in items] == sent


# -- accounting --------------------------------------------------------------------------------------------------------


@dataclass
class Truth:
    """What the service did. culprits: by change set, the operation that failed, None = done, -1 = nobody is named."""

    sizes: list
    culprits: list
    has_stopped: bool
    outer_status: int

    def __post_init__(self):
        self.executed = len(self.sizes)
        failures = [place for place, culprit in enumerate(self.culprits) if culprit is not None]
        if self.has_stopped and failures:
            self.executed = failures[0] + 1

    def operations(self):
        """For each operation: (change set, is it done)."""
        for place, size in enumerate(self.sizes):
            for _ in range(size):
                yield place, place < self.executed and self.culprits[place] is None

    def items(self):
        """The answer, as a list of change sets, each a list of parts; a part that stands alone is bytes."""
        first = 1
        for place, size in enumerate(self.sizes[: self.executed]):
            culprit = self.culprits[place]
            if culprit is None:
                yield [part(204, first + k) for k in range(size)]
            elif culprit < 0:
                # Each failure is an event of its own: its text differs.
                yield part(500, None, error("0x80040255", f"aborted {place}"))
            else:
                yield [part(404, first + culprit, error())]
            first += size


@st.composite
def truths(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    culprits = [draw(st.one_of(st.none(), st.none(), st.integers(-1, size - 1))) for size in sizes]
    has_stopped = draw(st.booleans()) and any(culprit is not None for culprit in culprits)
    return Truth(sizes, culprits, has_stopped, 400 if has_stopped else 200)


def write(items, close=True):
    return batch([item if isinstance(item, bytes) else change_set(item, k + 1) for k, item in enumerate(items)], close)


def check(truth, reply):
    """Nothing is claimed that is not so, and everything is claimed or in doubt."""
    n = sum(truth.sizes)
    assert len(reply.fates) == len(reply.statuses) == n
    first = 0
    starts = []
    for size in truth.sizes:
        starts.append(first)
        first += size
    for k, (place, is_done) in enumerate(truth.operations()):
        fate, status = Fate(reply.fates[k]), int(reply.statuses[k])
        has_failed = place < truth.executed and truth.culprits[place] is not None
        if fate is Fate.ANSWERED:
            assert (200 <= status < 300) == is_done
            if not is_done:
                assert has_failed
                assert truth.culprits[place] in (k - starts[place], -1)
                assert reply.answers[k].status == status
        else:
            assert status == 0
            assert (fate is Fate.ROLLED_BACK) <= has_failed
            assert (fate is Fate.NOT_EXECUTED) <= (place >= truth.executed)
    assert reply.all_succeeded <= all(is_done for _, is_done in truth.operations())
    assert all(reply.fates[k] == Fate.ANSWERED for k in reply.answers)
    assert set(reply.blame) | set(reply.unblamed) <= set(starts)
    assert bool(reply.trouble) == (Fate.UNKNOWN in reply.fates)


def read(truth, body):
    """Read an answer twice: as the service writes it, quickly, and with other line ends, part by part."""
    reply = read_batch_reply(truth.outer_status, MULTIPART, body, truth.sizes)
    slowly = read_batch_reply(truth.outer_status, MULTIPART, body.replace(b"\r\n", b"\n"), truth.sizes)
    for one in ("fates", "statuses"):
        assert getattr(reply, one).tolist() == getattr(slowly, one).tolist()
    for one in ("answers", "unblamed", "blame", "all_succeeded", "trouble"):
        assert getattr(reply, one) == getattr(slowly, one)
    return reply


@settings(deadline=None)
@given(truths())
def test_an_undamaged_answer_leaves_nothing_in_doubt(truth):
    reply = read(truth, write(truth.items()))
    check(truth, reply)
    assert Fate.UNKNOWN not in reply.fates
    assert reply.all_succeeded == all(is_done for _, is_done in truth.operations())


@settings(deadline=None)
@given(truths(), st.floats(0, 1))
def test_a_truncated_answer_claims_only_what_it_says(truth, at):
    body = write(truth.items())
    check(truth, read(truth, body[: int(at * len(body))]))


def can_miss(truth):
    """A failure without a name at which the service stopped has nothing but its place to go by."""
    return not truth.has_stopped or -1 not in truth.culprits[: truth.executed]


@settings(deadline=None)
@given(st.data(), truths())
def test_shuffled_duplicated_and_missing_items_claim_only_what_they_say(data, truth):
    items = list(truth.items())
    nameless = [item for item in items if b"Content-ID" not in (item if isinstance(item, bytes) else b"".join(item))]
    if can_miss(truth):
        items = [item for item in items if data.draw(st.integers(0, 5))]
    # One that is there twice cannot be told from two of the same words.
    items += [item for item in items if item not in nameless and not data.draw(st.integers(0, 5))]
    if data.draw(st.booleans()):
        items = data.draw(st.permutations(items))
    check(truth, read(truth, write(items, close=data.draw(st.booleans()))))


@settings(deadline=None)
@given(st.data(), truths())
def test_shuffled_duplicated_and_missing_parts_claim_only_what_they_say(data, truth):
    whole = [item for item in truth.items() if not isinstance(item, bytes)]
    parts = [one for item in whole for one in item if data.draw(st.integers(0, 9)) or not can_miss(truth)]
    parts += [one for one in parts if not data.draw(st.integers(0, 9))]
    parts = data.draw(st.permutations(parts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(parts)), max_size=6)))
    regrouped = [parts[a:b] for a, b in zip([0, *cuts], [*cuts, len(parts)], strict=True)]
    check(truth, read(truth, write(regrouped)))


@settings(deadline=None)
@given(truths(), st.data())
def test_a_part_that_says_otherwise_takes_every_claim_about_its_change_set_back(truth, data):
    place = data.draw(st.integers(0, truth.executed - 1))
    first = sum(truth.sizes[:place])
    operation = first + data.draw(st.integers(0, truth.sizes[place] - 1))
    otherwise = data.draw(st.sampled_from([part(204, operation + 1), part(409, operation + 1, error("0x1"))]))
    items = [*truth.items(), [otherwise]]
    items = data.draw(st.permutations(items))
    reply = read(truth, write(items))
    agrees = truth.culprits[place] is None and b"HTTP/1.1 204" in otherwise
    if not agrees and truth.culprits[place] != -1:
        assert set(reply.fates[first : first + truth.sizes[place]]) == {Fate.UNKNOWN}


@settings(deadline=None)
@given(truths(), st.data())
def test_damaged_bytes_never_turn_a_failure_into_a_success(truth, data):
    body = bytearray(write(truth.items()))
    for _ in range(data.draw(st.integers(1, 8))):
        # Letters only: a digit of a Content-ID or status that flips cannot be told from a true one.
        at = data.draw(st.integers(0, len(body) - 1))
        if not chr(body[at]).isdigit():
            body[at] = data.draw(st.sampled_from(b"\r\n-: xZ\xff\x00{"))
    reply = read_batch_reply(truth.outer_status, MULTIPART, bytes(body), truth.sizes)
    for k, (_, is_done) in enumerate(truth.operations()):
        assert is_done or not 200 <= reply.statuses[k] < 300


content_types = st.sampled_from(["multipart/mixed; boundary=b", "multipart/mixed", "application/json", "", "text/html"])
shards = st.sampled_from(
    b"--b|--c|--|\r\n|\n|\r\n\r\n|Content-ID: 1|Content-ID: 2|HTTP/1.1 204 No Content|HTTP/1.1 404 X|"
    b'Content-Type: multipart/mixed; boundary=c|{"error":|{"code":"x"}}|\x00|1'.split(b"|")
)


@settings(deadline=None)
@given(
    st.integers(0, 599),
    content_types,
    st.one_of(st.binary(max_size=200), st.lists(shards, max_size=40).map(b"".join)),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["retry-after", "date", "x-ms-dop-hint", "req_id"]), st.text(max_size=20)),
)
def test_no_bytes_raise(status, content_type, body, sizes, headers):
    headers = {**headers, "content-type": content_type}
    reply = read_batch_reply(status, headers, body, sizes)
    assert len(reply.fates) == sum(sizes)
    assert set(reply.fates) <= set(Fate)
    assert len(read_read_reply(status, headers, body, 3).fates) == 3
