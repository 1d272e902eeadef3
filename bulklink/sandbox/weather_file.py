"""Weather scripts: TOML in, `Weather` out, or one sentence that says what is wrong with the script.

Owns: which settings each kind of fault takes and with which values it comes if they are not given; the presets.
Does not know: when a rule strikes.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bulklink.sandbox.errors import SandboxUsageError, nearest
from bulklink.sandbox.weather import Fault, Kind, Latency, Level, Rule, Weather, When

PRESETS: Final = ("calm", "busy-day", "rough-night")


@dataclass(frozen=True, slots=True)
class _Known:
    """One kind of fault: what it is about and does, what may be set, and what holds if it is not."""

    level: Level
    meaning: str
    fault: Mapping[str, Any] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ()


_UNEXPECTED: Final = {"status": 500, "code": "0x80040216", "message": "An unexpected error occurred."}

#: Every kind with the settings of its own and their defaults (protocol 3.3 for codes and texts).
_KINDS: Final[Mapping[Kind, _Known]] = {
    Kind.SLOW: _Known(Level.REQUEST, "takes longer, and is done only then", {"delay_s": 5.0}),
    Kind.THROTTLE: _Known(
        Level.REQUEST,
        "429 with Retry-After; answer: which limit it names",
        {"retry_after_s": 10, "answer": "requests"},
        answers=("requests", "time", "concurrency"),
    ),
    Kind.UNAVAILABLE: _Known(Level.REQUEST, "503 as HTML", {"when": When.BEFORE, "retry_after_s": 0}),
    Kind.BAD_GATEWAY: _Known(Level.REQUEST, "502 as HTML", {"when": When.AFTER}),
    Kind.GATEWAY_TIMEOUT: _Known(Level.REQUEST, "504 as HTML", {"when": When.AFTER}),
    Kind.RESET: _Known(Level.REQUEST, "the connection breaks before or after the commit", {"when": When.AFTER}),
    Kind.TRUNCATE: _Known(Level.REQUEST, "done, but only a share of the answer arrives", {"keep": 0.5}),
    Kind.HANG: _Known(Level.REQUEST, "no answer, then a reset", {"when": When.AFTER, "delay_s": 600.0}),
    Kind.LATE_COMMIT: _Known(
        Level.REQUEST,
        "the client is given up, the work is done later",
        {"delay_s": 20.0, "answer": "504"},
        answers=("504", "503", "502", "reset"),
    ),
    Kind.EXPIRE_TOKEN: _Known(Level.REQUEST, "401; for_good: this token stays refused", {"for_good": False}),
    Kind.TOO_LARGE: _Known(Level.REQUEST, "413 as HTML"),
    Kind.TOO_MANY_OPERATIONS: _Known(
        Level.REQUEST, "batches above the maximum are refused", {"maximum": 250}, {"batches_only": True}
    ),
    Kind.DEADLOCK: _Known(
        Level.OPERATION, "0x80044150 with Sql Number 1205 where two requests touch a record", rule={"contended": True}
    ),
    Kind.SQL_TIMEOUT: _Known(Level.OPERATION, "0x80044151"),
    Kind.LOCK_TIMEOUT: _Known(Level.OPERATION, "0x80044339"),
    Kind.PLUGIN_ERROR: _Known(
        Level.OPERATION, "0x80040265, a plug-in's own refusal", {"message": "A plug-in refused this record."}
    ),
    Kind.PLUGIN_CRASH: _Known(Level.OPERATION, "0x80040224, an unhandled exception of a plug-in"),
    Kind.PRIVILEGE: _Known(Level.OPERATION, "0x80040220, a missing privilege"),
    Kind.THROTTLE_PART: _Known(Level.OPERATION, "429 inside the batch, with Retry-After there", {"retry_after_s": 5}),
    Kind.ERROR: _Known(Level.OPERATION, "any other error", _UNEXPECTED),
    Kind.UNBLAMED: _Known(Level.CHANGE_SET, "fails at its commit, and no operation is named", _UNEXPECTED),
}

#: Where a rule falls: the same for all kinds.
_PLACES: Final[Mapping[str, type]] = {
    "probability": float,
    "ordinals": list,
    "every": int,
    "table": str,
    "record": str,
    "share_of_records": float,
    "method": str,
    "batches_only": bool,
    "contended": bool,
    "over_bytes": int,
    "from_s": float,
    "until_s": float,
}
_SHARES: Final = ("probability", "share_of_records", "keep")
_LATENCY: Final = ("kind", "request_s", "operation_s", "sigma")


def listing() -> list[tuple[str, str, str, str]]:
    """Every kind of fault: its name, what it is about, what it does, its own settings with their defaults."""
    return [
        (
            kind.value,
            known.level.name.lower().replace("_", " "),
            known.meaning,
            ", ".join(f"{name} = {_as_toml(value)}" for name, value in known.fault.items()),
        )
        for kind, known in _KINDS.items()
    ]


def _as_toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def places() -> list[str]:
    """The settings that say where a fault strikes, the same for every kind."""
    return list(_PLACES)


def load_weather(name_or_file: str, seed: int | None = None) -> Weather:
    """A preset by its name, or a script by its path; `seed` overrides the script's own."""
    if name_or_file in PRESETS:
        text = resources.files(__package__).joinpath("presets", f"{name_or_file}.toml").read_text(encoding="utf-8")
        return read_weather(text, name_or_file, seed)
    path = Path(name_or_file)
    if not path.is_file():
        known = f"{', '.join(PRESETS)} or the path of a TOML file"
        raise SandboxUsageError(f"There is no weather '{name_or_file}' ({known}).{nearest(name_or_file, PRESETS)}")
    try:
        return read_weather(path.read_text(encoding="utf-8"), path.name, seed)
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxUsageError(f"The weather file '{name_or_file}' cannot be read: {error}") from error


