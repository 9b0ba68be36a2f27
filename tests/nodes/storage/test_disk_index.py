"""Claims: the next life of a storage host knows what was acknowledged, whenever the last ended."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.messages import Left, Remote, StoreBlocks
from nodes.storage.disk_index import DiskIndex
from nodes.storage.index import Index
from plan.errors import Broken

AGENTS = st.integers(0, 3)
ENDS = st.integers(1, 8)


def stored(agent: int, lo: int, hi: int) -> StoreBlocks:
    runs = ((0, 10),)
    return StoreBlocks(1, "de0", agent, runs, lo, hi, Remote("de0.dram0", 1), 0)


STEPS = st.one_of(
    st.tuples(st.just("meet"), AGENTS, ENDS),
    st.tuples(st.just("stored"), AGENTS, ENDS),
    st.tuples(st.just("forget"), AGENTS, st.just(0)),
)


def does(index: Index, step: tuple[str, int, int]) -> None:
    what, agent, end = step
    match what:
        case "meet":
            index.meet(agent, ((0, 10),), end)
        case "stored":
            index.stored(stored(agent, end - 1, end))
        case "forget":
            index.forget(Left(agent, 0))


def known(index: Index) -> list[tuple[bool, bool, int]]:
    return [(index.knows(a), index.gone(a), index.held(a, ((0, 10),))) for a in range(4)]


@given(st.lists(STEPS), st.lists(STEPS))
def test_two_lives_know_what_one_would(
    first: list[tuple[str, int, int]], second: list[tuple[str, int, int]]
) -> None:
    one = Index()
    with TemporaryDirectory() as directory:
        path = Path(directory, "index")
        for steps in (first, second):
            index = DiskIndex(path)
            for step in steps:
                does(one, step)
                does(index, step)
            assert known(index) == known(one)
            index.close()


def test_an_entry_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = DiskIndex(path)
    index.meet(0, ((0, 10),), 4)
    index.stored(stored(0, 4, 6))
    index.close()
    path.write_bytes(path.read_bytes()[:-3])
    again = DiskIndex(path)
    assert again.held(0, ((0, 10),)) == 4
    again.stored(stored(0, 4, 7))
    again.close()
    last = DiskIndex(path)
    assert last.held(0, ((0, 10),)) == 7
    last.close()


def test_no_room_for_blocks_is_told_and_they_are_not_known(tmp_path: Path) -> None:
    index = DiskIndex(tmp_path / "index")
    index.close()
    index._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  closed below
    index.meet(0, ((0, 10),), 4)
    index.forget(Left(1, 0))
    with pytest.raises(Broken, match="cannot be written"):
        index.stored(stored(0, 4, 6))
    assert index.held(0, ((0, 10),)) == 4
    index.close()
