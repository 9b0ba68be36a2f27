"""Reads and stores that were asked for apart, share by share of a context, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nodes.protocol.blocks import Share, rows
from plan.errors import Broken

_T = TypeVar("_T")


def read_together(
    reads: Sequence[tuple[Share, asyncio.Future[int]]], lo: int
) -> asyncio.Future[int]:
    """Up to which row of the context there are blocks from `lo` on; each read says it of its
    share's rows. Fails with the first that failed, if all before it are whole."""

    def reached() -> int:
        upto = lo
        for share, read in reads:
            upto = share.row + read.result()
            if upto < share.row + rows(share.runs):
                break
        return upto

    return _when_all([read for _, read in reads], reached)


def stored_together(stores: Sequence[asyncio.Future[None]]) -> asyncio.Future[None]:
    """Done when all are."""
    return _when_all(stores, lambda: None)


def _when_all(
    parts: Sequence[asyncio.Future[Any]], outcome: Callable[[], _T]
) -> asyncio.Future[_T]:
    whole: asyncio.Future[_T] = asyncio.Future()
    left = len(parts)

    def ended(_: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        if left or whole.done():
            return
        try:
            whole.set_result(outcome())
        except Broken as error:
            whole.set_exception(error)
            whole.exception()  # who asked may have gone

    for part in parts:
        part.add_done_callback(ended)
    return whole
