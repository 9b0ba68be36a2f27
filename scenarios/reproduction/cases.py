"""The scenario of a case: the paper's deployment of a model, with so many agents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from plan.deployment import GpuSpec
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.reproduction.paper import Case

DEPLOYMENTS: dict[str, dict[str, Any]] = {
    "ds-660b": {"cluster.prefill": 2, "cluster.decode": 4},
    "ds-27b": {"cluster.prefill": 1, "cluster.decode": 1},
    "qwen-32b": {"cluster.prefill": 1, "cluster.decode": 2, "cluster.dram_buffer": "320 GB"},
}
"""Nodes of each side, and their DRAM buffers where they are not of the usual size."""

ONLINE_S, ONLINE_WARMUP_S = 2400, 1500
"""Length of a run with arrivals, and what of it does not count: mean JCTs of agents are 250 to
1100 s."""

HBM_BYTES = {"qwen-32b": 141e9}
"""HBM of a GPU where it is not the preset's.

65 GB of FP16 weights leave 21 GB of 86, two or three contexts of 30K tokens. With those the
Oracle's tokens a second in Fig 7 (300 a GPU with 512 agents at 32K) would take a step of under
10 ms, and reading the weights alone takes 19. The Oracle's nine points are within some 8 % with
the 141 GB that GPUs of this generation can have, and 1.1 to 2.5 times too slow with 86; weights of
one byte a parameter instead make steps too fast (0.6 to 0.9).
"""


BLOCK_POINT = Case("ds-27b", "64K", 512, "basic")
"""What an SNIC's cost of a block is fitted to: small blocks, and so many bytes that its only SNIC
is seldom idle; and the Oracle's JCT is the paper's within 2 % there, so that the GPU's errors are
not taken for storage's."""
READ_POINT = Case("qwen-32b", "64K", 32, "basic")
"""What the rate of a single read is fitted to: large blocks, and so few agents that a read seldom
waits for an SNIC."""


def scenario_of(
    case: Case,
    slice_of: int = 1,
    gpu: GpuSpec | None = None,
    storage: Mapping[str, str] | None = None,
) -> Scenario:
    """What is run for a case.

    Args:
        slice_of: one part in so many of every node, and of the agents.
        gpu: None for the preset.
        storage: keys of the cluster's storage, and what they are in place of what was calibrated.
    """
    values: dict[str, object] = {
        **DEPLOYMENTS[case.model],
        "model": case.model,
        "systems": [case.system],
        "cluster.slice": f"1/{slice_of}",
        "workload.agents": max(1, case.agents // slice_of),
        "workload.source.generator": case.row,
    }
    if case.aps:
        del values["workload.agents"]
        values |= {
            "workload.agents": case.agents,
            "workload.arrival": f"{case.aps} /s",
            "run.warmup": f"{ONLINE_WARMUP_S} s",
            "run.end.after": f"{ONLINE_S} s",
        }
    values |= storage or {}
    if case.nodes:
        values |= _cluster(case.model, *case.nodes)
    if case.append != 1.0:
        values["workload.append_scale"] = case.append
    if case.gen != 1.0:
        values["workload.gen_scale"] = case.gen
    if case.system == "oracle":
        values["scale.layer_groups"] = 1  # nothing of it travels
    scenario = load_scenario(library.find(Path("reproduction")), (), values)
    number = f"{case.aps}aps" if case.aps else case.agents
    name = f"{case.model}-{case.row}-{number}-{case.system}{_more(case)}".replace(".", "_")
    scenario = msgspec.structs.replace(scenario, name=name)
    gpu = scenario.gpu_spec if gpu is None else gpu
    if case.model in HBM_BYTES:
        gpu = msgspec.structs.replace(gpu, hbm_bytes=HBM_BYTES[case.model])
    elif gpu == scenario.gpu_spec:
        return scenario
    return msgspec.structs.replace(scenario, gpu=gpu)


def _more(case: Case) -> str:
    """What a case's name says of what is not as usual."""
    found = "-{}P{}D".format(*case.nodes) if case.nodes else ""
    found += f"-append-{case.append:g}" if case.append != 1.0 else ""
    return found + (f"-gen-{case.gen:g}" if case.gen != 1.0 else "")


def _cluster(model: str, prefill: int, decode: int) -> dict[str, object]:
    """Other nodes than the usual ones; where they are so many times those, each unit is an
    expert-parallel group of its own, with storage for it."""
    values: dict[str, object] = {"cluster.prefill": prefill, "cluster.decode": decode}
    usual = DEPLOYMENTS[model]["cluster.prefill"], DEPLOYMENTS[model]["cluster.decode"]
    units = math.gcd(prefill, decode) // math.gcd(*usual)
    if units > 1 and (prefill, decode) == (units * usual[0], units * usual[1]):
        values["cluster.group_nodes.prefill"], values["cluster.group_nodes.decode"] = usual
        values["cluster.storage.hosts"] = 2 * units
    return values
