"""Claims: on which side hits are read (paper section 4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.scheduling.read_sides import pe_share, split_share


def test_the_side_with_the_shorter_disk_read_queue_reads() -> None:
    assert pe_share(pe_read_queue=10, de_read_queue=9) == 0.0
    assert pe_share(pe_read_queue=9, de_read_queue=10) == 1.0


def test_equal_queues_read_where_the_kv_is_needed_first() -> None:
    assert pe_share(5, 5) == 1.0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_split_read_ends_no_later_than_a_read_on_either_side(pe: int, de: int, size: int) -> None:
    share = split_share(pe, de, size)
    ends = [queue + part for queue, part in ((pe, share * size), (de, size - share * size)) if part]
    assert max(ends) <= min(pe, de) + size + 1e-6
    if 0 < share < 1:
        assert ends[0] == pytest.approx(ends[1])
