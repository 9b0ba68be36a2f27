"""What nodes say to each other over the management network. Times: model seconds."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nodes.protocol.blocks import Runs
from plan.records import RequestRecord


class Attempt(NamedTuple):
    """One attempt at serving a request: what nodes call a request by among themselves, so that
    a message about an attempt that is over is not taken for one about the next.

    Attributes:
        request: the request's number; number: of the attempt, from 1.
    """

    request: int
    number: int


class Remote(msgspec.Struct, frozen=True, array_like=True):
    """A registered region of a node, as a peer reaches it: through which end, by which key."""

    end: str
    key: int


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One turn as the agent asks for it.

    Attributes:
        runs: the blocks of prompt and generation, in row order.
        prompt: prompt tokens (context and append); gen: tokens to generate.
        cached: tokens of the prompt whose KV-Cache may be in storage.
    """

    number: int
    agent: int
    turn: int
    runs: Runs
    prompt: int
    cached: int
    gen: int
    submit_s: float

    @property
    def total(self) -> int:
        """Tokens at the end of the turn: what a DE must hold."""
        return self.prompt + self.gen


class Submit(msgspec.Struct, frozen=True, array_like=True, tag="submit"):
    """Agent -> scheduler."""

    request: Request


class Assign(msgspec.Struct, frozen=True, array_like=True, tag="assign"):
    """Scheduler -> the chosen PE's node and the chosen DE's node.

    Attributes:
        attempt_number: which attempt at the request this is, from 1.
        pe, de: engine names, `<node>.<gpu>`.
        pe_blocks: so many leading hit blocks are read on the prefill side, the others on
            the decode side.
    """

    request: Request
    pe: str
    de: str
    pe_blocks: int
    assigned_s: float
    attempt_number: int

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.request.number, self.attempt_number)


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """Node -> the leader of its group.

    Attributes:
        finished: attempts that ended on the node's engines since the last report.
        read_queue: the node's disk read queue, tokens.
        pool: trajectories of which the node's DRAM pool holds an entry (True), or no longer
            does, since the last report.
    """

    node: str
    finished: tuple[Attempt, ...]
    read_queue: int
    pool: tuple[tuple[int, bool], ...] = ()


class Fetch(msgspec.Struct, frozen=True, array_like=True, tag="fetch"):
    """Leader -> scheduler: what its group's nodes report, and readiness for more."""

    group: int
    reports: tuple[Report, ...]


class Join(msgspec.Struct, frozen=True, array_like=True, tag="join"):
    """Engine -> leader of its expert-parallel group: has a batch for the next forward.

    Attributes:
        number: of the group, as it stands; it changes when members die or come.
    """

    engine: str
    number: int = 0


class Arrive(msgspec.Struct, frozen=True, array_like=True, tag="arrive"):
    """Engine -> leader of its expert-parallel group: at the end of a round. See `lockstep`."""

    engine: str
    tokens: int
    attention_s: float
    boundary: bool
    stays: bool
    number: int = 0


class Go(msgspec.Struct, frozen=True, array_like=True, tag="go"):
    """Leader -> node: the named engines go on; `tokens` of all participants of the round."""

    engines: tuple[str, ...]
    tokens: int
    number: int = 0


class NeedBuffer(msgspec.Struct, frozen=True, array_like=True, tag="need"):
    """PE node -> DE node: the request now needs its DE buffer."""

    attempt: Attempt


class BufferReady(msgspec.Struct, frozen=True, array_like=True, tag="buffer"):
    """DE node -> PE node: the request's DE buffer is registered."""

    attempt: Attempt
    buffer: Remote


class HitsReady(msgspec.Struct, frozen=True, array_like=True, tag="hits"):
    """DE node -> PE node: the decode side's hits are in the DE buffer, up to block `upto`;
    before, the request waited `buffer_wait_s` for that buffer."""

    attempt: Attempt
    upto: int
    read_start_s: float
    read_end_s: float
    buffer_wait_s: float


class PrefillDone(msgspec.Struct, frozen=True, array_like=True, tag="prefilled"):
    """PE node -> DE node: the whole prompt's KV-Cache is in the DE buffer."""

    attempt: Attempt
    hit_blocks: int
    read_start_s: float | None
    read_end_s: float | None
    buffer_wait_s: float
    ready_s: float
    prefill_start_s: float
    first_s: float


class FirstToken(msgspec.Struct, frozen=True, array_like=True, tag="first"):
    """PE node -> agents: a request has its first token."""

    request: int
    first_s: float


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """DE node -> agents: the turn is over."""

    record: RequestRecord


