"""What a scenario can ask for beside the plain run, each once over real sockets, and small."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.telemetry import read_samples
from plan.model import Plan, read_plan
from plan.records import RequestRecord
from scenarios.configuration import loading
from scenarios.planning.plan import make_plan
from scenarios.run import main
from scenarios.running.outcome import DONE, DOUBTED, FAILED
from scenarios.validate import MISSED
from scenarios.validate import main as validate
from tests.scenarios.commands import TINY

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(120)]

SERVED = (DONE, DOUBTED)
"""How well a busy machine keeps time is for the run's own verdict to say."""
FEW = ("workload.agents=6", "workload.max_gen=8", "report.sample=50 ms")
BUSY_BYTES = 1e7
"""More than a link carries that nothing was sent over."""


class Served:
    """An emulated run that is over."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.plan: Plan = read_plan(out / "plan.json")
        self.systems: dict[str, dict[str, Any]] = read(out / "summary.json")["systems"]

    def records(self, system: str) -> list[RequestRecord]:
        lines = (self.out / "systems" / system / "requests.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line, type=RequestRecord) for line in lines]


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def overrides(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def serve(out: Path, *settings: str) -> Served:
    assert main([str(TINY), "--out", str(out), *overrides(*settings)]) in SERVED
    found = Served(out)
    for figures in found.systems.values():
        assert figures["completed"] == figures["requests"] > 0
        assert figures["blocks_corrupt"] == 0
    return found


# --- a cluster of another shape


SHAPE = (
    *("cluster.prefill=2", "cluster.decode=2", "cluster.slice=1/2", "cluster.merge=2"),
    *("cluster.group_nodes.prefill=1", "cluster.group_nodes.decode=2"),
    *("cluster.converged=true", "cluster.fat_tree.oversubscription=2"),
    *("copies=direct", "scale.dilation=4"),
)


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Two nodes a side, two merged engines each, on one oversubscribed fabric."""
    out = tmp_path_factory.mktemp("shaped") / "run"
    return serve(out, *SHAPE, *FEW, "systems=[dualpath]")


def test_merged_gpus_are_one_engine(shaped: Served) -> None:
    """Of half of eight GPUs two engines are left, each with the CNICs of two."""
    left = {f"{node}.{engine}" for node in ("pe0", "pe1", "de0", "de1") for engine in "01"}
    assert {name for node in shaped.plan.fabric.engine_nodes for name in node.engines} == left
    # which of them so few requests meet is the scheduler's affair, and the machine's
    used = {str(e) for record in shaped.records("dualpath") for e in (record.pe, record.de)}
    assert used <= left
    assert {engine.partition(".")[2] for engine in used} == {"0", "1"}
    assert shaped.systems["dualpath"]["cnic"]["pe0"]["0"]["rate_bps"] == 2 * 400e9


def test_a_forward_has_the_engines_of_its_group_at_most(shaped: Served) -> None:
    assert shaped.plan.groups == (("pe0",), ("pe1",), ("de0", "de1"))
    assert 0 < shaped.systems["dualpath"]["forward_engines"] <= 2


def test_switches_of_a_converged_fabric_carry_both_kinds_of_traffic(shaped: Served) -> None:
    """Some core switch has busy links to the leaves of SNICs and to those of CNICs."""
    fabric = shaped.plan.fabric
    below: dict[str, set[str]] = {switch.name: set() for switch in fabric.switches}
    for nic in fabric.nics:
        below[nic.switch].add(nic.kind)
    carried = read_samples(shaped.out / "telemetry.jsonl", shaped.plan, 0.0)[-1].links
    # links of edge switches come before those of the switches above
    for link in fabric.links:
        if min(carried[link.name]) > BUSY_BYTES:
            below[link.b] |= below[link.a]
    assert {"snic", "cnic"} in [below[link.b] for link in fabric.links]


