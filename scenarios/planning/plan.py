"""From a checked scenario to the plan that every process of the run is given."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from controller.lanes import lane_table
from nodes.scheduling.registry import forward_batches, inter_engine_policy
from nodes.timing.compute import kv_capacity, weights_per_gpu
from nodes.timing.timing import Timing, timing_of
from plan.deployment import (
    MIN_BLOCK_BYTES,
    WORD,
    BlockLayout,
    GpuSpec,
    ModelSpec,
    SchedulerConstants,
)
from plan.errors import PluginError, ScenarioError
from plan.fabric import Fabric, NodeKind
from plan.model import COPY_S, SUBMIT_S, Plan
from plan.scale import Scale
from scenarios.configuration.gpu_profiles import outside
from scenarios.configuration.plugins import plugins_of
from scenarios.configuration.schema import Cluster, Scenario
from scenarios.configuration.units import Size
from scenarios.planning.egresses import all_egresses
from scenarios.planning.faults import faults_of, recovery_of, written_out
from scenarios.planning.frames import with_frames
from scenarios.planning.online import arrivals_of, end_of, gaps_of
from scenarios.planning.processes import check_nodes
from scenarios.planning.trajectories import FIRST_ROUND_TOKENS, all_steps, make_trajectories
from topology.fattree import FabricSpec, build_fabric


@dataclass(frozen=True)
class Planned:
    """A plan, and what a user should know of how it came about.

    Attributes:
        scenario: with all that was drawn written out, so that it makes the same plan again.
    """

    plan: Plan
    warnings: list[str]
    scenario: Scenario


def make_plan(scenario: Scenario) -> Planned:
    """Build the plan of a scenario; where its dilation is `auto`, at 1 until it is found.

    Raises:
        ScenarioError: something in it cannot be honoured; names the key.
    """
    if scenario.engine == "emulate":
        cluster = scenario.cluster
        servers = cluster.prefill + cluster.decode + cluster.storage.hosts
        # beside them the scheduler and the agents
        check_nodes(f"{cluster.prefill}P{cluster.decode}D", servers + 2)
    model, gpu, ep_group = _merged(scenario)
    layout, scale = _layout(scenario, model)
    trajectories, warnings = make_trajectories(scenario)
    snic_bps = scenario.cluster.delivered_snic_bps(model.token_bytes * layout.tokens)
    fabric = with_frames(_fabric(scenario.cluster, snic_bps), scale)
    scenario = written_out(scenario, fabric)
    arrivals = arrivals_of(scenario.workload, FIRST_ROUND_TOKENS)
    faults = faults_of(scenario, fabric, endless=bool(arrivals and arrivals.rates))
    # what is replayed again has a first round more
    more = FIRST_ROUND_TOKENS + 1 if arrivals and arrivals.rates else 0
    context = more + max(step.context for step in all_steps(trajectories))
    for kind, size in ep_group.items():
        _check_weights(model, gpu, kind, size)
        _check_hbm(model, gpu, kind, size, context)
    prompt = more + max(step.prompt for step in all_steps(trajectories))
    if gpu.profile is not None:
        cached = more + max(step.hit for step in all_steps(trajectories))
        tokens = max(step.prompt - step.hit for step in all_steps(trajectories))
        warnings += outside(gpu.profile, cached, tokens, ep_group["prefill"])
    _check_dram_buffer(scenario.cluster, model, layout, prompt)
    plan = Plan(
        seed=scenario.seed,
        scale=scale,
        fabric=fabric,
        egresses=all_egresses(fabric),
        lanes=lane_table(scenario.arbitration, direct_copies=scenario.copies == "direct"),
        layout=layout,
        model=model,
        gpu=gpu,
        ep_group=ep_group,
        groups=_groups(fabric, scenario.cluster),
        collectives=scenario.exchanged,
        dram_buffer_bytes=scenario.cluster.node_dram_buffer_bytes,
        dram_pool_bytes=scenario.cluster.dram_pool * float(scenario.cluster.slice),
        dram_bytes_per_s=scenario.cluster.node_dram_bytes_per_s,
        message_s=float(scenario.cluster.message_latency),
        submit_s=SUBMIT_S / scenario.cluster.merge,  # so many GPUs' hosts submit at once
        copy_s=COPY_S / scenario.cluster.merge,
        read_bytes_per_s=scenario.cluster.storage.read_bytes_per_s,
        constants=SchedulerConstants(alpha_tokens=0.0, beta_tokens=0.0),
        trajectories=tuple(trajectories),
        arrivals=arrivals,
        gaps=gaps_of(scenario.workload),
        end=end_of(scenario),
        faults=faults,
        recovery=recovery_of(scenario.recovery) if faults else None,
        gpu_timing=scenario.gpu_timing,
        plugins=plugins_of(scenario),
    )
    try:
        timing = timing_of(plan, "prefill")
        plan = msgspec.structs.replace(plan, constants=_constants(scenario, plan, timing, snic_bps))
        _check_plugins(scenario, plan, timing)
    except PluginError as error:
        raise ScenarioError("plug-in", None, "correct it", str(error)) from error
    return Planned(plan, warnings, scenario)


def _check_plugins(scenario: Scenario, plan: Plan, timing: Timing) -> None:
    """See that plug-ins make what they are asked for, as they will in the nodes."""
    for system in scenario.compared:
        inter_engine_policy(system, plan.constants, plan.plugins)
        forward_batches(system, plan.constants, timing.predictor.attention_s, plan.plugins)


def _merged(scenario: Scenario) -> tuple[ModelSpec, GpuSpec, dict[NodeKind, int]]:
    """Model, GPU and expert-parallel groups as one engine of `merge` GPUs sees them.

    A merged engine reads its replicated weights once for every GPU it stands for, so that a
    decode step takes what it takes on one of them.
    """
    cluster, model, gpu = scenario.cluster, scenario.model_spec, scenario.gpu_spec
    merge = cluster.merge
    replicated = model.weight_bytes - model.expert_bytes
    ep: dict[NodeKind, int] = {}
    for kind, nodes in cluster.nodes_per_group.items():
        size = nodes * cluster.gpus_per_node if scenario.expert_parallel else 1
        ep[kind] = max(1, size // merge)
    if not scenario.expert_parallel:
        replicated, experts = model.weight_bytes, 0.0
    else:
        experts = model.expert_bytes
    return (
        msgspec.structs.replace(
            model, weight_bytes=merge * replicated + experts, expert_bytes=experts
        ),
        msgspec.structs.replace(
            gpu,
            flops=gpu.flops * merge,
            decode_attention_flops=gpu.decode_attention_flops * merge,
            request_layer_s=gpu.request_layer_s / merge,
            decode_request_layer_s=gpu.decode_request_layer_s / merge,
            hbm_bytes=gpu.hbm_bytes * merge,
            hbm_bytes_per_s=gpu.hbm_bytes_per_s * merge,
        ),
        ep,
    )


def _check_weights(model: ModelSpec, gpu: GpuSpec, kind: NodeKind, ep_group: int) -> None:
    needed = weights_per_gpu(model, ep_group)
    if needed >= gpu.hbm_bytes:
        raise ScenarioError(
            f"cluster.{kind}",
            f"{model.name} on {ep_group} GPUs",
            f"{needed / 1e9:.1f} GB of weights per engine do not fit {gpu.hbm_bytes / 1e9:.1f} GB"
            " of HBM: use more nodes, expert parallelism or a smaller model",
        )


def _check_hbm(model: ModelSpec, gpu: GpuSpec, kind: NodeKind, ep_group: int, longest: int) -> None:
    """The longest turn has to fit one engine's HBM: a request waits for room, not for ever."""
    room = kv_capacity(model, gpu, ep_group)
    if longest > room:
        raise ScenarioError(
            "workload.max_context",
            longest,
            f"one {kind} engine's HBM has room for {room:.0f} tokens beside the weights: write"
            " at most that",
            "tokens of context cannot be served",
        )


