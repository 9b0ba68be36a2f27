"""Jobs of a prefill engine and the parts of them that a forward batch takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from nodes.protocol.messages import Assign, Remote, Request
from nodes.protocol.world import Region
from nodes.storage.client import ReadTicket


@dataclass(slots=True, eq=False)
class Job:
    """A request in its prefill engine.

    Attributes:
        hits: leading rows that were read from storage; the first `local` of them into the
            PE buffer, the others into the DE buffer.
        read: when the reading began and ended, over both sides (None: nothing was read).
        buffer: the DE buffer, the KV's destination; hbm: region of the whole prompt; both
            None without I/O.
        tokens: how many of the prompt have their KV-Cache.
    """

    assign: Assign
    rows: int
    hits: int
    local: int
    tokens: int
    read: ReadTicket | None
    pe_buffer: Region | None
    buffer: Remote | None
    hbm: Region | None
    prefill_start_s: float | None = None
    sent: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def request(self) -> Request:
        return self.assign.request


class Part(NamedTuple):
    """A job's chunk in a forward batch: new tokens, and the rows they complete."""

    job: Job
    cached: int
    bsz: int
    lo: int
    hi: int
    first: bool

    @property
    def last(self) -> bool:
        return self.cached + self.bsz == self.job.request.prompt
