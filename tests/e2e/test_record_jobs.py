"""[record] jobs from a spreadsheet over the wire to outcomes: success, refusal of one among many, lost answers."""

from pathlib import Path

import pytest

from bulklink.errors import BulklinkError
from tests.record_scene import guid, lost, scene

CREATE = {
    "table": "opportunity",
    "action": "create",
    "id_from": ["Ref"],
    "columns": {"name": "Title", "estimatedvalue": "Value"},
    "lookups": {"customerid_account": {"table": "account", "match": {"accountnumber": "Customer"}}},
    "collections": {"opportunitycompetitors_association": {"table": "competitor", "match": {"name": "Competitors"}}},
    "children": {"Opportunity_Tasks": {"columns": {"subject": "Task"}}},
}
UPDATE = {
    "table": "account",
    "action": "update",
    "match": {"accountnumber": "No"},
    "columns": {"name": "Name", "numberofemployees": "Staff"},
    "lookups": {"primarycontactid": {"table": "contact", "match": {"contactid": "Contact"}}},
}
HEADER = ("Ref", "Title", "Value", "Customer", "Competitors", "Task")


def test_a_new_record_brings_its_links_and_nested_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, ("1", "Deal", "12.50", "A-1", "Comp 1; Comp 3;", "Call"), ("2", "Other", "", "", "", ""))
        summary = at.run(at.job(record=CREATE))
        assert (summary.exit_code, at.outcomes()) == (0, ["created", "created"])
        deal, other = (row["record_id"] for row in at.rows())
        held = at.record("opportunity", deal)
        assert (held["name"], held["estimatedvalue"], held["customerid"]) == ("Deal", 12.5, guid(1))
        assert at.record("opportunity", other)["estimatedvalue"] is None
        linked = set(at.organisation.links("opportunitycompetitors_association"))
        assert linked == {(deal, guid(1)), (deal, guid(3))}
        assert at.select("subject, regardingobjectid", "task") == [("Call", deal)]


def test_the_same_cells_are_the_same_record_tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, ("1", "Deal", "", "", "", "Call"), ("1", "Deal again", "", "", "", ""))
        at.run(at.job(record=CREATE))
        first = at.rows()
        assert at.outcomes() == ["created", "duplicate"]
        at.write(HEADER, ("1", "Deal", "", "", "", "Call"), ("2", "New", "", "", "", ""))
        at.run(at.job(record=CREATE))
        assert at.outcomes() == ["already-created", "created"]
        assert at.rows()[0]["record_id"] == first[0]["record_id"] == first[1]["record_id"]
        assert at.select("name", "opportunity") == [("Deal",), ("New",)]
        assert at.select("subject", "task") == [("Call",)]


def test_another_job_or_table_makes_other_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, ("1", "Deal", "", "", "", ""))
        at.run(at.job(record=CREATE))
        at.run(at.job(record=CREATE) | {"name": "another"})
        assert at.outcomes() == ["created"]
        assert len(at.select("name", "opportunity")) == 2


def test_a_refused_record_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        rows = [(str(n), "x" * (301 if n == 4 else 30), "", "", "", "") for n in range(12)]
        at.write(HEADER, *rows)
        summary = at.run(at.job(record=CREATE, send={"change_set_size": 5}))
        assert (summary.exit_code, at.outcomes()) == (3, ["created"] * 4 + ["rejected"] + ["created"] * 7)
        assert at.rows()[4]["code"] == "0x80044331"
        assert at.rows()[4]["record_id"] == ""
        assert len(at.select("name", "opportunity")) == 11


@pytest.mark.parametrize("ordinal", range(1, 12))
def test_whichever_answer_is_lost_every_record_is_created_once(
    ordinal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch, lost(ordinal)) as at:
        at.write(HEADER, *((str(n), f"Deal {n}", "1", "A-1", "Comp 1", "Call") for n in range(3)))
        summary = at.run(at.job(record=CREATE))
        assert (summary.exit_code, set(at.outcomes())) == (0, {"created"})
        assert at.select("name", "opportunity") == [("Deal 0",), ("Deal 1",), ("Deal 2",)]
        assert len(at.select("subject", "task")) == 3


def test_rows_of_one_group_make_one_record_with_several_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(
            HEADER,
            ("", "", "", "", "", "nobody's"),
            ("1", "Deal", "5", "A-1", "", "Call"),
            ("1", "", "", "", "", "Write"),
            ("1", "Deal", "5", "A-1", "", "Visit"),
            ("2", "Other", "", "", "", ""),
            ("3", "", "", "", "", "orphan"),
            ("4", "One", "", "", "", "a"),
            ("4", "Two", "", "", "", "b"),
        )
        job = at.job(record={**CREATE, "id_from": []}, send={"group_by": "Ref"})
        at.run(job)
        created = ["created", "created", "created", "created"]
        assert at.outcomes() == ["invalid", *created, "invalid", "conflicting", "conflicting"]
        assert "a child without a record" in at.messages()[5]
        assert len({row["record_id"] for row in at.rows()[1:4]}) == 1
        assert at.select("subject", "task") == [("Call",), ("Visit",), ("Write",)]


def test_what_a_row_cannot_mean_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        record = {
            "table": "account",
            "action": "update",
            "match": {"accountnumber": "No"},
            "columns": {"industrycode": "Industry", "numberofemployees": "Staff", "creditonhold": "Hold"},
        }
        at.write(
            ("No", "Industry", "Staff", "Hold"),
            ("A-1", "Agricultur", "", ""),
            ("A-1", "99", "", ""),
            ("A-1", "", "many", ""),
            ("A-1", "", "", "perhaps"),
            ("A-9", "", "1", ""),
            ("", "", "1", ""),
            ("A-2", "agriculture", "3", "no"),
        )
        summary = at.run(at.job(record=record))
        assert at.outcomes() == ["invalid"] * 4 + ["unresolved", "invalid", "updated"]
        assert "nearest: 'Agriculture'" in at.messages()[0]
        assert summary.facts["operations_sent"] == 1
        assert at.record("account", guid(2))["industrycode"] == 2


