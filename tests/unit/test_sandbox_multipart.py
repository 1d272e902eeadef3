"""The sandbox's reader of `$batch` refuses what the service refuses, in its words, and reads all else."""

import pytest

from bulklink.sandbox.multipart import ChangeSetItem, Grammar, Operation, boundary_of, read_batch
from bulklink.sandbox.refusals import BatchError

LINK = "POST /api/data/v9.2/accounts(A1)/accountleads_association/$ref HTTP/1.1"
BODY = '{"@odata.id":"https://contoso.crm4.dynamics.com/api/data/v9.2/leads(L1)"}'

#: The request of protocol 2.3: a change set of two, then a read.
DOCUMENTED = f"""--batch_7c1e
Content-Type: multipart/mixed; boundary="changeset_01"

--changeset_01
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

{LINK}
Content-Type: application/json

{BODY}
--changeset_01
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 2

DELETE /api/data/v9.2/accounts(A2)/accountleads_association(L9)/$ref HTTP/1.1


--changeset_01--

--batch_7c1e
Content-Type: application/http
Content-Transfer-Encoding: binary

GET /api/data/v9.2/WhoAmI HTTP/1.1
Accept: application/json


--batch_7c1e--
"""


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def read(body: bytes, boundary: str = "batch_7c1e", **grammar: object) -> list[Operation | ChangeSetItem]:
    return list(read_batch(body, boundary.encode(), Grammar(**grammar)))


def change_set(*parts: str) -> str:
    inner = "".join(f"--cs\n{part}" for part in parts)
    return f'--b\nContent-Type: multipart/mixed; boundary="cs"\n\n{inner}--cs--\n\n--b--\n'


def part(request: str = f"{LINK}\n\n{BODY}\n", content_id: str = "1", extra: str = "") -> str:
    identified = f"Content-ID: {content_id}\n" if content_id else ""
    return f"Content-Type: application/http\nContent-Transfer-Encoding: binary\n{identified}{extra}\n{request}"


