"""Claims: how large frames are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.fabric import Fabric
from plan.scale import Scale
from scenarios.planning.frames import LEAST_BYTES, LONGEST_S, MOST_BYTES, STEP_BYTES, with_frames
from tests.topology.plans import make_plan

FABRIC = make_plan().fabric


def longest_s(fabric: Fabric, scale: Scale, size: int) -> dict[str, float]:
    """Model seconds that so many bytes take at the slowest port of each plane."""
    slowest: dict[str, float] = {}
    rates = [(nic.plane, nic.rate_bps) for nic in fabric.nics]
    for plane, rate in rates + [(link.plane, link.rate_bps) for link in fabric.links]:
        slowest[plane] = min(slowest.get(plane, rate), rate)
    return {plane: 8 * scale.model_bytes(size) / rate for plane, rate in slowest.items()}


@given(st.floats(1, 1e6))
def test_frames_are_the_largest_that_keep_within_the_bounds(byte_scale: float) -> None:
    scale = Scale(byte_scale=byte_scale)
    mtu = with_frames(FABRIC, scale).mtu
    assert LEAST_BYTES <= mtu <= MOST_BYTES
    if mtu > LEAST_BYTES:
        took = longest_s(FABRIC, scale, mtu)
        assert all(took[plane] <= bound * (1 + 1e-9) for plane, bound in LONGEST_S.items())
    if mtu < MOST_BYTES:
        more = longest_s(FABRIC, scale, mtu + STEP_BYTES)
        assert any(more[plane] > bound for plane, bound in LONGEST_S.items())


@pytest.mark.parametrize("dilation", [0.5, 20.0])
def test_dilation_does_not_change_them(dilation: float) -> None:
    sizes = {with_frames(FABRIC, Scale(byte_scale=900, dilation=d)).mtu for d in (1.0, dilation)}
    assert len(sizes) == 1
