"""Where nobody knows what the service does, the laws hold whichever way it is.

Each setting of each toggle gets runs of its own in bad weather. Of the points on which most depends, each setting gets
runs that are made to meet it; and that they do meet it is watched.
"""

import random
from dataclasses import fields, replace

import pytest

from bulklink.core.relationships import Cardinality
from bulklink.sandbox.toggles import Toggles
from bulklink.vocabulary import Action, Form
from tests.simulation.test_whole_runs import SEEDS, SETTINGS, check_laws, random_plan
from tests.simulation.world import Plan, World

#: Runs for each setting.
RUNS = max(5, SEEDS // 20)
EACH = [
    pytest.param(setting, id=f"{point} {' '.join(f'{name}={value}' for name, value in setting.items())}")
    for point, settings in SETTINGS.items()
    for setting in settings
]


def run(plan: Plan) -> World:
    world = World(plan)
    world.run_until_settled()
    check_laws(world)
    return world


def watched(toggles: Toggles, seen: set[str]) -> Toggles:
    """The same toggles; whoever asks one leaves its name in `seen`."""

    class Watched(Toggles):
        __slots__ = ()

        def __getattribute__(self, name):
            seen.add(name)
            return object.__getattribute__(self, name)

    return Watched(**{f.name: getattr(toggles, f.name) for f in fields(Toggles)})


@pytest.mark.parametrize("setting", EACH)
def test_the_laws_hold_under(setting):
    for seed in range(RUNS):
        plan = random_plan(500_000 + seed, cuts=seed % 3 == 0)
        plan.toggles = Toggles(**setting)
        if plan.toggles.throttled_part == "inject":
            plan.weather["throttle_part"] = 0.2
        try:
            run(plan)
        except BaseException as error:
            raise AssertionError(f"seed {500_000 + seed}: {error!r}") from error


def removals(chance: random.Random, **how) -> Plan:
    """Removals of what is there and of what is not, some answers lost so that they are sent again."""
    rows = [
        (k, chance.randrange(12), Action.DISASSOCIATE if chance.random() < 0.8 else Action.ASSOCIATE) for k in range(12)
    ]
    return Plan(seed=chance.randrange(1 << 30), rows=rows, batch_size=4, **how)


def many_to_many(chance):
    """Links that are there when they are read, and not any more when they are removed: somebody was quicker."""
    plan = removals(chance, rival=0.5, weather={"late_commit": 0.2, "reset_after": 0.3, "unavailable": 0.2})
    plan.linked = {(f, t) for f, t, action in plan.rows if action is Action.DISASSOCIATE and chance.random() < 0.7}
    return plan


def collection(chance):
    """Children that belong to another parent."""
    plan = removals(
        chance,
        cardinality=Cardinality.COLLECTION,
        forms={
            Action.ASSOCIATE: Form.REF_ADD,
            Action.DISASSOCIATE: chance.choice([Form.REF_REMOVE, Form.REF_REMOVE_ID]),
        },
        weather={"late_commit": 0.3, "reset_after": 0.2},
    )
    plan.linked = {(chance.randrange(12), child) for child in range(12)}
    return plan


def too_large(chance):
    """Batches of more operations than the service takes."""
    plan = random_plan(chance.randrange(1 << 30))
    plan.batch_size, plan.weather, plan.rival = 10, {}, 0.0
    return plan


def polymorphic(chance):
    """Lookups that point at a contact where an account is to be removed."""
    plan = removals(
        chance,
        cardinality=Cardinality.LOOKUP,
        polymorphic=True,
        forms={Action.ASSOCIATE: Form.REF_SET, Action.DISASSOCIATE: Form.REF_CLEAR} if chance.random() < 0.5 else {},
        weather={"late_commit": 0.3, "reset_after": 0.2},
    )
    # Clearing by reference has no condition: what somebody else puts there in between, it takes for ours.
    plan.rival = 0.0 if plan.forms else 0.5
    holders = set(range(12))
    plan.linked = {(f, t) for f, t, _ in plan.rows if chance.random() < 0.5}
    plan.strangers = {k: chance.randrange(12) for k in holders - {f for f, _ in plan.linked}}
    return plan


#: register point -> (how its runs are made, its toggle, the settings, whether it is met on the wire at all)
POINTS = {
    "U1": (many_to_many, "disassociate_missing", ("204", "404"), True),
    "U2": (collection, "disassociate_other_parent", ("keep", "clear", "404"), False),
    "U5": (too_large, "malformed_part", ("validate-first", "lazy"), True),
    "U18": (polymorphic, "wrong_target_clear", ("keep", "clear", "404"), False),
}
CASES = [
    pytest.param(point, value, id=f"{point}-{POINTS[point][1]}={value}")
    for point in POINTS
    for value in POINTS[point][2]
]


@pytest.mark.parametrize(("point", "value"), CASES)
def test_the_laws_hold_in_every_setting_of(point, value):
    make, toggle, _, is_met = POINTS[point]
    seen: set[str] = set()
    rivalry = set()
    for seed in range(2 * RUNS):
        plan = make(random.Random(seed))
        most = 3 if point == "U5" else plan.toggles.operations_max
        plan.toggles = watched(replace(Toggles(), **{toggle: value, "operations_max": most}), seen)
        try:
            rivalry |= run(plan).taken_by_rival
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    assert bool(rivalry) == (point in ("U1", "U18"))
    # A client that reads before it writes, and writes only on condition, never asks the question: better still.
    assert (toggle in seen) == is_met


@pytest.mark.parametrize("fate", ["late_commit", "reset_before"])
@pytest.mark.parametrize("cardinality", list(Cardinality))
def test_the_laws_hold_after_a_time_out_whether_the_work_is_done_late_or_never(fate, cardinality):
    for seed in range(2 * RUNS):
        plan = random_plan(seed)
        plan.weather = {fate: 0.4}
        if plan.cardinality is cardinality:
            run(plan)
