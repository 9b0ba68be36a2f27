"""The trie of Full Blocks: which prefixes of a trajectory's contexts storage holds.

A node of the trie is a Full Block (paper section 1). Consecutive ids under one parent are
kept as one run, so an append-only trajectory of any length costs a few words.
"""

from __future__ import annotations

from nodes.protocol.blocks import Runs

ROOT = -1


class _Chain:
    """Blocks `first .. end` where each one's parent is its predecessor."""

    __slots__ = ("end", "first", "parent")

    def __init__(self, first: int, end: int, parent: int) -> None:
        self.first = first
        self.end = end
        self.parent = parent


class BlockTrie:
    """Prefix lookup per trajectory. Ids are unique within a trajectory."""

    def __init__(self) -> None:
        self._chains: dict[int, dict[int, _Chain]] = {}

    def insert(self, trajectory: int, runs: Runs, hi: int) -> None:
        """Make the first `hi` rows of the context findable."""
        chains = self._chains.setdefault(trajectory, {})
        parent = ROOT
        for first, count in runs:
            count = min(count, hi)
            if count <= 0:
                return
            chain = chains.get(first)
            if chain is None:
                chains[first] = _Chain(first, first + count, parent)
            else:
                chain.end = max(chain.end, first + count)
            parent = first + count - 1
            hi -= count

    def remove(self, trajectory: int) -> None:
        """Forget all contexts of a trajectory."""
        self._chains.pop(trajectory, None)

    def longest_prefix(self, trajectory: int, runs: Runs) -> int:
        """How many leading rows of the context are held."""
        chains = self._chains.get(trajectory, {})
        parent, held = ROOT, 0
        for first, count in runs:
            chain = chains.get(first)
            if chain is None or chain.parent != parent:
                return held
            available = min(count, chain.end - first)
            held += available
            if available < count:
                return held
            parent = first + count - 1
        return held
