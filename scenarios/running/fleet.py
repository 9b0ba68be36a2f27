"""Where many runs are done: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

from plan.errors import MachineError, RunError, ScenarioError
from scenarios.running.workers import side_by_side

T = TypeVar("T")
R = TypeVar("R")
EMULATES = "emulate"
"""The resource of a Dask worker that may emulate: as root, one run at a time."""


class Fleet(Protocol):
    """Who does tasks.

    Attributes:
        places: tasks at once.
        elsewhere: tasks may be done where the directories of this machine are not.
    """

    @property
    def places(self) -> int: ...

    @property
    def elsewhere(self) -> bool: ...

    def do(
        self, task: Callable[[T], R], items: Sequence[T], needs: str | None = None
    ) -> Iterator[tuple[T, R | RunError]]:
        """Do a task for every item, and give each result as it comes.

        Args:
            task: a function of a module, which raises nothing; results and items can be pickled.
            needs: a resource that whoever does it must have to itself.

        Returns:
            Items and results; a `RunError` for an item that nobody could do.
        """


class Here:
    """Processes of this machine."""

    elsewhere = False

    def __init__(self, jobs: int) -> None:
        self.places = jobs

    def do(
        self,
        task: Callable[[T], R],
        items: Sequence[T],
        needs: str | None = None,  # noqa: ARG002 - whoever runs here sees to that
    ) -> Iterator[tuple[T, R | RunError]]:
        return side_by_side(task, items, self.places)


@contextmanager
def fleet(cluster: str | None, jobs: int) -> Iterator[Fleet]:
    """The fleet that a command line asks for.

    Args:
        cluster: as `add_cluster` takes it; None: `jobs` processes here.

    Raises:
        ScenarioError: it is no address, or root is not to trust it.
        MachineError: what clusters need is not installed.
        RunError: nobody answers there.
    """
    if cluster is None:
        yield Here(jobs)
        return
    kind, _, rest = cluster.partition(":")
    workers = int(rest) if kind == "local" and rest.isascii() and rest.isdigit() else 0
    if not workers and kind not in ("tcp", "tls"):
        remedy = "write local:4, or the scheduler's address, tls://HOST:PORT or tcp://HOST:PORT"
        raise ScenarioError("--cluster", cluster, remedy)
    if kind == "tcp" and os.geteuid() == 0:
        remedy = "write tls://..., or run it as another user"
        raise ScenarioError("--cluster", cluster, remedy, "is open to anybody, and this is root")
    try:
        # a second's work, and an extra
        from scenarios.running.dask_fleet import connected, local
    except ModuleNotFoundError as error:
        raise MachineError(
            f"--cluster needs the package {error.name}", "pip install 'dualpath-testbed[fleet]'"
        ) from None
    with local(workers) if workers else connected(cluster) as found:
        yield found


class Shard(NamedTuple):
    """One part of several: every `parts`-th item from the `number`-th on, from 1."""

    number: int
    parts: int

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this part."""
        return items[self.number - 1 :: self.parts]


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--cluster`."""
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="do simulated runs on a Dask cluster: tls://HOST:PORT, tcp://HOST:PORT, or local:N",
    )


def shard(text: str) -> Shard:
    """`i/n` of a command line, i from 1 to n.

    Raises:
        argparse.ArgumentTypeError: it is not that.
    """
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        number, all_parts = map(int, parts)
        if 1 <= number <= all_parts:
            return Shard(number, all_parts)
    raise argparse.ArgumentTypeError(f"{text!r} is no part of several; write 1/4, 2/4, ...")
