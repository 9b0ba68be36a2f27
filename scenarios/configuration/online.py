"""What a scenario may say of agents that arrive, think between turns, and of a run's end."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from scenarios.configuration.units import Count, Duration, Level, Moment, Positive, Rate


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How agents arrive: at a `rate`, at rates that change by `steps` or by a `file`, or when
    they did in their `trace`; one of the four.

    Attributes:
        steps: (from, rate); the last one holds on, before the first one nobody arrives.
        file: the same as CSV, `seconds,agents per second` a line; a path as `source.trace`.
        trace: factor on the starts that the trace has recorded.
        cv: coefficient of variation of the time between arrivals; 1: Poisson.
    """

    rate: Rate | None = None
    steps: Annotated[tuple[tuple[Moment, Level], ...], Meta(min_length=1)] | None = None
    file: str | None = None
    trace: Positive | None = None
    cv: Annotated[float, Meta(ge=0.1, le=100)] = 1.0


class LogNormal(msgspec.Struct, frozen=True, kw_only=True):
    """A log-normal distribution of times, by its mean and its coefficient of variation."""

    mean: Duration
    cv: Annotated[float, Meta(gt=0, le=100)] = 1.0


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """What the time between turns is drawn from; one of the two."""

    lognormal: LogNormal | None = None
    fixed: Duration | None = None


class SteadyChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Mean TTFT over the window differs by at most a share `within` from that `apart` before."""

    within: Annotated[float, Meta(gt=0, lt=1)] = 0.05
    apart: Duration = Duration(1800)


class EndChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What ends a run before all requests are served, whichever comes first; where agents
    arrive without end and nothing of it is given, `PAPERS_END`.

    Attributes:
        after: that time; agents: so many agents are done.
        ttft_beyond: mean TTFT over the window is beyond it.
        steady: mean TTFT over the window has come to rest; true: as in the paper.
        window: what mean TTFT is taken over.
    """

    after: Duration | None = None
    agents: Count | None = None
    ttft_beyond: Duration | None = None
    steady: bool | SteadyChoice = False
    window: Duration = Duration(150)

    @property
    def given(self) -> bool:
        """Whether anything is to end a run."""
        return bool(self.after or self.agents or self.ttft_beyond or self.steady)

    @property
    def rest(self) -> SteadyChoice | None:
        """How TTFT has to come to rest, if it has to."""
        if isinstance(self.steady, bool):
            return SteadyChoice() if self.steady else None
        return self.steady


class RunChoice(msgspec.Struct, frozen=True, kw_only=True):
    """When a run ends, and what of it is not measured: its first `warmup`."""

    warmup: Moment = Moment(0)
    end: EndChoice = EndChoice()


PAPERS_END = EndChoice(after=Duration(7200), ttft_beyond=Duration(4), steady=True)
"""TTFT is beyond 4 s or at rest (paper section 7), and at the latest two hours."""
