"""[parties] jobs from a spreadsheet over the wire to outcomes, whatever the service makes of PUT."""

from pathlib import Path

import pytest

from bulklink.errors import BulklinkError
from tests.record_scene import Scene, guid, lost, scene

PARTIES = {
    "table": "email",
    "match": {"activityid": "Mail"},
    "navigation_property": "email_activity_parties",
    "party": {"table": "contact", "match": {"emailaddress1": "Who"}},
    "participation": "Role",
}
HEADER = ("Mail", "Who", "Role")
MAIL = [guid(n) for n in (10, 11, 12, 13)]


def parties(at: Scene) -> set[tuple[str, int, str]]:
    """(activity, role, record or address); a party that is held twice fails the test."""
    held = at.select("activityid, participationtypemask, coalesce(partyid, addressused)", "activityparty")
    assert len(set(held)) == len(held)
    return set(held)


@pytest.mark.parametrize("toggle", ["replace", "put-405"])
def test_rows_of_an_activity_join_those_who_are_there(
    toggle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch, parties=toggle) as at:
        job = at.job(parties=PARTIES)
        at.write(HEADER, (MAIL[1], "c3@x.example", "from"))
        at.run(job)
        at.write(
            HEADER,
            (MAIL[1], "c1@x.example", "To"),
            (MAIL[1], "c3@x.example", "1"),
            (MAIL[1], "C1@X.example", "2"),
            (MAIL[1], "c1@x.example", "bcc"),
            (MAIL[2], "c2@x.example", "organizer"),
        )
        summary = at.run(job)
        assert at.outcomes() == ["associated", "already-associated", "duplicate", "associated", "associated"]
        assert [row["before"] for row in at.rows()] == ["absent", "present", "unknown", "absent", "absent"]
        assert summary.exit_code == 0
        mine = {(MAIL[1], 1, guid(3)), (MAIL[1], 2, guid(1)), (MAIL[1], 4, guid(1)), (MAIL[2], 7, guid(2))}
        assert parties(at) == mine


def test_the_patch_form_is_used_as_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch, parties="put-405") as at:
        at.write(HEADER, (MAIL[1], "c1@x.example", "to"), (MAIL[1], "c2@x.example", "cc"))
        at.run(at.job(parties={**PARTIES, "form": "put"}))
        assert at.outcomes() == ["rejected", "rejected"]
        at.run(at.job(parties={**PARTIES, "form": "patch"}))
        assert at.outcomes() == ["associated", "associated"]
        assert parties(at) == {(MAIL[1], 2, guid(1)), (MAIL[1], 3, guid(2))}


def test_replace_leaves_nobody_but_those_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, *((MAIL[1], f"c{n}@x.example", "to") for n in (1, 2)), (MAIL[2], "c1@x.example", "to"))
        at.run(at.job(parties=PARTIES))
        at.write(HEADER, (MAIL[1], "c2@x.example", "to"), (MAIL[2], "c1@x.example", "to"))
        at.run(at.job(parties={**PARTIES, "mode": "replace"}))
        assert at.outcomes() == ["already-associated", "already-associated"]
        assert parties(at) == {(MAIL[1], 2, guid(2)), (MAIL[2], 2, guid(1))}


def test_an_address_stands_for_who_is_no_record_only_if_the_job_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(
            (*HEADER, "Address"),
            (MAIL[1], "c1@x.example", "to", "c1@x.example"),
            (MAIL[1], "nobody@x.example", "to", "nobody@x.example"),
            (MAIL[1], "", "cc", "someone@y.example"),
            (MAIL[1], "nobody@x.example", "to", "no address"),
            (MAIL[1], "", "cc", ""),
        )
        at.run(at.job(parties=PARTIES))
        assert at.outcomes() == ["associated", "unresolved", "invalid", "unresolved", "invalid"]
        at.run(at.job(parties={**PARTIES, "party": {**PARTIES["party"], "address": "Address"}}))
        assert at.outcomes() == ["already-associated", "associated", "associated", "invalid", "invalid"]
        at.run(at.job(parties={**PARTIES, "party": {"address": "Address"}}))
        assert at.outcomes() == ["associated", "already-associated", "already-associated", "invalid", "invalid"]
        everybody = {guid(1), "nobody@x.example", "someone@y.example", "c1@x.example"}
        assert {who for _, _, who in parties(at)} == everybody


def test_a_refused_activity_takes_its_own_rows_with_it_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(
            HEADER,
            (guid(99), "c1@x.example", "to"),
            (MAIL[1], "c1@x.example", "to"),
            (guid(99), "c2@x.example", "cc"),
            (MAIL[2], "c1@x.example", "boss"),
        )
        at.run(at.job(parties=PARTIES, send={"change_set_size": 10}))
        assert at.outcomes() == ["rejected", "associated", "rejected", "invalid"]
        assert [row["code"] for row in at.rows()] == ["0x80040217", "", "0x80040217", ""]
        assert parties(at) == {(MAIL[1], 2, guid(1))}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("ordinal", range(4, 12))
def test_whichever_answer_is_lost_everybody_takes_part_once(
    ordinal: int, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch, lost(ordinal, when)) as at:
        at.write(HEADER, *((mail, f"c{n}@x.example", "to") for mail in MAIL[1:] for n in (1, 2)))
        summary = at.run(at.job(parties=PARTIES, send={"settle_after": "0.2s"}))
        assert (summary.exit_code, set(at.outcomes())) == (0, {"associated"})
        assert parties(at) == {(mail, 2, guid(n)) for mail in MAIL[1:] for n in (1, 2)}


@pytest.mark.parametrize(
    ("section", "near"),
    [
        ({"navigation_property": "email_activity_partys"}, "email_activity_parties"),
        ({"party": {"table": "opportunity", "match": {"name": "Who"}}}, "contact"),
    ],
)
def test_a_wrong_name_ends_the_run_before_anything_is_read(
    section: dict, near: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        at.write(HEADER, (MAIL[1], "c1@x.example", "to"))
        with pytest.raises(BulklinkError) as caught:
            at.run(at.job(parties={**PARTIES, **section}))
        assert caught.value.exit_code == 2
        assert near in caught.value.hint
