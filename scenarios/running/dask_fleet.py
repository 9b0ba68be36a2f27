"""A Dask cluster that does tasks, each in a process of its own beside the worker.

A worker that is lost has its tasks done by others: Dask gives them away again, three times.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Security, as_completed

from plan.errors import RunError, said
from scenarios.running import compiled
from scenarios.running.far_end import at_far_end

T = TypeVar("T")
R = TypeVar("R")
_WAIT_S = 30
_SHOWS_NOTHING: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


class DaskFleet:
    """The workers of a cluster, whichever they are by and by."""

    elsewhere = True

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def places(self) -> int:
        return max(1, len(self._client.nthreads()))

    def do(
        self, task: Callable[[T], R], items: Sequence[T], needs: str | None = None
    ) -> Iterator[tuple[T, R | RunError]]:
        source = compiled.digest()
        resources = {needs: 1} if needs else None
        asked: dict[Future, T] = {}
        for item in items:
            load = pickle.dumps((task, item))
            # two items may be the same, and both are asked for
            future = self._client.submit(at_far_end, load, source, pure=False, resources=resources)
            asked[future] = item
        try:
            for future in as_completed(list(asked)):
                yield asked[future], _result(future)
        finally:
            self._client.cancel(list(asked))


def _result(future: Future) -> Any:
    """What came of a task, or why nothing did."""
    try:
        return pickle.loads(future.result())
    except KilledWorker:
        return RunError("every worker that took it was lost")
    except Exception as error:
        return RunError(said(error))


@contextmanager
def local(workers: int) -> Iterator[DaskFleet]:
    """A cluster of this machine's own, which ends with it; nobody else can get in."""
    security = Security.temporary()
    # told nothing, it would show itself, at a port that another cluster may have
    with dask.config.set(_SHOWS_NOTHING):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls",
            security=security,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=50,
        )
    with cluster, Client(cluster, security=security) as client:
        yield DaskFleet(client)


@contextmanager
def connected(address: str) -> Iterator[DaskFleet]:
    """A cluster that is there; for `tls` by the keys of Dask's configuration.

    Raises:
        RunError: nobody answers, or there are no workers.
    """
    try:
        client = Client(address, timeout=_WAIT_S, security=Security())
        client.wait_for_workers(1, timeout=_WAIT_S)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise RunError(f"--cluster: {address} does not answer: {said(error)}") from error
    with client:
        yield DaskFleet(client)
