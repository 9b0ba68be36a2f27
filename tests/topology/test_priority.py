"""Claims: what a run's processes claim of the machine, and what they make do with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from topology.priority import Rank, in_real_time, prefer, preferred

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


@pytest.fixture
def leader() -> Iterator[int]:
    """A process that leads a session and does nothing."""
    argv = [sys.executable, "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as process:
        yield process.pid
        process.kill()


def test_it_runs_in_real_time_and_nodes_before_switches(leader: int) -> None:
    try:
        prefer(leader, Rank.NODE)
    except PermissionError:
        pytest.skip("no real time to be had here")
    if os.sched_getscheduler(leader) != os.SCHED_RR:
        pytest.skip("no real time to be had here")
    assert in_real_time(leader)
    node = os.sched_getparam(leader).sched_priority
    prefer(leader, Rank.SWITCH)
    assert node > os.sched_getparam(leader).sched_priority > 0


def test_a_thread_is_in_real_time_for_a_while() -> None:
    before = os.sched_getscheduler(0)
    with preferred(Rank.NODE):
        within = os.sched_getscheduler(0)
    assert os.sched_getscheduler(0) == before
    if within != os.SCHED_RR:
        pytest.skip("no real time to be had here")


def test_where_there_is_no_real_time_it_and_its_session_are_given_a_nice_value(leader: int) -> None:
    with patch("os.sched_setscheduler", side_effect=PermissionError):
        prefer(leader, Rank.NODE)
    assert not in_real_time(leader)
    assert os.getpriority(os.PRIO_PROCESS, leader) == -20
    session = Path(f"/proc/{leader}/autogroup")
    assert not session.exists() or session.read_text().endswith(" nice -20\n")
