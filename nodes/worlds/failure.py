"""An error outside every task ends a run as an error in a task does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from traceback import walk_tb
from typing import Any


def fail(tasks: asyncio.TaskGroup, error: BaseException) -> None:
    """End a run with an error."""
    tasks.create_task(_raise(error))


def settle(told: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell whoever waits how what was posted ended, unless they have been told."""
    if told.done():
        return
    if error is None:
        told.set_result(None)
        return
    told.set_exception(error)
    told.exception()  # whoever posted it may not be there any more to look


def on_callback_error(
    tasks: asyncio.TaskGroup,
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A loop's exception handler: an error in a callback ends the run of these tasks."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "exception" in context:
            fail(tasks, context["exception"])
        else:
            loop.default_exception_handler(context)

    return handle


def failing_node(error: BaseException) -> str | None:
    """The node whose program an error comes from; None where it is nobody's."""
    for frame, _ in reversed(list(walk_tb(error.__traceback__))):
        world = getattr(frame.f_locals.get("self"), "_world", None)
        node: str | None = getattr(world, "node", None)
        if node is not None:
            return node
    return None


async def _raise(error: BaseException) -> None:
    raise error
