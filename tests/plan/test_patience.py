"""Claims about how long a run waits in vain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plan.patience import standstill_s, unacknowledged_s
from plan.scale import Scale
from topology.tcp import RTO_MIN_S

scales = st.builds(
    Scale, byte_scale=st.floats(1.0, 1e6), dilation=st.floats(0.01, 100.0, allow_nan=False)
)


@given(scales)
def test_a_dead_connection_is_told_before_a_run_that_stands_still(scale: Scale) -> None:
    """Data is sent again after the shortest time to that, and its patience begins there."""
    assert RTO_MIN_S + unacknowledged_s(scale) < standstill_s(scale)


@given(scales)
def test_data_is_sent_again_at_least_twice_before_a_connection_is_dead(scale: Scale) -> None:
    assert unacknowledged_s(scale) >= 3 * RTO_MIN_S


@given(scales)
def test_a_slower_run_waits_longer(scale: Scale) -> None:
    slower = Scale(byte_scale=scale.byte_scale, dilation=2 * max(1.0, scale.dilation))
    assert unacknowledged_s(slower) >= 2 * unacknowledged_s(scale)
    assert standstill_s(slower) >= 2 * standstill_s(scale)
