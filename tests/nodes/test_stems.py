"""Claims: what agents have in common is in storage once, in virtual time and over sockets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unittest.mock import patch

import lmdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import STEMS, Piece
from nodes.protocol.world import Region
from nodes.worlds.virtual.identity_store import IdentityBlockStore
from plan.arrivals import Gaps
from plan.events import Completed, Stop, Stopped
from plan.fabric import storage_host
from plan.workload import Stems, Trajectory, Turn, steps
from scenarios.workload.stems import cut
from tests.examples import tries
from tests.nodes.plans import DUALPATH, SPLIT, TOKENS, make_plan, on_loopback
from tests.nodes.processes import launched
from tests.nodes.simulated import simulate

TREE: list[Stems] = [(), ((0, 300),), ((0, 1000), (1, 1500)), ((0, 1000), (2, 1700), (3, 1764))]
"""Paths through a prefix tree: a root that two go on from at 1000 tokens, one of them twice."""

Block = tuple[int, int]


class Stores(list[IdentityBlockStore]):
    """The storage hosts' stores of a run, in the order of the hosts; what each was given."""

    def __init__(self) -> None:
        self.given: list[Counter[Block]] = []

    def make(self) -> IdentityBlockStore:
        store = IdentityBlockStore()
        given: Counter[Block] = Counter()
        self.given.append(given)
        put = store.put

        def noting(pieces: list[Piece], region: Region) -> None:
            put(pieces, region)
            given.update((p.trajectory, p.first_id + i) for p in pieces for i in range(p.size))

        store.put = noting  # type: ignore[method-assign]
        self.append(store)
        return store


@st.composite
def agents(draw: st.DrawFn) -> Trajectory:
    """An agent that has some of its path before it comes, and makes the rest in its turns."""
    preloaded = draw(st.sampled_from([0, 200, 900, 1200, 2000]))
    turns, context = [], preloaded
    for _ in range(draw(st.integers(1, 3))):
        keep = draw(st.none() | st.integers(0, context))
        turns.append(Turn(draw(st.integers(1, 600)), draw(st.integers(1, 80)), keep))
        context = (context if keep is None else keep) + turns[-1].append + turns[-1].gen
    stems = cut(draw(st.sampled_from(TREE)), draw(st.integers(0, 2000)))
    return Trajectory(name="a", turns=tuple(turns), preloaded=preloaded, stems=stems)


@tries(40)
@given(st.lists(agents(), min_size=1, max_size=5), st.integers(1, 3), st.booleans())
def test_a_block_of_a_stem_is_at_one_host_alone_and_read_by_whoever_has_it(
    trajectories: list[Trajectory], hosts: int, split: bool
) -> None:
    stores = Stores()
    # with time to store all that a turn has made before the next one
    gaps = Gaps(kind="fixed", mean_s=1.0)
    plan = msgspec.structs.replace(make_plan(trajectories, storage=hosts), gaps=gaps)
    with patch("nodes.virtual_run.IdentityBlockStore", stores.make):
        run = simulate(plan, SPLIT if split else DUALPATH, 1.0)
    assert [stats.blocks_corrupt for stats in run.stats] == [0] * len(run.stats)
    names = [node.name for node in plan.fabric.nodes_of("storage")]
    for name, blocks in zip(names, stores.given, strict=True):
        assert all(storage_host(names, owner) == name for owner, _ in blocks)
    walks = [list(steps(one)) for one in trajectories]
    for record in run.records:
        step, before = walks[record.agent][record.turn], walks[record.agent][record.turn - 1]
        # a turn's last token is not computed in that turn
        there = step.hit if not record.turn else min(step.hit, before.context - 1)
        assert record.hit_tokens == there // TOKENS * TOKENS


def together(preloaded: int, agents: int) -> list[Trajectory]:
    """Agents of one system prompt, of which so much is there before them."""
    turns = (Turn(2000 - preloaded, 20), Turn(64, 4))
    return [
        Trajectory(name=f"a{n}", turns=turns, preloaded=preloaded, stems=((1, 1000),))
        for n in range(agents)
    ]


@pytest.mark.parametrize("preloaded", [0, 640, 1600])
def test_many_agents_of_one_prompt_leave_it_there_once(preloaded: int) -> None:
    stores = Stores()
    with patch("nodes.virtual_run.IdentityBlockStore", stores.make):
        simulate(make_plan(together(preloaded, 6), storage=2), DUALPATH, 1.0)
    blocks = {block for given in stores.given for block in given}
    stem = {block for block in blocks if block[0] == STEMS + 1}
    assert stem == {(STEMS + 1, row) for row in range(1000 // TOKENS)}
    own = (2000 + 20 + 64 + 4) // TOKENS - len(stem)
    assert len(blocks) - len(stem) == 6 * own


@pytest.mark.slow
def test_over_sockets_too_it_is_on_one_disk_once(tmp_path: Path) -> None:
    plan = on_loopback(make_plan(together(640, 3), storage=2))
    with launched(plan, DUALPATH, tmp_path) as nodes:
        nodes.started()
        while not isinstance(nodes["agents"].event(), Completed):
            pass
        nodes.tell(Stop())
        nodes.expect(Stopped())
        for node in nodes.values():
            node.end_input()
            assert node.last_events() == []
        assert nodes["de0"].stats.blocks_verified > 0
        assert [node.stats.blocks_corrupt for node in nodes.values()] == [0] * len(nodes)
    held = {name: keys(tmp_path / f"{name}.blocks") for name in ("st0", "st1")}
    stem = (STEMS + 1).to_bytes(4)
    shared = {name: [key for key in found if key[:4] == stem] for name, found in held.items()}
    assert shared == {"st0": [], "st1": [stem + row.to_bytes(4) for row in range(1000 // TOKENS)]}


def keys(path: Path) -> list[bytes]:
    with lmdb.open(str(path), readonly=True) as environment, environment.begin() as read:
        return list(read.cursor().iternext(keys=True, values=False))
