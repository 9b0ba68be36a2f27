"""Who lives: a node that gives no sign for as long as its lease is taken for dead.

Pure: it is told of signs of life, and asked now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

_UNKNOWN = 0
Found = Literal["alive", "returned", "replaced", "taken for dead"]


class Leases:
    """The leases of all nodes that give signs of life. Times: model seconds.

    Attributes:
        lives: node -> life of its program; 0: it is taken for dead.
    """

    def __init__(self, nodes: Iterable[str], lease_s: float, now_s: float) -> None:
        self._lease_s = lease_s
        self.lives = dict.fromkeys(nodes, 1)
        self._last = dict.fromkeys(self.lives, 1)
        self._until_s = dict.fromkeys(self.lives, now_s + lease_s)

    def heard(self, node: str, life: int, now_s: float) -> Found:
        """A sign of life.

        Returns:
            `returned`: it had been taken for dead, and this is another life. `replaced`: it had
            not, and this is another life, so the one before is over. `taken for dead`: this
            very life had been, so that it has to begin another one.
        """
        known = self.lives[node]
        if self._last[node] == _UNKNOWN:
            self._last[node] = life
        if life < self._last[node]:
            return "alive"  # of a life that is over, held up on its way
        self._until_s[node] = now_s + self._lease_s
        if known == life:
            return "alive"
        if life == self._last[node]:
            return "taken for dead"
        self.lives[node] = self._last[node] = life
        return "returned" if known == 0 else "replaced"

    def found(self, node: str, life: int, now_s: float) -> None:
        """It is there, in this life, whatever was known of it."""
        self.lives[node] = self._last[node] = life
        self._until_s[node] = now_s + self._lease_s

    def gone(self, node: str, life: int | None = None) -> None:
        """It is taken for dead in this life, or in whichever it is heard of next."""
        self.lives[node] = 0
        self._last[node] = _UNKNOWN if life is None else life

    def expired(self, now_s: float) -> list[str]:
        """Who is taken for dead from now on. Where it would be all, it is the one who listens
        that is cut off: all leases begin anew."""
        living = [node for node, life in self.lives.items() if life]
        late = [node for node in living if self._until_s[node] < now_s]
        if late and len(late) == len(living) > 1:
            for node in late:
                self._until_s[node] = now_s + self._lease_s
            return []
        for node in late:
            self.lives[node] = 0
        return late
