"""The sandbox's batch answers have the bytes of the recorded ones."""

from itertools import count

from bulklink.sandbox.batch_answer import Answer, write_answer

OK = (("OData-Version", "4.0"),)
ERROR = (
    ("REQ_ID", "0d7c"),
    ("Content-Type", "application/json; odata.metadata=minimal"),
    ("OData-Version", "4.0"),
)


def written(*items) -> str:
    numbers = count(1)
    text = write_answer(items, "batchresponse_6f2a", lambda: str(next(numbers))).decode()
    assert text.count("\n") == text.count("\r\n") == text.count("\r")
    return text.replace("\r\n", "\n")


def test_a_change_set_and_a_read_look_like_the_documented_answer():
    read = (("Content-Type", "application/json; odata.metadata=minimal"), ("OData-Version", "4.0"))
    assert written([Answer(204, OK, content_id="1"), Answer(204, OK, content_id="2")], Answer(200, read, b"{}")) == (
        """--batchresponse_6f2a
Content-Type: multipart/mixed; boundary=changesetresponse_1

--changesetresponse_1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 1

HTTP/1.1 204 No Content
OData-Version: 4.0


--changesetresponse_1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 2

HTTP/1.1 204 No Content
OData-Version: 4.0


--changesetresponse_1--
--batchresponse_6f2a
Content-Type: application/http
Content-Transfer-Encoding: binary

HTTP/1.1 200 OK
Content-Type: application/json; odata.metadata=minimal
OData-Version: 4.0

{}
--batchresponse_6f2a--
"""
    )


def test_a_failed_change_set_holds_the_one_failing_part():
    assert written([Answer(412, ERROR, b'{"error":{}}', "3")]) == (
        """--batchresponse_6f2a
Content-Type: multipart/mixed; boundary=changesetresponse_1

--changesetresponse_1
Content-Type: application/http
Content-Transfer-Encoding: binary
Content-ID: 3

HTTP/1.1 412 Precondition Failed
REQ_ID: 0d7c
Content-Type: application/json; odata.metadata=minimal
OData-Version: 4.0

{"error":{}}
--changesetresponse_1--
--batchresponse_6f2a--
"""
    )


def test_a_status_that_the_library_does_not_know_has_its_placeholder():
    assert "HTTP/1.1 429 Unknown Status Code\n" in written(Answer(429, ERROR))


def test_an_empty_batch_is_answered_by_a_closing_delimiter():
    assert written() == "--batchresponse_6f2a--\n"
