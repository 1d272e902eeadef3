"""What we write, others read: request bodies with the standard library's mail parser, answers with SAP Cloud SDK."""

import email
import email.policy
import json
from pathlib import Path

from bulklink.core.request import batch_headers, write_batch, write_read_batch
from bulklink.sandbox.batch import BatchHooks, run_batch
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.service import Service
from bulklink.sandbox.service_headers import Ids
from bulklink.sandbox.toggles import Toggles
from tests.others import node

SAP = Path(__file__).with_name("sap_batch_parser.cjs")
API = "https://contoso.crm4.dynamics.com/api/data/v9.2"
ACCOUNT = "00000000-0000-4000-8000-0000000000a1"
LEADS = [f"00000000-0000-4000-8000-0000000000b{n}" for n in range(1, 6)]
MISSING = "00000000-0000-4000-8000-0000000000ff"


def link(lead):
    body = json.dumps({"@odata.id": f"{API}/leads({lead})"})
    line = f"POST /api/data/v9.2/accounts({ACCOUNT})/accountleads_association/$ref HTTP/1.1"
    return f"{line}\r\nContent-Type: application/json\r\n\r\n{body}".encode()


def unlink(lead):
    line = f"DELETE /api/data/v9.2/accounts({ACCOUNT})/accountleads_association({lead})/$ref HTTP/1.1"
    return f"{line}\r\n\r\n".encode()


def mail_parts(headers, body):
    """The leaves of a multipart body as (Content-ID, bytes), read by the parser for mail."""
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    assert not message.defects
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert {part.get_content_type() for part in leaves} == {"application/http"}
    assert not any(part.defects for part in leaves)
    return [(part["Content-ID"], part.get_payload(decode=True)) for part in leaves]


def test_our_change_sets_are_read_operation_by_operation():
    operations = [link(LEADS[0]), unlink(LEADS[1]), link(LEADS[2]), unlink(LEADS[3])]
    for sizes in ([4], [1, 1, 1, 1], [2, 2], [3, 1]):
        found = mail_parts(batch_headers("batch_7c1e"), write_batch("batch_7c1e", operations, sizes))
        assert found == [(str(number), operation) for number, operation in enumerate(operations, start=1)]


def test_our_reads_are_read_operation_by_operation():
    operations = [b"GET /api/data/v9.2/WhoAmI HTTP/1.1\r\nAccept: application/json\r\n\r\n"] * 3
    found = mail_parts(batch_headers("batch_7c1e"), write_read_batch("batch_7c1e", operations))
    assert [body.rstrip() for _, body in found] == [operation.rstrip() for operation in operations]


def answered(operations, sizes, prefer=""):
    """A batch on a fresh organisation: its answer as SAP's parser wants it."""
    organisation = Organisation.sample()
    organisation.create_record("account", {"accountid": ACCOUNT, "name": "Contoso"})
    for lead in LEADS:
        organisation.create_record("lead", {"leadid": lead, "lastname": "Lead"})
    headers = {"content-type": "multipart/mixed; boundary=batch_7c1e", "prefer": prefer}
    body = write_batch("batch_7c1e", operations, sizes) if sizes else write_read_batch("batch_7c1e", operations)
    service, toggles = Service(organisation, Toggles()), Toggles()
    _, answer_headers, answer = run_batch(service, headers, body, API, toggles, BatchHooks(Ids(0).new))
    return {"headers": {name.lower(): value for name, value in answer_headers}, "data": answer.decode()}


def test_sap_cloud_sdk_reads_our_answers():
    reads = [f"GET /api/data/v9.2/{path} HTTP/1.1\r\n\r\n".encode() for path in ("WhoAmI", f"accounts({MISSING})")]
    answers = [
        answered([link(lead) for lead in LEADS], [5]),
        answered([link(lead) for lead in (LEADS[0], MISSING, LEADS[1])], [1, 1, 1], "odata.continue-on-error"),
        answered([link(LEADS[0]), link(MISSING)], [2]),
        answered(reads, None, "odata.continue-on-error"),
    ]
    linked, going_on, stopped, read = node(SAP, "@sap-cloud-sdk/odata-common", {"answers": answers})
    assert [part["httpCode"] for part in linked[0]] == [204] * 5
    assert [[part["httpCode"] for part in change_set] for change_set in going_on] == [[204], [404], [204]]
    assert [[(part["httpCode"], part["body"]["error"]["code"]) for part in item] for item in stopped] == [
        [(404, "0x80040217")]
    ]
    assert [part["httpCode"] for part in read] == [200, 404]
    assert "UserId" in read[0]["body"]
