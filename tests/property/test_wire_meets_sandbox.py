"""Two readers and two writers that share nothing understand each other: ours and the sandbox's."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bulklink.core.reply import Fate, read_batch_reply
from bulklink.core.request import write_batch, write_read_batch
from bulklink.sandbox.batch_answer import Answer, write_answer
from bulklink.sandbox.multipart import ChangeSetItem, Grammar, Operation, read_batch

keys = st.uuids().map(str)
GUID = "00000000-0000-4000-8000-{:012x}"


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.booleans(), keys, keys), min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_sandbox_reads_precisely_the_keys_that_were_sent(change_sets):
    sent = []
    for is_added, base, other in (pair for one in change_sets for pair in one):
        head = f"/api/data/v9.2/accounts({base})/leads"
        if is_added:
            body = f'{{"@odata.id":"https://x/api/data/v9.2/leads({other})"}}'
            sent.append(f"POST {head}/$ref HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{body}")
        else:
            sent.append(f"DELETE {head}({other})/$ref HTTP/1.1\r\n\r\n")
    body = write_batch("batch_1", [one.encode() for one in sent], [len(one) for one in change_sets])
    items = list(read_batch(body, b"batch_1", Grammar()))
    number = 0
    for item, pairs in zip(items, change_sets, strict=True):
        assert isinstance(item, ChangeSetItem)
        for operation, (is_added, base, other) in zip(item.operations, pairs, strict=True):
            number += 1
            assert operation.content_id == str(number)
            assert operation.method == ("POST" if is_added else "DELETE")
            assert base in operation.url
            assert other in (operation.body.decode() if is_added else operation.url)
            assert bool(operation.body) == is_added


@settings(deadline=None)
@given(st.lists(keys, min_size=1, max_size=10))
def test_the_sandbox_reads_precisely_the_reads(sent):
    requests = [f"GET /api/data/v9.2/leads({key}) HTTP/1.1\r\nAccept: application/json\r\n\r\n" for key in sent]
    items = list(read_batch(write_read_batch("batch_1", [one.encode() for one in requests]), b"batch_1", Grammar()))
    assert all(isinstance(item, Operation) for item in items)
    assert [item.url for item in items] == [f"/api/data/v9.2/leads({key})" for key in sent]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-1, 3)), min_size=1, max_size=12))
def test_we_read_precisely_what_the_sandbox_answers(change_sets):
    """change_sets: (size, culprit); -1 or beyond the size = done."""
    items, expected = [], []
    done = Answer(204, [("OData-Version", "4.0")])
    for size, culprit in change_sets:
        first = len(expected) + 1
        if 0 <= culprit < size:
            fault = Answer(
                412, [("REQ_ID", "r")], b'{"error":{"code":"0x80040237","message":"m"}}', str(first + culprit)
            )
            items.append([fault])
            expected += [412 if k == culprit else 0 for k in range(size)]
        else:
            items.append([Answer(204, done.headers, b"", str(first + k)) for k in range(size)])
            expected += [204] * size
    numbers = iter(range(1000))
    body = write_answer(items, "batchresponse_1", lambda: GUID.format(next(numbers)))
    headers = {"content-type": "multipart/mixed; boundary=batchresponse_1"}
    reply = read_batch_reply(200, headers, body, [size for size, _ in change_sets])
    assert reply.statuses.tolist() == expected
    assert [Fate(fate) for fate in reply.fates] == [Fate.ANSWERED if one else Fate.ROLLED_BACK for one in expected]
    assert reply.all_succeeded == (set(expected) == {204})
