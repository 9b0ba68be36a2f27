"""What the page is given says what the charts say, in little room."""

from __future__ import annotations

import base64
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.reports.charts import PIECES, Chart, Curve, Panel
from scenarios.reports.interactive import data, in_bytes, of_chart


def panel_of(*curves: tuple[list[float], list[float]], **options: bool) -> dict[str, list[float]]:
    made = [Curve(str(i), "#000", np.array(x), np.array(y)) for i, (x, y) in enumerate(curves)]
    [panel] = of_chart(Chart([Panel("x", made, **options)]))["panels"]  # type: ignore[arg-type]
    return {"x": panel["x"], **{c["label"]: c["y"] for c in panel["curves"]}}


def test_curves_of_one_panel_are_put_on_one_axis() -> None:
    found = panel_of(([0, 2], [10, 20]), ([1, 3], [5, 7]))
    assert found == {"x": [0, 1, 2, 3], "0": [10, 15, 20, None], "1": [None, 5, 6, 7]}


def test_a_step_holds_until_the_next() -> None:
    found = panel_of(([0, 2], [10, 20]), ([1, 3], [5, 7]), steps=True)
    assert found == {"x": [0, 1, 2, 3], "0": [10, 10, 20, 20], "1": [None, 5, 5, 7]}


def test_areas_come_as_their_sums() -> None:
    found = panel_of(([0, 1], [1, 2]), ([0, 1], [3, 4]), stacked=True)
    assert (found["0"], found["1"]) == ([1, 2], [4, 6])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=3 * PIECES))
def test_the_lowest_and_the_highest_point_are_always_there(values: list[float]) -> None:
    found = panel_of(([float(i) for i in range(len(values))], values))
    assert len(found["x"]) <= 2 * PIECES + 2
    for extreme in (min, max):
        assert extreme(found["0"]) == float(f"{extreme(values):.4g}")


def test_no_text_can_end_the_script_that_it_stands_in() -> None:
    told = data({"name": "</script><script>alert(1)</script>"})
    assert "<" not in told
    assert json.loads(told)["name"].startswith("</script>")


@given(st.lists(st.floats(0, 2), min_size=1))
def test_a_level_comes_back_from_its_byte(levels: list[float]) -> None:
    back = np.frombuffer(base64.b64decode(in_bytes(np.array(levels), 2.0)), dtype=np.uint8)
    assert np.allclose(back / 255 * 2, levels, atol=2 / 510 + 1e-9)
