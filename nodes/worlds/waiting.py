"""What tasks wait for: the place of each one's innermost await, for errors and reports."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import CoroutineType, FrameType
from typing import Any

_ASYNCIO = os.path.dirname(asyncio.__file__)
_ROOT = Path(__file__).parents[2]


def waiting_tasks(loop: asyncio.AbstractEventLoop) -> list[tuple[str, str]]:
    """(name, place as "file:line in function") of every task that is not done, sorted."""
    return sorted((task.get_name(), _place(task)) for task in asyncio.all_tasks(loop))


def place_of(frame: FrameType) -> str:
    """Where a frame is, as "file:line in function"."""
    path = Path(frame.f_code.co_filename)
    shown = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
    return f"{shown}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _place(task: asyncio.Task[Any]) -> str:
    """The innermost await of a task that is not inside asyncio itself."""
    found: FrameType | None = None
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and (
            found is None or not frame.f_code.co_filename.startswith(_ASYNCIO)
        ):
            found = frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    if found is not None:
        return place_of(found)
    plain = isinstance(task.get_coro(), CoroutineType)
    return "an unknown place" if plain else "compiled code (plain Python tells where)"
