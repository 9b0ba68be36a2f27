"""A scenario means what it says, or is refused with the key, the value and the remedy."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from controller.lanes import Arbitration
from plan.errors import ScenarioError
from scenarios.configuration import library, units, yaml_dialect
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.configuration.schema import Scenario
from tests.examples import tries

QUICKSTART = library.find(library.QUICKSTART)
MINIMAL = {"workload": {"source": {"generator": "32K"}, "agents": 4}}


def load(text: str, overrides: list[str] | None = None) -> Scenario:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "case.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return load_scenario(path, overrides or [])


def refusal(*overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(yaml.safe_dump(MINIMAL), list(overrides))
    return str(caught.value)


def test_the_workload_is_all_that_must_be_given() -> None:
    scenario = load(yaml.safe_dump(MINIMAL))
    assert (scenario.name, scenario.engine, scenario.cluster.gpus_per_node) == (
        "case",
        "emulate",
        8,
    )


def test_the_quickstart_is_one_gpu_and_an_eighth_of_the_snic_on_each_side() -> None:
    cluster = load_scenario(QUICKSTART).cluster
    assert cluster.engines_per_node == 1
    assert cluster.node_snic_bps == 25e9
    assert cluster.storage_bps == 50e9


def test_merged_engines_keep_the_node_s_total_cnic_rate() -> None:
    cluster = load(yaml.safe_dump(MINIMAL), ["cluster.slice=1/2", "cluster.merge=4"]).cluster
    assert cluster.engines_per_node * cluster.engine_cnic_bps == 4 * cluster.cnic


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('cluster.cnic="400"', 'cluster.cnic: "400" has no unit; write e.g. "400 Gbit/s"'),
        ("cluster.cnic=400", 'cluster.cnic: 400 has no unit; write e.g. "400 Gbit/s"'),
        ("cluster.snic=50 GB/s", 'cluster.snic: "50 GB/s" is not in bit/s; write e.g.'),
        ("cluster.cnci=1", "cluster.cnci: 1 is not a known key; did you mean cnic?"),
        ("model={name: x, layres: 2}", "model.layres: 2 is not a known key; did you mean layers?"),
        ("cluster.prefill=0", "cluster.prefill: 0 is not accepted; write a whole number >= 1"),
        ("cluster.slice=1/3", 'cluster.slice: "1/3" leaves 8/3 GPUs of a node; write a multiple'),
        ("cluster.slice=9/8", 'cluster.slice: "9/8" cannot be used; write a share of a node'),
        ("cluster.merge=3", "cluster.merge: 3 cannot be used; write a divisor of the 8"),
        ("systems=[fast]", 'systems[0]: "fast" is not a built-in system; write one of basic'),
        ("systems=[basic, basic]", 'systems[0]: "basic" is there twice'),
        (
            "systems=[{name: mine, scheduler: fair}]",
            'systems[0].scheduler: "fair" is not there; write dualpath, round_robin, FILE.py:NAME',
        ),
        ("model=gpt", 'model: "gpt" is not a preset; write one of ds-660b'),
        ("ep=true", "ep: True cannot be used; write false or null: qwen-32b has no experts"),
        ("collectives=true", "collectives: True cannot be used; write tensor or off"),
        ("collectives=ring", "write true or false or one of alltoall, off, tensor"),
        ("lanes.high_limit=255", "lanes.high_limit: 255 is not accepted; write a whole number"),
        ("lanes.high_limit=-1", "lanes.high_limit: -1 is not accepted; write a whole number"),
        ("lanes={max_vls: 4}", "lanes.max_vls: 4 is not a known key"),
        (
            "lanes.vlarb_low=[[4, 1]]",
            "lanes.vlarb_low[0][0]: 4 is not accepted; write a whole number >= 0, <= 3",
        ),
        (
            "lanes.vlarb_high=[[0, 1], [0, 256]]",
            "lanes.vlarb_high[1][1]: 256 is not accepted; write a whole number >= 0, <= 255",
        ),
        (
            "lanes.vlarb_high=[[0]]",
            "lanes.vlarb_high[0]: [0] is not accepted; write [a whole number >= 0, <= 3; a whole",
        ),
        (
            "lanes.vlarb_low=[[0, 192]]",
            "lanes.vlarb_low: [[0, 192]] leaves VL2 (kv) out; add [2, 64]: without a weight",
        ),
        (
            "lanes=fast",
            'lanes: "fast" is not accepted; write true or false or a mapping with high_',
        ),
        (
            "workload={source: {generator: 32K}, agents: 1, min_turns: 1, turns: {skip: 5}}",
            "workload.min_turns: 1 is too small",
        ),
        ("workload.source.trace=gone.json", "does not exist; correct the path, or write fallback"),
        ("workload.source.fallback=32K", "workload.source.fallback: "),
        ("model.layers=4", "override model as a whole"),
        ("seed", "--set: "),
    ],
)
def test_a_refusal_names_the_key_the_value_and_the_remedy(override: str, expected: str) -> None:
    assert expected in refusal("model=qwen-32b", override)


def test_trajectories_are_long_enough_for_the_turns_that_are_asked_for() -> None:
    workload = load(yaml.safe_dump(MINIMAL), ["workload.turns.skip=5"]).workload
    assert workload.shortest == 6


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("true", "alltoall"),
        ("alltoall", "alltoall"),
        ("tensor", "tensor"),
        ("false", None),
        ("off", None),
        ('"off"', None),
    ],
)
def test_collectives_are_named_or_on_or_off(written: str, sent: str | None) -> None:
    assert load(yaml.safe_dump(MINIMAL), [f"collectives={written}"]).exchanged == sent


@pytest.mark.parametrize(
    ("override", "arbitration"),
    [
        ("lanes=true", Arbitration()),
        ("lanes={}", Arbitration()),
        ("lanes=false", None),
        ("lanes.high_limit=3", Arbitration(high_limit=3)),
        ("lanes={vlarb_high: [[0, 1]]}", Arbitration(vlarb_high=((0, 1),))),
    ],
)
def test_lanes_are_the_papers_or_another_arbitrations_or_off(
    override: str, arbitration: Arbitration | None
) -> None:
    assert load(yaml.safe_dump(MINIMAL), [override]).arbitration == arbitration


def test_a_missing_workload_is_missed() -> None:
    with pytest.raises(ScenarioError, match=r"^workload: is missing; write a mapping with source"):
        load("{}")


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ScenarioError, match="'agents' is given twice"):
        load("workload: {agents: 1, agents: 2, source: {generator: 32K}}")


def test_a_ratio_written_with_a_colon_is_not_read_in_base_60() -> None:
    assert load(yaml.safe_dump(MINIMAL), ["cluster.slice=1:8"]).cluster.slice == units.Ratio(1, 8)


def test_an_override_replaces_the_generator_by_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.touch()
    source = load(yaml.safe_dump(MINIMAL), [f"workload.source.trace={trace}"]).workload.source
    assert (source.generator, source.trace) == (None, str(trace))


def test_a_trace_is_found_from_the_scenario_s_own_directory(tmp_path: Path) -> None:
    (tmp_path / "trace.json").touch()
    path = tmp_path / "s.yaml"
    path.write_text("workload: {source: {trace: trace.json}, agents: 1}")
    assert load_scenario(path).workload.source.trace == str(tmp_path / "trace.json")


def test_alpha_is_a_time_or_a_number_of_tokens() -> None:
    scenario = load(yaml.safe_dump(MINIMAL), ["scheduler.alpha=40 ktokens"])
    assert scenario.scheduler.alpha.tokens(7.0) == 40_000
    assert scenario.scheduler.beta.tokens(7.0) == 35


positive = st.floats(min_value=1e-6, max_value=1e18, allow_nan=False)
rates = positive.map(lambda value: str(units.Bandwidth(value)))
overridden = st.fixed_dictionaries(
    {},
    optional={
        "description": st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
        "seed": st.integers(0, 2**62),
        "lanes": st.booleans()
        | st.fixed_dictionaries(
            {},
            optional={
                "high_limit": st.integers(0, 254),
                "vlarb_high": st.lists(st.tuples(st.integers(0, 3), st.integers(0, 255)).map(list)),
            },
        ),
        "cluster": st.fixed_dictionaries(
            {"slice": st.sampled_from(["1", "1/2", "1:4", 0.125])},
            optional={
                "cnic": rates,
                "storage": st.fixed_dictionaries({"rate": st.one_of(st.just("auto"), rates)}),
            },
        ),
        "scale": st.fixed_dictionaries({"byte_scale": positive}),
        "systems": st.just([{"name": "mine", "paths": "pe"}, "oracle"]),
    },
)


@tries(50)
@given(overridden)
def test_the_resolved_scenario_reads_back_equal(changes: dict[str, Any]) -> None:
    scenario = load(yaml_dialect.write(MINIMAL | changes))
    assert load(resolved_yaml(scenario)) == scenario


@given(st.sampled_from(units.QUANTITIES[:4]), positive)
def test_a_quantity_reads_back_exactly(kind: type[units.Physical], value: float) -> None:
    assert kind.parse(str(kind(value))) == value


keys = st.one_of(
    st.sampled_from([field.name for field in msgspec.structs.fields(Scenario)]),
    st.sampled_from(["source", "agents", "slice", "storage", "rate", "k", "alpha", "turns"]),
    st.text(max_size=4),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["400 Gbit/s", "1/8", "0/0", "auto", "1e999 s", "nan s", "3 k", "32K"]),
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
)


def only_scenario_errors(text: str) -> None:
    with contextlib.suppress(ScenarioError):
        load(text)


@given(st.dictionaries(keys, documents, max_size=6))
def test_no_mapping_raises_anything_but_a_scenario_error(document: dict[str, Any]) -> None:
    only_scenario_errors(yaml.dump(MINIMAL | document))


@given(st.text())
@example("[" * 5000)
@example("a: &x [*x]")
@example("workload: &w {source: *w, agents: *w}")
@example("? [a]\n: 1")
@example("1: 2")
@example("seed: 99999999999999999999999999\nworkload: {source: {generator: 32K}, agents: 1}")
@example("workload: {source: {generator: 32K}, agents: 1}\nseed: 1e999")
@example("!!python/object:os.system {}")
@example("\ud800")
def test_no_text_raises_anything_but_a_scenario_error(text: str) -> None:
    only_scenario_errors(text)
