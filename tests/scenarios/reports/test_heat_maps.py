"""A heat map has the right colour at the right place."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from matplotlib.image import imread

from scenarios.reports.heat_maps import HeatColumn, HeatMap, HeatPanel
from scenarios.reports.svg import NARROW
from scenarios.results.windows import Series
from tests.scenarios.reports.drawn import beside, marks, words

EDGES, PLACES = np.array([0.0, 1.0, 5.0]), np.array([0.0, 1.0, 2.0])
LEVELS = np.array([[0.0, 100.0], [50.0, 0.0]])


def shown(*, log: bool = False, levels: Series = LEVELS) -> tuple[Series, HeatMap]:
    names = [(0.5, "above"), (1.5, "below")]
    panel = HeatPanel("basic", EDGES, PLACES, levels, names, [1.0])
    column = HeatColumn([panel], high=100.0, low=1.0 if log else 0.0)
    found = HeatMap([column], "% of rate", "blues", 10.0, 100.0, log=log)
    [picture, _] = marks(found.drawn(), "image")
    png = base64.b64decode(picture["href"].partition(",")[2])
    return imread(BytesIO(png))[:, :, :3].mean(axis=2), found


def test_levels_are_dark_where_they_are_high() -> None:
    picture, _ = shown()
    high, wide = picture.shape
    # the first column of the map is a fifth of it
    assert picture[0, 0] > 0.95
    assert picture[0, -1] < 0.35
    assert picture[0, round(0.19 * wide)] > 0.95 > 0.35 > picture[0, round(0.21 * wide)]
    assert picture[0, -1] < picture[high - 1, 0] < picture[0, 0]
    assert picture[round(0.49 * high), 0] > 0.95 > picture[round(0.51 * high), 0]


def test_a_map_ends_where_its_system_does() -> None:
    _, found = shown()
    [picture, _] = marks(found.drawn(), "image")
    [ground] = [box for box in marks(found.drawn(), "rect") if box["fill"] == "#eef0f3"]
    assert abs(2 * float(picture["width"]) - float(ground["width"])) < 0.3
    assert {"above", "below", "basic", "% of rate", "model seconds", "100"} <= set(
        words(found.drawn())
    )


def test_shades_may_go_by_the_logarithm_and_nothing_is_the_lowest() -> None:
    picture, _ = shown(log=True, levels=np.array([[0.0, 100.0], [10.0, 1.0]]))
    assert picture[0, 0] == picture[-1, -1] > picture[-1, 0] > picture[0, -1]


def test_nothing_at_all_is_drawn_in_the_lowest_shade() -> None:
    panel = HeatPanel("basic", EDGES, PLACES, np.zeros((2, 2)), [])
    found = HeatMap([HeatColumn([panel], high=0.0)], "MB", "reds", 5.0, 100.0)
    [picture, _] = marks(found.drawn(), "image")
    shades = imread(BytesIO(base64.b64decode(picture["href"].partition(",")[2])))
    assert shades.min() > 0.9


def test_columns_of_a_narrow_map_stand_one_below_another() -> None:
    panel = HeatPanel("basic", EDGES, PLACES, LEVELS, [(0.5, "above"), (1.5, "de0.cnic0 out")])
    found = HeatMap([HeatColumn([panel], 100.0)] * 2, "% of rate", "blues", 10.0, 100.0)
    wide, narrow = found.drawn(), found.drawn(NARROW)
    assert beside(wide) == beside(narrow) == []
    places = {
        drawing.width: {(box["x"], box["y"]) for box in marks(drawing, "rect")[1:]}
        for drawing in (wide, narrow)
    }
    assert len({y for _, y in places[wide.width]}) == 1
    assert len({x for x, _ in places[NARROW]}) == 1 < len({y for _, y in places[NARROW]})
