"""Claims: a case is run in the paper's deployment, at full size unless a slice is asked for."""

from __future__ import annotations

import msgspec
import pytest

from scenarios.configuration.models import GPUS
from scenarios.reproduction.cases import scenario_of
from scenarios.reproduction.paper import Case
from scenarios.reproduction.wanted import points


@pytest.mark.parametrize(
    ("model", "nodes"), [("ds-660b", (2, 4)), ("ds-27b", (1, 1)), ("qwen-32b", (1, 2))]
)
def test_a_model_is_served_by_the_papers_nodes(model: str, nodes: tuple[int, int]) -> None:
    scenario = scenario_of(Case(model, "48K", 512, "dualpath"))
    assert (scenario.cluster.prefill, scenario.cluster.decode) == nodes
    assert scenario.workload.agents == 512
    assert scenario.workload.source.generator == "48K"
    assert [system.name for system in scenario.compared] == ["dualpath"]
    assert scenario.cluster.slice == 1


def test_a_slice_has_its_share_of_the_agents() -> None:
    scenario = scenario_of(Case("ds-27b", "32K", 512, "oracle"), 8)
    assert scenario.workload.agents == 64
    assert scenario.cluster.engines_per_node == 1


def test_a_gpu_that_is_given_takes_the_place_of_the_preset() -> None:
    gpu = msgspec.structs.replace(GPUS["h800"], flops=1e12)
    assert scenario_of(Case("ds-27b", "32K", 512, "oracle"), gpu=gpu).gpu_spec is gpu


def test_every_point_has_a_scenario() -> None:
    cases = {point.case for point in points() if point.case}
    names = {scenario_of(case).name for case in cases}
    assert len(names) == len(cases)


def test_agents_that_arrive_are_drawn_from_the_papers_dataset_and_measured_at_rest() -> None:
    scenario = scenario_of(Case("ds-660b", "48K", 500, "dualpath", 0.25))
    assert scenario.workload.agents == 500
    assert scenario.workload.arrivals is not None
    assert scenario.workload.arrivals.rate == 0.25
    assert float(scenario.run.warmup) < float(scenario.run.end.after or 0)


def test_only_qwen_has_more_hbm_than_the_preset() -> None:
    for model in ("ds-27b", "ds-660b"):
        assert scenario_of(Case(model, "32K", 512, "oracle")).gpu_spec == GPUS["h800"]
    gpu = scenario_of(Case("qwen-32b", "32K", 512, "oracle")).gpu_spec
    assert msgspec.structs.replace(gpu, hbm_bytes=GPUS["h800"].hbm_bytes) == GPUS["h800"]
    assert gpu.hbm_bytes > GPUS["h800"].hbm_bytes


def test_a_read_rate_that_is_given_takes_the_place_of_the_calibrated_one() -> None:
    case = Case("qwen-32b", "64K", 32, "basic")
    assert scenario_of(case).cluster.storage.read_bytes_per_s is not None
    given = scenario_of(case, storage={"cluster.storage.read_rate": "5.5 GB/s"})
    assert given.cluster.storage.read_bytes_per_s == 5.5e9
    assert given.name == scenario_of(case).name


def test_so_many_reads_as_a_node_has_at_once_nearly_fill_its_snic() -> None:
    scenario = scenario_of(Case("qwen-32b", "64K", 32, "basic"))
    reads_bps = scenario.cluster.storage.reads_bps(scenario.scheduler.reads_in_flight)
    assert 0.9 < reads_bps / scenario.cluster.snic <= 1.0


def test_large_clusters_are_so_many_of_the_usual_one() -> None:
    large = scenario_of(Case("ds-660b", "48K", 49152, "dualpath", nodes=(48, 96)))
    assert (large.cluster.prefill, large.cluster.decode) == (48, 96)
    assert large.cluster.nodes_per_group == {"prefill": 2, "decode": 4}
    assert large.cluster.storage.hosts == 48


def test_longer_appends_and_generations_are_scaled() -> None:
    case = Case("ds-660b", "64K", 1024, "basic", append=2.0)
    assert scenario_of(case).workload.append_scale == 2.0
    assert scenario_of(case._replace(append=1.0, gen=0.5)).workload.gen_scale == 0.5
