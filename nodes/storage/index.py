"""What a storage host knows of its blocks beside them: it outlives the host's program."""

from __future__ import annotations

from nodes.protocol.messages import StoreBlocks
from nodes.storage.trie import BlockTrie


class Index:
    """Which prefixes are held, and of whom.

    Attributes:
        early: blocks that are stored before some that come before them.
        met: agents of whom anything is known; left: those that have gone, from `oldest` on.
    """

    def __init__(self) -> None:
        self.trie = BlockTrie()
        self.early: dict[int, list[StoreBlocks]] = {}
        self.met: set[int] = set()
        self.left: set[int] = set()
        self.oldest = 0
