"""Collectives as traffic (paper section 3): how many bytes leave an engine, and for whom.

Expert parallelism: AllToAll. A token's activation goes to every node that holds one of its
chosen experts, once however many of them are there (they share it over the node's own
links), and a result comes back from each. So an engine exchanges with the engine of the
same rank in every other node of the group: dispatch before the experts, combine after them.

Tensor and context parallelism: ReduceScatter and AllGather, after attention and after the
FFN of every layer, as rings through the engines of the same rank; what is reduced and
gathered inside a node stays on its own links. The tokens of an engine's own batch are its
shard of the group's batch, and its shard's whole way round the ring is sent by itself: with
even shards, what every engine of a ring sends.

Sizes come from the model.
"""

from __future__ import annotations

import asyncio

from nodes.protocol.world import World
from plan.deployment import ModelSpec
from plan.errors import Broken
from plan.model import Plan
from plan.names import engine_name, gpu_of, hbm_end, node_of


def exchange_bytes(model: ModelSpec, nodes: int, tokens: float, layers: float) -> float:
    """Bytes from one engine to one other node: dispatch, or combine, of some layers.

    Args:
        nodes: nodes of the group; experts are spread evenly and chosen uniformly.
        tokens: the engine's tokens; layers: layers of any kind, MoE ones in proportion.
    """
    touched = 1 - (1 - 1 / nodes) ** model.active_experts
    moe_layers = layers * model.moe_layers / model.layers
    return tokens * touched * moe_layers * model.hidden * model.activation_bytes


def ring_bytes(model: ModelSpec, nodes: int, tokens: float, layers: float) -> float:
    """Bytes from one engine to the next of its ring: one ReduceScatter and one AllGather for
    each of some layers, either of which passes on all shards but one.

    Args:
        nodes: engines in the ring, one of every node.
        tokens: of one shard.
    """
    return 2 * (nodes - 1) * tokens * layers * model.hidden * model.activation_bytes


class Exchange:
    """One engine's part in its group's collectives."""

    def __init__(self, world: World, plan: Plan, engine: str, group: tuple[str, ...]) -> None:
        self._world = world
        self._model = plan.model
        self._engine = engine
        self._end = hbm_end(engine)
        self._rings = plan.collectives == "tensor"
        self._size_bytes = ring_bytes if self._rings else exchange_bytes
        self.regroup(group)
        self._bytes_per_s = plan.fabric.nic_of_end()[self._end].rate_bps / 8

    def regroup(self, group: tuple[str, ...]) -> None:
        """These nodes are the group from now on."""
        self._nodes = len(group)
        own = group.index(node_of(self._engine))
        others = [*group[own + 1 :], *group[:own]][: 1 if self._rings else None]
        self._peers = [hbm_end(engine_name(node, gpu_of(self._engine))) for node in others]

    async def run(self, tokens: float, layers: float) -> None:
        """Send this engine's part and wait until it has arrived everywhere."""
        if not self._peers or not tokens:
            return
        begun_s = self._world.clock.now()
        size = self._size_bytes(self._model, self._nodes, tokens, layers)
        arrivals = [self._world.burst(size, self._end, peer, "collective") for peer in self._peers]
        for ended in await asyncio.gather(*arrivals, return_exceptions=True):
            if isinstance(ended, BaseException) and not isinstance(ended, Broken):
                raise ended
        stats = self._world.stats
        stats.collectives_s.add(self._world.clock.now() - begun_s)
        stats.collectives_wire_s += len(self._peers) * size / self._bytes_per_s
