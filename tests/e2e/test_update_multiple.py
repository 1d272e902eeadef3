"""form = "update-multiple": many lookups in one request, and what follows a refusal that names no row."""

from pathlib import Path
from typing import Any

import pytest

from bulklink.errors import BulklinkError
from tests.record_scene import Scene, guid, lost, scene

CONTACTS = 30


def link(**more: Any) -> dict[str, Any]:
    return {
        "relationship": "contact_customer_accounts",
        "form": "update-multiple",
        "from": {"table": "account", "match": {"accountnumber": "Account"}},
        "to": {"table": "contact", "match": {"contactid": "Contact"}},
        **more,
    }


def rows(at: Scene, *missing: int) -> None:
    at.organisation.load_table(
        "contact", [{"contactid": guid(100 + n), "lastname": "x"} for n in range(CONTACTS) if n not in missing]
    )
    at.write(("Account", "Contact"), *((f"A-{1 + n % 3}", guid(100 + n)) for n in range(CONTACTS)))


def held(at: Scene) -> set[tuple[str, str]]:
    return {(contact, account) for account, contact in at.organisation.links("contact_customer_accounts")}


def wanted(*missing: int) -> set[tuple[str, str]]:
    return {(guid(100 + n), guid(1 + n % 3)) for n in range(CONTACTS) if n not in missing}


def test_all_lookups_travel_in_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        rows(at)
        summary = at.run(at.job(link=link(), send={"batch_size": 1000}))
        assert (summary.exit_code, set(at.outcomes())) == (0, {"associated"})
        assert summary.facts["batches_sent"] == 1
        at_once = [path for path in at.posts if not path.endswith("$batch")]
        assert at_once == ["/api/data/v9.2/contacts/Microsoft.Dynamics.CRM.UpdateMultiple"]
        assert {row["before"] for row in at.rows()} == {"absent"}
        assert held(at) == wanted()
        assert at.run(at.job(link=link())).facts["outcomes"] == {"already-associated": CONTACTS}


def test_a_refusal_names_no_row_so_that_each_is_asked_for_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = (
        "[latency]\nrequest_s = 0\n[[fault]]\n"
        f'kind = "plugin-error"\nrecord = "{guid(104)}"\nmethod = "PATCH"\nmessage = "On hold."\n'
        f'[[fault]]\nkind = "plugin-error"\nrecord = "{guid(104)}"\nmethod = "POST"\nmessage = "On hold."\n'
    )
    with scene(tmp_path, monkeypatch, refused) as at:
        rows(at)
        summary = at.run(at.job(link=link(), send={"batch_size": 1000}))
        assert summary.facts["outcomes"] == {"associated": CONTACTS - 1, "rejected": 1}
        assert (at.outcomes()[4], at.messages()[4]) == ("rejected", "On hold.")
        assert held(at) == wanted(4)


def test_a_missing_record_falls_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        rows(at, 7)
        at.run(at.job(link=link(skip_existing="never"), send={"batch_size": 1000}))
        assert [n for n, outcome in enumerate(at.outcomes()) if outcome != "associated"] == [7]
        assert (at.outcomes()[7], at.rows()[7]["code"]) == ("rejected", "0x80040217")
        assert held(at) == wanted(7)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("ordinal", range(3, 11))
def test_whichever_answer_is_lost_every_lookup_is_told_truly(
    ordinal: int, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch, lost(ordinal, when)) as at:
        rows(at)
        summary = at.run(at.job(link=link(), send={"settle_after": "0.2s", "batch_size": 10}))
        assert (summary.exit_code, set(at.outcomes())) == (0, {"associated"})
        assert held(at) == wanted()


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"link": link(), "send": {"isolation": "group", "group_by": "Account"}}, "isolation"),
        ({"link": link(action="disassociate")}, "cannot disassociate"),
        ({"link": link(relationship="accountleads_association")}, "N:N"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_sent(
    job: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scene(tmp_path, monkeypatch) as at:
        rows(at)
        if words == "N:N":
            job["link"]["to"] = {"table": "lead", "match": {"leadid": "Contact"}}
        with pytest.raises(BulklinkError, match=words) as caught:
            at.run(at.job(**job))
        assert caught.value.exit_code == 2


def test_a_table_that_does_not_offer_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene(tmp_path, monkeypatch) as at:
        rows(at)
        at.organisation.connection.execute("DELETE FROM sdkmessagefilter WHERE primaryobjecttypecode = 'contact'")
        with pytest.raises(BulklinkError, match="contact does not offer UpdateMultiple"):
            at.run(at.job(link=link()))