def test_direct_copies_take_the_lane_of_collectives(shaped: Served) -> None:
    """Nothing else is there: no collectives were asked for."""
    read_bytes = sum(use["read_bytes"] for use in shaped.systems["dualpath"]["snic"].values())
    # what was read is copied into HBM on both sides, and counted at host and leaf
    assert shaped.systems["dualpath"]["lanes"]["collective"]["bytes"] > read_bytes


# --- systems beside the usual ones

SPLIT_AND_POOL = "systems=[{name: split, paths: split}, dram-pool]"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """One agent, so that every request is served alone."""
    few = ("workload.agents=1", "workload.turns.count=3", *FEW[1:])
    return serve(tmp_path_factory.mktemp("alone") / "run", *few, SPLIT_AND_POOL)


def test_a_split_request_is_read_by_the_snics_of_both_sides(alone: Served) -> None:
    assert {record.path for record in alone.records("split")} == {"split"}
    read_bytes = [use["read_bytes"] for use in alone.systems["split"]["snic"].values()]
    assert min(read_bytes) > 0.9 * max(read_bytes)


def test_what_the_dram_pool_holds_is_not_read_from_storage(alone: Served) -> None:
    first, *others = alone.records("dram-pool")
    assert first.pool_tokens == 0
    assert all(record.pool_tokens == record.hit_tokens > 0 for record in others)
    every, once = (
        sum(use["read_bytes"] for use in alone.systems[system]["snic"].values())
        for system in ("split", "dram-pool")
    )
    hits = sum(record.hit_tokens for record in alone.records("split"))
    assert once == pytest.approx(every * first.hit_tokens / hits, rel=0.1)


# --- other ways to run


def test_agents_arrive_as_they_do_simulated_and_the_run_ends_with_requests_under_way(
    tmp_path: Path,
) -> None:
    arrive = ("workload.arrival=8 /s", "workload.agents=4", "workload.max_gen=128")
    end = ("run.warmup=1 s", "run.end.after=4 s", "systems=[dualpath]")
    engines = ("emulate", "simulate")
    asked = []
    for engine in engines:
        settings = overrides(*arrive, *end, f"engine={engine}")
        assert main([str(TINY), "--out", str(tmp_path / engine), *settings]) in SERVED
        run = Served(tmp_path / engine)
        ending = read(run.out / "systems/dualpath/ending.json")
        records = run.records("dualpath")
        assert (ending["ended_by"], ending["from_s"]) == ("after", 1)
        assert ending["to_s"] == pytest.approx(4, abs=0.5)
        assert 0 < ending["under_way"] == sum(r.done_s is None for r in records) < len(records)
        assert run.systems["dualpath"]["blocks_corrupt"] == 0
        begun = {r.agent: r for r in records if r.turn == 0}
        for record in begun.values():
            if record.done_s is not None:  # what was stored of an agent came with it
                stored = run.plan.trajectory(record.agent).preloaded
                assert record.hit_tokens == stored // 64 * 64 > 0
        asked.append({number: (r.submit_s, r.prompt_tokens) for number, r in begun.items()})
    emulated, simulated = asked
    both = emulated.keys() & simulated.keys()
    assert len(both) > 15
    for number in both:
        assert emulated[number][0] == pytest.approx(simulated[number][0], abs=0.3)
        assert emulated[number][1] == simulated[number][1]


def test_an_automatic_dilation_is_found_and_kept(tmp_path: Path) -> None:
    served = serve(tmp_path / "run", "scale.dilation=auto", *FEW, "systems=[basic]")
    told = read(served.out / "provenance.json")["dilation"]
    resolved = loading.load_scenario(served.out / "scenario.yaml").scale.dilation
    assert told.startswith(f"auto: {resolved:g}. ")
    assert served.plan.scale.dilation == resolved


def test_every_point_of_an_emulated_sweep_has_a_fabric_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text(TINY.read_text() + "sweep: {pd: ['1:1', '1:2']}\n")
    arguments = overrides(*FEW, "systems=[dualpath]")
    assert main([str(path), "--out", str(tmp_path / "run"), *arguments]) in SERVED
    points = [Served(place) for place in sorted((tmp_path / "run/points").iterdir())]
    assert [set(point.systems["dualpath"]["snic"]) for point in points] == [
        {"pe0", "de0"},
        {"pe0", "de0", "de1"},
    ]
    for point in points:
        assert read(point.out / "provenance.json")["datapath"] is not None
    assert (tmp_path / "run/sweep.html").exists()