class Left(msgspec.Struct, frozen=True, array_like=True, tag="left"):
    """Agents -> storage: an agent has had all its turns; its blocks may go.

    Attributes:
        oldest: agents with smaller numbers have all left, too.
    """

    agent: int
    oldest: int


class ReadBlocks(msgspec.Struct, frozen=True, array_like=True, tag="read"):
    """Node -> storage: write what is held of rows `lo ..` of the context into my buffer, as
    far as all blocks before are held, too. Row `lo` goes to row `buffer_row`. The context is
    what of an agent's has one owner: `trajectory`, the agent's own number or a stem's."""

    ticket: int
    node: str
    trajectory: int
    runs: Runs
    lo: int
    buffer: Remote
    buffer_row: int


class BlocksRead(msgspec.Struct, frozen=True, array_like=True, tag="was_read"):
    """Storage -> node: the blocks are in the buffer, up to row `upto` of the context."""

    ticket: int
    upto: int


class StoreBlocks(msgspec.Struct, frozen=True, array_like=True, tag="store"):
    """Node -> storage: persist rows `lo .. hi` of the context; row `lo` is at `buffer_row`.
    For `trajectory` see `ReadBlocks`."""

    ticket: int
    node: str
    trajectory: int
    runs: Runs
    lo: int
    hi: int
    buffer: Remote
    buffer_row: int


class BlocksStored(msgspec.Struct, frozen=True, array_like=True, tag="was_stored"):
    """Storage -> node: persisted; the buffer may be freed."""

    ticket: int


class NotDone(msgspec.Struct, frozen=True, array_like=True, tag="not_done"):
    """Storage -> node: a read or a store came to nothing, for a reason; `stalled`: for nothing
    moved between the two."""

    ticket: int
    why: str
    stalled: bool


class Alive(msgspec.Struct, frozen=True, array_like=True, tag="alive"):
    """Node -> scheduler: a sign of life, of this life of its program."""

    node: str
    life: int


class Greeting(msgspec.Struct, frozen=True, array_like=True, tag="greeting"):
    """A node's first word on a connection: which life of its program it is."""

    node: str
    life: int


SCHEDULER_LIFE = 1_000_000


class Members(msgspec.Struct, frozen=True, array_like=True, tag="members"):
    """Scheduler -> nodes: who is there, and in which life; of a higher number, later.

    Attributes:
        number: those of a later life of the scheduler's program are `SCHEDULER_LIFE` higher.
        lives: node -> life of its program; 0: it is dead.
    """

    number: int
    lives: dict[str, int]


class Fence(msgspec.Struct, frozen=True, array_like=True, tag="fence"):
    """Scheduler -> node: it was taken for dead in this life, and has to begin another."""

    life: int


class Recount(msgspec.Struct, frozen=True, array_like=True, tag="recount"):
    """Scheduler -> nodes and agents: it has begun anew, and knows nothing."""

    scheduler: str


class Held(msgspec.Struct, frozen=True, array_like=True, tag="held"):
    """Node -> scheduler: what it has, when it is asked to say all.

    Attributes:
        serving: attempts in its hands. whole: those of a DE that has all of their prompts.
        failed: attempts that came to nothing here, all that there were.
        report: its load and all that its DRAM pool holds; a storage host has none.
        members: who is there, as it heard last; a life that has heard nothing yet: of number -1.
    """

    node: str
    life: int
    members: Members
    serving: tuple[Assign, ...] = ()
    whole: tuple[Attempt, ...] = ()
    failed: tuple[Attempt, ...] = ()
    report: Report | None = None


class Unfinished(msgspec.Struct, frozen=True, array_like=True, tag="unfinished"):
    """Agents -> scheduler: all that they wait for, in the order in which they asked."""

    requests: tuple[Request, ...]


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Scheduler -> node: nobody waits for the attempt any more."""

    attempt: Attempt


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Node -> scheduler: an attempt came to nothing there.

    Attributes:
        read: because the node could not read its part of the hits.
    """

    attempt: Attempt
    node: str
    why: str
    read: bool


Message = (
    Submit
    | Assign
    | Report
    | Fetch
    | Join
    | Arrive
    | Go
    | NeedBuffer
    | BufferReady
    | HitsReady
    | PrefillDone
    | FirstToken
    | Done
    | Left
    | ReadBlocks
    | BlocksRead
    | StoreBlocks
    | BlocksStored
    | NotDone
    | Alive
    | Greeting
    | Members
    | Fence
    | Recount
    | Held
    | Unfinished
    | Cancel
    | Failed
)