@pytest.mark.parametrize(
    ("section", "near"),
    [
        ({"columns": {"nmae": "Name"}}, "name"),
        ({"columns": {"primarycontactid": "Name"}}, "navigation propert"),
        ({"lookups": {"primarycontact": {"table": "contact", "match": {"contactid": "Name"}}}}, "primarycontactid"),
        ({"lookups": {"account_parent_account": {"table": "lead", "match": {"leadid": "Name"}}}}, ""),
    ],
)
def test_a_wrong_name_ends_the_run_before_anything_is_read(
    section: dict, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(("No", "Name"), ("A-1", "x"))
        record = {"table": "account", "action": "update", "match": {"accountnumber": "No"}, **section}
        with pytest.raises(BulklinkError) as caught:
            at.run(at.job(record=record))
        assert caught.value.exit_code == 2
        assert near in f"{caught.value} {caught.value.hint}"


def test_an_update_changes_what_has_a_cell_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(("No", "Name", "Staff", "Contact"), ("A-1", "New", "7", guid(2)), ("A-2", "", "8", ""))
        at.run(at.job(record=UPDATE))
        at.write(
            ("No", "Name", "Staff", "Contact"),
            ("A-1", "", "(clear)", "(clear)"),
            ("A-2", "Two", "", ""),
            ("A-2", "Two", "", ""),
            ("A-3", "a", "", ""),
            ("A-3", "b", "", ""),
            ("a-1 ", "", "", ""),
        )
        at.run(at.job(record=UPDATE))
        assert at.outcomes() == ["updated", "updated", "duplicate", "conflicting", "conflicting", "unchanged"]
        one, two = (at.record("account", guid(n)) for n in (1, 2))
        assert (one["name"], one["numberofemployees"], one["primarycontactid"]) == ("New", None, None)
        assert (two["name"], two["numberofemployees"]) == ("Two", 8)


def test_a_lookup_of_several_tables_is_emptied_whatever_it_points_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        lookups = {"parentcustomerid_account": {"table": "account", "match": {"accountnumber": "Customer"}}}
        record = {"table": "contact", "action": "update", "match": {"contactid": "Id"}, "lookups": lookups}
        at.write(("Id", "Customer"), (guid(1), "A-1"))
        at.run(at.job(record=record))
        other = {"parentcustomerid_contact": {"table": "contact", "match": {"contactid": "Customer"}}}
        at.write(("Id", "Customer"), (guid(2), guid(3)))
        at.run(at.job(record={**record, "lookups": other}))
        assert {held for (held,) in at.select("parentcustomerid", "contact")} == {guid(1), guid(3), None}
        at.write(("Id", "Customer"), (guid(1), "(clear)"), (guid(2), "(clear)"))
        at.run(at.job(record=record))
        assert at.outcomes() == ["updated", "updated"]
        assert at.select("parentcustomerid", "contact") == [(None,)] * 3


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("ordinal", range(3, 10))
def test_whichever_answer_is_lost_every_update_is_told_truly(
    ordinal: int, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch, lost(ordinal, when)) as at:
        at.write(("No", "Name", "Staff", "Contact"), *((f"A-{n}", f"New {n}", "7", guid(n)) for n in (1, 2, 3)))
        summary = at.run(at.job(record=UPDATE, send={"settle_after": "0.2s"}))
        assert (summary.exit_code, set(at.outcomes())) == (0, {"updated"})
        assert at.select("name, numberofemployees", "account") == [(f"New {n}", 7) for n in (1, 2, 3)]


def test_an_update_never_creates_a_missing_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(("No", "Name", "Staff", "Contact"), (guid(99), "x", "", ""), (guid(1), "y", "", ""))
        at.run(at.job(record={**UPDATE, "match": {"accountid": "No"}}))
        assert at.outcomes() == ["rejected", "updated"]
        assert at.rows()[0]["code"] == "0x80040217"
        assert len(at.select("name", "account")) == 3


def test_an_etag_keeps_what_somebody_else_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        versions = {n: at.record("account", guid(n))["versionnumber"] for n in (1, 2, 3)}
        table = at.organisation.model.tables["account"]
        at.organisation.update(table, guid(2), {"name": "theirs"})
        at.write(
            ("No", "Name", "Staff", "Contact", "Etag"),
            ("A-1", "mine", "", "", f'W/"{versions[1]}"'),
            ("A-2", "mine", "", "", str(versions[2])),
            ("A-3", "mine", "", "", ""),
            ("A-3", "mine", "", "", "yesterday"),
        )
        at.run(at.job(record={**UPDATE, "if_match": "Etag"}))
        assert at.outcomes() == ["updated", "rejected", "invalid", "invalid"]
        assert at.rows()[1]["code"] == "0x80060882"
        assert "somebody changed the record" in at.messages()[1]
        assert at.record("account", guid(2))["name"] == "theirs"


def test_a_dry_run_sends_nothing_and_counts_what_a_run_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, ("1", "Deal", "", "", "", ""), ("2", "Other", "", "A-9", "", ""))
        summary = at.run(at.job(record=CREATE), dry_run=True)
        assert summary.facts["outcomes"] == {"created": 1, "unresolved": 1}
        assert at.select("name", "opportunity") == []
