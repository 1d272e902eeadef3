"""What a batch looks like on the wire, byte for byte."""

import pytest

from bulklink.core.request import batch_headers, write_batch, write_read_batch

POST = (
    b'POST /api/data/v9.2/accounts(a1)/leads/$ref HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{"@odata.id":"x"}'
)
DELETE = b"DELETE /api/data/v9.2/accounts(a2)/leads(b9)/$ref HTTP/1.1\r\n\r\n"


def test_a_batch_is_laid_out_as_microsofts_page_shows_it():
    body = write_batch("batch_7c1e", [POST, DELETE, POST], [2, 1])
    assert body == b"\r\n".join(
        [
            b"--batch_7c1e",
            b'Content-Type: multipart/mixed; boundary="changeset_7c1e_1"',
            b"",
            b"--changeset_7c1e_1",
            b"Content-Type: application/http",
            b"Content-Transfer-Encoding: binary",
            b"Content-ID: 1",
            b"",
            b"POST /api/data/v9.2/accounts(a1)/leads/$ref HTTP/1.1",
            b"Content-Type: application/json",
            b"",
            b'{"@odata.id":"x"}',
            b"--changeset_7c1e_1",
            b"Content-Type: application/http",
            b"Content-Transfer-Encoding: binary",
            b"Content-ID: 2",
            b"",
            b"DELETE /api/data/v9.2/accounts(a2)/leads(b9)/$ref HTTP/1.1",
            b"",
            b"",
            b"--changeset_7c1e_1--",
            b"",
            b"--batch_7c1e",
            b'Content-Type: multipart/mixed; boundary="changeset_7c1e_3"',
            b"",
            b"--changeset_7c1e_3",
            b"Content-Type: application/http",
            b"Content-Transfer-Encoding: binary",
            b"Content-ID: 3",
            b"",
            b"POST /api/data/v9.2/accounts(a1)/leads/$ref HTTP/1.1",
            b"Content-Type: application/json",
            b"",
            b'{"@odata.id":"x"}',
            b"--changeset_7c1e_3--",
            b"",
            b"--batch_7c1e--",
            b"",
        ]
    )


def test_reads_stand_outside_change_sets():
    body = write_read_batch("batch_1", [b"GET /a HTTP/1.1\r\n\r\n", b"GET /b HTTP/1.1\r\nAccept: x\r\n\r\n"])
    assert body == (
        b"--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"GET /a HTTP/1.1\r\n\r\n\r\n"
        b"--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"GET /b HTTP/1.1\r\nAccept: x\r\n\r\n\r\n"
        b"--batch_1--\r\n"
    )


def test_every_batch_asks_to_go_on_after_a_refused_change_set():
    assert batch_headers("batch_7c1e") == {
        "Content-Type": 'multipart/mixed; boundary="batch_7c1e"',
        "Accept": "application/json",
        "OData-MaxVersion": "4.0",
        "OData-Version": "4.0",
        "If-None-Match": "null",
        "Prefer": "odata.continue-on-error",
    }


@pytest.mark.parametrize("sizes", [[1], [3], [1, 0, 1], [], [-1, 3]])
def test_change_sets_that_do_not_add_up_are_refused(sizes):
    with pytest.raises(ValueError, match="each of them once"):
        write_batch("batch_1", [POST, DELETE], sizes)


def test_more_than_a_thousand_operations_are_refused():
    with pytest.raises(ValueError, match="1000"):
        write_batch("batch_1", [POST] * 1001, [1] * 1001)
    with pytest.raises(ValueError, match="1000"):
        write_read_batch("batch_1", [POST] * 1001)


@pytest.mark.parametrize(
    "boundary", ["7c1e", "batch_", "batch_a b", 'batch_"', "batch_ä", "batch_a\r\n", "batch_" + 51 * "a"]
)
def test_a_boundary_that_could_be_misread_is_refused(boundary):
    with pytest.raises(ValueError, match="boundary"):
        write_batch(boundary, [POST], [1])
