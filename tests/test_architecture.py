"""The laws of the house: who may import whom, what a node process loads, what is not written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import house
from tests.house import House
from topology import machine

ROOT = Path(__file__).parents[1]
PACKAGES = ("plan", "topology", "controller", "nodes", "scenarios")
HOUSE = House(ROOT, PACKAGES)
MOST_LINES = 400

PROTOCOL = {"plan", "nodes/protocol"}
FLOOR = {*PROTOCOL, "nodes/agents", "nodes/timing"}
WORLD = {*PROTOCOL, "nodes/worlds"}
ENGINES = {*FLOOR, "nodes/worlds", "nodes/storage", "nodes/scheduling"}
ROLES = {*ENGINES, "nodes/engines"}

CONFIGURED = {"plan", "scenarios/workload"}
PLANNED = {*CONFIGURED, "scenarios/configuration", "scenarios/results"}
ANALYSED = {*PLANNED, "scenarios/planning"}
REPORTED = {*ANALYSED, "scenarios/analysis", "scenarios/reproduction"}
RUN = {*REPORTED, "scenarios/reports"}

ROWS: house.Rows = {
    "plan": set(),
    "topology": {"plan"},
    "controller": {"plan"},
    "nodes/protocol": {"plan"},
    "nodes/agents": PROTOCOL,
    "nodes/timing": PROTOCOL,
    "nodes/worlds": PROTOCOL,
    "nodes/worlds/sockets": WORLD,
    "nodes/worlds/virtual": WORLD,
    "nodes/storage": FLOOR,
    "nodes/scheduling": FLOOR,
    "nodes/engines": ENGINES,
    "nodes/roles": ROLES,
    "nodes/main": {*ROLES, "nodes/roles", "nodes/worlds/sockets"},
    "nodes/virtual_run": {*ROLES, "nodes/roles", "nodes/worlds/virtual"},
    "scenarios/workload": {"plan"},
    "scenarios/configuration": {*CONFIGURED, "controller", "nodes/scheduling"},
    "scenarios/results": {*CONFIGURED, "scenarios/configuration"},
    "scenarios/planning": {*PLANNED, "topology", "controller", "nodes/scheduling", "nodes/timing"},
    "scenarios/analysis": {*ANALYSED, "nodes/timing"},
    "scenarios/reproduction": {*PLANNED, "nodes/timing"},
    "scenarios/exports": PLANNED,
    "scenarios/reports": REPORTED,
    "scenarios/running": {*RUN, "topology", "controller", "nodes/virtual_run"},
    "scenarios": {*RUN, "scenarios/exports", "scenarios/running", "topology", "nodes/timing"},
}
"""A folder, or one file of a folder -> where it may import from; never from one of a row below."""

NAMED_AT_RUN_TIME = {
    "plan/plugins.py",
    "scenarios/cli.py",
    "scenarios/configuration/plugins.py",
    "scenarios/running/compiled.py",
    "topology/machine.py",
}
"""Two load what a user asks for (a plug-in, a command), two find such a thing without loading it
(a plug-in, a package), one finds what the files of a table were compiled to."""

LOADS_FIRST = {"scenarios/__init__.py", "scenarios/reports/figures.py"}
"""One keeps out what is not ours, before any other import; one loads matplotlib where no file of
others is followed."""

FOREIGN = {
    "ryu": {"controller/app.py", "controller/launcher.py"},
    "eventlet": {"controller/app.py", "controller/launcher.py"},
    "mininet": {"topology"},
    "subprocess": {"topology", "controller", "scenarios"},
    "lmdb": {"nodes/worlds/sockets"},
    "yaml": {"scenarios/configuration"},
    "matplotlib": {"scenarios/reports/figures.py"},
    "jinja2": {"scenarios/reports"},
    "rich": {"scenarios"},
    "scapy": {"scenarios/results/frames.py"},
    "aiconfigurator_core": {"scenarios/profile_gpu.py"},
    "dask": {"scenarios/running/dask_fleet.py"},
    "distributed": {"scenarios/running/dask_fleet.py"},
    "scipy": {"scenarios/running/fitting.py"},
}
"""A foreign package -> the only files and folders that may import it."""

COVERED = {
    "plan/deployment.py": "tests/scenarios/planning/test_plan.py",
    "plan/fabric.py": "tests/topology/test_fattree.py",
    "plan/gpu_profile.py": "tests/scenarios/analysis/test_planner.py",
    "plan/lanes.py": "tests/controller/test_lanes.py",
    "plan/model.py": "tests/nodes/test_virtual_run.py",
    "plan/scale.py": "tests/scenarios/running/test_calibration.py",
    "plan/workload.py": "tests/scenarios/workload/test_trace.py",
    "controller/app.py": "tests/controller/test_launcher.py",
    "topology/counters.py": "tests/topology/test_capture.py",
    "topology/namespace.py": "tests/topology/test_capture.py",
    "topology/ovs.py": "tests/topology/test_network.py",
    "topology/sandbox.py": "tests/topology/test_network.py",
    "topology/shaping.py": "tests/topology/test_network.py",
    "topology/tcp.py": "tests/topology/test_injuries.py",
    "nodes/agents/context.py": "tests/nodes/agents/test_population.py",
    "nodes/protocol/signs.py": "tests/nodes/test_faults.py",
    "nodes/scheduling/failover.py": "tests/nodes/test_faults.py",
    "nodes/storage/index.py": "tests/nodes/storage/test_server.py",
    "nodes/worlds/virtual/host.py": "tests/nodes/test_faults.py",
    "nodes/worlds/virtual/injection.py": "tests/nodes/test_faults.py",
    "nodes/scheduling/restarted.py": "tests/nodes/test_faults.py",
    "nodes/worlds/virtual/mortal_world.py": "tests/nodes/test_faults.py",
    "plan/faults.py": "tests/nodes/test_faults.py",
    "nodes/engines/decode_node.py": "tests/nodes/test_virtual_run.py",
    "nodes/engines/engine_node.py": "tests/nodes/test_virtual_run.py",
    "nodes/engines/prefill_node.py": "tests/nodes/test_virtual_run.py",
    "nodes/protocol/world.py": "tests/nodes/worlds/virtual/test_world.py",
    "nodes/protocol/messages.py": "tests/nodes/worlds/sockets/test_world.py",
    "nodes/roles.py": "tests/nodes/test_virtual_run.py",
    "nodes/scheduling/leader.py": "tests/nodes/test_virtual_run.py",
    "nodes/scheduling/round_robin.py": "tests/nodes/scheduling/test_registry.py",
    "nodes/storage/client.py": "tests/nodes/storage/test_dram_pool.py",
    "nodes/worlds/dram_bus.py": "tests/nodes/test_virtual_run.py",
    "nodes/worlds/failure.py": "tests/nodes/worlds/sockets/test_world.py",
    "nodes/worlds/sockets/namespaces.py": "tests/nodes/worlds/sockets/test_world.py",
    "nodes/worlds/virtual/agenda.py": "tests/nodes/worlds/virtual/test_loop.py",
    "nodes/worlds/virtual/identity_store.py": "tests/nodes/storage/test_block_store.py",
    "nodes/worlds/virtual/lane_state.py": "tests/nodes/worlds/virtual/test_lane_sharing.py",
    "scenarios/compile.py": "tests/scenarios/running/test_compiled.py",
    "scenarios/analysis/sweep_figures.py": "tests/scenarios/running/test_sweep.py",
    "scenarios/configuration/checks.py": "tests/scenarios/configuration/test_schema.py",
    "scenarios/configuration/decoding.py": "tests/scenarios/configuration/test_schema.py",
    "scenarios/configuration/loading.py": "tests/scenarios/configuration/test_schema.py",
    "scenarios/configuration/online.py": "tests/scenarios/planning/test_online.py",
    "scenarios/configuration/units.py": "tests/scenarios/configuration/test_schema.py",
    "scenarios/overrides.py": "tests/scenarios/test_run.py",
    "scenarios/planning/points.py": "tests/scenarios/running/test_sweep.py",
    "scenarios/configuration/trust.py": "tests/scenarios/running/test_ownership.py",
    "scenarios/exports/trace_events.py": "tests/scenarios/exports/test_timeline.py",
    "scenarios/reports/capacity_plots.py": "tests/scenarios/test_capacity.py",
    "scenarios/reports/capacity_report.py": "tests/scenarios/test_capacity.py",
    "scenarios/reports/capacity_sweep_report.py": "tests/scenarios/test_capacity.py",
    "scenarios/reports/comparison_report.py": "tests/scenarios/test_compare.py",
    "scenarios/reports/congestion_plots.py": "tests/scenarios/reports/test_plots.py",
    "scenarios/reports/drawing.py": "tests/scenarios/reports/test_plots.py",
    "scenarios/reports/figures.py": "tests/scenarios/reports/test_texts.py",
    "scenarios/reports/gallery.py": "tests/scenarios/reports/test_report.py",
    "scenarios/reports/headline.py": "tests/scenarios/reports/test_report.py",
    "scenarios/reports/page.py": "tests/scenarios/reports/test_report.py",
    "scenarios/reports/service_plots.py": "tests/scenarios/reports/test_plots.py",
    "scenarios/reports/sweep_plots.py": "tests/scenarios/running/test_sweep.py",
    "scenarios/reports/sweep_report.py": "tests/scenarios/running/test_sweep.py",
    "scenarios/reports/theory_plot.py": "tests/scenarios/test_theory.py",
    "scenarios/reports/plan_report.py": "tests/scenarios/test_plan.py",
    "scenarios/reports/trace_report.py": "tests/scenarios/test_trace.py",
    "scenarios/reports/validation_report.py": "tests/scenarios/test_validate.py",
    "scenarios/reports/wire_report.py": "tests/scenarios/results/test_wire.py",
    "scenarios/results/frames.py": "tests/scenarios/results/test_wire.py",
    "scenarios/results/provenance.py": "tests/scenarios/test_run.py",
    "scenarios/results/taps.py": "tests/scenarios/results/test_wire.py",
    "scenarios/results/windows.py": "tests/scenarios/results/test_metrics.py",
    "scenarios/running/controller_process.py": "tests/scenarios/running/test_events.py",
    "scenarios/running/cpu.py": "tests/scenarios/running/test_events.py",
    "scenarios/running/execution.py": "tests/scenarios/test_run.py",
    "scenarios/running/dask_fleet.py": "tests/scenarios/running/test_fleet.py",
    "scenarios/running/far_end.py": "tests/scenarios/running/test_fleet.py",
    "scenarios/running/fabric.py": "tests/scenarios/running/test_emulation.py",
    "scenarios/running/fault_records.py": "tests/scenarios/test_emulated_faults.py",
    "scenarios/running/following.py": "tests/scenarios/test_run.py",
    "scenarios/running/held.py": "tests/scenarios/running/test_sweep.py",
    "scenarios/running/live_page.py": "tests/scenarios/test_serve.py",
    "scenarios/running/node_processes.py": "tests/scenarios/test_run.py",
    "scenarios/running/prompt.py": "tests/scenarios/test_emulated.py",
    "scenarios/running/recording.py": "tests/scenarios/test_run.py",
    "scenarios/running/simulation.py": "tests/scenarios/test_validate.py",
    "scenarios/running/snic_watch.py": "tests/scenarios/test_run.py",
    "scenarios/workload/lengths.py": "tests/scenarios/workload/test_trace.py",
    "scenarios/workload/requests.py": "tests/scenarios/workload/test_trace.py",
    "scenarios/workload/sniffing.py": "tests/scenarios/test_trace.py",
    "scenarios/workload/trace_files.py": "tests/scenarios/workload/test_trace.py",
    "scenarios/workload/turn_rows.py": "tests/scenarios/workload/test_trace_writers.py",
}
"""A file whose claims are made through another -> the test that makes them."""


WORKPLACE = re.compile(r"(?<![\w.])/(?:work|root|home)/\w+")
INDEX = "py" + "pi"
REGISTRIES = re.compile(rf"{INDEX}\.org|/{INDEX}|python{'hosted'}")


def test_every_import_has_its_arrow_in_the_table() -> None:
    assert house.arrows(HOUSE, ROWS) == []


def test_every_folder_has_its_row() -> None:
    assert house.unknown(HOUSE, ROWS) == []


def test_no_arrow_of_the_table_points_up() -> None:
    assert house.circle(ROWS) == []


def test_no_file_imports_itself_over_others() -> None:
    assert house.circle(HOUSE.between_files()) == []


def test_topology_controller_and_nodes_share_only_the_plan() -> None:
    below = ("topology", "controller", "nodes")
    for row, targets in ROWS.items():
        package = row.partition("/")[0]
        if package in below:
            assert {target.partition("/")[0] for target in targets} <= {package, "plan"}, row


def test_no_import_is_relative() -> None:
    assert house.relative(HOUSE) == []


def test_no_import_is_named_at_run_time_but_a_command_of_the_command_line() -> None:
    assert house.dynamic(HOUSE, NAMED_AT_RUN_TIME) == []


def test_foreign_packages_stay_where_they_are_needed() -> None:
    assert house.foreigners(HOUSE, FOREIGN) == []


def test_an_init_file_only_says_what_its_folder_is_for() -> None:
    assert house.busy_packages(HOUSE, LOADS_FIRST) == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert house.long(HOUSE, MOST_LINES) == []
    assert house.long(House(ROOT, ("tests",)), MOST_LINES) == []


def test_every_file_that_does_something_has_its_test() -> None:
    assert house.untested(HOUSE, COVERED) == []


def test_nodes_never_block_on_the_wall_clock() -> None:
    for file, tree in House(ROOT, ("nodes",)).files.items():
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="time"), attr="sleep"):
                    raise AssertionError(f"{file}:{node.lineno} sleeps")
                case ast.ImportFrom(module="time", names=names):
                    assert "sleep" not in {alias.name for alias in names}, file


def test_a_node_process_loads_nothing_it_does_not_use() -> None:
    heavy = {"matplotlib", "scapy", "mininet", "ryu", "eventlet", "rich", "yaml", "jinja2"}
    script = f"import sys, nodes.main; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "command", ["run", "capacity", "compare", "export", "plan", "trace", "validate", "theory"]
)
def test_a_command_loads_what_draws_and_what_builds_networks_only_when_it_has_to(
    command: str,
) -> None:
    heavy = {"matplotlib", "jinja2", *machine.PACKAGES}
    script = f"import sys, scenarios.{command}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_a_run_s_report_and_its_live_page_are_drawn_without_matplotlib() -> None:
    script = (
        "import sys, scenarios.reports.report, scenarios.reports.live;"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]


def test_make_installs_every_package_that_the_machine_check_asks_for() -> None:
    # part of every Debian and Ubuntu
    essential = {"util-linux"}
    [programs] = re.findall(r"^PROGRAMS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    installed = {entry.partition(":")[2] for entry in programs.split()}
    asked = {*machine._PROGRAMS.values(), *machine._CAPTURE_PROGRAMS.values()}
    assert installed == asked - essential


def tracked() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        # of this checkout alone, and nothing that a repository above it may name
        ["git", f"--git-dir={ROOT / '.git'}", "-c", "core.fsmonitor=false", "ls-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and Path(name).suffix not in {".png", ".gz"}:
            yield name, (ROOT / name).read_text()


def test_nothing_tracked_names_a_package_index_or_a_developers_directory() -> None:
    found = [
        (name, match[0])
        for name, text in tracked()
        if name != "tests/test_architecture.py"
        for match in (*WORKPLACE.finditer(text), *REGISTRIES.finditer(text))
    ]
    assert found == []
