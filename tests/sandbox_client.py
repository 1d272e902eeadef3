"""A client of the sandbox's rules for tests: JSON in, JSON out, no HTTP."""

import json
from dataclasses import dataclass
from typing import Any

from bulklink.sandbox.messages import Request
from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.service import Service
from bulklink.sandbox.toggles import Toggles

API = "http://127.0.0.1:8080/api/data/v9.2"


def guid(number: int) -> str:
    """A readable id."""
    return f"00000000-0000-0000-0000-{number:012d}"


#: The records of `Client.sample`, by short name.
A1, A2, C1, C2, L1, L2, T1, O1, U2, G1, M1, P1 = map(guid, range(1, 13))
NOBODY = guid(99)

RECORDS = (
    ("account", {"accountid": A1, "name": "Acme", "accountnumber": "A-1"}),
    ("account", {"accountid": A2, "name": "Bolt", "accountnumber": "B'2"}),
    ("contact", {"contactid": C1, "firstname": "Ann", "lastname": "Ant", "emailaddress1": "ann@acme.example"}),
    ("contact", {"contactid": C2, "firstname": "Bob", "lastname": "Bee"}),
    ("lead", {"leadid": L1, "subject": "One"}),
    ("lead", {"leadid": L2, "subject": "Two"}),
    ("task", {"activityid": T1, "subject": "Call"}),
    ("opportunity", {"opportunityid": O1, "name": "Deal"}),
    ("systemuser", {"systemuserid": U2, "fullname": "Second User"}),
    ("new_tag", {"new_tagid": G1, "new_name": "Gold", "new_code": "G"}),
    ("campaign", {"campaignid": M1, "name": "May"}),
    ("new_project", {"new_projectid": P1, "new_name": "Plan"}),
)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"] if self.status >= 400 else ""

    @property
    def message(self) -> str:
        return self.json["error"]["message"]


class Client:
    def __init__(self, organisation: Organisation, **toggles: Any) -> None:
        self.organisation = organisation
        self.service = Service(organisation, Toggles.parse(toggles))

    @classmethod
    def sample(cls, **toggles: Any) -> "Client":
        organisation = Organisation.sample()
        for table, values in RECORDS:
            organisation.create_record(table, values)
        return cls(organisation, **toggles)

    def request(self, method: str, url: str, body: Any = None, **headers: str) -> Request:
        path, _, query = url.partition("?")
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return Request(method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, raw, API)

    def __call__(self, method: str, url: str, body: Any = None, ids: Any = None, **headers: str) -> Answer:
        response = self.service.execute(self.request(method, url, body, **headers), ids)
        return Answer(response.status, dict(response.headers), response.body)

    def get(self, url: str, **headers: str) -> Any:
        answer = self("GET", url, **headers)
        assert answer.status == 200, answer
        return answer.json

    def value(self, table: str, record_id: str, column: str) -> Any:
        record = self.organisation.read(self.organisation.model.tables[table], record_id)
        return record and record[column]


def ref(path: str) -> dict[str, str]:
    """The body of a reference to a record."""
    return {"@odata.id": f"{API}/{path}"}