def test_the_documented_request_is_read():
    items = read(crlf(DOCUMENTED))
    assert items == [
        ChangeSetItem(
            (
                Operation(
                    "POST",
                    "/api/data/v9.2/accounts(A1)/accountleads_association/$ref",
                    {"content-type": "application/json"},
                    BODY.encode(),
                    "1",
                ),
                Operation("DELETE", "/api/data/v9.2/accounts(A2)/accountleads_association(L9)/$ref", {}, b"", "2"),
            )
        ),
        Operation("GET", "/api/data/v9.2/WhoAmI", {"accept": "application/json"}, b"", None),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_line_ends_other_than_crlf_are_refused_unless_lenient(line_end):
    body = DOCUMENTED.replace("\n", line_end).encode()
    with pytest.raises(BatchError, match="does not end with CRLF"):
        read(body)
    assert read(body, lenient_line_ends=True) == read(crlf(DOCUMENTED))


def test_one_bare_line_feed_among_crlf_is_refused():
    body = crlf(DOCUMENTED).replace(b"application/http\r\nContent-T", b"application/http\nContent-T", 1)
    with pytest.raises(BatchError, match="does not end with CRLF"):
        read(body)


def test_line_feeds_inside_a_body_are_content():
    body = crlf(change_set(part(f"{LINK}\n\nBODY\n"))).replace(b"BODY", b'{\n"a": 1}')
    [item] = read(body, "b")
    assert item.operations[0].body == b'{\n"a": 1}'


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        pytest.param(
            change_set(part("GET /api/data/v9.2/accounts HTTP/1.1\n\n\n")),
            "An invalid HTTP method 'GET' was detected for a request in a change set. Requests in change sets only "
            "support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.",
            id="GET in a change set",
        ),
        pytest.param(
            change_set(part(content_id="")),
            "The header with name 'Content-ID' was not present in the header collection of the batch operation.",
            id="no Content-ID",
        ),
        pytest.param(
            change_set(part(), part()),
            "The content ID '1' was found more than once in the same change set or same batch request. Content IDs "
            "have to be unique across all operations of a change set for OData V4.0 and have to be unique across all "
            "operations in the whole batch request for OData V4.01.",
            id="Content-ID twice",
        ),
        pytest.param(
            change_set(part(f"{LINK.replace('1.1', '1.0')}\n\n\n")),
            "The HTTP version 'HTTP/1.0' used in a batch operation request or response is not valid. The value must "
            "be 'HTTP/1.1'.",
            id="HTTP version",
        ),
        pytest.param(
            change_set(part().replace("binary", "8bit")),
            "A missing or invalid 'Content-Transfer-Encoding' header was found. The 'Content-Transfer-Encoding' "
            "header must be specified for each batch operation, and its value must be 'binary'.",
            id="transfer encoding",
        ),
        pytest.param(
            change_set(part().replace("Content-Type: application/http\n", "")),
            "The 'Content-Type' header is missing. The 'Content-Type' header must be specified for each MIME part "
            "of a batch message.",
            id="no Content-Type in a part",
        ),
        pytest.param(
            change_set(part().replace("application/http", "text/plain")),
            "The 'Content-Type' header value 'text/plain' is invalid. When this is the start of the change set, the "
            "value must be 'multipart/mixed'; otherwise it must be 'application/http'.",
            id="wrong Content-Type in a part",
        ),
        pytest.param(
            change_set(part(extra="content-id: 2\n")),
            "The header 'content-id' was specified multiple times. Each header must appear only once in a batch part.",
            id="a header twice",
        ),
        pytest.param(
            change_set(part(extra="no colon here\n")),
            "The message header 'no colon here' is invalid. The header value must be of the format "
            "'<header name>: <header value>'.",
            id="a header without colon",
        ),
        pytest.param(
            change_set(part("DELETE /api/data/v9.2/accounts(A1)/primarycontactid/$ref HTTP/1.1\n")),
            "The message header '--cs' is invalid. The header value must be of the format "
            "'<header name>: <header value>'.",
            id="no blank line behind the inner headers",
        ),
        pytest.param(
            change_set(part("DELETE HTTP/1.1\n\n\n")),
            "The request line 'DELETE HTTP/1.1' is invalid. The request line at the start of each operation must be "
            "of the format 'HttpMethod RequestUrl HttpVersion'.",
            id="request line",
        ),
        pytest.param(
            change_set(part(f"{LINK}\nContent-Length: 9999\n\n{BODY}\n")),
            "Encountered an unexpected end of input while reading the batch payload.",
            id="Content-Length too long",
        ),
        pytest.param(
            change_set(part(f"{LINK}\nContent-Length: -1\n\n{BODY}\n")),
            "The content length header '-1' is not valid. The content length header must be a valid Int32 literal "
            "and must be greater than or equal to 0.",
            id="Content-Length negative",
        ),
        pytest.param(
            change_set("Content-Type: multipart/mixed; boundary=deeper\n\n--deeper--\n"),
            "Nested change sets in a batch payload are not supported.",
            id="nested change set",
        ),
        pytest.param(
            change_set(part(f"POST /api/data/v9.2/accounts?{'x' * 65_536} HTTP/1.1\n\n\n")),
            "The URL of a batch operation has 65560 characters; at most 65536 are allowed.",
            id="URL too long",
        ),
    ],
)
def test_a_mistake_of_grammar_refuses_the_batch_in_the_services_words(batch, message):
    with pytest.raises(BatchError) as refused:
        read(crlf(batch), "b")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [
        ('multipart/mixed; boundary="batch_1"', b"batch_1"),
        ("multipart/mixed;boundary=batch_1", b"batch_1"),
        ('Multipart/Mixed; charset=utf-8; Boundary="b x"', b"b x"),
        (None, 'The batch request must have a "Content-Type" header.'),
        ("application/json", "The batch request must have 'multipart/mixed' as the media type."),
        ("multipart/mixed", 'The batch request must have a boundary specification in the "Content-Type" header.'),
        (f"multipart/mixed; boundary={'b' * 71}", f"The boundary '{'b' * 71}' is invalid. A boundary has at most 70"),
    ],
)
def test_the_outer_content_type_names_the_boundary_or_is_refused(content_type, answer):
    if isinstance(answer, bytes):
        assert boundary_of(content_type) == answer
        return
    with pytest.raises(BatchError) as refused:
        boundary_of(content_type)
    assert str(refused.value).startswith(answer)