def _check_dram_buffer(
    cluster: Cluster, model: ModelSpec, layout: BlockLayout, longest: int
) -> None:
    """The longest prompt has to fit a node's DRAM buffer, or it would wait for ever."""
    needed = layout.blocks(longest) * layout.tokens * model.token_bytes
    if needed > cluster.node_dram_buffer_bytes:
        least = Size(needed / float(cluster.slice))
        raise ScenarioError(
            "cluster.dram_buffer",
            str(cluster.dram_buffer),
            f"a prompt of {longest} tokens needs {least} of a whole node: write more",
            "is too small",
        )


def _layout(scenario: Scenario, model: ModelSpec) -> tuple[BlockLayout, Scale]:
    """Blocks of whole 32-bit words; the byte scale becomes exact for them."""
    choice = scenario.scale
    layers = model.layers / choice.layer_groups
    block = layers * choice.block_tokens * (model.kv_bytes + model.index_bytes)
    wire = round(block / choice.byte_scale / WORD) * WORD
    if wire < MIN_BLOCK_BYTES:
        raise ScenarioError(
            "scale.byte_scale",
            choice.byte_scale,
            f"leaves {block / choice.byte_scale:.1f} bytes of a Layer Block, which needs"
            f" {MIN_BLOCK_BYTES} for its identity: write at most"
            f" {block / MIN_BLOCK_BYTES:.0f}, or fewer layer_groups",
        )
    dilation = 1.0 if choice.dilation == "auto" else float(choice.dilation)
    layout = BlockLayout(tokens=choice.block_tokens, groups=choice.layer_groups, wire_bytes=wire)
    return layout, Scale(byte_scale=block / wire, dilation=dilation)


