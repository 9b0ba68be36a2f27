"""Claims: r is what gaps make of an agent's time, and only a sweep of gaps has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenarios.analysis.capacity import Capacities, Point, conclude
from scenarios.configuration.loading import load_scenario
from scenarios.reports.stretch import Stretched, draw, is_of_gaps, stretched


def found(rate: float, jct_s: float, size: float) -> Capacities:
    """Kept at a rate, missed at twice that."""
    point = Point(aps=rate, slo_met=True, agent_jct_s=jct_s, working_set_bytes=size)
    return conclude(
        {"dualpath": [point, Point(aps=2 * rate, slo_met=False, agent_jct_s=9 * jct_s)]}
    )


NOWHERE = conclude({"dualpath": [Point(aps=1.0, slo_met=False, agent_jct_s=1.0)]})


def test_r_is_the_jct_at_a_capacity_over_that_without_gaps() -> None:
    over = {
        "none": found(4.0, 7.0, 1e9),
        "short": found(4.0, 14.0, 2e9),
        "long": found(3.0, 56.0, 8e9),
    }
    assert stretched(over, "dualpath") == [
        Stretched(1.0, 4.0, 1e9),
        Stretched(2.0, 4.0, 2e9),
        Stretched(8.0, 3.0, 8e9),
    ]


def test_where_there_is_no_capacity_there_is_no_r() -> None:
    some = {"none": found(4.0, 7.0, 1e9), "short": NOWHERE, "long": found(3.0, 56.0, 8e9)}
    assert [one.r for one in stretched(some, "dualpath")] == [1.0, 8.0]
    assert stretched({"none": NOWHERE, "long": found(3.0, 56.0, 8e9)}, "dualpath") == []
    assert stretched(some, "basic") == []
    assert draw({"none": NOWHERE}, None) is None


def test_the_pool_and_what_the_paper_expects_are_drawn_beside_it() -> None:
    over = {"none": found(4.0, 7.0, 1e9), "long": found(3.0, 56.0, 8e9)}
    figure = draw(over, 25e9)
    assert figure is not None
    capacity, held = figure.axes
    _, expected = capacity.lines
    assert np.asarray(expected.get_ydata()).tolist() == [4.0, 32.0]
    _, expected, pool = held.lines
    assert np.asarray(expected.get_ydata()).tolist() == [1.0, 64.0]
    assert np.asarray(pool.get_ydata()).tolist() == [25.0, 25.0]


@pytest.mark.parametrize(
    ("sweep", "of_gaps"),
    [
        ("{workload.gap: [none, {fixed: 1 s}]}", True),
        ("{workload.gap_scale: [1, 2]}", True),
        ("{workload.gap_scale: [1, 2], cluster.snic: [100 Gbit/s, 200 Gbit/s]}", False),
    ],
)
def test_a_sweep_of_gaps_changes_nothing_else(tmp_path: Path, sweep: str, *, of_gaps: bool) -> None:
    path = tmp_path / "swept.yaml"
    path.write_text(
        "workload: {source: {generator: 32K}, agents: 4, arrival: 1 /s, gap: {fixed: 1 s}}\n"
        f"sweep: {sweep}\n"
    )
    assert is_of_gaps(load_scenario(path)) is of_gaps
