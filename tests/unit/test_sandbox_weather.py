"""Weather strikes where its script says, alike for the same seed; a wrong script is refused in one sentence."""

import pytest

from bulklink.sandbox.errors import SandboxUsageError
from bulklink.sandbox.toggles import Toggles
from bulklink.sandbox.weather import Facts, Kind, Latency, Level, When, uniform
from bulklink.sandbox.weather_file import PRESETS, load_weather, read_weather

A1 = ("account", "00000000-0000-0000-0000-0000000000a1")
L1 = ("lead", "00000000-0000-0000-0000-0000000000b1")


def struck(text, facts, ordinals, seed=None):
    weather = read_weather(text, "test.toml", seed)
    return [ordinal for ordinal in ordinals if weather.decide(ordinal, facts)]


@pytest.mark.parametrize(
    ("place", "facts", "hit"),
    [
        ("ordinals = [3, 5]", {}, [3, 5]),
        ("every = 4", {}, [4, 8]),
        ("", {}, list(range(1, 11))),
        ("probability = 0.0", {}, []),
        ("probability = 1", {}, list(range(1, 11))),
        ('method = "post"', {"method": "POST"}, list(range(1, 11))),
        ('method = "post"', {"method": "GET"}, []),
        ("batches_only = true", {"is_batch": False}, []),
        ('table = "account"', {"records": frozenset({L1})}, []),
        ('table = "Account"\nevery = 5', {"records": frozenset({L1, A1})}, [5, 10]),
        (f'record = "{A1[1].upper()}"\nordinals = [2]', {"records": frozenset({A1})}, [2]),
        ("over_bytes = 100", {"body_bytes": 99}, []),
        ("over_bytes = 100\nordinals = [1]", {"body_bytes": 100}, [1]),
        ("from_s = 10\nuntil_s = 20", {"now_s": 9.9}, []),
        ("from_s = 10\nuntil_s = 20\nordinals = [1]", {"now_s": 10.0}, [1]),
        ("from_s = 10\nuntil_s = 20", {"now_s": 20.0}, []),
    ],
)
def test_a_rule_strikes_where_all_that_it_names_holds(place, facts, hit):
    text = f'[[fault]]\nkind = "reset"\n{place}\n'
    assert struck(text, Facts(Level.REQUEST, **facts), range(1, 11)) == hit


def test_a_rule_of_one_level_leaves_the_others_alone():
    text = '[[fault]]\nkind = "plugin-error"\n[[fault]]\nkind = "unblamed"\n'
    weather = read_weather(text, "test.toml")
    kinds = [getattr(weather.decide(1, Facts(level)), "kind", None) for level in Level]
    assert kinds == [None, Kind.PLUGIN_ERROR, Kind.UNBLAMED]


def test_the_first_rule_that_strikes_decides():
    text = '[[fault]]\nkind = "reset"\nordinals = [2]\n[[fault]]\nkind = "unavailable"\n'
    weather = read_weather(text, "test.toml")
    assert [weather.decide(n, Facts(Level.REQUEST)).kind for n in (1, 2)] == [Kind.UNAVAILABLE, Kind.RESET]


def test_probability_is_met_in_the_long_run_and_repeats_with_the_seed():
    text = 'seed = 1\n[[fault]]\nkind = "reset"\nprobability = 0.1\n'
    first = struck(text, Facts(Level.REQUEST), range(1, 10_001))
    assert 900 < len(first) < 1_100
    assert struck(text, Facts(Level.REQUEST), range(1, 10_001)) == first
    assert struck(text, Facts(Level.REQUEST), range(1, 10_001), seed=2) != first


def test_a_share_of_the_records_is_marked_for_good():
    text = '[[fault]]\nkind = "plugin-error"\nshare_of_records = 0.1\ntable = "account"\n'
    weather = read_weather(text, "test.toml")
    marked = set()
    for n in range(2_000):
        facts = Facts(Level.OPERATION, records=frozenset({("account", f"00000000-0000-4000-8000-{n:012x}")}))
        decisions = {bool(weather.decide(ordinal, facts)) for ordinal in (1, 2, 3)}
        assert len(decisions) == 1, "the same at every attempt"
        marked |= {n} if decisions == {True} else set()
    assert 140 < len(marked) < 260


def test_a_limit_on_operations_strikes_larger_batches_only():
    text = '[[fault]]\nkind = "too-many-operations"\nmaximum = 250\n'
    weather = read_weather(text, "test.toml")
    assert weather.decide(1, Facts(Level.REQUEST, is_batch=True, operations=250)) is None
    assert weather.decide(1, Facts(Level.REQUEST, is_batch=True, operations=251)).maximum == 250


def test_a_deadlock_wants_contention():
    weather = read_weather('[[fault]]\nkind = "deadlock"\n', "test.toml")
    assert weather.looks_at_contention
    assert weather.decide(1, Facts(Level.OPERATION)) is None
    assert weather.decide(1, Facts(Level.OPERATION, contended=True)).kind is Kind.DEADLOCK