def read_weather(text: str, name: str, seed: int | None = None) -> Weather:
    """Read a script; name: how messages call it."""
    try:
        script = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SandboxUsageError(f"{name} is no TOML: {error}.") from error
    _only_known(script, ("seed", "latency", "fault"), name)
    own_seed = _typed(script.get("seed", 0), int, "seed", name)
    faults = _typed(script.get("fault", []), list, "fault", name)
    rules = tuple(_rule(fault, f"{name}, fault {number}") for number, fault in enumerate(faults, start=1))
    latency = _latency(_typed(script.get("latency", {}), dict, "latency", name), f"{name}, latency")
    return Weather(rules, latency, own_seed if seed is None else seed)


def throttled_parts(weather: Weather) -> Weather:
    """The same weather with a 429 in every fiftieth operation: the toggle of U24."""
    rule = Rule(Fault(Kind.THROTTLE_PART, retry_after_s=5), Level.OPERATION, every=50)
    return replace(weather, rules=(*weather.rules, rule))


def _rule(settings: Any, where: str) -> Rule:
    settings = dict(_typed(settings, dict, "a fault", where))
    name = _typed(settings.pop("kind", ""), str, "kind", where)
    if name not in set(Kind):
        raise SandboxUsageError(
            f"{where}: there is no kind of fault '{name}'.{nearest(name, [kind.value for kind in Kind])}"
        )
    known = _KINDS[Kind(name)]
    _only_known(settings, (*known.fault, *_PLACES), f"{where} ({name})")
    fault: dict[str, Any] = dict(known.fault)
    places: dict[str, Any] = dict(known.rule)
    for key, value in settings.items():
        wanted = _PLACES.get(key) or type(known.fault[key])
        (places if key in _PLACES else fault)[key] = _setting(key, value, wanted, known, where)
    if places.get("from_s", 0.0) >= places.get("until_s", float("inf")):
        raise SandboxUsageError(f"{where}: from_s must be before until_s.")
    return Rule(Fault(Kind(name), **fault), known.level, **places)


def _setting(key: str, value: Any, wanted: type, known: _Known, where: str) -> Any:
    if wanted is When:
        if value not in list(When):
            raise SandboxUsageError(f"{where}: '{key}' is one of {', '.join(When)}, not {value!r}.")
        return When(value)
    value = _typed(value, wanted, key, where)
    if key == "answer" and value not in known.answers:
        raise SandboxUsageError(f"{where}: 'answer' is one of {', '.join(known.answers)}, not {value!r}.")
    if key == "status" and not 400 <= value <= 599:
        raise SandboxUsageError(f"{where}: 'status' is that of an error, 400 to 599, not {value}.")
    if key in _SHARES and not 0 <= value <= 1:
        raise SandboxUsageError(f"{where}: '{key}' lies between 0 and 1, not at {value}.")
    if wanted in {int, float} and value < 0:
        raise SandboxUsageError(f"{where}: '{key}' cannot be negative.")
    if key == "ordinals":
        return frozenset(_typed(number, int, "an ordinal", where) for number in value)
    return value.lower() if key in {"table", "record"} else value.upper() if key == "method" else value


def _latency(settings: Mapping[str, Any], where: str) -> Latency:
    _only_known(settings, _LATENCY, where)
    kind = settings.get("kind", "fixed")
    if kind not in ("fixed", "lognormal"):
        raise SandboxUsageError(f"{where}: 'kind' is fixed or lognormal, not {kind!r}.")
    numbers = {key: _typed(settings[key], float, key, where) for key in _LATENCY[1:] if key in settings}
    if any(number < 0 for number in numbers.values()):
        raise SandboxUsageError(f"{where}: no time or sigma can be negative.")
    if kind == "fixed" and "sigma" in numbers:
        raise SandboxUsageError(f"{where}: 'sigma' belongs to kind = \"lognormal\".")
    return Latency(**({"sigma": 0.4} if kind == "lognormal" else {}) | numbers)


def _typed(value: Any, wanted: type, key: str, where: str) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise SandboxUsageError(f"{where}: '{key}' wants {_WORDS[wanted]}, not {value!r}.")
    return value


_WORDS: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _only_known(settings: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in settings:
        if key not in known:
            raise SandboxUsageError(f"{where}: there is no setting '{key}'.{nearest(key, known)}")
