"""The scenario of a case: the paper's deployment of a model, with so many agents."""

from __future__ import annotations

from pathlib import Path

import msgspec

from plan.deployment import GpuSpec
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.configuration.schema import Scenario
from scenarios.reproduction.paper import Case

DEPLOYMENTS: dict[str, dict[str, object]] = {
    "ds-660b": {"cluster.prefill": 2, "cluster.decode": 4},
    "ds-27b": {"cluster.prefill": 1, "cluster.decode": 1},
    "qwen-32b": {"cluster.prefill": 1, "cluster.decode": 2, "cluster.dram_buffer": "320 GB"},
}
"""Nodes of each side, and their DRAM buffers where they are not of the usual size."""


def scenario_of(case: Case, slice_of: int = 1, gpu: GpuSpec | None = None) -> Scenario:
    """What is run for a case.

    Args:
        slice_of: one part in so many of every node, and of the agents.
        gpu: None for the preset.
    """
    values: dict[str, object] = {
        **DEPLOYMENTS[case.model],
        "model": case.model,
        "systems": [case.system],
        "cluster.slice": f"1/{slice_of}",
        "workload.agents": max(1, case.agents // slice_of),
        "workload.source.generator": case.row,
    }
    if case.system == "oracle":
        values["scale.layer_groups"] = 1  # nothing of it travels
    scenario = load_scenario(library.find(Path("reproduction")), (), values)
    name = f"{case.model}-{case.row}-{case.agents}-{case.system}"
    scenario = msgspec.structs.replace(scenario, name=name)
    return scenario if gpu is None else msgspec.structs.replace(scenario, gpu=gpu)
