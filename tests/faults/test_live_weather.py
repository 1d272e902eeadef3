"""Whole runs over real sockets in every kind of weather: each row one outcome, and each outcome true.

A run that stops early is run again, as the contract says, until it ends with 0 or 3.
"""

import random
from collections import Counter

import pytest

from bulklink.core import halting, verdict
from bulklink.sandbox.toggles import Toggles
from tests.live import COLLECTION, CUSTOMER, LOOKUP, MIXED, NN, account, contact, lead, scene

ROWS = 300
RUNS_MAX = 25
LATENCY = "[latency]\nrequest_s = 0.005\noperation_s = 0.0005\n"
SEND = 'settle_after = "{settle}"\nbatch_size = 8\nconcurrency = 4\nrequest_timeout = "3s"'
FINAL = {"associated", "disassociated", "already-associated", "already-disassociated", "rejected", "exhausted"}
BEFORE_SENDING = {"duplicate", "invalid", "conflicting"}

#: What strikes -> its own settings; the rest is `places`.
FAULTS = {
    "slow": 'kind = "slow"\ndelay_s = 0.3\nprobability = 0.2',
    "throttle": 'kind = "throttle"\nretry_after_s = 1\nprobability = 0.05',
    "unavailable before": 'kind = "unavailable"\nprobability = 0.1',
    "unavailable after": 'kind = "unavailable"\nwhen = "after"\nprobability = 0.1',
    "unavailable with Retry-After": 'kind = "unavailable"\nretry_after_s = 1\nprobability = 0.1',
    "bad-gateway": 'kind = "bad-gateway"\nprobability = 0.1',
    "gateway-timeout": 'kind = "gateway-timeout"\nprobability = 0.1',
    "reset before": 'kind = "reset"\nwhen = "before"\nprobability = 0.1',
    "reset after": 'kind = "reset"\nprobability = 0.1',
    "truncate to nothing": 'kind = "truncate"\nkeep = 0.05\nprobability = 0.1',
    "truncate": 'kind = "truncate"\nkeep = 0.6\nprobability = 0.1',
    "hang": 'kind = "hang"\ndelay_s = 0.5\nprobability = 0.1',
    "expire-token": 'kind = "expire-token"\nevery = 9',
    "too-large": 'kind = "too-large"\nover_bytes = 4000',
    "too-many-operations": 'kind = "too-many-operations"\nmaximum = 4',
    "deadlock": 'kind = "deadlock"\nprobability = 0.03\ncontended = false',
    "sql-timeout": 'kind = "sql-timeout"\nprobability = 0.03',
    "lock-timeout": 'kind = "lock-timeout"\nprobability = 0.03',
    "plugin-error": 'kind = "plugin-error"\nshare_of_records = 0.1',
    "plugin-crash": 'kind = "plugin-crash"\nprobability = 0.05',
    "privilege": 'kind = "privilege"\nshare_of_records = 0.05',
    "throttle-part": 'kind = "throttle-part"\nretry_after_s = 1\nprobability = 0.01',
    "error": 'kind = "error"\nprobability = 0.03',
    "unblamed": 'kind = "unblamed"\nprobability = 0.1',
}
LATE = {
    f"late-commit, {answer}": f'kind = "late-commit"\nanswer = "{answer}"\ndelay_s = 0.5\nprobability = 0.1'
    for answer in ("504", "503", "502", "reset")
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(verdict, "BACKOFF_FIRST_S", 0.02)


def many_to_many(chance):
    rows = [(account(n % 60), lead(n), chance.choice("++-")) for n in range(ROWS)]
    linked = [(n % 60, n) for n in chance.sample(range(ROWS), 90)]
    return rows, NN, {"linked": linked}


def lookups(chance):
    rows = []
    for n in range(60):
        held, wanted = chance.sample(range(60), 2)
        rows += chance.choice(
            [
                [(account(n), contact(held), "-"), (account(n), contact(wanted), "+")],
                [(account(n), contact(wanted), "+")],
                [(account(n), contact(held), "-")],
            ]
        )
    held = {n: chance.randrange(60) for n in chance.sample(range(60), 40)}
    held |= {int(row[0][-6:], 16): int(row[1][-6:], 16) for row in rows if row[2] == "-" and chance.random() < 0.7}
    return rows, LOOKUP, {"held": held, "relationship": "account_primary_contact"}


def collections(chance):
    rows, _, world = lookups(chance)
    return [(row[1], row[0], row[2]) for row in rows], COLLECTION, world


def play(folder, make, weather, seed=1, settle="1s", send=SEND, runs_max=RUNS_MAX, **how):
    """Run until it ends; then hold the outcomes against what is there."""
    rows, link, world = make(random.Random(seed))
    with scene(folder, weather=weather, seed=seed, **world | how) as live:
        live.write_rows(rows)
        live.write_job(link.format(action=MIXED), send=send.format(settle=settle))
        before, others = live.links(), customers_of_the_other_kind(live)
        codes = []
        while not codes or codes[-1] in (4, 6):
            codes.append(live.call())
            assert len(codes) <= runs_max, codes
        assert codes[-1] in (0, 3), (codes, live.last_error)
        check_truth(live, before)
        # Only a row that sets a customer takes the place of one of the other kind.
        set_here = {row["From"] for row in live.rows() if row["outcome"] == "associated"}
        assert {held for held in others if held[1] not in set_here} <= customers_of_the_other_kind(live)
        faults = dict(live.sandbox.reception.tally.faults)
        print(f"{codes} {faults} {dict(Counter(live.outcomes()))}")
        return live, faults


def customers_of_the_other_kind(live):
    return set(live.sandbox.organisation.links("contact_customer_contacts"))


def check_truth(live, before):
    """Conservation and truth: one final outcome per row, and together they explain what changed."""
    rows = live.rows()
    with (live.folder / "links.csv").open() as file:
        assert len(rows) == len(file.readlines()) - 1
    assert {row["outcome"] for row in rows} <= FINAL | BEFORE_SENDING
    after, expected, doubtful = live.links(), set(before), set()
    holder = {"account_primary_contact": 0, "contact_customer_accounts": 1}.get(live.relationship)
    for row in rows:
        pair, outcome = tuple(sorted((row["From"], row["To"]))), row["outcome"]
        if outcome == "associated":
            if holder is not None:
                expected = {other for other in expected if other[holder] != pair[holder]}
            expected.add(pair)
        elif outcome == "disassociated":
            expected.discard(pair)
            assert pair in before
        elif outcome == "already-associated":
            if "lost" in row["message"]:
                doubtful.add(pair)
            else:
                assert pair in before, row
        elif outcome == "already-disassociated":
            assert pair not in after, row
        if outcome in ("associated", "already-associated"):
            assert pair in after, row
    assert after - doubtful == expected - doubtful


@pytest.mark.parametrize("fault", [*FAULTS, *LATE])
def test_many_to_many_links_survive(tmp_path, fault):
    settings = (FAULTS | LATE)[fault]
    _, faults = play(tmp_path, many_to_many, f"{LATENCY}[[fault]]\n{settings}\n")
    assert faults


LOSING = [name for name in FAULTS if FAULTS[name].startswith(('kind = "reset', 'kind = "unav', 'kind = "trunc'))]


@pytest.mark.parametrize("make", [lookups, collections])
@pytest.mark.parametrize("fault", [*LOSING, *LATE, "deadlock", "unblamed", "plugin-error", "too-many-operations"])
def test_lookups_survive(tmp_path, make, fault):
    settings = (FAULTS | LATE)[fault]
    _, faults = play(tmp_path, make, f"{LATENCY}[[fault]]\n{settings}\n", seed=2)
    assert faults


@pytest.mark.parametrize("weather", ["calm", "busy-day", "rough-night"])
def test_a_preset_survives(tmp_path, weather):
    play(tmp_path, many_to_many, weather, seed=5, settle="9s")


def with_form(make, form):
    def made(chance):
        rows, link, world = make(chance)
        return rows, link + f'form = "{form}"\n', world

    return made


def polymorphic(chance):
    """Contacts whose customer is an account, or another contact, which is no business of this job."""
    customers = {n: (account, contact)[n % 2](chance.randrange(60)) for n in range(0, 60, 3)}
    rows = []
    for n in range(60):
        other = account(chance.randrange(60))
        is_removed = chance.random() < 0.6
        held = customers.get(n, other) if is_removed and n % 2 == 0 else other
        rows.append((contact(n), held, "-" if is_removed else "+"))
    return rows, CUSTOMER, {"customers": customers, "relationship": "contact_customer_accounts"}


#: Toggle -> (its values, the jobs that it can mislead).
TOGGLES = {
    "disassociate_missing": (("204", "404"), {"N:N": many_to_many, "by id": with_form(many_to_many, "ref-remove-id")}),
    "disassociate_other_parent": (
        ("keep", "clear", "404"),
        {"bind": collections, "ref": with_form(collections, "ref-remove")},
    ),
    "malformed_part": (("validate-first", "lazy"), {"N:N": many_to_many, "lookup": lookups}),
    "wrong_target_clear": (
        ("keep", "clear", "404"),
        {"bind": polymorphic, "ref": with_form(polymorphic, "ref-clear")},
    ),
}
ROUGH = "".join(
    f"[[fault]]\n{FAULTS[name]}\n".replace("0.1", "0.04") for name in ("reset after", "reset before", "truncate")
)


@pytest.mark.parametrize(
    ("name", "value", "job"),
    [(name, value, job) for name, (values, jobs) in TOGGLES.items() for value in values for job in jobs],
)
def test_what_no_document_settles_makes_no_outcome_untrue(tmp_path, name, value, job):
    play(tmp_path, TOGGLES[name][1][job], LATENCY + ROUGH, seed=3, toggles=Toggles.parse({name: value}))


@pytest.mark.parametrize("make", [many_to_many, lookups])
@pytest.mark.parametrize("delay_s", [0.05, 0.9])
def test_a_commit_that_comes_late_after_a_time_out_is_found(tmp_path, make, delay_s):
    """Soon: before the row is read back or sent again. Late: the row was found missing once, and is there then."""
    late = (
        f'[[fault]]\nkind = "late-commit"\nanswer = "reset"\ndelay_s = {delay_s}\nprobability = 0.3\nmethod = "POST"\n'
    )
    play(tmp_path, make, LATENCY + late, seed=4, settle="2s")


def test_a_service_that_is_gone_for_long_stops_the_run_and_the_next_one_goes_on(tmp_path, monkeypatch):
    """Ten minutes, scaled down to seconds like the patience of two minutes."""
    monkeypatch.setattr(halting, "UNREACHABLE_AFTER_S", 1.0)
    gone = '[[fault]]\nkind = "unavailable"\nfrom_s = 0.15\nuntil_s = 4.0\nbatches_only = true\n'
    live, faults = play(tmp_path, many_to_many, LATENCY + gone, runs_max=100)
    assert faults["unavailable"] > 2
    assert len(live.run_dirs()) == 1
    assert live.summary()["resumed"] is True
    assert Counter(live.outcomes())["exhausted"] == 0


HUB_WEATHER = "[latency]\nrequest_s = 0.02\noperation_s = 0.002\n" + '[[fault]]\nkind = "deadlock"\nprobability = 1.0\n'


@pytest.mark.parametrize(("more", "meets"), [("", False), ("\nhub_parallelism = 50", True)])
def test_a_hub_meets_no_deadlock_with_default_settings(tmp_path, more, meets):
    """Whatever two requests at work both touch is lost to one of them; one account has a quarter of the rows."""

    def hub(chance):
        rows = [(account(0 if n % 4 == 0 else 1 + n % 59), lead(n), "+") for n in range(ROWS)]
        chance.shuffle(rows)
        return rows, NN, {}

    live, faults = play(tmp_path, hub, HUB_WEATHER, send=f'settle_after = "1s"{more}')
    assert bool(faults) == meets
    assert meets or Counter(live.outcomes()) == {"associated": ROWS}
