"""Claims: who gives no sign of life is taken for dead, and never lives on in the same life."""

from __future__ import annotations

from nodes.scheduling.leases import Leases


def leases(*nodes: str) -> Leases:
    return Leases(nodes, 3.0, 0.0)


def test_a_lease_ends_with_no_sign_for_as_long_as_it_is() -> None:
    known = leases("pe0", "de0")
    known.heard("de0", 1, 2.0)
    assert known.expired(3.0) == []
    assert known.expired(3.5) == ["pe0"]
    assert known.lives == {"pe0": 0, "de0": 1}
    assert known.expired(4.0) == []


def test_who_was_taken_for_dead_has_to_begin_another_life() -> None:
    known = leases("pe0", "de0")
    known.heard("de0", 1, 3.0)
    assert known.expired(3.5) == ["pe0"]
    assert known.heard("pe0", 1, 4.0) == "taken for dead"
    assert known.lives["pe0"] == 0
    assert known.heard("pe0", 2, 5.0) == "returned"
    assert known.lives["pe0"] == 2


def test_another_life_tells_of_the_end_of_the_one_before() -> None:
    known = leases("pe0", "de0")
    assert known.heard("pe0", 2, 1.0) == "replaced"


def test_a_sign_of_a_life_that_is_over_means_nothing() -> None:
    known = leases("pe0", "de0")
    known.heard("pe0", 2, 1.0)
    assert known.heard("pe0", 1, 1.5) == "alive"
    assert known.lives["pe0"] == 2


def test_where_nobody_is_heard_of_it_is_the_one_who_listens_that_is_cut_off() -> None:
    known = leases("pe0", "de0")
    assert known.expired(10.0) == []
    known.heard("pe0", 1, 11.0)
    assert known.expired(13.5) == ["de0"]
