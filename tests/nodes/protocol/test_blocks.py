"""Claims: runs of block ids say the same as the plain list of ids they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import STEMS, Runs, extend, pieces, prefix, rows, shares, stem_id


def ids(runs: Runs) -> list[int]:
    return [first + i for first, count in runs for i in range(count)]


runs_of_ids = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 6)), max_size=5).map(tuple)


def test_an_append_only_context_stays_one_run() -> None:
    assert extend(extend((), 0, 4), 4, 3) == ((0, 7),)


def test_a_branch_starts_a_run_of_its_own() -> None:
    assert extend(prefix(((0, 10),), 4), 10, 2) == ((0, 4), (10, 2))


@given(runs_of_ids)
def test_rows_is_the_number_of_ids(runs: Runs) -> None:
    assert rows(runs) == len(ids(runs))


@given(runs_of_ids, st.integers(0, 40))
def test_a_prefix_keeps_the_first_ids(runs: Runs, length: int) -> None:
    assert ids(prefix(runs, length)) == ids(runs)[:length]


@given(runs_of_ids, st.integers(0, 60), st.integers(0, 6))
def test_extending_appends_ids(runs: Runs, first: int, count: int) -> None:
    assert ids(extend(runs, first, count)) == ids(runs) + list(range(first, first + count))


@given(runs_of_ids, st.integers(0, 30), st.integers(0, 30))
def test_pieces_name_each_row_between_lo_and_hi_once(runs: Runs, lo: int, hi: int) -> None:
    named = [
        (piece.row + i, piece.first_id + i)
        for piece in pieces(7, runs, lo, hi)
        for i in range(piece.size)
    ]
    assert named == [(row, block) for row, block in enumerate(ids(runs)) if lo <= row < hi]


runs_of_owners = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 6), st.none() | st.integers(0, 3)), max_size=5
).map(
    lambda runs: tuple(
        (first if stem is None else stem_id(stem, first), count) for first, count, stem in runs
    )
)


@given(runs_of_owners)
def test_shares_are_the_context_and_say_whose_it_is(runs: Runs) -> None:
    found = shares(7, runs)
    assert [run for share in found for run in share.runs] == list(runs)
    assert [share.row for share in found] == [
        sum(rows(share.runs) for share in found[:number]) for number in range(len(found))
    ]
    for share in found:
        whose = {piece.trajectory for piece in pieces(7, share.runs, 0, rows(share.runs))}
        assert whose == {share.owner}


def test_a_stems_block_is_the_same_to_every_agent() -> None:
    (one,), (other,) = (pieces(agent, ((stem_id(4, 9), 2),), 0, 2) for agent in (1, 2))
    assert one == other == (0, 2, STEMS + 4, 9)