def _fabric(cluster: Cluster, snic_bps: float) -> Fabric:
    spec = FabricSpec(
        prefill=cluster.prefill,
        decode=cluster.decode,
        storage=cluster.storage.hosts,
        gpus_per_node=cluster.engines_per_node,
        snic_bps=snic_bps,
        cnic_bps=float(cluster.engine_cnic_bps),
        storage_bps=float(cluster.storage_bps),
        management_bps=float(cluster.management),
        k=cluster.fat_tree.k,
        oversubscription=cluster.fat_tree.oversubscription,
        converged=cluster.converged,
    )
    try:
        return build_fabric(spec)
    except ValueError as error:
        raise ScenarioError("cluster", f"{cluster.prefill}P{cluster.decode}D", str(error)) from None


def _groups(fabric: Fabric, cluster: Cluster) -> tuple[tuple[str, ...], ...]:
    """Engine groups of neighbouring nodes, the prefill side's first."""
    groups = []
    for kind, size in cluster.nodes_per_group.items():
        names = [node.name for node in fabric.nodes_of(kind)]
        groups += [tuple(names[i : i + size]) for i in range(0, len(names), size)]
    return tuple(groups)


def _constants(
    scenario: Scenario, plan: Plan, timing: Timing, snic_bps: float
) -> SchedulerConstants:
    """Alpha and beta in tokens: times of reading and of computing (paper section 4).

    Unfinished requests count with their whole prompts, so beta's rate is prompt tokens,
    cached ones included, that one engine gets through in a second of this workload, in full
    batches.
    """
    choice, model = scenario.scheduler, plan.model
    reads_bps = scenario.cluster.storage.reads_bps(choice.reads_in_flight)
    read_per_s = min(snic_bps, reads_bps) / 8 / model.token_bytes
    steps = list(all_steps(plan.trajectories))
    pairs = [(step.hit, step.prompt - step.hit) for step in steps]
    compute_s = model.layers * timing.truth.prefill_layer_s(pairs)
    return SchedulerConstants(
        alpha_tokens=choice.alpha.tokens(read_per_s),
        beta_tokens=choice.beta.tokens(sum(step.prompt for step in steps) / compute_s),
        quota_s=float(choice.quota),
        fetch_interval_s=float(choice.fetch_interval),
        reads_in_flight=choice.reads_in_flight,
    )
