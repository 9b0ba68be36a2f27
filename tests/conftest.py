"""Tests marked `network` run inside a sandbox, or are skipped where none can be made.

When any of them is selected, the whole pytest command runs again inside. They want the machine
to themselves, and so are skipped by `-n`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import examples
from topology import machine, sandbox
from topology.namespace import run

CHECKOUT = Path(__file__).parents[1]

# what is tested is the sources, in this process and in those that it starts
os.environ["DUALPATH_CORE"] = "plain"

# a shell that starts us in the background has us, and what we start, ignore them
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
examples.register()


@pytest.fixture
def private_tmp() -> Iterator[None]:
    """An empty /tmp, for others write to the machine's while we look. Inside a sandbox only."""
    kept = Path("/run/checkout")
    kept.mkdir()
    run(["mount", "--bind", str(CHECKOUT), str(kept)])
    run(["mount", "-t", "tmpfs", "private", "/tmp"])
    if not CHECKOUT.exists():  # it was below /tmp, and what we start is in it
        CHECKOUT.mkdir(parents=True)
        run(["mount", "--bind", str(kept), str(CHECKOUT)])
    yield
    run(["umount", "--recursive", "/tmp"])
    run(["umount", str(kept)])
    kept.rmdir()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanted = [item for item in items if item.get_closest_marker("network")]
    problems = machine.check() if wanted else []
    reason = "; ".join(f"{problem.what} ({problem.remedy})" for problem in problems)
    if "PYTEST_XDIST_WORKER" in os.environ:
        reason = "wants the machine to itself: run it without -n"
    if reason:
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish(session: pytest.Session) -> None:
    wanted = [item for item in session.items if item.get_closest_marker("network")]
    runnable = [item for item in wanted if not item.get_closest_marker("skip")]
    if not runnable or sandbox.inside() or session.config.option.collectonly:
        return
    # pytest would keep what the run inside prints
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    capture.suspend_global_capture(in_=True)
    code = sandbox.run_inside()
    # its closing line is the last word: ours would say that no test ran
    sys.stdout.flush()
    os._exit(code)
