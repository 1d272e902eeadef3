"""The drawings of the report, as numbers for its template.

Owns: scales, ticks and the paths of curves, in a box 1,000 wide and 100 high with its origin at the top left.
Does not know: colours, HTML.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bulklink.files.report.timeline import Pause, Timeline
from bulklink.files.report.words import duration
from bulklink.vocabulary import AS_ASKED, UNFINISHED, Outcome

WIDTH: Final = 1000.0
HEIGHT: Final = 100.0
_TICKS: Final = 4
_SAMPLES_MIN: Final = 5
_BAND_WIDTH_MIN: Final = 1.5
#: Steps that people count time in, seconds.
_TIME_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Bar(NamedTuple):
    """One outcome. width: 0 to 100, of the largest; part: of all rows."""

    outcome: str
    rows: int
    part: str
    width: float
    tone: str


class Band(NamedTuple):
    """A pause. is_throttle: the service asked for it."""

    x: float
    width: float
    words: str
    is_throttle: bool


class Tick(NamedTuple):
    """A mark on the axis of time. percent: from the left."""

    percent: float
    words: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over time. area: closed path; line: open path; top: the value at the upper edge."""

    line: str
    area: str
    top: str
    peak: str


@dataclass(frozen=True, slots=True)
class TimeChart:
    """Throughput and batches in flight over one axis of working time."""

    rate: Curve
    in_flight: Curve
    bands: Sequence[Band]
    breaks: Sequence[float]
    ticks: Sequence[Tick]
    words: str


def tone(outcome: Outcome) -> str:
    """The colour family of an outcome: good, dull, open or bad."""
    if outcome in AS_ASKED:
        return "good"
    if outcome is Outcome.DUPLICATE:
        return "dull"
    return "open" if outcome in UNFINISHED or outcome is Outcome.GUARDED else "bad"


def outcome_bars(counts: Mapping[Outcome, int], rows: int) -> list[Bar]:
    """A bar per outcome that occurs, in the order of the contract."""
    most = max(counts.values(), default=0)
    return [
        Bar(outcome.word, count, percent(count, rows), max(0.4, 100 * count / most), tone(outcome))
        for outcome in Outcome
        if (count := counts.get(outcome, 0))
    ]


def percent(part: int, whole: int) -> str:
    """``12.3 %``; what is neither none nor all is never shown as 0 % or 100 %."""
    if not whole:
        return "0 %"
    value = 100 * part / whole
    if part not in (0, whole):
        value = min(max(value, 0.1), 99.9)
    return f"{value:.1f} %" if part not in (0, whole) else f"{value:.0f} %"


def time_chart(found: Timeline) -> TimeChart | None:
    """The run over time, None if it was too short to draw."""
    if len(found.samples) < _SAMPLES_MIN or found.length_s <= 0:
        return None
    scale = WIDTH / found.length_s
    times = [sample.at_s * scale for sample in found.samples]
    rate = _curve(times, [sample.rate for sample in found.samples], is_stepped=False)
    in_flight = _curve(times, [float(sample.in_flight) for sample in found.samples], is_stepped=True)
    bands = [_band(pause, scale) for pause in found.pauses]
    throttled_s = sum(pause.to_s - pause.from_s for pause in found.pauses if _is_throttle(pause))
    words = (
        f"{duration(found.length_s)} of work: at most {rate.peak} rows a second and {in_flight.peak} batches in flight"
        + (f"; {duration(throttled_s)} of it waiting for the service protection limits." if throttled_s else ".")
    )
    breaks = [at_s * scale for at_s in found.resumed_s]
    return TimeChart(rate, in_flight, bands, breaks, _ticks(found.length_s), words)


def _curve(times: Sequence[float], values: Sequence[float], *, is_stepped: bool) -> Curve:
    top = _round_up(max(values))
    heights = [HEIGHT - HEIGHT * value / top for value in values]
    points = [f"M{times[0]:.1f} {heights[0]:.1f}"]
    for x, y in zip(times[1:], heights[1:], strict=True):
        points.append(f"H{x:.1f}V{y:.1f}" if is_stepped else f"L{x:.1f} {y:.1f}")
    line = "".join(points)
    area = f"{line}V{HEIGHT:.0f}H{times[0]:.1f}Z"
    return Curve(line, area, f"{top:,.10g}", f"{max(values):,.0f}")


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.9999)


def _band(pause: Pause, scale: float) -> Band:
    width = max(_BAND_WIDTH_MIN, (pause.to_s - pause.from_s) * scale)
    return Band(pause.from_s * scale, width, f"{duration(pause.to_s - pause.from_s)}: {pause.why}", _is_throttle(pause))


def _is_throttle(pause: Pause) -> bool:
    return pause.why.startswith("service protection")


def _ticks(length_s: float) -> list[Tick]:
    step_s = next((step for step in _TIME_STEPS if length_s / step <= _TICKS + 1), 86400 * math.ceil(length_s / 432000))
    count = int(length_s / step_s)
    return [Tick(100 * k * step_s / length_s, duration(k * step_s)) for k in range(count + 1)]
