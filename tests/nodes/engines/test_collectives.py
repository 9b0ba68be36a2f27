"""Claims: what an engine sends in AllToAlls and in rings, and that groups wait for it."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from nodes.engines.collectives import exchange_bytes, ring_bytes
from plan.model import Plan
from plan.workload import Trajectory
from scenarios.configuration.models import MODELS
from tests.nodes.plans import ORACLE, agent, make_plan
from tests.nodes.simulated import Simulated, simulate

DS = MODELS["ds-660b"]
QWEN = MODELS["qwen-32b"]

# --- sizes


def test_a_token_goes_at_most_once_to_a_node_and_never_more_than_it_has_experts() -> None:
    """8 of 256 experts: on one of two nodes with probability 1 - 1/2^8, on one of a thousand
    nodes with 8/1000."""
    whole = DS.hidden * DS.activation_bytes * DS.moe_layers
    assert exchange_bytes(DS, 2, 1, DS.layers) == pytest.approx(whole * (1 - 2**-8))
    assert exchange_bytes(DS, 1000, 1, DS.layers) == pytest.approx(whole * 0.008, rel=0.01)


def test_a_model_without_experts_has_nothing_to_exchange() -> None:
    assert exchange_bytes(QWEN, 2, 1000, QWEN.layers) == 0


def test_a_ring_over_two_nodes_passes_on_half_of_all_tokens_twice() -> None:
    """1000 tokens of 5120 FP16 elements on either node: ReduceScatter and AllGather each pass
    (N - 1)/N of the 2000."""
    assert ring_bytes(QWEN, 2, 1000, 1) == 2 * (1 / 2) * 2000 * 5120 * 2


def test_a_ring_inside_one_node_crosses_no_fabric() -> None:
    assert ring_bytes(QWEN, 1, 1000, QWEN.layers) == 0


def test_a_ring_passes_on_nearly_all_of_a_batch_however_many_share_it() -> None:
    sizes = [ring_bytes(QWEN, nodes, 8192 / nodes, QWEN.layers) for nodes in (2, 4, 8)]
    whole = 2 * 8192 * 5120 * 2 * QWEN.layers
    assert sizes == pytest.approx([whole / 2, whole * 3 / 4, whole * 7 / 8])


# --- runs

Kind = Literal["alltoall", "tensor"]

PROMPT = 6400


def run(
    agents: list[Trajectory],
    collectives: Kind | None,
    nodes: int = 3,
    ep: bool = False,
) -> tuple[Plan, Simulated]:
    """The Oracle, so that nothing but collectives crosses the fabric."""
    plan = make_plan(agents, prefill=nodes)
    group = {"prefill": nodes if ep else 1, "decode": 1}
    plan = msgspec.structs.replace(plan, collectives=collectives, ep_group=group)
    return plan, simulate(plan, ORACLE, 1.0)


def sent(found: Simulated) -> dict[str, float]:
    """Bytes out of the CNICs, of those that sent any."""
    last = found.samples[-1].nics
    return {nic: out for nic, (out, _) in last.items() if out and "cnic" in nic}


def test_a_shard_goes_through_the_whole_ring_once_for_each_phase() -> None:
    """One agent's batch is one engine's shard: two collectives in each layer."""
    plan, found = run([agent((PROMPT, 1))], "tensor")
    whole = 2 * ring_bytes(plan.model, 3, PROMPT, plan.model.layers)
    assert sent(found) == pytest.approx({"pe0.cnic0": whole}, rel=1e-6)
    lanes = found.samples[-1].lanes
    assert lanes["collective"][0] >= whole


def test_the_next_of_the_last_node_is_the_first() -> None:
    _, found = run([agent((PROMPT, 1))] * 3, "tensor")
    received = {nic: into for nic, (_, into) in found.samples[-1].nics.items() if "cnic" in nic}
    ends = [received[f"pe{node}.cnic0"] for node in range(3)]
    assert ends == pytest.approx([max(ends)] * 3)
    assert max(ends) > 0


def test_engines_of_a_tensor_parallel_group_wait_for_the_slowest() -> None:
    """640 new tokens beside 6400 that came first: not before their forward has ended."""
    agents = [agent((PROMPT, 1)), agent((640, 1))]

    def first_s(collectives: Kind | None) -> list[float]:
        _, found = run(agents, collectives, nodes=2)
        return [r.first_s for r in sorted(found.records, key=lambda r: r.agent) if r.first_s]

    long_s, short_s = first_s("tensor")
    assert short_s >= long_s
    long_s, short_s = first_s(None)
    assert short_s < 0.5 * long_s


@pytest.mark.parametrize("collectives", ["alltoall", "tensor"])
def test_collectives_take_time(collectives: Kind) -> None:
    agents = [agent((PROMPT, 1)), agent((PROMPT, 1))]

    def ended_s(kind: Kind | None) -> float:
        _, found = run(agents, kind, nodes=2, ep=True)
        return max(record.done_s for record in found.records if record.done_s is not None)

    assert ended_s(collectives) > ended_s(None)


@pytest.mark.parametrize("collectives", ["alltoall", "tensor"])
def test_a_decode_engine_that_gets_work_while_it_leaves_the_group_joins_it_again(
    collectives: Kind,
) -> None:
    """Short turns beside a long one, on two decode nodes: now and then the next is there
    before the round is over in which the engine says that it has none."""
    agents = [agent((100, 300)), *[agent(*[(20, 2)] * 20)] * 3]
    plan = msgspec.structs.replace(make_plan(agents, decode=2), collectives=collectives)
    in_turn = msgspec.structs.replace(ORACLE, scheduler="round_robin")
    assert len(simulate(plan, in_turn, 1.0).records) == 61
