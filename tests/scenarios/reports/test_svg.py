"""Scales are labelled with round values where they lie; text stands as it is."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from scenarios.reports.svg import Drawing, Scale, back, dots, label, legend_lines, letters, way
from tests.scenarios.reports.drawn import marks, words

SIZES = st.floats(1e-6, 1e12)


@given(low=st.one_of(st.just(0.0), SIZES), more=SIZES)
def test_labels_of_an_even_scale_are_few_and_within_it(low: float, more: float) -> None:
    scale = Scale(low, low + more, 100.0, 0.0)
    if scale.high - scale.low < 1e-3 * scale.high:
        return
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 8
    places = [scale.at(tick) for tick in ticks]
    assert places == sorted(places, reverse=True)
    assert all(-0.1 <= place <= 100.1 for place in places)
    assert len({label(tick) for tick in ticks}) == len(ticks)


@given(low=st.floats(1e-6, 1e3), times=st.floats(10, 1e9))
def test_a_logarithmic_scale_has_equal_room_for_equal_ratios(low: float, times: float) -> None:
    scale = Scale(low, low * times, 0.0, 100.0, "log")
    assert scale.at(low * np.sqrt(times)) == pytest.approx(50.0)
    assert 1 <= len(scale.ticks()) <= 20
    assert all(low <= tick <= low * times * (1 + 1e-6) for tick in scale.ticks())


def test_a_scale_that_begins_at_nothing_can_still_be_logarithmic_far_from_it() -> None:
    scale = Scale(0.0, 1e6, 0.0, 100.0, "asinh")
    assert scale.ticks()[:3] == [0.0, 1.0, 10.0]
    assert scale.at(0.0) == 0.0
    assert scale.at(1e6) - scale.at(1e5) == pytest.approx(scale.at(1e5) - scale.at(1e4), rel=1e-3)


def test_labels_are_digits() -> None:
    assert [label(value) for value in (0.0, 0.25, 1500.0, 2e6)] == [
        "0",
        "0.25",
        "1,500",
        "2,000,000",
    ]


@pytest.mark.parametrize("text", ["<b>&\"'", "$x$", "a\0b\x1b", "漢 \N{RIGHT-TO-LEFT OVERRIDE}"])
def test_text_stands_as_it_is(text: str) -> None:
    drawing = Drawing(10, 10)
    drawing.text(0, 0, text)
    assert words(drawing) == [text.replace("\0", "�").replace("\x1b", "�")]


def test_what_is_turned_turns_about_its_own_place() -> None:
    drawing = Drawing(10, 10)
    drawing.text(3, 4, "up", turned=True)
    assert marks(drawing, "text")[0]["transform"] == "rotate(-90 3 4)"


def test_a_path_is_broken_where_there_is_no_value() -> None:
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([5.0, 6.0, np.nan, 7.0])
    assert way(x, y) == "M0 5L1 6M3 7"
    assert way(x, y, steps=True) == "M0 5H1V6M3 7"


def test_the_way_back_holds_each_value_up_to_the_next() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0, 7.0])
    assert back(x, y) == "L2 7L1 6L0 5Z"
    # 5 from 0 to 1, 6 from 1 to 2
    assert back(x, y, steps=True) == "L2 7V6H1V5H0Z"


def test_dots_have_the_colours_of_the_palette() -> None:
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]])
    image = imread(BytesIO(dots(np.array([[0, 1], [2, 2], [1, 0]], np.uint8), palette)))
    assert image.shape[:2] == (3, 2)
    assert image[0, 1, :3].tolist() == [1, 0, 0]
    assert image[1, 0, :3].tolist() == [0, 0, 1]


@given(st.lists(st.text("abc ", min_size=1, max_size=12), unique=True), st.floats(50, 900))
def test_a_legend_takes_as_many_lines_as_it_needs(labels: list[str], room: float) -> None:
    lines = legend_lines(labels, room)
    assert [label for line in lines for label in line] == labels
    for number, line in enumerate(lines):
        wide = sum(35 + letters(label) for label in line) - 20
        assert wide <= room or len(line) == 1
        if number:  # the first of it had no room behind those before
            before = sum(35 + letters(label) for label in lines[number - 1])
            assert before + 15 + letters(line[0]) > room
