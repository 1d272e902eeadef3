"""Headers for privileged migrations stand on the batch and on every operation, and are named in the summary."""

from pathlib import Path
from typing import Any

import pytest

from bulklink.job import JobFileError
from tests.record_scene import Scene, guid, scene

USER = "e39c5d16-675b-48d1-8e67-667427e9c084"
WANTED = {
    "caller_object_id": USER,
    "bypass": ["custom-sync", "flows"],
    "duplicate_detection": True,
    "tag": "night run",
}
LINES = (
    f"CallerObjectId: {USER}",
    "MSCRM.BypassBusinessLogicExecution: CustomSync",
    "MSCRM.SuppressCallbackRegistrationExpanderJob: true",
    "MSCRM.SuppressDuplicateDetection: false",
)
KINDS: dict[str, dict[str, Any]] = {
    "link": {
        "relationship": "accountleads_association",
        "from": {"table": "account", "match": {"accountid": "Id"}},
        "to": {"table": "lead", "match": {"leadid": "Id"}},
    },
    "record": {"table": "account", "action": "update", "match": {"accountid": "Id"}, "columns": {"name": "Name"}},
    "parties": {
        "table": "email",
        "match": {"activityid": "Mail"},
        "navigation_property": "email_activity_parties",
        "party": {"table": "contact", "match": {"contactid": "Id"}},
        "participation": "Role",
    },
}


def job(at: Scene, kind: str, **dataverse: Any) -> dict[str, Any]:
    made = at.job(**{kind: KINDS[kind]})
    return made | {"dataverse": {**made["dataverse"], **dataverse}}


@pytest.mark.parametrize("kind", KINDS)
def test_every_write_carries_them(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.organisation.load_table("lead", [{"leadid": guid(1), "lastname": "x"}])
        at.write(("Id", "Name", "Mail", "Role"), (guid(1), "x", guid(11), "to"))
        summary = at.run(job(at, kind, **WANTED))
        assert summary.exit_code == 0
        (written,) = [body for body in at.bodies if b"changeset" in body]
        assert [line for line in LINES if written.count(f"\r\n{line}\r\n".encode()) != 1] == []
        assert written.count(b"?tag=night%20run HTTP/1.1") == 1
        settings = summary.facts["settings"]
        assert {key: settings[f"dataverse.{key}"] for key in WANTED} == WANTED


@pytest.mark.parametrize(
    "wrong", [{"caller_object_id": "ann@contoso.example"}, {"tag": "two\nlines"}, {"bypass": ["everything"]}]
)
def test_a_value_that_is_not_documented_is_refused(
    wrong: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at, pytest.raises(JobFileError) as caught:
        at.run(job(at, "record", **wrong))
    assert caught.value.exit_code == 2
