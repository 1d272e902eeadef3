"""`kill -9` of record and parties jobs at any request, and the same command again: nothing is lost or done twice."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import Scene, account, contact, end_of, scene

ROWS = 24
CREATE = """
[record]
table = "new_project"
action = "create"
id_from = ["Ref"]
columns = { new_name = "Name" }
lookups.new_Customer = { table = "account", match = { accountid = "Account" } }
"""
UPDATE = """
[record]
table = "account"
action = "update"
match = { accountid = "Account" }
columns = { name = "Name" }
lookups.primarycontactid = { table = "contact", match = { contactid = "Contact" } }
"""
PARTIES = """
[parties]
table = "email"
match = { activityid = "Mail" }
navigation_property = "email_activity_parties"
party = { table = "contact", match = { contactid = "Contact" } }
participation = "Role"
"""
AT_ONCE = """
[link]
relationship = "primarycontactid"
form = "update-multiple"
from = { table = "account", match = { accountid = "Account" } }
to = { table = "contact", match = { contactid = "Contact" } }
"""
HEADER = ("Ref", "Name", "Account", "Contact", "Mail", "Role")


def mail(n: int) -> str:
    return f"00000007-0000-4000-8000-{n:012d}"


def select(at: Scene, sql: str) -> list[tuple]:
    return at.sandbox.organisation.connection.execute(sql).fetchall()


def created(at: Scene) -> bool:
    held = select(at, "SELECT new_name, new_customer FROM new_project")
    return sorted(held) == sorted((f"Name {n}", account(n)) for n in range(ROWS))


def updated(at: Scene) -> bool:
    wanted = {(account(n), f"Name {n}", contact(n)) for n in range(ROWS)}
    return wanted <= set(select(at, "SELECT accountid, name, primarycontactid FROM account"))


def taking_part(at: Scene) -> bool:
    held = select(at, "SELECT activityid, partyid, participationtypemask FROM activityparty")
    return sorted(held) == sorted((mail(n // 2), contact(n), 2) for n in range(ROWS))


def linked(at: Scene) -> bool:
    return at.links() >= {tuple(sorted((account(n), contact(n)))) for n in range(ROWS)}


JOBS: dict[str, tuple[str, Callable[[Scene], bool], set[str]]] = {
    "create": (CREATE, created, {"created", "already-created"}),
    "update": (UPDATE, updated, {"updated"}),
    "parties": (PARTIES, taking_part, {"associated", "already-associated"}),
    "update-multiple": (AT_ONCE, linked, {"associated"}),
}


#: Which request is the last one that the first process lives to see executed: readings, writes, the last write.
KILLS = {"create": (6, 9, 12), "update": (6, 8, 11), "parties": (6, 8, 9), "update-multiple": (5, 7, 10)}


def begin_and_kill(at: Scene, section: str, ordinal: int) -> None:
    """Start a run over all rows; kill it when its nth request is executed."""
    at.sandbox.organisation.load_table("email", [{"activityid": mail(n), "subject": "x"} for n in range(ROWS)])
    write_rows(at, ROWS)
    at.write_job(section, send='settle_after = "1s"\nbatch_size = 4\nconcurrency = 2')
    struck = threading.Event()
    executed = itertools.count(1)

    def strike(what: str, _number: int) -> None:
        if what == "is executed" and next(executed) == ordinal:
            process.kill()
            struck.set()

    at.watch.on = strike
    process = at.start()
    assert struck.wait(15)
    assert end_of(process).code < 0
    at.watch.on = lambda what, number: None


def write_rows(at: Scene, count: int) -> None:
    at.write_rows([(str(n), f"Name {n}", account(n), contact(n), mail(n // 2), "to") for n in range(count)], HEADER)


@pytest.mark.parametrize(("kind", "ordinal"), [(kind, one) for kind, ordinals in KILLS.items() for one in ordinals])
def test_a_killed_run_is_carried_to_the_same_end(kind: str, ordinal: int, tmp_path: Path) -> None:
    section, is_done, words = JOBS[kind]
    with scene(tmp_path, relationship="account_primary_contact") as at:
        begin_and_kill(at, section, ordinal)
        ran = at.run()
        assert ran.code == 0, ran.err
        assert set(at.outcomes()) <= words
        assert len(at.outcomes()) == ROWS
        assert is_done(at)
        assert len(at.run_dirs()) == 1


@pytest.mark.parametrize("kind", ["create", "update", "parties"])
def test_a_killed_run_that_another_input_takes_the_place_of_is_settled_by_reading(kind: str, tmp_path: Path) -> None:
    section, _, words = JOBS[kind]
    with scene(tmp_path, relationship="account_primary_contact") as at:
        begin_and_kill(at, section, KILLS[kind][1])
        write_rows(at, 3)
        ran = at.run()
        assert ran.code == 0, ran.err
        old, new = at.run_dirs()
        assert at.summary(old)["state"] == "superseded"
        assert "in-doubt" not in at.outcomes(old)
        assert words & set(at.outcomes(old))
        assert set(at.outcomes(new)) <= words
