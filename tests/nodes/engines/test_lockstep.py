"""Claims: an expert-parallel group goes through its forwards together (paper section 4)."""

from __future__ import annotations

import pytest

from nodes.engines.lockstep import Beat
from nodes.protocol.messages import Go, Join
from nodes.worlds.virtual.loop import run
from plan.deployment import System
from tests.nodes.plans import BASIC, DUALPATH, LAYERWISE, ORACLE, agent, make_plan
from tests.nodes.recording import recorded
from tests.nodes.simulated import simulate


@pytest.mark.parametrize("system", [BASIC, LAYERWISE, DUALPATH, ORACLE], ids=lambda s: s.name)
def test_engines_with_requests_waiting_compute_in_the_same_forwards(system: System) -> None:
    """Two engines with four prompts of many batches each: none has to wait for a turn."""
    plan = make_plan([agent((30_000, 2))] * 8, gpus=2, quota_s=0.05)
    forwards = [f for node in simulate(plan, system, 1.0).stats for f in node.forwards]
    assert len(forwards) > 20
    assert {forward.engines for forward in forwards[1:-1]} == {2}


def test_attention_is_balanced_by_the_quota() -> None:
    """One engine has a long prompt, the other short ones: cut to the quota they are even."""
    agents = [agent((40_000, 2)), *[agent((500, 2), (500, 2))] * 9]

    def worst(quota_s: float) -> float:
        plan = make_plan(agents, gpus=2, quota_s=quota_s)
        run = simulate(plan, LAYERWISE, 1.0)
        return max(f.attention_max_s for node in run.stats for f in node.forwards)

    assert worst(0.05) <= 0.05 < worst(10.0)


@pytest.mark.parametrize(
    ("idle_s", "forwards"),
    [(0.0, [("pe0.0",)]), (0.05, [("pe0.0", "pe0.1")])],
    ids=["at once", "after a while"],
)
def test_an_idle_group_begins_with_whoever_joined_in_time(
    idle_s: float, forwards: list[tuple[str, ...]]
) -> None:
    """The second engine joins in time only where there is any; the third too late."""

    async def main() -> list[tuple[str, ...]]:
        plan = make_plan([], gpus=3)
        async with recorded(plan, "pe0") as (world, sent):
            beat = Beat(world, idle_s)
            for engine, after_s in (("pe0.0", 0.04), ("pe0.1", 0.04), ("pe0.2", 1.0)):
                beat.join(Join(engine, 0))
                await world.clock.sleep_until(world.clock.now() + after_s)
            return [message.engines for _, message in sent if isinstance(message, Go)]

    assert run(main()) == forwards
