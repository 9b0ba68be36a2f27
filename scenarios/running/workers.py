"""Tasks side by side in processes. One that dies, by a signal say, costs its own task alone."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from plan.endings import ending
from plan.errors import RunError

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    task: Callable[[T], R], items: Sequence[T], jobs: int
) -> Iterator[tuple[T, R | RunError]]:
    """Do a task for every item, `jobs` at a time, and give each result as it comes.

    Args:
        task: a function of a module, which raises nothing; results and items can be pickled.

    Returns:
        Items and results; a `RunError` for an item whose process died over it.
    """
    waiting = list(reversed(items))
    busy: dict[Connection, tuple[_Worker[T, R], T]] = {}
    idle = [_Worker(task) for _ in range(min(jobs, len(items)))]
    try:
        while waiting or busy:
            while waiting and idle:
                worker, item = idle.pop(), waiting.pop()
                busy[worker.give(item)] = worker, item
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, item = busy.pop(connection)
                result = worker.take()
                idle.append(_Worker(task) if isinstance(result, RunError) else worker)
                yield item, result
    finally:
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.end()


class _Worker(Generic[T, R]):
    """A process that does its task for one item after another."""

    def __init__(self, task: Callable[[T], R]) -> None:
        # a fork would take the display's threads and locks along
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(task, theirs), daemon=True)
        # Ctrl-C is for the parent to answer, from the child's first moment on
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, item: T) -> Connection:
        """Start on an item; the connection is readable when it is done."""
        with suppress(BrokenPipeError):  # it died waiting: `take` says so
            self._connection.send(item)
        return self._connection

    def take(self) -> R | RunError:
        """The result, or how the process died."""
        try:
            result: R = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            assert self._process.exitcode is not None
            return RunError(ending("its process", self._process.exitcode))
        return result

    def end(self) -> None:
        self._process.terminate()
        self._process.join()
        self._connection.close()


def _work(task: Callable[[T], R], connection: Connection) -> None:
    with suppress(EOFError):
        while True:
            connection.send(task(connection.recv()))
