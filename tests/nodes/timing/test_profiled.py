"""Claims: times by a table are those that were measured, and straight lines between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.timing.profiled import at
from nodes.timing.timing import Truth
from plan.deployment import GpuSpec, ModelSpec
from plan.gpu_profile import GpuProfile, Grid
from tests.examples import tries

GRID = Grid(xs=(0.0, 100.0), ys=(1.0, 11.0, 21.0), seconds=((1.0, 2.0, 4.0), (3.0, 4.0, 6.0)))
MODEL = ModelSpec(
    name="m", layers=2, kv_bytes=1, linear_flops=1, attention_flops=1, weight_bytes=1, hidden=1
)


def line(*seconds: float, xs: tuple[float, ...] = (0.0,)) -> Grid:
    return Grid(xs=xs, ys=(0.0, 100.0), seconds=(seconds,) * len(xs))


PROFILE = GpuProfile(
    model="m",
    source="a test",
    attention=GRID,
    dense=line(0.5, 1.5),
    experts=Grid(xs=(8.0, 32.0), ys=(0.0, 100.0), seconds=((0.0, 4.0), (0.0, 2.0))),
    dispatch=Grid(xs=(8.0, 32.0), ys=(0.0, 100.0), seconds=((1.0, 1.0), (3.0, 3.0))),
    decode={8: GRID, 32: line(7.0, 7.0)},
)


def truth(ep_group: int, *, exchanges: bool = True) -> Truth:
    gpu = GpuSpec(name="g", flops=1e12, hbm_bytes=1e9, hbm_bytes_per_s=1e12, profile=PROFILE)
    return Truth(MODEL, gpu, ep_group, exchanges=exchanges)


@pytest.mark.parametrize(
    ("x", "y", "seconds"),
    [
        (0, 11, 2.0),
        (100, 21, 6.0),
        (50, 11, 3.0),
        (0, 16, 3.0),
        (50, 16, 4.0),
        (-5, 0, 1.0),  # no less than the least that was measured
        (200, 1, 5.0),  # the slope goes on
        (0, 31, 6.0),
    ],
)
def test_between_points_it_is_a_straight_line(x: float, y: float, seconds: float) -> None:
    assert at(GRID, x, y) == pytest.approx(seconds)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 100))
@tries(50)
def test_of_a_rising_table_more_never_takes_less(x: float, y: float, more: float) -> None:
    here = at(GRID, x, y)
    assert here >= 1.0
    assert at(GRID, x + more, y) >= here - 1e-9
    assert at(GRID, x, y + more) >= here - 1e-9


def test_a_forwards_parts_are_those_of_the_tables() -> None:
    times, chunks = truth(8), [(0, 11), (100, 21)]
    attention_s, dense_s = 2.0 + 6.0, 0.5 + 0.32
    experts_s, dispatch_s = 4.0 * 0.32, 1.0
    assert times.attention_s(chunks) == pytest.approx(attention_s)
    assert times.own_layer_s(chunks) == pytest.approx((attention_s + dense_s) / 2)
    assert times.expert_layer_s(32) == pytest.approx((experts_s + dispatch_s) / 2)
    assert times.prefill_layer_s(chunks) == pytest.approx(
        times.own_layer_s(chunks) + times.expert_layer_s(32)
    )


def test_all_to_alls_that_are_traffic_take_no_time_beside() -> None:
    assert truth(8, exchanges=False).expert_layer_s(100) == pytest.approx(4.0 / 2)


def test_the_nearer_group_size_is_taken() -> None:
    assert truth(12, exchanges=False).expert_layer_s(100) == pytest.approx(4.0 / 2)
    assert truth(24, exchanges=False).expert_layer_s(100) == pytest.approx(2.0 / 2)
    assert truth(64).decode_step_s(5, 100, 100) == 7.0


def test_a_decode_step_goes_by_batch_and_mean_context() -> None:
    assert truth(8).decode_step_s(100, 1100, 0) == 4.0
    assert truth(8).decode_step_s(0, 0, 0) == 0.0
