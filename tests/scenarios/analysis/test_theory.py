"""The bottleneck-free analysis against the paper's section 2."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scenarios.analysis.theory import band, basic, dual_path, inequalities, predict

G, S, B, M = 8, 1.0, 50e9, 500e9
nodes = st.integers(1, 40)
gpus = st.integers(1, 16)
snics = st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 4.0])
dram = st.floats(50e9, 2000e9)


def utilisations(p: float, d: float, g: int, s: float, b: float, m: float) -> dict[str, float]:
    return {load.resource: load.utilisation for load in predict(p, d, g, s, b, m)}


def test_the_papers_band_is_1_7_to_7_2() -> None:
    free = band(G, S, B, M)
    assert free.lo == pytest.approx(1 / 7)
    assert free.hi == pytest.approx(7 / 2)
    assert free.lo_resources == ("PE CNIC write",)
    assert free.hi_resources == ("DE CNIC write", "DE DRAM")  # both give 7/2 at M = 10 B s


def test_slower_dram_binds_first() -> None:
    free = band(G, S, B, 300e9)
    assert free.hi == pytest.approx(1.5)
    assert free.hi_resources == ("DE DRAM",)


def test_loads_at_2p4d_are_the_papers_formulas() -> None:
    loads = {load.resource: load.load for load in predict(2, 4, G, S, B, M)}
    x = 2 / 4
    assert loads == pytest.approx(
        {
            "PE CNIC read": 2 * B * S / G,
            "PE CNIC write": (B * S / G) * (1 + 1 / x),
            "DE CNIC read": (B * S / G) * (x + 2),
            "DE CNIC write": (B * S / G) * (2 * x + 1),
            "PE DRAM": 2 * S * B,
            "DE DRAM": (3 + 2 * x) * B * S,
        }
    )


@given(p=nodes, d=nodes, g=gpus, s=snics, m=dram)
def test_a_ratio_is_in_the_band_exactly_if_nothing_is_overloaded(
    p: int, d: int, g: int, s: float, m: float
) -> None:
    worst = max(utilisations(p, d, g, s, B, m).values())
    assume(abs(worst - 1) > 1e-9)
    assert (p / d in band(g, s, B, m)) == (worst < 1)


@given(p=nodes, d=nodes, g=gpus, s=snics, m=dram)
def test_each_inequality_holds_exactly_if_its_resource_is_not_overloaded(
    p: int, d: int, g: int, s: float, m: float
) -> None:
    loads = utilisations(p, d, g, s, B, m)
    for one in inequalities(g, s, B, m):
        if abs(loads[one.resource] - 1) > 1e-9:
            assert (one.lo <= p / d <= one.hi) == (loads[one.resource] < 1)


@given(p=nodes, d=nodes, m=dram)
def test_a_slice_of_every_node_has_the_same_utilisations(p: int, d: int, m: float) -> None:
    whole = utilisations(p, d, 8, 1.0, B, m)
    assert utilisations(p, d, 1, 1 / 8, B, m / 8) == pytest.approx(whole)


@given(p=nodes, d=nodes, g=gpus, s=snics, m=dram)
def test_dual_path_reads_at_least_as_much_as_basic_and_as_the_balanced_split(
    p: int, d: int, g: int, s: float, m: float
) -> None:
    dual = dual_path(p, d, g, s, B, m)
    worst = max(utilisations(p, d, g, s, B, m).values())
    balanced = (p + d) * s * B / max(1.0, worst)
    assert dual.total >= max(basic(p, d, g, s, B, m).total, balanced) * (1 - 1e-9)
    assert dual.snic_fraction <= 1 + 1e-9
    assert dual.binding


@given(p=nodes, d=nodes, g=gpus, s=snics, m=dram)
def test_dual_path_can_use_every_snic_exactly_inside_the_band(
    p: int, d: int, g: int, s: float, m: float
) -> None:
    worst = max(utilisations(p, d, g, s, B, m).values())
    assume(abs(worst - 1) > 1e-9)
    full = dual_path(p, d, g, s, B, m).snic_fraction > 1 - 1e-9
    assert full == (worst < 1)


@given(p=nodes, d=nodes, g=gpus, s=snics, m=dram)
def test_the_best_split_overloads_nothing(p: int, d: int, g: int, s: float, m: float) -> None:
    """By the paper's path costs, counted again here per byte."""
    dual = dual_path(p, d, g, s, B, m)
    x, y = dual.pe_path, dual.de_path
    most = 1 + 1e-9
    assert x <= p * s * B * most
    assert y <= d * s * B * most
    assert max(2 * x, x + y) <= p * g * B * most
    assert max(x + 2 * y, 2 * x + y) <= d * g * B * most
    assert 2 * x <= p * m * most
    assert 2 * x + 3 * y <= d * m * most


@pytest.mark.parametrize(("p", "d"), [(1, 1), (2, 1), (1, 2), (2, 4)])
def test_storage_bandwidth_gained_is_p_plus_d_over_p(p: int, d: int) -> None:
    """So Basic 2P1D equals DualPath 1P1D, and Basic 1P1D equals Basic 1P2D."""
    one, both = basic(p, d, G, S, B, M), dual_path(p, d, G, S, B, M)
    assert one.total == pytest.approx(p * S * B)
    assert one.binding == ("PE SNIC",)
    assert both.total / one.total == pytest.approx((p + d) / p)


def test_outside_the_band_the_binding_resource_limits_the_snics() -> None:
    many_decode = dual_path(1, 10, G, S, B, M)
    assert "PE CNIC write" in many_decode.binding
    assert many_decode.total == pytest.approx(G * B)  # all that fits into a node's PE CNICs
    assert many_decode.snic_fraction == pytest.approx(8 / 11)


@pytest.mark.parametrize("name", ["p_nodes", "d_nodes", "g", "s", "b", "m"])
def test_what_is_not_positive_is_refused(name: str) -> None:
    arguments = {"p_nodes": 1, "d_nodes": 1, "g": 8, "s": 1.0, "b": B, "m": M, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be > 0, not 0"):
        predict(**arguments)  # type: ignore[arg-type]
