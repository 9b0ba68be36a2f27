"""Counter samples over time: at a moment, from a start on, and up to an end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from plan.records import CounterSample


def at(samples: Sequence[CounterSample], t_s: float) -> CounterSample:
    """Counters at `t_s` (model seconds), interpolated linearly between two samples.

    Raises:
        ValueError: `t_s` is outside the sampled time.
    """
    if not samples or not samples[0].t_s <= t_s <= samples[-1].t_s:
        span = f"{samples[0].t_s:g}..{samples[-1].t_s:g} s" if samples else "an empty file"
        raise ValueError(f"t_s {t_s:g} is outside the samples ({span}); keep sampling longer")
    after = bisect_left(samples, t_s, key=lambda sample: sample.t_s)
    late = samples[after]
    if late.t_s == t_s:
        return late
    early = samples[after - 1]
    part = (t_s - early.t_s) / (late.t_s - early.t_s)

    def between(a: float, b: float) -> float:
        return a + (b - a) * part

    def pairs(
        a: dict[str, tuple[float, float]], b: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        return {k: (between(a[k][0], b[k][0]), between(a[k][1], b[k][1])) for k in b}

    return CounterSample(
        t_s=t_s,
        nics=pairs(early.nics, late.nics),
        links=pairs(early.links, late.links),
        lanes={
            lane: (between(early.lanes[lane][0], sent), round(between(early.lanes[lane][1], drops)))
            for lane, (sent, drops) in late.lanes.items()
        },
    )


def at_start(samples: Sequence[CounterSample], idle_s: float) -> CounterSample:
    """Counters at 0, nothing having been sent since `idle_s` (model seconds, negative).

    A reading from the idle time is exact; interpolating would leave out a part of what the
    first bytes after 0 added.
    """
    after = bisect_right(samples, 0.0, key=lambda sample: sample.t_s)
    if after and samples[after - 1].t_s >= idle_s:
        return msgspec.structs.replace(samples[after - 1], t_s=0.0)
    return at(samples, 0.0)


def until(samples: Sequence[CounterSample], end_s: float) -> list[CounterSample]:
    """Samples up to `end_s`, model seconds, the last one at that moment."""
    inside = [sample for sample in samples if sample.t_s < end_s]
    return [*inside, at(samples, end_s)]


def since(sample: CounterSample, base: CounterSample) -> CounterSample:
    """What was counted between two samples, at the time of the later one."""

    def pairs(
        now: dict[str, tuple[float, float]], then: dict[str, tuple[float, float]]
    ) -> dict[str, tuple[float, float]]:
        return {k: (a - then[k][0], b - then[k][1]) for k, (a, b) in now.items()}

    return CounterSample(
        t_s=sample.t_s,
        nics=pairs(sample.nics, base.nics),
        links=pairs(sample.links, base.links),
        lanes={
            lane: (sent - base.lanes[lane][0], drops - base.lanes[lane][1])
            for lane, (sent, drops) in sample.lanes.items()
        },
    )
