"""Claims about the words for a process's end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from plan.endings import ending


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (3, "pe0 ended early, with status 3"),
        (0, "pe0 ended early, with status 0"),
        (-signal.SIGTERM, "pe0 was killed by SIGTERM"),
        (-signal.SIGKILL, "pe0 was killed by SIGKILL (out of memory?)"),
        (-signal.SIGBUS, "pe0 was killed by SIGBUS (disk full?)"),
        (-40, "pe0 was killed by signal 40"),
    ],
)
def test_an_ending_names_the_status_or_the_signal(status: int, said: str) -> None:
    assert ending("pe0", status) == said


def test_an_ending_says_where_to_look() -> None:
    assert ending("pe0", 1, Path("pe0.log")).endswith("; see pe0.log")
