"""Claims: both worlds send bytes the same way through the fabric."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.flows import FORWARD, Action, Output, Pipeline, Reflect, pipelines
from controller.lanes import lane_table
from nodes.worlds.virtual.flow_routes import StaticRoutes
from plan.fabric import End, Fabric, Nic
from plan.routing import Port, routes
from tests.examples import tries
from topology.fattree import FabricSpec, build_fabric


@st.composite
def fat_trees(draw: st.DrawFn) -> Fabric:
    """Fabrics of up to 8 nodes, some with more switches than they need."""
    spec = FabricSpec(
        prefill=draw(st.integers(1, 4)),
        decode=draw(st.integers(1, 4)),
        storage=draw(st.integers(1, 3)),
        gpus_per_node=draw(st.integers(1, 3)),
        snic_bps=400e9,
        cnic_bps=400e9,
        storage_bps=400e9,
        management_bps=100e9,
        k=draw(st.sampled_from([None, 6, 8])),
        converged=draw(st.booleans()),
    )
    return build_fabric(spec)


class Frames:
    """Sends frames through the flows of the controller, as switches would."""

    def __init__(self, fabric: Fabric) -> None:
        self.pipelines = pipelines(fabric, lane_table(), routes(fabric))
        self.nics = fabric.nics
        self.link: dict[Port, tuple[int, Port | None]] = {}
        for i, nic in enumerate(fabric.nics):
            self.link[nic.switch, nic.port] = (2 * i + 1, None)
        for j, link in enumerate(fabric.links, len(fabric.nics)):
            a, b = (link.a, link.a_port), (link.b, link.b_port)
            self.link[a], self.link[b] = (2 * j, b), (2 * j + 1, a)

    def crossed(self, source: Nic, target: End) -> tuple[int, ...]:
        """Numbers of the directed links that a frame crosses."""
        crossed = [2 * self.nics.index(source)]
        at: Port | None = (source.switch, source.port)
        while at is not None:
            number, at = self.link[self._leaves_by(at, target)]
            assert number not in crossed, "a loop"
            crossed.append(number)
        return tuple(crossed)

    def _leaves_by(self, at: Port, target: End) -> Port:
        switch, in_port = at
        match self._forward(self.pipelines[switch], in_port, target.mac):
            case Output(port) if port != in_port:
                return switch, port
            case Reflect():
                return at
        raise AssertionError(f"{switch} drops what came in on port {in_port} for {target.name}")

    def _forward(self, pipeline: Pipeline, in_port: int, mac: str) -> Action | None:
        frame = {"eth_dst": mac, "in_port": in_port}
        hits = [
            flow
            for flow in pipeline
            if flow.table == FORWARD and dict(flow.match).items() <= frame.items()
        ]
        return max(hits, key=lambda flow: flow.priority).actions[0] if hits else None


@given(fat_trees(), st.data())
@tries(60)
def test_a_frame_by_the_controllers_flows_crosses_what_the_virtual_world_books(
    fabric: Fabric, data: st.DataObject
) -> None:
    frames, booked = Frames(fabric), StaticRoutes(fabric)
    for _ in range(10):
        source = data.draw(st.sampled_from(fabric.nics))
        start = data.draw(st.sampled_from(source.ends))
        target = data.draw(
            st.sampled_from(
                [
                    end
                    for nic in fabric.nics
                    if nic.plane == source.plane
                    for end in nic.ends
                    if end is not start
                ]
            )
        )
        assert booked(start.name, target.name) == frames.crossed(source, target)


@given(fat_trees())
@tries(20)
def test_no_route_joins_two_planes(fabric: Fabric) -> None:
    paths = StaticRoutes(fabric)
    for nic in fabric.nics:
        other = next(other for other in fabric.nics if other.plane != nic.plane)
        with pytest.raises(ValueError, match="transfers must stay on one plane"):
            paths(nic.ends[0].name, other.ends[0].name)
