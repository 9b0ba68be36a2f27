"""Claims about tasks side by side; the processes are real."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from plan.errors import RunError
from scenarios.running.workers import side_by_side

pytestmark = pytest.mark.slow


def double(number: int) -> int:
    """Of a number; dies of a negative one."""
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def leave(number: int) -> int:
    os._exit(number)


def test_every_item_has_its_result() -> None:
    assert dict(side_by_side(double, [1, 2, 3, 4, 5], 2)) == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}


def test_a_process_that_is_killed_costs_its_own_item_alone() -> None:
    ended = dict(side_by_side(double, [1, -1, 2, -2, 3, 4], 2))
    assert {item: ended.pop(item) for item in (1, 2, 3, 4)} == {1: 2, 2: 4, 3: 6, 4: 8}
    killed = "its process was killed by SIGKILL (out of memory?)"
    assert [str(error) for error in ended.values()] == [killed] * 2


def test_a_process_that_leaves_is_an_error_with_its_status() -> None:
    [(item, error)] = side_by_side(leave, [3], 1)
    assert (item, str(error)) == (3, "its process ended early, with status 3")
    assert isinstance(error, RunError)


def pid(item: int) -> int:
    return os.getpid()


def test_workers_end_with_whoever_asked_them() -> None:
    results = side_by_side(pid, [1, 2, 3], 1)
    _, first = next(results)
    results.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{first}").exists()


def blocked(item: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_ctrl_c_is_for_the_parent_to_answer() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert dict(side_by_side(blocked, [1], 1)) == {1: True}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
