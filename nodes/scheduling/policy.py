"""What an inter-engine policy is asked, and what it can see to answer (paper section 4).

A policy is pure: it answers from the snapshot alone and changes nothing, so that it can be
tested, compared or replaced apart from the scheduler. What an answer changes in turn, the
scheduler enters in its ledger before it asks again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from nodes.protocol.messages import Request


class Engine(Protocol):
    """What the scheduler knows of an engine."""

    @property
    def name(self) -> str: ...

    @property
    def node(self) -> str: ...

    @property
    def group(self) -> int: ...

    @property
    def seq(self) -> int:
        """Unfinished requests (seq_e)."""

    @property
    def tok(self) -> int:
        """Their total tokens (tok_e)."""

    @property
    def free(self) -> float:
        """Free HBM, tokens; infinite where nothing is held back (PEs)."""


class Side(Protocol):
    """The engines of one kind, in order of their groups."""

    @property
    def engines(self) -> Sequence[Engine]: ...

    @property
    def groups(self) -> Mapping[int, Sequence[Engine]]: ...

    @property
    def nodes(self) -> Mapping[str, Sequence[Engine]]: ...

    @property
    def given(self) -> int:
        """Requests that an engine of the side has been given so far."""


class Snapshot(Protocol):
    """What the scheduler knows of its cluster at the moment of a decision.

    It is a view of what the scheduler itself works with, not a copy: it holds during the
    call only.
    """

    @property
    def prefill(self) -> Side: ...

    @property
    def decode(self) -> Side: ...

    @property
    def group_tokens(self) -> Mapping[int, int]:
        """Decode group -> total tokens of its requests, those in its private queue included."""

    @property
    def fetching(self) -> Collection[int]:
        """Groups whose fetch is unanswered, oldest first."""

    @property
    def read_queues(self) -> Mapping[str, int]:
        """Node -> tokens in its disk read queue, with what was given since its last report."""

    @property
    def homes(self) -> Mapping[int, str]:
        """Trajectory -> node whose DRAM pool holds its KV-Cache; empty where there is no pool."""

    @property
    def last_share(self) -> Mapping[tuple[str, str], float]:
        """(PE, DE) -> the prefill side's share of the last read that the two were given."""


class Read(NamedTuple):
    """Hits that are to be read from storage.

    Attributes:
        tokens: of all hits, at least one. Those that are in the DE's DRAM pool need no
            reading on the decode side.
    """

    request: Request
    pe: Engine
    de: Engine
    tokens: int


class InterEnginePolicy(Protocol):
    """Which groups are served, by which engines, and where hits are read."""

    def open_groups(self, known: Snapshot, /) -> Collection[int]:
        """Groups that are given requests now, if there are any, in this order."""

    def choose_pe(self, known: Snapshot, group: int, request: Request, /) -> Engine | None:
        """The PE of the group for the oldest request without one; None: it waits."""

    def choose_group(self, known: Snapshot, request: Request, /) -> int:
        """The decode group in whose private queue a request waits for its DE."""

    def choose_des(
        self, known: Snapshot, group: int, waiting: Collection[Request], /
    ) -> Sequence[Engine]:
        """The DEs of the group for the first requests of its private queue; the others wait.

        Args:
            waiting: the private queue, oldest first, at least one.
        """

    def pe_share(self, known: Snapshot, read: Read, /) -> float:
        """The prefill side's share of a read, 0 to 1."""
