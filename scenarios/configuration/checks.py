"""What no single key shows to be wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from controller.lanes import LANE_NAMES, Arbitration
from plan.deployment import GpuSpec, ModelSpec, System
from plan.errors import ScenarioError
from plan.fabric import NodeKind
from scenarios.configuration.models import GPUS, MODELS
from scenarios.configuration.online import Gap
from scenarios.configuration.plugins import plugins_of
from scenarios.configuration.schema import Cluster, Scenario, Source, Workload
from scenarios.configuration.systems import SYSTEMS
from scenarios.configuration.units import UnitError

MAX_SYSTEMS = 32
"""Of a run; each serves the whole workload and has its part of every picture."""


def check(scenario: Scenario) -> None:
    """Reject what no single key shows to be wrong.

    Raises:
        ScenarioError: naming the key to change.
    """
    _check_presets(scenario)
    _check_slice(scenario.cluster)
    _check_groups(scenario.cluster)
    _check_model(scenario)
    _check_source(scenario.workload.source)
    _check_turns(scenario.workload)
    _check_prefix(scenario.workload)
    _check_arrival(scenario.workload)
    _check_gap(scenario.workload)
    _check_end(scenario)
    _check_systems(scenario.systems)
    if scenario.arbitration:
        _check_arbitration(scenario.arbitration)
    plugins_of(scenario)


def _check_presets(scenario: Scenario) -> None:
    for key, value, known in (
        ("model", scenario.model, list(MODELS)),
        ("gpu", scenario.gpu, list(GPUS)),
    ):
        if isinstance(value, str) and value not in known:
            raise ScenarioError(key, value, f"write one of {', '.join(known)}", "is not a preset")


def _check_slice(cluster: Cluster) -> None:
    key, gpus = "cluster.slice", cluster.sliced_gpus
    if not 0 < cluster.slice <= 1:
        raise ScenarioError(key, str(cluster.slice), "write a share of a node, at most 1")
    if gpus.denominator != 1:
        remedy = f"write a multiple of 1/{cluster.gpus_per_node}"
        raise ScenarioError(key, str(cluster.slice), remedy, f"leaves {gpus} GPUs of a node")
    if int(gpus) % cluster.merge:
        remedy = f"write a divisor of the {gpus} emulated GPUs of a node"
        raise ScenarioError("cluster.merge", cluster.merge, remedy)


def _check_groups(cluster: Cluster) -> None:
    nodes_of: dict[NodeKind, int] = {"prefill": cluster.prefill, "decode": cluster.decode}
    for kind, size in cluster.nodes_per_group.items():
        if (nodes := nodes_of[kind]) % size:
            remedy = f"write a divisor of the {nodes} {kind} nodes"
            raise ScenarioError(f"cluster.group_nodes.{kind}", size, remedy)


def _check_model(scenario: Scenario) -> None:
    for key, spec in (("model", scenario.model), ("gpu", scenario.gpu)):
        if not isinstance(spec, str):
            _check_numbers(key, spec)
    model, profile = scenario.model_spec, scenario.gpu_spec.profile
    if profile is not None and profile.model != model.name:
        remedy = f"write model: {profile.model}, or another profile"
        problem = f"is not what the GPU's profile was measured with ({profile.model})"
        raise ScenarioError("model", model.name, remedy, problem)
    if profile is not None and scenario.cluster.merge > 1:
        remedy = "leave it out: the times of a profile are those of one GPU"
        raise ScenarioError("cluster.merge", scenario.cluster.merge, remedy)
    if scenario.ep and not model.expert_bytes:
        raise ScenarioError("ep", True, f"write false or null: {model.name} has no experts")
    if scenario.exchanged == "alltoall" and not scenario.expert_parallel:
        remedy = "write tensor or off: without expert parallelism there is no AllToAll"
        raise ScenarioError("collectives", scenario.collectives, remedy)
    if scenario.scale.layer_groups > model.layers:
        remedy = f"{model.name} has {model.layers} layers: write at most {model.layers}"
        raise ScenarioError("scale.layer_groups", scenario.scale.layer_groups, remedy)


def _check_numbers(key: str, spec: ModelSpec | GpuSpec) -> None:
    for field in msgspec.structs.fields(spec):
        value = getattr(spec, field.encode_name)
        if isinstance(value, int | float) and (value < 0 or (field.required and value == 0)):
            raise ScenarioError(f"{key}.{field.name}", value, "write a positive number")


def _check_source(source: Source) -> None:
    key = "workload.source"
    if (source.generator is None) == (source.trace is None):
        given = "both" if source.trace else "nothing"
        raise ScenarioError(key, given, "write either generator or trace", "is given")
    if source.trace is None and source.fallback:
        raise ScenarioError(f"{key}.fallback", source.fallback, "leave it out without a trace")
    if source.trace and not source.fallback and not os.path.exists(source.trace):
        remedy = "correct the path, or write fallback: a generator row to use instead"
        raise ScenarioError(f"{key}.trace", source.trace, remedy, "does not exist")


def _check_turns(workload: Workload) -> None:
    needed = workload.turns.needed
    if workload.min_turns is not None and workload.min_turns < needed:
        remedy = f"turns.skip and turns.count need trajectories of at least {needed} turns"
        raise ScenarioError("workload.min_turns", workload.min_turns, remedy, "is too small")


def _check_prefix(workload: Workload) -> None:
    if workload.shared_prefix == "recorded" and workload.source.trace is None:
        remedy = "write none, or a number of tokens: what is generated has no recorded prefixes"
        raise ScenarioError("workload.shared_prefix", "recorded", remedy, "needs a recorded trace")


def _check_arrival(workload: Workload) -> None:
    key = "workload.arrival"
    try:
        arrival = workload.arrivals
    except UnitError:
        remedy = 'write offline, trace, a rate such as "0.45 /s", or a mapping'
        raise ScenarioError(key, workload.arrival, remedy, "is not accepted") from None
    if arrival is None:
        return
    given = [name for name in ("rate", "steps", "file", "trace") if getattr(arrival, name)]
    if len(given) != 1:
        problem = "are given" if given else "is given"
        remedy = "write one of rate, steps, file and trace"
        raise ScenarioError(key, " and ".join(given) or "nothing", remedy, problem)
    if arrival.trace and workload.source.trace is None:
        remedy = "write a rate: what is generated has no recorded starts"
        raise ScenarioError(key, "trace", remedy, "needs a recorded trace")
    if arrival.steps:
        check_rates(f"{key}.steps", [(float(at), float(rate)) for at, rate in arrival.steps])
    if arrival.file and not os.path.exists(arrival.file):
        raise ScenarioError(f"{key}.file", arrival.file, "correct the path", "does not exist")


def check_rates(key: str, rates: Sequence[tuple[float, float]]) -> None:
    """Reject rates that are out of order, or under which nobody ever arrives.

    Raises:
        ScenarioError: naming `key`.
    """
    for (before_s, _), (at_s, _) in pairwise(rates):
        if at_s <= before_s:
            remedy = "write later and later times"
            raise ScenarioError(key, f"{at_s:g} s", remedy, f"comes after {before_s:g} s")
    if not any(rate for _, rate in rates):
        raise ScenarioError(key, "0 /s", "write a rate above 0", "lets nobody arrive")


def _check_gap(workload: Workload) -> None:
    gap, key = workload.gap, "workload.gap"
    if gap == "trace" and workload.source.trace is None:
        remedy = "write none, lognormal or fixed: what is generated has no recorded gaps"
        raise ScenarioError(key, gap, remedy, "needs a recorded trace")
    if isinstance(gap, Gap) and (gap.lognormal is None) == (gap.fixed is None):
        given = "nothing" if gap.fixed is None else "both"
        raise ScenarioError(key, given, "write either lognormal or fixed", "is given")


def _check_end(scenario: Scenario) -> None:
    end, arrival = scenario.run.end, scenario.workload.arrivals
    if not end.given:
        return
    ends = end.after or end.agents or (end.steady and end.ttft_beyond)
    if arrival and not arrival.trace and not ends:
        remedy = "write after, agents, or both steady and ttft_beyond"
        problem = "alone may never come true while agents go on arriving"
        raise ScenarioError("run.end", "steady" if end.steady else "ttft_beyond", remedy, problem)
    if end.after and end.after <= scenario.run.warmup:
        remedy = "write a later end, or a shorter warmup"
        raise ScenarioError("run.end.after", str(end.after), remedy, "lies in the warm-up")


def _check_systems(systems: tuple[str | System, ...]) -> None:
    if len(systems) > MAX_SYSTEMS:
        remedy = f"write at most {MAX_SYSTEMS}, or a sweep"
        raise ScenarioError("systems", len(systems), remedy, "systems are too many for one run")
    names = [system if isinstance(system, str) else system.name for system in systems]
    for index, (system, name) in enumerate(zip(systems, names, strict=True)):
        key = f"systems[{index}]"
        if isinstance(system, str) and name not in SYSTEMS:
            remedy = f"write one of {', '.join(SYSTEMS)}, or a mapping with name, io, layerwise..."
            raise ScenarioError(key, name, remedy, "is not a built-in system")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name, re.ASCII):
            raise ScenarioError(key, name, "name it with letters, digits and hyphens")
        if names.count(name) > 1:
            raise ScenarioError(key, name, "name every system once", "is there twice")


def _check_arbitration(arbitration: Arbitration) -> None:
    for vl in arbitration.unserved:
        raise ScenarioError(
            "lanes.vlarb_low",
            [list(entry) for entry in arbitration.vlarb_low],
            f"add [{vl}, 64]: without a weight in either table it would never send",
            f"leaves VL{vl} ({LANE_NAMES[vl]}) out",
        )
