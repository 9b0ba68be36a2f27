"""What hunting has found: the fewest faults of each, which are survived now."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.configuration.loading import load_scenario
from scenarios.running.chaos import Hunt

TINY = Path(__file__).parents[1] / "tiny.yaml"
TWO = ["cluster.prefill=2", "cluster.decode=2"]
GROUPS = [
    *("cluster.prefill=2", "cluster.decode=4"),
    *("cluster.group_nodes.decode=2", "collectives=alltoall"),
]
ONLINE = ["workload.arrival=2 /s", "run.end.agents=10"]

FOUND = {
    "several requests came to a policy at once that gives one at a time": (
        "basic",
        GROUPS,
        "{at: 1.107 s, back: 491 ms, kind: kill, target: pe1}",
    ),
    "an attempt given to a node's last life was got by its next": (
        "basic",
        TWO,
        "{at: 804 ms, back: 449 ms, kind: power_off, target: de1}",
    ),
    "and again while no route led to it": (
        "basic",
        [],
        "{at: 2.776 s, back: 666 ms, kind: power_off, target: pe0},"
        "{at: 2.928 s, back: 1.284 s, kind: kill, target: controller},"
        "{at: 3.5 s, back: 1.307 s, kind: power_off, target: pe0}",
    ),
    "a sequence was cancelled in the instant in which it ended": (
        "dram-pool",
        ONLINE,
        "{at: 426 ms, for: 3.996 s, kind: pause, target: de0}",
    ),
    "two attempts for one trajectory were kept in one pool": (
        "dram-pool",
        [],
        "{at: 588 ms, back: 6.573 s, kind: power_off, target: de0}",
    ),
    "an attempt was cancelled before its task had begun": (
        "dualpath",
        TWO,
        "{at: 312 ms, back: 400 ms, kind: kill, target: pe1},"
        "{at: 439 ms, for: 439 ms, kind: pause, target: de0},"
        "{at: 620 ms, back: 53 ms, kind: kill, target: de1}",
    ),
    "what an earlier life had posted took down what a later one posted": (
        "dualpath-rr",
        TWO,
        "{at: 95 ms, for: 1.118 s, kind: pause, target: de0},"
        "{at: 204 ms, back: 865 ms, kind: power_off, target: st0}",
    ),
    "a group's leader let go on who had just begun": (
        "dualpath-rr",
        GROUPS,
        "{at: 202 ms, for: 261 ms, kind: down, target: me0},"
        "{at: 426 ms, back: 38 ms, kind: kill, target: pe1}",
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once_is_survived(what: str) -> None:
    system, changes, faults = FOUND[what]
    scenario = load_scenario(
        TINY,
        [
            *("engine=simulate", "workload.agents=8", f"systems=[{system}]"),
            *(*changes, f"faults=[{faults}]"),
        ],
    )
    _, problems = Hunt(scenario, scenario.compared[0]).serve(scenario.faults)
    assert problems == []
