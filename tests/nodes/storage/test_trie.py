"""Claims: the trie finds exactly the prefixes that were inserted, branches included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Runs, extend, prefix, rows
from nodes.storage.trie import BlockTrie


def ids(runs: Runs) -> tuple[int, ...]:
    return tuple(first + i for first, count in runs for i in range(count))


@st.composite
def contexts(draw: st.DrawFn) -> list[Runs]:
    """The contexts of one agent, turn by turn: each continues from a prefix of the last,
    with ids never used before."""
    made: list[Runs] = []
    runs: Runs = ()
    next_id = 0
    for _ in range(draw(st.integers(1, 6))):
        runs = prefix(runs, draw(st.integers(0, rows(runs))))
        count = draw(st.integers(0, 5))
        runs = extend(runs, next_id, count)
        next_id += count
        made.append(runs)
    return made


def test_an_unknown_trajectory_has_no_prefix() -> None:
    assert BlockTrie().longest_prefix(1, ((0, 3),)) == 0


def test_trajectories_do_not_share_blocks() -> None:
    trie = BlockTrie()
    trie.insert(1, ((0, 3),), 3)
    assert trie.longest_prefix(2, ((0, 3),)) == 0


def test_a_branch_is_found_up_to_where_it_is_held() -> None:
    trie = BlockTrie()
    trie.insert(1, ((0, 10),), 10)
    trie.insert(1, ((0, 4), (10, 5)), 6)
    assert trie.longest_prefix(1, ((0, 4), (10, 5))) == 6


def test_a_branch_does_not_hide_what_it_left() -> None:
    trie = BlockTrie()
    trie.insert(1, ((0, 10),), 10)
    trie.insert(1, ((0, 4), (10, 5)), 9)
    assert trie.longest_prefix(1, ((0, 12),)) == 10


def test_the_same_blocks_elsewhere_are_not_a_prefix() -> None:
    """A node of the trie is a block behind its parent, not a block alone."""
    trie = BlockTrie()
    trie.insert(1, ((0, 4), (10, 5)), 9)
    assert trie.longest_prefix(1, ((0, 3), (10, 5))) == 3


@given(st.data(), contexts())
def test_the_longest_prefix_is_that_of_a_set_of_all_inserted_ones(
    data: st.DataObject, turns: list[Runs]
) -> None:
    trie = BlockTrie()
    held: set[tuple[int, ...]] = {()}
    for runs in data.draw(st.permutations(turns)):
        hi = data.draw(st.integers(0, rows(runs)))
        trie.insert(3, runs, hi)
        held |= {ids(runs)[:length] for length in range(hi + 1)}
    for runs in turns:
        longest = max(n for n in range(rows(runs) + 1) if ids(runs)[:n] in held)
        assert trie.longest_prefix(3, runs) == longest


def test_a_trajectory_that_is_removed_leaves_the_others() -> None:
    trie = BlockTrie()
    for trajectory in (1, 2):
        trie.insert(trajectory, ((0, 5),), 5)
    trie.remove(1)
    trie.remove(3)
    assert [trie.longest_prefix(trajectory, ((0, 5),)) for trajectory in (1, 2)] == [0, 5]