def numbered(count: int, first: int = 1) -> list[str]:
    return [part(content_id=str(first + n)) for n in range(count)]


def test_the_1001st_operation_of_a_change_set_is_refused():
    assert len(read(crlf(change_set(*numbered(1000))), "b")[0].operations) == 1000
    with pytest.raises(BatchError, match=r"change set contains too many operations\. A maximum number of '1000'"):
        read(crlf(change_set(*numbered(1001))), "b")


def test_the_1001st_operation_of_a_batch_is_refused_when_all_are_counted():
    body = crlf(change_set(*numbered(600)).replace("--b--\n", "") + change_set(*numbered(401)))
    with pytest.raises(BatchError, match=r"batch message contains too many parts\. A maximum number of '1000'"):
        read(body, "b")
    assert [len(item.operations) for item in read(body, "b", count_total=False)] == [600, 401]


def test_items_before_a_mistake_are_handed_out():
    good = change_set(part()).replace("--b--\n", "")
    items = read_batch(crlf(good + change_set(part(content_id=""))), b"b", Grammar())
    assert len(next(items).operations) == 1
    with pytest.raises(BatchError):
        next(items)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: "a preamble\n\n" + text, id="preamble"),
        pytest.param(lambda text: text + "an epilogue\n--batch_7c1e\n", id="epilogue"),
        pytest.param(lambda text: text.removesuffix("\n--batch_7c1e--\n"), id="no closing delimiter"),
        pytest.param(
            lambda text: text.replace("--changeset_01--\n\n", ""), id="no closing delimiter of the change set"
        ),
        pytest.param(lambda text: text.replace("/$ref HTTP/1.1\n\n\n", "/$ref HTTP/1.1\n\n"), id="one blank line only"),
        pytest.param(lambda text: text.replace("--batch_7c1e\n", "--batch_7c1e \t\n"), id="blanks behind a delimiter"),
        pytest.param(lambda text: text.replace("Content-ID", "content-id"), id="header names in lower case"),
        pytest.param(
            lambda text: (
                text.replace("Content-ID: 2\n", "")
                .replace("(L9)/$ref HTTP/1.1", "\\g", 1)
                .replace("\\g", "(L9)/$ref HTTP/1.1\nContent-ID: 2")
            ),
            id="Content-ID among the inner headers",
        ),
    ],
)
def test_what_the_library_tolerates_is_read(change):
    def shape(items):
        return [
            [(op.method, op.url, op.body, op.content_id) for op in getattr(item, "operations", (item,))]
            for item in items
        ]

    assert shape(read(crlf(change(DOCUMENTED)))) == shape(read(crlf(DOCUMENTED)))


def test_a_boundary_that_begins_another_is_told_apart():
    body = crlf(change_set(part(f"{LINK}\n\n--csx is text, --b too\n")))
    [item] = read(body, "b")
    assert item.operations[0].body == b"--csx is text, --b too"


def test_a_shorter_content_length_cuts_the_body():
    [item] = read(crlf(change_set(part(f"{LINK}\nContent-Length: 2\n\n{{}} and more\n"))), "b")
    assert item.operations[0].body == b"{}"


def test_a_body_without_the_boundary_is_an_empty_batch():
    assert read(b"nothing here") == []
