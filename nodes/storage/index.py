"""What a storage host knows of its blocks beside them: it outlives the host's program."""

from __future__ import annotations

from nodes.protocol.blocks import Runs
from nodes.protocol.messages import Left, StoreBlocks
from nodes.storage.trie import BlockTrie


class Index:
    """Which prefixes are held, and of whom."""

    def __init__(self) -> None:
        self._trie = BlockTrie()
        self._early: dict[int, list[StoreBlocks]] = {}  # stored before some that come before them
        self._met: set[int] = set()
        self._left: set[int] = set()  # of those that have gone the ones from the oldest on
        self._oldest = 0

    @property
    def agents(self) -> int:
        """Of how many agents anything is known."""
        return len(self._met) + len(self._left)

    def knows(self, agent: int) -> bool:
        """Whether an agent's first context has been seen to."""
        return agent in self._met

    def gone(self, agent: int) -> bool:
        """Whether an agent will not come again."""
        return agent < self._oldest or agent in self._left

    def held(self, trajectory: int, runs: Runs) -> int:
        """How many leading rows of a context are held."""
        return self._trie.longest_prefix(trajectory, runs)

    def meet(self, agent: int, runs: Runs, held: int) -> None:
        """An agent's first context is seen to: so many of its rows are held."""
        self._met.add(agent)
        if held:
            self._trie.insert(agent, runs, held)

    def stored(self, span: StoreBlocks) -> None:
        """Blocks can be found once every block before them is there, in whatever order they
        came."""
        waiting = [*self._early.pop(span.trajectory, []), span]
        waiting.sort(key=lambda span: span.lo)
        early = [span for span in waiting if not self._inserted(span)]
        if early:
            self._early[span.trajectory] = early

    def forget(self, left: Left) -> None:
        """An agent goes, and what is known of it."""
        self._met.discard(left.agent)
        self._early.pop(left.agent, None)
        self._trie.remove(left.agent)
        self._left.add(left.agent)
        self._oldest = left.oldest
        self._left = {agent for agent in self._left if agent >= left.oldest}

    def _inserted(self, span: StoreBlocks) -> bool:
        reached = self._trie.longest_prefix(span.trajectory, span.runs) >= span.lo
        if reached:
            self._trie.insert(span.trajectory, span.runs, span.hi)
        return reached