def test_validation_sets_an_emulated_run_against_simulated_ones(tmp_path: Path) -> None:
    arguments = [*overrides(*FEW, "systems=[basic]"), "--repeats", "1"]
    out = tmp_path / "pair"
    assert validate([str(TINY), "--out", str(out), *arguments]) in (*SERVED, MISSED)
    emulated, simulated = (Served(out / "tiny" / run) for run in ("emulate", "simulate-1"))
    datapaths = [read(run.out / "provenance.json")["datapath"] for run in (emulated, simulated)]
    assert datapaths[0] is not None
    assert datapaths[1] is None
    [found] = read(out / "validation.json")
    jct = found["systems"]["basic"][0]
    assert jct["emulated"] == emulated.systems["basic"]["jct_s"]
    assert jct["emulated"] != jct["simulated"]
    assert jct["error"] == pytest.approx(0, abs=0.5)


REACH = """import socket, sys
with socket.socket() as caller:
    caller.bind((sys.argv[1], 0))
    try:
        caller.connect((sys.argv[2], 9))
    except ConnectionRefusedError:
        print(sys.argv[2], "refused")
"""
"""Whoever refuses has been reached."""


def test_the_prompt_is_on_the_scenarios_shaped_fabric(tmp_path: Path) -> None:
    """Oversubscribed two to one, the kernel has half of a CNIC's rate for the links between
    switches; hosts reach each other by the names of ends; the names of hosts stay names."""
    fabric = make_plan(loading.load_scenario(TINY, [*SHAPE])).plan.fabric
    nic = next(nic for nic in fabric.nics if nic.kind == "cnic")
    link = next(link for link in fabric.links if link.a == nic.switch)
    reach = tmp_path / "reach.py"
    reach.write_text(REACH)
    asked = [
        *(f"sh tc class show dev {device}" for device in (nic.switch_device, link.a_device)),
        f"pe0 {sys.executable} {reach} pe0.dram0 de0.hbm0",
        "pe0 echo I am not de0g0",
        "exit",
    ]
    command = [sys.executable, "-m", "scenarios.run", str(TINY), "--cli", *overrides(*SHAPE)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        input="\n".join([*asked, ""]),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == DONE, done.stderr
    nic_kbit, link_kbit = map(int, re.findall(r" root rate (\d+)Kbit ", done.stdout))
    assert link_kbit == nic_kbit // 2
    assert {"de0.hbm0 refused", "I am not de0g0"} <= set(done.stderr.splitlines())


# --- a policy of one's own


def test_a_policy_of_one_s_own_serves_and_a_broken_one_ends_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (Path(__file__).parents[2] / "examples/least_bytes.py").read_text()
    for name, text in (("good", source), ("bad", source.replace("return chosen", "return 1 / 0"))):
        (tmp_path / f"{name}.py").write_text(text)
    systems = ", ".join(
        f"{{name: {name}, scheduler: '{tmp_path}/{name}.py:LeastBytes'}}"
        for name in ("good", "bad")
    )
    out = tmp_path / "run"
    arguments = [str(TINY), "--out", str(out), *overrides(*FEW, f"systems=[{systems}]")]
    assert main(arguments) == FAILED
    served = Served(out)
    assert list(served.systems) == ["good"]
    assert served.systems["good"]["completed"] == served.systems["good"]["requests"] > 0
    [line] = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert "ZeroDivisionError: division by zero" in line
    where = re.search(rf"{tmp_path}/bad\.py:(\d+) in LeastBytes\.choose_des", line)
    assert where is not None
    bad = (tmp_path / "bad.py").read_text().splitlines()
    assert bad[int(where[1]) - 1].strip() == "return 1 / 0"