def test_a_kind_comes_with_its_own_settings():
    text = '[[fault]]\nkind = "bad-gateway"\n[[fault]]\nkind = "unavailable"\nretry_after_s = 7\n'
    after, before = (rule.fault for rule in read_weather(text, "test.toml").rules)
    assert (after.when, before.when, before.retry_after_s) == (When.AFTER, When.BEFORE, 7)


def test_latency_is_fixed_or_spread_around_its_median():
    assert Latency(0.1, 0.01).service_time_s(0.99, 10) == pytest.approx(0.2)
    spread = Latency(0.1, 0.0, sigma=0.5)
    assert spread.service_time_s(0.5, 1) == pytest.approx(0.1)
    assert spread.service_time_s(0.05, 1) < 0.05 < 0.1 < 0.2 < spread.service_time_s(0.95, 1)


def test_uniform_numbers_fill_the_range_evenly():
    tenths = [int(uniform(7, 3, n) * 10) for n in range(10_000)]
    assert all(850 < tenths.count(tenth) < 1_150 for tenth in range(10))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_read(name):
    assert load_weather(name).latency.request_s > 0


def test_every_kind_of_fault_can_be_asked_for():
    for kind in Kind:
        assert read_weather(f'[[fault]]\nkind = "{kind}"\n', "test.toml").rules[0].fault.kind is kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[fault]]\nkind = "resett"\n',
            "test.toml, fault 1: there is no kind of fault 'resett'. Did you mean 'reset'?",
        ),
        ("[[fault]]\nprobability = 1\n", "test.toml, fault 1: there is no kind of fault ''."),
        (
            '[[fault]]\nkind = "reset"\nprobabilty = 0.1\n',
            "test.toml, fault 1 (reset): there is no setting 'probabilty'. Did you mean 'probability'?",
        ),
        (
            '[[fault]]\nkind = "reset"\nprobability = 10\n',
            "test.toml, fault 1: 'probability' lies between 0 and 1, not at 10.0.",
        ),
        ('[[fault]]\nkind = "reset"\nevery = "x"\n', "test.toml, fault 1: 'every' wants a whole number, not 'x'."),
        (
            '[[fault]]\nkind = "error"\nstatus = 200\n',
            "test.toml, fault 1: 'status' is that of an error, 400 to 599, not 200.",
        ),
        ('[[fault]]\nkind = "reset"\nevery = -1\n', "test.toml, fault 1: 'every' cannot be negative."),
        ('[[fault]]\nkind = "reset"\nwhen = "now"\n', "test.toml, fault 1: 'when' is one of before, after, not 'now'."),
        ('[[fault]]\nkind = "reset"\nwhen = []\n', "test.toml, fault 1: 'when' is one of before, after, not []."),
        (
            '[[fault]]\nkind = "throttle"\nanswer = "x"\n',
            "test.toml, fault 1: 'answer' is one of requests, time, concurrency, not 'x'.",
        ),
        (
            '[[fault]]\nkind = "reset"\nordinals = ["a"]\n',
            "test.toml, fault 1: 'an ordinal' wants a whole number, not 'a'.",
        ),
        ('[[fault]]\nkind = "reset"\nfrom_s = 5\nuntil_s = 5\n', "test.toml, fault 1: from_s must be before until_s."),
        ("[latency]\nkind = []\n", "test.toml, latency: 'kind' is fixed or lognormal, not []."),
        ("[latency]\nsigma = 1\n", "test.toml, latency: 'sigma' belongs to kind = \"lognormal\"."),
        ("[latency]\nrequest_s = -1\n", "test.toml, latency: no time or sigma can be negative."),
        ("fault = 1\n", "test.toml: 'fault' wants a list, not 1."),
        ("fault = [1]\n", "test.toml, fault 1: 'a fault' wants a table, not 1."),
        ("sede = 1\n", "test.toml: there is no setting 'sede'. Did you mean 'seed'?"),
        ("seed = true\n", "test.toml: 'seed' wants a whole number, not True."),
    ],
)
def test_a_wrong_script_is_refused_in_one_sentence(text, message):
    with pytest.raises(SandboxUsageError) as refused:
        read_weather(text, "test.toml")
    assert str(refused.value) == message


def test_a_script_that_is_no_toml_or_no_file_is_refused(tmp_path):
    with pytest.raises(SandboxUsageError, match=r"^test\.toml is no TOML: "):
        read_weather("= 1", "test.toml")
    with pytest.raises(SandboxUsageError, match=r"There is no weather 'clam' \(calm, .*Did you mean 'calm'\?"):
        load_weather("clam")
    file = tmp_path / "w.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SandboxUsageError, match="cannot be read"):
        load_weather(str(file))


def test_the_toggle_of_throttled_parts_adds_to_any_weather():
    from bulklink.sandbox.weather_file import throttled_parts

    weather = throttled_parts(load_weather("calm"))
    assert Toggles(throttled_part="inject").throttled_part == "inject"
    faults = [weather.decide(n, Facts(Level.OPERATION)) for n in range(1, 101)]
    assert [fault.kind for fault in faults if fault] == [Kind.THROTTLE_PART] * 2
