"""Formats of recorded traces, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from plan.workload import Trajectory
from scenarios.workload.dynamo import read_dynamo
from scenarios.workload.lengths import read_kv_cache_tester, read_mini_swe_agent
from scenarios.workload.mooncake import read_mooncake
from scenarios.workload.turn_rows import read_turns
from scenarios.workload.weka import read_weka

Format = Literal[
    "mini-swe-agent",
    "kv-cache-tester",
    "kv-cache-tester-raw",
    "weka",
    "mooncake",
    "dynamo",
    "turns",
]
Reader = Callable[[Path], Iterator[Trajectory]]

READERS: dict[Format, Reader] = {
    "mini-swe-agent": read_mini_swe_agent,
    "kv-cache-tester": read_kv_cache_tester,
    "kv-cache-tester-raw": read_weka,
    "weka": read_weka,
    "mooncake": read_mooncake,
    "dynamo": read_dynamo,
    "turns": read_turns,
}
"""What a reader yields has `preloaded` tokens in storage where others had them before: a parent,
or whoever has the same system prompt. They are hits where a scenario says so."""
