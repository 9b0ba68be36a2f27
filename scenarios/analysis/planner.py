"""What a deployment can serve, by arithmetic: the largest rate of agents that every resource bears.

A fluid estimate: each resource is loaded with what an agent asks of it in the mean, and no request
waits for another; what is simulated is mostly a little less. Storage reads go by the
bottleneck-free analysis (paper section 2), computing by the compute model, decode batches by HBM
and the SLO's TPOT (paper section 7.4). Everything is of whole nodes, whatever slice of them a
scenario emulates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import combinations
from typing import Any, NamedTuple

import msgspec

from nodes.timing import compute
from nodes.timing.timing import Truth
from plan.deployment import System
from plan.model import COPY_S
from plan.workload import Trajectory, steps
from scenarios.analysis.theory import basic, dual_path
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Bandwidth, ByteRate, Ratio, Size

SAMPLED = 500
"""Requests whose prefill is worked out, spread evenly over all."""
MOST_TOGETHER = 64
"""Requests of a forward batch."""
_MOST_DECODING = 4096
WORTH = 1.05
"""The least gain that is worth an upgrade."""
MOST_PAIRS = 3
"""Of resources that are worth one together."""

Better = Callable[[Scenario], Scenario]
"""From a scenario to the same with more of something."""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent asks for in the mean, over all of its turns.

    Attributes:
        turns: requests; read: tokens that are read from storage; gen: tokens that are generated.
        prompt: tokens of a request's prompt; context: tokens in view of a decoded token.
        requests: (cached, appended) tokens of some requests.
    """

    turns: float
    read: float
    gen: float
    prompt: float
    context: float
    requests: tuple[tuple[int, int], ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment and what it bears.

    Attributes:
        io: False is the Oracle, which nobody can build.
        capacity_aps: agents per second; 0 where it cannot keep the SLO at all.
        binding: the resource that bears no more; why not, where the capacity is 0.
        limits_aps: by resource, what each of them would bear.
        ttft_s: of a request that waits for nobody, seconds.
        decoding: requests in a DE's batch at its limit.
    """

    prefill: int
    decode: int
    system: str
    io: bool
    capacity_aps: float
    binding: str
    limits_aps: dict[str, float]
    ttft_s: float
    decoding: int

    @property
    def label(self) -> str:
        return f"{self.prefill}P{self.decode}D"


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """Twice of one resource.

    Attributes:
        capacity_aps, gain, binding: of the same deployment; best: with as many nodes, under the
            same system, the best split.
    """

    what: str
    capacity_aps: float
    gain: float
    binding: str
    best: Choice


def demand_of(trajectories: Sequence[Trajectory]) -> Demand:
    """The demand of these agents.

    Raises:
        ValueError: there are none.
    """
    if not trajectories:
        raise ValueError("trajectories: need at least one")
    every = [step for trajectory in trajectories for step in steps(trajectory)]
    agents = len(trajectories)
    gens = [step.context - step.prompt for step in every]
    seen = sum(
        gen * (step.prompt + step.context) / 2 for step, gen in zip(every, gens, strict=True)
    )
    sample = every[:: max(1, len(every) // SAMPLED)]
    return Demand(
        turns=len(every) / agents,
        read=sum(step.hit for step in every) / agents,
        gen=sum(gens) / agents,
        prompt=sum(step.prompt for step in every) / len(every),
        context=seen / sum(gens),
        requests=tuple((step.hit, step.prompt - step.hit) for step in sample),
    )


def choose(scenario: Scenario, demand: Demand, nodes: int) -> list[Choice]:
    """Every split of so many nodes under every system of the scenario, the best ones first."""
    found = [
        evaluate(scenario, demand, prefill, nodes - prefill, system)
        for prefill in range(1, nodes)
        for system in scenario.compared
    ]
    return sorted(found, key=_rank)


def buildable(choices: Sequence[Choice]) -> list[Choice]:
    """Those that are not the Oracle's; all, where there are no others."""
    return [choice for choice in choices if choice.io] or list(choices)


def _rank(choice: Choice) -> tuple[float, ...]:
    """The larger capacity first, then what leaves the more room beside what binds."""
    return (-choice.capacity_aps, *(-aps for aps in sorted(choice.limits_aps.values())))


def evaluate(
    scenario: Scenario, demand: Demand, prefill: int, decode: int, system: System
) -> Choice:
    """What a deployment bears."""
    limits: dict[str, float] = {}
    ttft_s, decoding, capacity = math.inf, 0, 0.0
    try:
        limits, ttft_s, decoding = _limits(scenario, demand, prefill, decode, system)
    except ValueError as error:
        binding = str(error)
    else:
        binding = min(limits, key=lambda resource: limits[resource])
        capacity = limits[binding]
        if ttft_s > float(scenario.slo.ttft):
            capacity, binding = 0.0, f"TTFT is {ttft_s:.3g} s even where nobody waits"
    return Choice(
        prefill=prefill,
        decode=decode,
        system=system.name,
        io=system.io,
        capacity_aps=capacity,
        binding=binding,
        limits_aps=limits,
        ttft_s=ttft_s,
        decoding=decoding,
    )


def upgrades(scenario: Scenario, demand: Demand, choice: Choice) -> list[Upgrade]:
    """What twice of each resource buys a deployment, the most first; where none of them alone is
    worth it, before them what two together buy, if they are."""
    doubled = _doubled(scenario)
    alone = [_upgrade(what, [better], scenario, demand, choice) for what, better in doubled.items()]
    alone.sort(key=_worth, reverse=True)
    if alone[0].gain >= WORTH:
        return alone
    pairs = []
    for (one, first), (other, second) in combinations(doubled.items(), 2):
        both = _upgraded([first, second], scenario, choice)
        new = evaluate(both, demand, choice.prefill, choice.decode, *both.compared)
        if new.capacity_aps >= WORTH * choice.capacity_aps:
            pairs.append((new.capacity_aps, f"{one} and {other}", [first, second]))
    pairs.sort(key=lambda pair: -pair[0])
    return [
        *(_upgrade(what, two, scenario, demand, choice) for _, what, two in pairs[:MOST_PAIRS]),
        *alone,
    ]


def _worth(upgrade: Upgrade) -> tuple[float, float]:
    return upgrade.capacity_aps, upgrade.best.capacity_aps


def _upgraded(better: Sequence[Better], scenario: Scenario, choice: Choice) -> Scenario:
    """The scenario with that and the choice's system alone."""
    systems = tuple(one for one in scenario.compared if one.name == choice.system)
    alone = msgspec.structs.replace(scenario, systems=systems)
    return reduce(lambda given, one: one(given), better, alone)


def _upgrade(
    what: str, better: Sequence[Better], scenario: Scenario, demand: Demand, choice: Choice
) -> Upgrade:
    upgraded = _upgraded(better, scenario, choice)
    new = evaluate(upgraded, demand, choice.prefill, choice.decode, *upgraded.compared)
    return Upgrade(
        what=what,
        capacity_aps=new.capacity_aps,
        gain=new.capacity_aps / choice.capacity_aps if choice.capacity_aps else math.inf,
        binding=new.binding,
        best=choose(upgraded, demand, choice.prefill + choice.decode)[0],
    )


def _doubled(scenario: Scenario) -> dict[str, Better]:
    """By resource, how a scenario has twice of it."""
    cluster = {
        "SNIC rate": ("snic", Bandwidth),
        "CNIC rate": ("cnic", Bandwidth),
        "DRAM bandwidth": ("dram", ByteRate),
        "DRAM buffers": ("dram_buffer", Size),
    }
    gpu = {"HBM capacity": "hbm_bytes"}
    if scenario.gpu_spec.profile is None:
        gpu |= {"GPU FLOP/s": "flops", "HBM bandwidth": "hbm_bytes_per_s"}
    found: dict[str, Better] = {
        what: partial(_of_cluster, field, kind) for what, (field, kind) in cluster.items()
    }
    found |= {what: partial(_of_gpu, field) for what, field in gpu.items()}
    return found if scenario.gpu_spec.profile is None else found | {"GPU speed": _faster}


def _of_cluster(field: str, kind: type[Any], scenario: Scenario) -> Scenario:
    doubled = {field: kind(2 * getattr(scenario.cluster, field))}
    cluster = msgspec.structs.replace(scenario.cluster, **doubled)
    return msgspec.structs.replace(scenario, cluster=cluster)


def _of_gpu(field: str, scenario: Scenario) -> Scenario:
    gpu = scenario.gpu_spec
    better = msgspec.structs.replace(gpu, **{field: 2 * getattr(gpu, field)})
    return msgspec.structs.replace(scenario, gpu=better)


def _faster(scenario: Scenario) -> Scenario:
    gpu = scenario.gpu_spec
    assert gpu.profile is not None
    halved = msgspec.structs.replace(gpu, profile=gpu.profile.times(0.5))
    return msgspec.structs.replace(scenario, gpu=halved)


def _limits(
    scenario: Scenario, demand: Demand, prefill: int, decode: int, system: System
) -> tuple[dict[str, float], float, int]:
    """What each resource bears, agents per second, with forward batches of the size that does
    best; TTFT of a request that waits for nobody; requests in a DE's batch.

    Raises:
        ValueError: weights do not fit, or a step of one request is longer than the SLO's TPOT.
    """
    g = scenario.cluster.gpus_per_node
    shared = scenario.expert_parallel
    forwards = _forwards(scenario, demand, prefill * g if shared else 1)
    batch, step_s, held = _decoding(scenario, demand, decode * g if shared else 1)
    limits = {"DE HBM" if held else "DE GPU": decode * g * batch / step_s / demand.gen}
    read_s = copy_s = 0.0
    if system.io:
        limits |= _storage(scenario, demand, prefill, decode, system)
        read_bytes = demand.read / demand.turns * scenario.model_spec.token_bytes
        read_s = read_bytes / _snic_bytes_per_s(scenario)
        if not system.layerwise:  # nothing is computed while hits are copied to HBM
            blocks = demand.read / demand.turns / scenario.scale.block_tokens
            submitted_s = blocks * scenario.model_spec.layers * COPY_S
            copy_s = max(read_bytes * 8 / scenario.cluster.cnic, submitted_s)
    # a request is in a buffer of its decode node, or, without layerwise prefill, of its prefill
    # node, while it is read and while its forward lasts
    buffers = decode if system.layerwise else prefill
    kv_bytes = demand.prompt * scenario.model_spec.token_bytes * demand.turns
    sizes = []
    for share_s, batch_s in forwards:
        engine = "PE GPU with its copies" if copy_s else "PE GPU"
        own = {engine: prefill * g / (demand.turns * (share_s + copy_s))}
        if system.io:
            room_bytes = buffers * scenario.cluster.dram_buffer
            own["DRAM buffers"] = room_bytes / (kv_bytes * (read_s + batch_s))
        sizes.append(limits | own)
    best = max(sizes, key=lambda found: sorted(found.values()))
    return best, read_s + forwards[0].batch_s, batch


def _storage(
    scenario: Scenario, demand: Demand, prefill: int, decode: int, system: System
) -> dict[str, float]:
    """What can be read from storage, by the resources that are full then."""
    snic, b = _snic_bytes_per_s(scenario), scenario.cluster.cnic / 8
    reader = basic if system.paths == "pe" else dual_path
    g = scenario.cluster.gpus_per_node
    read = reader(prefill, decode, g, snic / b, b, scenario.cluster.dram)
    read_bytes = demand.read * scenario.model_spec.token_bytes
    return {" and ".join(read.binding): read.total / read_bytes}


def _snic_bytes_per_s(scenario: Scenario) -> float:
    """What a whole node reads from storage."""
    whole = msgspec.structs.replace(scenario.cluster, slice=Ratio(1))
    block_bytes = scenario.model_spec.token_bytes * scenario.scale.block_tokens
    reads_bps = whole.storage.reads_bps(scenario.scheduler.reads_in_flight)
    return min(whole.delivered_snic_bps(block_bytes), reads_bps) / 8


class _Forward(NamedTuple):
    """Of forward batches of one size, seconds: a request's share of one, and one whole."""

    share_s: float
    batch_s: float


def _forwards(scenario: Scenario, demand: Demand, ep_group: int) -> list[_Forward]:
    """Forward batches of one request, of two, of four, as far as the quota lets."""
    model, requests = scenario.model_spec, demand.requests
    _kv_capacity(scenario, ep_group, "PE")
    truth = Truth(model, scenario.gpu_spec, ep_group)
    attention_s = truth.attention_s(list(requests)) / len(requests)
    most = min(MOST_TOGETHER, max(1, int(float(scenario.scheduler.quota) / (attention_s or 1e-9))))
    sizes = [2**power for power in range(most.bit_length())]
    found = []
    for size in sizes if most in sizes else [*sizes, most]:
        batches = [requests[first : first + size] for first in range(0, len(requests), size)]
        all_s = model.layers * sum(map(truth.prefill_layer_s, batches))
        found.append(_Forward(share_s=all_s / len(requests), batch_s=all_s / len(batches)))
    return found


def _kv_capacity(scenario: Scenario, ep_group: int, engine: str) -> float:
    try:
        return compute.kv_capacity(scenario.model_spec, scenario.gpu_spec, ep_group)
    except ValueError:
        raise ValueError(f"weights do not fit the HBM of a {engine}") from None


def _decoding(scenario: Scenario, demand: Demand, ep_group: int) -> tuple[int, float, bool]:
    """The largest batch of a DE that HBM holds and TPOT lets, the time of its step, and whether
    it is HBM that ends it."""
    model, gpu = scenario.model_spec, scenario.gpu_spec
    context = round(demand.context)
    holds = int(_kv_capacity(scenario, ep_group, "DE") / max(1, context))
    truth = Truth(model, gpu, ep_group)
    attended = compute.attended(model, context)

    def seconds(batch: int) -> float:
        return truth.decode_step_s(batch, batch * context, batch * attended)

    tpot_s = float(scenario.slo.tpot)
    if holds < 1:
        raise ValueError(f"a context of {context} tokens does not fit a DE's HBM")
    if seconds(1) > tpot_s:
        raise ValueError(f"TPOT is {seconds(1):.3g} s even in a batch of one")
    lo, hi = 1, min(holds, _MOST_DECODING)
    while lo < hi:
        middle = (lo + hi + 1) // 2
        lo, hi = (middle, hi) if seconds(middle) <= tpot_s else (lo, middle - 1)
    return lo, seconds(lo), lo == holds
