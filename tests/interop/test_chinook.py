"""Real, untidy spreadsheets (the Chinook sample database): names that are ambiguous, people by e-mail, a hierarchy.

The data lies beside the project, not in it; without it these tests are skipped.
"""

import csv
from collections import Counter
from pathlib import Path

import pytest

from bulklink.sandbox.organisation import Organisation
from bulklink.sandbox.server import Sandbox
from tests.link_rows import link, run_rows, words
from tests.sandbox_client import guid

DATA = Path(__file__).parents[3] / "shared" / "data" / "chinook"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the Chinook spreadsheets are not beside the project")


def table(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKLINK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BULKLINK_TOKEN", "any")


def test_ambiguous_playlists_and_titles_are_reported_exactly_as_counted_from_the_files(tmp_path: Path) -> None:
    playlists, tracks, pairs = table("playlists"), table("tracks"), table("playlist_track")
    organisation = Organisation.sample()
    # Playlists as tags, tracks as accounts: the sample organisation relates these by N:N.
    organisation.load_table(
        "new_tag",
        [{"new_tagid": guid(int(one["PlaylistId"])), "new_name": one["Name"]} for one in playlists],
    )
    organisation.load_table(
        "account", [{"accountid": guid(10_000 + int(one["TrackId"])), "name": one["Track"]} for one in tracks]
    )
    lists = Counter(one["Name"].strip().lower() for one in playlists)
    titles = Counter(one["Track"].strip().lower() for one in tracks)
    expected: Counter[str] = Counter()
    seen = set()
    for one in pairs:
        key = (one["Playlist"].strip().lower(), one["Track"].strip().lower())
        clear = lists[key[0]] == titles[key[1]] == 1
        expected["ambiguous" if not clear else "duplicate" if key in seen else "associated"] += 1
        seen.add(key)
    assert expected["ambiguous"] > 3_000, "the data set is known to be untidy"
    with Sandbox(organisation).serving() as sandbox:
        section = link("new_Account_new_Tag_new_Tag", ("new_tag", "new_name"), ("account", "name"))
        found = run_rows(sandbox, tmp_path, section, [(one["Playlist"], one["Track"]) for one in pairs])
        assert Counter(words(found)) == expected
        links = sum(1 for _ in organisation.links("new_Account_new_Tag_new_Tag"))
    assert links == expected["associated"]
    music = next(message for outcome, _, message in found if outcome == "ambiguous" and "from: " in message)
    assert "matches 2 new_tag records: 00000000-" in music


def test_customers_get_their_support_reps_by_e_mail(tmp_path: Path) -> None:
    customers, employees = table("customers"), table("employees")
    organisation = Organisation.sample()
    organisation.load_table(
        "contact",
        [{"contactid": guid(int(one["CustomerId"])), "emailaddress1": one["Email"]} for one in customers],
    )
    users = {one["Email"]: guid(1_000 + int(one["EmployeeId"])) for one in employees}
    organisation.load_table(
        "systemuser", [{"systemuserid": one, "internalemailaddress": mail} for mail, one in users.items()]
    )
    with Sandbox(organisation).serving() as sandbox:
        section = link("ownerid", ("contact", "emailaddress1"), ("systemuser", "internalemailaddress"))
        rows = [(one["Email"], one["SupportRep"]) for one in customers]
        assert words(run_rows(sandbox, tmp_path, section, rows)) == ["associated"] * len(customers)
        model = organisation.model.tables["contact"]
        owners = {
            one["Email"]: (organisation.read(model, guid(int(one["CustomerId"]))) or {})["ownerid"] for one in customers
        }
    assert owners == {one["Email"]: users[one["SupportRep"]] for one in customers}


def test_employees_report_to_their_managers(tmp_path: Path) -> None:
    employees = table("employees")
    organisation = Organisation.sample()
    ids = {one["Email"]: guid(int(one["EmployeeId"])) for one in employees}
    organisation.load_table("contact", [{"contactid": one, "emailaddress1": mail} for mail, one in ids.items()])
    with Sandbox(organisation).serving() as sandbox:
        section = link("parentcustomerid_contact", ("contact", "emailaddress1"), ("contact", "emailaddress1"))
        rows = [(one["Email"], one["ReportsTo"]) for one in employees]
        found = words(run_rows(sandbox, tmp_path, section, rows))
        assert Counter(found) == {"associated": 7, "invalid": 1}  # the general manager reports to nobody
        model = organisation.model.tables["contact"]
        bosses = {mail: (organisation.read(model, one) or {})["parentcustomerid"] for mail, one in ids.items()}
    assert bosses == {one["Email"]: ids.get(one["ReportsTo"]) for one in employees}
