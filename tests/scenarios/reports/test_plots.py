"""Every picture shows what was measured, and is left out where nothing was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from plan.arrivals import Arrivals
from scenarios.reports import gallery, plots, service_plots
from scenarios.reports.drawing import Run
from scenarios.results.metrics import summarise
from scenarios.results.windows import cut
from tests.scenarios.synthetic import basic_and_dualpath, make_plan, make_result

pytestmark = pytest.mark.slow


def make_run() -> Run:
    plan, results = basic_and_dualpath()
    cuts = {r.system.name: c for r in results if (c := cut(r.samples, plan.fabric, 1e9))}
    return Run(plan, results, summarise(plan, results), cuts)


def test_every_picture_is_drawn_from_a_whole_run(tmp_path: Path) -> None:
    plan, results = basic_and_dualpath()
    run = gallery.run_of(plan, results, summarise(plan, results))
    pictures = gallery.draw(tmp_path, run)
    assert [picture.path.stem for picture in pictures] == [
        n for n in gallery.PICTURES if n != "faults"
    ]
    for picture in pictures:
        drawn = ElementTree.parse(picture.path).getroot()
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(drawn) > 5


def test_a_run_that_measured_nothing_has_no_pictures(tmp_path: Path) -> None:
    plan = make_plan()
    nothing = replace(
        make_result(plan, "basic", 9.0, {}), records=[], samples=[], node_stats=[], backlog=[]
    )
    run = gallery.run_of(plan, [nothing], summarise(plan, [nothing]))
    assert gallery.draw(tmp_path, run) == []


def test_the_bars_are_as_long_as_the_jobs_took() -> None:
    bars = plots.jct(make_run())
    assert bars is not None
    assert [row.name for row in bars.rows] == ["basic", "dualpath"]
    assert [row.length for row in bars.rows] == pytest.approx([38.0, 20.0])
    assert [row.note for row in bars.rows] == ["38 s", "20 s  1.90x"]


def test_basic_leaves_the_decode_panel_empty_and_fills_the_prefill_panel() -> None:
    chart = plots.snic_use(make_run())
    assert chart is not None
    assert {panel.title: panel.note for panel in chart.panels} == {
        "basic · pe0 (prefill)": "mean 100 %",
        "basic · de0 (decode)": "mean 0.0 %",
        "dualpath · pe0 (prefill)": "mean 100 %",
        "dualpath · de0 (decode)": "mean 100 %",
    }


def test_many_nodes_share_one_panel_a_kind() -> None:
    plan = make_plan(prefill=4, decode=6)
    result = make_result(plan, "basic", 9.0, {"pe0": 1.0})
    windows = cut(result.samples, plan.fabric, 9.0)
    assert windows is not None
    chart = plots.snic_use(Run(plan, [result], summarise(plan, [result]), {"basic": windows}))
    assert chart is not None
    assert [panel.title for panel in chart.panels] == [
        "basic · 4 prefill nodes",
        "basic · 6 decode nodes",
    ]


def test_a_prediction_is_marked_only_for_systems_that_use_both_paths() -> None:
    run = replace(make_run(), theory={"prefill": (0.25, 0.25), "decode": (0.375, 0.375)})
    columns = plots.cnic_use(run)
    assert columns is not None
    basic, dualpath = columns.panels
    assert columns.groups == ["pe0.0", "de0.0"]
    assert basic.marks == {}
    assert dualpath.marks == {"read": [25.0, 37.5], "write": [25.0, 37.5]}


def test_windows_conserve_bytes() -> None:
    plan = make_plan()
    result = make_result(plan, "basic", 20.0, {"pe0": 0.7, "de0": 0.2}, noise=0.5)
    windows = cut(result.samples, plan.fabric, 20.0)
    assert windows is not None
    read = float(np.sum(windows.read["pe0.snic"] * np.diff(windows.edges_s))) / 8
    assert read == pytest.approx(result.samples[-1].nics["pe0.snic"][1])


def test_load_shows_every_request_from_its_submission_to_its_end() -> None:
    chart = service_plots.load(make_run())
    assert chart is not None
    alive, *_ = chart.panels
    assert alive.unit == "agents alive"
    [basic, _] = alive.curves
    assert set(basic.y[:-1]) == {8.0}


def test_where_agents_arrive_load_begins_with_their_coming() -> None:
    run = make_run()
    plan = msgspec.structs.replace(run.plan, arrivals=Arrivals())
    chart = service_plots.load(replace(run, plan=plan))
    assert chart is not None
    assert [panel.unit for panel in chart.panels[:2]] == ["agents/s", "agents alive"]


def test_what_moved_nothing_has_no_map_of_where_it_moved() -> None:
    run = make_run()
    still = {name: np.zeros_like(series) for name, series in run.cuts["basic"].lanes.items()}
    cuts = {**run.cuts, "basic": replace(run.cuts["basic"], lanes=still)}
    moved = replace(run, cuts=cuts)
    for chart in (plots.snic_use(moved), plots.lane_traffic(moved)):
        assert chart is not None
        assert {panel.title.partition(" · ")[0] for panel in chart.panels} == {"dualpath"}


def test_service_over_time_is_in_the_units_it_is_labelled_with() -> None:
    chart = service_plots.service(make_run())
    assert chart is not None
    first, later = chart.panels
    assert first.unit == "mean TTFT, s"
    shown = later.curves[0].y
    # 102 tokens, of which 100 take what is left of 7.6 s after 4.71 s
    assert np.nanmax(shown) == pytest.approx(1e3 * (7.6 - 0.6 * 7.6 - 0.15) / 100)
