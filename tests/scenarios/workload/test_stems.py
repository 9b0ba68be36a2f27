"""Claims: stems say exactly which blocks of recorded prompts are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plan.workload import Stems, Trajectory, Turn
from scenarios.workload.stems import Line, Tree, cut, in_common, with_stem

BLOCK = 10


@st.composite
def sessions(draw: st.DrawFn) -> list[list[int]]:
    """Prompts as chained block ids: each goes on from a prefix of one before, with ids never used
    before."""
    made: list[list[int]] = [[]]
    new = 0
    for _ in range(draw(st.integers(1, 7))):
        before = draw(st.sampled_from(made))
        kept = before[: draw(st.integers(0, len(before)))]
        count = draw(st.integers(0, 4))
        made.append([*kept, *range(new, new + count)])
        new += count
    return made[1:]


def blocks(stems: Stems) -> list[tuple[int, int]]:
    """The stem and the row of each block."""
    rows, found = 0, []
    for stem, end in stems:
        found += [(stem, row) for row in range(rows, end // BLOCK)]
        rows = end // BLOCK
    return found


def lines(tree: Tree, prompts: list[list[int]]) -> list[Stems]:
    made = []
    for ids in prompts:
        tree.add(ids, len(ids))
        line = Line()
        line.follow(ids)
        made.append(line)
    return [tree.stems(line, BLOCK) for line in made]


@given(sessions())
def test_blocks_are_the_same_where_their_ids_are(prompts: list[list[int]]) -> None:
    names: dict[int, tuple[int, int]] = {}
    for ids, stems in zip(prompts, lines(Tree(), prompts), strict=True):
        named = blocks(stems)
        assert len(named) == len(ids)
        for block, name in zip(ids, named, strict=True):
            assert names.setdefault(block, name) == name
    assert len(set(names.values())) == len(names)


@given(sessions())
def test_what_nobody_else_has_is_no_stem(prompts: list[list[int]]) -> None:
    made = [
        Trajectory(name="a", turns=(Turn(1, 1),), stems=stems) for stems in lines(Tree(), prompts)
    ]
    left = [blocks(one.stems) for one in in_common(made)]
    every = [name for one in made for name in blocks(one.stems)]
    for one, common in zip(made, left, strict=True):
        assert common == [name for name in blocks(one.stems) if every.count(name) > 1]


@given(sessions(), st.integers(0, 80))
def test_what_is_cut_keeps_what_lies_before(prompts: list[list[int]], tokens: int) -> None:
    for stems in lines(Tree(), prompts):
        assert blocks(cut(stems, tokens)) == blocks(stems)[: tokens // BLOCK]


def test_a_line_ends_where_a_prompt_goes_on_from_less() -> None:
    line = Line()
    for ids in ([1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 3, 5]):
        line.follow(ids)
    assert line.ids == [1, 2, 3]


def test_a_stem_of_several_trees_is_not_gone_on_from() -> None:
    """Two conversations of one system prompt, ids being of each alone."""
    one = Tree()
    two = Tree(one.numbers)
    head = next(one.numbers)
    found = []
    for tree in (one, two):
        tree.begin([1, 2], head)
        (stems,) = lines(tree, [[1, 2, 3]])
        found.append(stems)
    assert [stems[0] for stems in found] == [(head, 2 * BLOCK)] * 2
    assert found[0][1] != found[1][1]


def test_a_stem_of_so_many_tokens_is_what_of_them_is_there_before() -> None:
    trajectory = Trajectory(name="a", turns=(Turn(5, 1),), preloaded=30)
    assert with_stem(trajectory, 50).stems == ((0, 30),)
    assert with_stem(trajectory, 20).stems == ((0, 20),)
