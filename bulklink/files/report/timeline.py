"""The run over time, as few enough points to draw.

Owns: how the events of one or several sessions become one axis of working time.
Does not know: SVG, what caused an event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bulklink.files.journal import Event, EventKind

POINTS_MAX: Final = 240
#: Pauses closer together than this part of the run are drawn as one.
_MERGE_PART: Final = 1 / 400


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows a second and batches in flight around a moment of working time."""

    at_s: float
    rate: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing could be sent. from_s, to_s: working time."""

    from_s: float
    to_s: float
    why: str


@dataclass(slots=True)
class Timeline:
    """What happened when, in seconds of working time: the time between two sessions does not count.

    resumed_s: where a further session begins. waits: reason -> (seconds, times).
    """

    length_s: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)
    waits: dict[str, tuple[float, int]] = field(default_factory=dict)


def timeline(events: Iterable[Event]) -> Timeline:
    """The events of a run, in the order in which they were recorded, as a timeline."""
    found = Timeline()
    last_at: float | None = None
    for event in events:
        if last_at is not None and event.kind is EventKind.SESSION:
            found.resumed_s.append(found.length_s)
        elif last_at is not None:
            found.length_s += max(0.0, event.at - last_at)
        last_at = event.at
        if event.kind is EventKind.PACE:
            found.samples.append(Sample(found.length_s, event.rate, event.in_flight))
        elif event.kind is EventKind.WAIT:
            found.pauses.append(Pause(max(0.0, found.length_s - event.seconds), found.length_s, event.why))
            seconds, times = found.waits.get(event.why, (0.0, 0))
            found.waits[event.why] = (seconds + event.seconds, times + 1)
        if len(found.samples) > 2 * POINTS_MAX * _FINER:
            found.samples = _thinned(found.samples, POINTS_MAX * _FINER)
    found.samples = _thinned(found.samples, POINTS_MAX)
    found.pauses = _merged(found.pauses, found.length_s * _MERGE_PART)
    found.waits = dict(sorted(found.waits.items(), key=lambda wait: -wait[1][0]))
    return found


#: While events are read, this many times more samples are kept than are drawn.
_FINER: Final = 8


def _thinned(samples: list[Sample], points: int) -> list[Sample]:
    """At most `points` samples: of neighbours the mean rate and the most in flight."""
    if len(samples) <= points:
        return samples
    groups = [samples[len(samples) * k // points : len(samples) * (k + 1) // points] for k in range(points)]
    return [
        Sample(
            group[len(group) // 2].at_s,
            sum(sample.rate for sample in group) / len(group),
            max(sample.in_flight for sample in group),
        )
        for group in groups
    ]


def _merged(pauses: list[Pause], gap_s: float) -> list[Pause]:
    """Pauses in order; those too close to be told apart as one, with the reason of the longest."""
    merged: list[Pause] = []
    for pause in sorted(pauses, key=lambda pause: pause.from_s):
        last = merged[-1] if merged else None
        if last is None or pause.from_s - last.to_s > gap_s:
            merged.append(pause)
            continue
        longer = max(last, pause, key=lambda pause: pause.to_s - pause.from_s)
        merged[-1] = Pause(last.from_s, max(last.to_s, pause.to_s), longer.why)
    return merged
