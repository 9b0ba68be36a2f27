"""What is measured of a run: its window, and the requests and agents that ended within."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plan.model import Plan
from plan.records import RequestRecord
from scenarios.results.result import SystemResult


@dataclass(frozen=True)
class Life:
    """An agent, from its first request on.

    Attributes:
        turns: its records in order, the last one perhaps under way.
        end_s: when its last turn was done; None where it was not.
    """

    turns: Sequence[RequestRecord]
    end_s: float | None

    @property
    def start_s(self) -> float:
        """When it arrived, model seconds."""
        return self.turns[0].submit_s

    @property
    def tokens(self) -> int:
        """Its context at the end of its last turn here."""
        return self.turns[-1].prompt_tokens + self.turns[-1].gen_tokens


@dataclass(frozen=True)
class Measured:
    """A run as its figures see it.

    Attributes:
        from_s, to_s: the window, model seconds.
        done: requests that were done within it, in the order of their records.
        lives: all agents, in the order in which they came.
    """

    from_s: float
    to_s: float
    done: Sequence[RequestRecord]
    lives: Sequence[Life]

    @property
    def span_s(self) -> float:
        """Length of the window."""
        return self.to_s - self.from_s

    @property
    def ended(self) -> list[Life]:
        """Agents whose last turn was done within the window."""
        return [life for life in self.lives if life.end_s is not None and self.holds(life.end_s)]

    @property
    def jcts_s(self) -> list[float]:
        """Their job completion times."""
        return [life.end_s - life.start_s for life in self.ended if life.end_s is not None]

    @property
    def arrivals_per_s(self) -> float:
        """Agents that came within the window, over its length."""
        came = sum(self.holds(life.start_s) for life in self.lives)
        return came / self.span_s if self.span_s > 0 else 0.0

    def holds(self, t_s: float) -> bool:
        """Whether a moment lies within the window."""
        return self.from_s <= t_s <= self.to_s


def measured(plan: Plan, result: SystemResult) -> Measured:
    """What is measured of a run."""
    from_s, to_s = result.ending.from_s, result.ending.to_s
    done = [
        record
        for record in result.records
        if record.done_s is not None and not record.error and from_s <= record.done_s <= to_s
    ]
    return Measured(from_s, to_s, done, _lives(plan, result))


def _lives(plan: Plan, result: SystemResult) -> list[Life]:
    turns: dict[int, list[RequestRecord]] = {}
    for record in result.records:
        turns.setdefault(record.agent, []).append(record)
    lives = []
    for mine in turns.values():
        mine.sort(key=lambda record: record.turn)
        lives.append(Life(mine, mine[-1].done_s if _is_over(plan, result, mine[-1]) else None))
    return sorted(lives, key=lambda life: life.start_s)


def _is_over(plan: Plan, result: SystemResult, last: RequestRecord) -> bool:
    """Whether it is the last of its agent's turns, which may yet be under way."""
    if result.ending.ended_by == "all served":
        return True
    return last.turn == len(plan.trajectory(last.agent).turns) - 1
