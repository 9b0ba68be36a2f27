"""Claims of recorded conversations served where HBM of the decode node is short: Qwen 32B on 2P1D,
one eighth of each node, contexts of up to 60K tokens. Reading over the decode side is of no use
there, and costs little; no system is faster than one that reads nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nodes.virtual_run import simulate
from plan.records import CounterSample, RequestRecord
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan

ROOT = Path(__file__).parents[3]
PLACE = "../shared/traces/kv-cache-tester/raw"
RECORDED = ROOT / PLACE
"""Of kv-cache-tester, which this repository does not hold."""


@pytest.fixture(scope="module")
def jct_s(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """By system."""
    if not RECORDED.is_dir():
        pytest.skip(f"{PLACE} is not there: kv-cache-tester's raw traces")
    path = tmp_path_factory.mktemp("recorded") / "recorded.yaml"
    scenario = {
        "name": "recorded",
        "engine": "simulate",
        "cluster": {"prefill": 2, "decode": 1, "slice": "1/8", "dram_buffer": "320 GB"},
        "model": "qwen-32b",
        "scale": {"layer_groups": 2},
        "workload": {
            "source": {"trace": str(RECORDED), "format": "weka"},
            "agents": 48,
            "max_context": 60000,
        },
        "systems": ["basic", "dualpath", "oracle"],
    }
    path.write_bytes(msgspec.yaml.encode(scenario))
    loaded = load_scenario(path, [])
    plan = make_plan(loaded).plan
    found = {}
    for system in loaded.compared:
        records: list[RequestRecord] = []
        simulate(plan, system, 60.0, records.append, _ignore)
        assert len(records) == plan.requests
        found[system.name] = max(record.done_s or 0.0 for record in records)
    return found


def _ignore(_: CounterSample) -> None:
    """Nobody asks for counters."""


def test_the_second_path_costs_little_where_decode_hbm_is_short(jct_s: dict[str, float]) -> None:
    """Loads from the decode side share its CNIC with copies into HBM that is held meanwhile: some
    0.2 s of the 7 s that a turn decodes."""
    assert jct_s["dualpath"] <= 1.05 * jct_s["basic"]


def test_who_reads_nothing_is_the_fastest(jct_s: dict[str, float]) -> None:
    assert jct_s["oracle"] < min(jct_s["basic"], jct_s["dualpath"])
