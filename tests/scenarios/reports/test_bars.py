"""Bars are as long, and columns as high, as what they stand for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scenarios.reports.bars import Bar, Bars, ColumnPanel, Columns
from scenarios.reports.svg import NARROW, letters
from tests.scenarios.reports.drawn import beside, lost, marks, texts, words

RED, BLUE = "#ff0000", "#0000ff"


def test_parts_of_a_bar_follow_each_other_in_proportion() -> None:
    rows = [Bar("one", [(3.0, RED), (1.0, BLUE)], "4 s"), Bar("two", [(2.0, RED)])]
    drawing = Bars("seconds", rows, {"red": RED, "blue": BLUE}).drawn()
    boxes = [b for b in marks(drawing, "rect") if b["fill"] in (RED, BLUE)][2:]
    wide = [float(box["width"]) for box in boxes]
    assert wide[0] == pytest.approx(3 * wide[1], rel=1e-2)
    assert wide[2] == pytest.approx(2 * wide[1], rel=1e-2)
    assert float(boxes[1]["x"]) == pytest.approx(float(boxes[0]["x"]) + wide[0], abs=0.2)
    assert {"one", "two", "4 s", "seconds", "red", "blue"} <= set(words(drawing))


def test_columns_stand_on_their_axis_and_marks_at_their_level() -> None:
    panel = ColumnPanel("dualpath", {"read": [10.0, 5.0]}, {"read": [10.0, 7.5]})
    drawing = Columns("%", ["pe0.0", "de0.0"], [panel], {"read": RED}, mark="theory").drawn()
    first, second = [b for b in marks(drawing, "rect") if b["fill"] == RED][1:]
    assert float(first["height"]) == pytest.approx(2 * float(second["height"]), rel=1e-2)
    feet = [float(box["y"]) + float(box["height"]) for box in (first, second)]
    assert feet[0] == pytest.approx(feet[1], abs=0.2)
    met, missed = [line for line in marks(drawing, "line") if line["stroke-width"] == "2"]
    assert float(met["y1"]) == pytest.approx(float(first["y"]), abs=0.2)
    assert float(missed["y1"]) < float(second["y"])
    assert "theory" in words(drawing)


def test_without_predictions_none_is_named() -> None:
    panel = ColumnPanel("basic", {"read": [0.0]}, {})
    drawing = Columns("%", ["pe0.0"], [panel], {"read": RED}, mark="theory").drawn()
    assert "theory" not in words(drawing)


names = st.text("abcdefgh .0123", min_size=1, max_size=20)


@example([("dualpath", 1e5, "1.2x")], [])
@given(
    st.lists(st.tuples(names, st.floats(0, 1e5), names), min_size=1, max_size=6),
    st.lists(names, max_size=6, unique=True),
)
def test_in_a_narrow_picture_nothing_is_beside_it(
    rows: list[tuple[str, float, str]], labels: list[str]
) -> None:
    bars = [Bar(name, [(length, RED)], note[:12]) for name, length, note in rows]
    drawing = Bars("seconds", bars, dict.fromkeys(labels, RED)).drawn(NARROW)
    assert drawing.width == NARROW
    assert beside(drawing) == []
    assert lost(drawing, [*labels, *(name for name, _, _ in rows)]) == []


@given(st.lists(names, min_size=1, max_size=30, unique=True), st.sampled_from([NARROW, 800.0]))
def test_names_of_columns_do_not_run_into_each_other(groups: list[str], width: float) -> None:
    panel = ColumnPanel("basic", {"read": [1.0] * len(groups)}, {})
    drawing = Columns("%", groups, [panel], {"read": RED}).drawn(width)
    assert beside(drawing) == []
    named = {one["text"]: one for one in texts(drawing) if one["text"] in groups}
    level = [one for one in named.values() if "transform" not in one]
    room = (width - 70) / len(groups)
    assert not level or max(letters(one["text"]) for one in level) <= room
