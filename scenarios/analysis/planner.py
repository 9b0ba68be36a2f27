"""What a deployment can serve, by arithmetic: the largest rate of agents that every resource bears.

A fluid estimate, and so an upper bound: each resource is loaded with what an agent asks of it in
the mean, and no request waits for another. Storage reads go by the bottleneck-free analysis
(paper section 2), computing by the compute model, decode batches by HBM and the SLO's TPOT
(paper section 7.4). Everything is of whole nodes, whatever slice of them a scenario emulates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from nodes.timing import compute
from nodes.timing.timing import Truth
from plan.deployment import System
from plan.workload import Trajectory, steps
from scenarios.analysis.theory import basic, dual_path
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Bandwidth, ByteRate, Ratio, Size

SAMPLED = 2000
"""Requests whose prefill is worked out, spread evenly over all."""
MOST_TOGETHER = 64
"""Requests of a forward batch."""
_MOST_DECODING = 4096


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
        capacity_aps: agents per second; 0 where it cannot keep the SLO at all.
        binding: the resource that bears no more; why not, where the capacity is 0.
        limits_aps: by resource, what each of them would bear.
        ttft_s: of a request that waits for nobody, seconds.
        decoding: requests in a DE's batch at its limit.
    """

    prefill: int
    decode: int
    system: str
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
        capacity_aps=capacity,
        binding=binding,
        limits_aps=limits,
        ttft_s=ttft_s,
        decoding=decoding,
    )


def upgrades(scenario: Scenario, demand: Demand, choice: Choice) -> list[Upgrade]:
    """What twice of each resource buys a deployment, the most first."""
    [system] = [one for one in scenario.compared if one.name == choice.system]
    found = []
    for what, better in _doubled(scenario):
        new = evaluate(better, demand, choice.prefill, choice.decode, system)
        gain = new.capacity_aps / choice.capacity_aps if choice.capacity_aps else math.inf
        alone = msgspec.structs.replace(better, systems=(system,))
        found.append(
            Upgrade(
                what=what,
                capacity_aps=new.capacity_aps,
                gain=gain,
                binding=new.binding,
                best=choose(alone, demand, choice.prefill + choice.decode)[0],
            )
        )
    return sorted(found, key=lambda upgrade: (-upgrade.capacity_aps, -upgrade.best.capacity_aps))


def _doubled(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    replace = msgspec.structs.replace
    cluster, gpu = scenario.cluster, scenario.gpu_spec
    for what, better in (
        ("SNIC rate", replace(cluster, snic=Bandwidth(2 * cluster.snic))),
        ("CNIC rate", replace(cluster, cnic=Bandwidth(2 * cluster.cnic))),
        ("DRAM bandwidth", replace(cluster, dram=ByteRate(2 * cluster.dram))),
        ("DRAM buffers", replace(cluster, dram_buffer=Size(2 * cluster.dram_buffer))),
    ):
        yield what, replace(scenario, cluster=better)
    yield "HBM capacity", replace(scenario, gpu=replace(gpu, hbm_bytes=2 * gpu.hbm_bytes))
    if gpu.profile is not None:
        yield "GPU speed", replace(scenario, gpu=replace(gpu, profile=gpu.profile.times(0.5)))
        return
    yield "GPU FLOP/s", replace(scenario, gpu=replace(gpu, flops=2 * gpu.flops))
    faster = replace(gpu, hbm_bytes_per_s=2 * gpu.hbm_bytes_per_s)
    yield "HBM bandwidth", replace(scenario, gpu=faster)


def _limits(
    scenario: Scenario, demand: Demand, prefill: int, decode: int, system: System
) -> tuple[dict[str, float], float, int]:
    """What each resource bears, agents per second; TTFT of a request that waits for nobody;
    requests in a DE's batch.

    Raises:
        ValueError: weights do not fit, or a step of one request is longer than the SLO's TPOT.
    """
    g, model = scenario.cluster.gpus_per_node, scenario.model_spec
    shared = scenario.expert_parallel
    compute_s = _prefill_s(scenario, demand, prefill * g if shared else 1)
    batch, step_s, held = _decoding(scenario, demand, decode * g if shared else 1)
    decoder = "DE HBM" if held else "DE GPU"
    limits = {
        "PE GPU": prefill * g / (demand.turns * compute_s),
        decoder: decode * g * batch / step_s / demand.gen,
    }
    read_s = 0.0
    if system.io:
        snic = _snic_bytes_per_s(scenario)
        b = scenario.cluster.cnic / 8
        reader = basic if system.paths == "pe" else dual_path
        read = reader(prefill, decode, g, snic / b, b, scenario.cluster.dram)
        read_bytes = demand.read * model.token_bytes
        limits[" and ".join(read.binding)] = read.total / read_bytes
        read_s = read_bytes / demand.turns / snic
        # KV-Cache of a request is in a buffer while it is read and computed
        kv_bytes, hold_s = demand.prompt * model.token_bytes, read_s + compute_s
        buffers = prefill if system.paths == "pe" else prefill + decode
        buffer_bytes = buffers * scenario.cluster.dram_buffer
        limits["DRAM buffers"] = buffer_bytes / (kv_bytes * hold_s * demand.turns)
    return limits, read_s + compute_s, batch


def _snic_bytes_per_s(scenario: Scenario) -> float:
    """What a whole node's SNIC delivers."""
    whole = msgspec.structs.replace(scenario.cluster, slice=Ratio(1))
    block_bytes = scenario.model_spec.token_bytes * scenario.scale.block_tokens
    return whole.delivered_snic_bps(block_bytes) / 8


def _prefill_s(scenario: Scenario, demand: Demand, ep_group: int) -> float:
    """A request's part of its forward batch, seconds; batches are as large as the quota lets."""
    model = scenario.model_spec
    _kv_capacity(scenario, ep_group, "PE")
    truth = Truth(model, scenario.gpu_spec, ep_group)
    attention_s = truth.attention_s(list(demand.requests)) / len(demand.requests)
    together = int(float(scenario.scheduler.quota) / attention_s) if attention_s else 1
    together = max(1, min(together, MOST_TOGETHER))
    batches = (
        demand.requests[first : first + together]
        for first in range(0, len(demand.requests), together)
    )
    layer_s = sum(truth.prefill_layer_s(batch) for batch in batches)
    return model.layers * layer_s / len(demand.requests)


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
