"""The ends of the bottleneck-free band are found where made-up loads put them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from scenarios.analysis.knees import Knee, knees
from scenarios.analysis.sweep_figures import (
    ALL_SNICS,
    Compared,
    PointFigures,
    Shape,
    Sweep,
    SystemFigures,
    gather,
)
from scenarios.planning.points import Point, load_points
from scenarios.results.summary import Summary


def sweep(directory: Path, ratios: list[str], **use: float) -> tuple[Sweep, list[Point]]:
    """DualPath over P:D; beyond the band every CNIC write is `level` at most.

    Args:
        use: `rise`, loads inside over theory; `level`, in units of B s / g; `full`, SNIC use
            inside the band.
    """
    path = directory / "case.yaml"
    workload = {"source": {"generator": "32K"}, "agents": 2}
    asked = {"workload": workload, "systems": ["dualpath"], "sweep": {"pd": ratios}}
    path.write_text(yaml.safe_dump(asked))
    points = list(load_points(path))
    found = gather("case", "", points, dict[str, Summary](), {})
    made = [
        msgspec.structs.replace(one, systems={"dualpath": figures(point, one, **use)})
        for point, one in zip(points, found.points, strict=True)
    ]
    return msgspec.structs.replace(found, points=tuple(made)), points


def figures(
    point: Point, one: PointFigures, rise: float = 1.0, level: float = 8.0, full: float = 1.0
) -> SystemFigures:
    ideal = Shape.of(point.scenario.cluster).ideal(point.scenario.compared[0], *sides(one))
    assert ideal is not None
    return SystemFigures(
        complete=True,
        verdict="believable",
        jct_s=1.0,
        speedup=None,
        snic_max_over_avg=None,
        collectives=None,
        snics={ALL_SNICS: Compared(measured=full, theory=1.0)},
        loads={
            name: Compared(measured=min(rise * load, level), theory=load)
            for name, load in ideal.loads.items()
        },
        steady_s=None,
    )


def sides(one: PointFigures) -> tuple[int, int]:
    return one.prefill, one.decode


def ends(found: list[Knee]) -> dict[str, float]:
    return {knee.end: knee.measured for knee in found}


def test_loads_as_predicted_put_the_ends_where_theory_has_them(tmp_path: Path) -> None:
    found = knees(*sweep(tmp_path, ["1:10", "1:1", "5:1"]))
    assert [knee.resource for knee in found] == ["PE CNIC write", "DE CNIC write"]
    assert [knee.measured for knee in found] == pytest.approx([1 / 7, 7 / 2], rel=0.01)
    assert [knee.theory for knee in found] == pytest.approx([1 / 7, 7 / 2])


def test_a_cnic_that_carries_less_moves_the_ends_inwards(tmp_path: Path) -> None:
    """1 + 1/x = 7.6 and 1 + 2 x = 7.6."""
    found = ends(knees(*sweep(tmp_path, ["1:10", "1:1", "5:1"], level=7.6)))
    assert found["lower"] == pytest.approx(1 / 6.6, rel=0.01)
    assert found["upper"] == pytest.approx(3.3, rel=0.01)


def test_higher_loads_inside_move_them_inwards_too(tmp_path: Path) -> None:
    found = ends(knees(*sweep(tmp_path, ["1:10", "1:1", "5:1"], rise=1.05)))
    assert found["upper"] == pytest.approx((8 / 1.05 - 1) / 2, rel=0.01)


@pytest.mark.parametrize("ratios", [["1:1", "2:1"], ["1:10", "5:1"], ["1:7", "7:2"]])
def test_an_end_needs_points_on_either_side(tmp_path: Path, ratios: list[str]) -> None:
    assert knees(*sweep(tmp_path, ratios)) == []


def test_points_whose_snics_are_not_full_say_nothing(tmp_path: Path) -> None:
    assert knees(*sweep(tmp_path, ["1:10", "1:1", "5:1"], full=0.9)) == []
