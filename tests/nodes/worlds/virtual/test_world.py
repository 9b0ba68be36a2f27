"""Claims: what is posted together moves as if posted one by one, and is completed once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.blocks import Piece
from nodes.protocol.messages import Remote
from nodes.protocol.world import Move, Span
from nodes.worlds.virtual.flow_network import FlowNetwork
from nodes.worlds.virtual.loop import VirtualTimeLoop, run
from nodes.worlds.virtual.world import VirtualCluster, VirtualWorld
from plan.lanes import TrafficClass
from tests.examples import tries
from tests.nodes.plans import GROUPS, make_plan
from tests.nodes.recording import recorded

PLAN = make_plan([], decode=2)
ROWS = 30
END = "pe0.hbm0"
PEERS: tuple[tuple[str, TrafficClass], ...] = (
    ("pe0.dram0", "copy"),
    ("de0.dram0", "kv"),
    ("de1.dram0", "kv"),
)

Post = tuple[int, int, int, int]
"""(peer, first row, rows, Layer Block group)."""

posts = st.lists(
    st.tuples(
        st.integers(0, len(PEERS) - 1),
        st.integers(0, 20),
        st.integers(1, 10),
        st.integers(0, GROUPS - 1),
    ),
    min_size=1,
    max_size=12,
)


def moved(chosen: Sequence[Post], verb: str, *, together: bool) -> tuple[float, list[int]]:
    """When all have arrived, and how many Layer Blocks then lack in each region."""

    async def main() -> tuple[float, list[int]]:
        async with recorded(PLAN, "pe0") as (world, _):
            whole = [Piece(0, ROWS, 5, 100)]
            there = [world.allocate(ROWS) for _ in PEERS]
            here = world.allocate(ROWS)
            for region in there if verb == "read" else [here]:
                region.fill(whole, None)
            moves = [
                Move(here, Span(lo, lo + rows, group), Remote(end, there[peer].key), traffic)
                for peer, lo, rows, group in chosen
                for end, traffic in [PEERS[peer]]
            ]
            post = world.read if verb == "read" else world.write
            for arrival in [post(END, moves)] if together else [post(END, [m]) for m in moves]:
                await arrival
            filled = [here] if verb == "read" else there
            return world.clock.now(), [region.corrupt(whole, None) for region in filled]

    return run(main())


@given(posts, st.sampled_from(["read", "write"]))
@tries(60)
def test_posted_together_all_arrives_when_it_would_one_by_one(
    chosen: list[Post], verb: str
) -> None:
    assert moved(chosen, verb, together=True) == moved(chosen, verb, together=False)


class _Noting(FlowNetwork):
    """A network that notes what it is asked for and delivers nothing by itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, TrafficClass]] = []
        self.arrivals: list[Callable[[], object]] = []

    def transfer(
        self,
        src_end: str,
        dst_end: str,
        lane_class: TrafficClass,
        size_bytes: float,
        arrived: Callable[[], object],
    ) -> None:
        self.asked.append((src_end, dst_end, lane_class))
        self.arrivals.append(arrived)


def test_a_queue_pair_moves_one_transfer_at_a_time_over_any_network() -> None:
    network = _Noting()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with asyncio.TaskGroup() as tasks:
            world = VirtualWorld(VirtualCluster(PLAN, tasks, loop, network), "pe0")
            here, there = world.allocate(ROWS), world.allocate(ROWS)
            remote = Remote("de0.dram0", there.key)
            groups = range(GROUPS)
            arrival = world.write(END, [Move(here, Span(0, 1, g), remote, "kv") for g in groups])
            for begun in range(1, GROUPS + 1):
                await world.clock.sleep_until(float(begun))
                assert len(network.asked) == begun
                assert not arrival.done()
                network.arrivals[-1]()
            await arrival

    run(main())
    assert network.asked == [(END, "de0.dram0", "kv")] * GROUPS


@pytest.mark.parametrize("verb", ["read", "write"])
def test_what_was_posted_arrives_though_nobody_waits_for_it_any_more(verb: str) -> None:
    async def main() -> int:
        async with recorded(PLAN, "pe0") as (world, _):
            source, target = world.allocate(ROWS), world.allocate(ROWS)
            source.fill([Piece(0, ROWS, 5, 100)], None)
            here, there = (target, source) if verb == "read" else (source, target)
            moves = [Move(here, Span(0, ROWS), Remote("de0.dram0", there.key), "kv")]
            arrival = world.read(END, moves) if verb == "read" else world.write(END, moves)
            arrival.cancel()
            await world.clock.sleep_until(1.0)
            return target.corrupt([Piece(0, ROWS, 5, 100)], None)

    assert run(main()) == 0
