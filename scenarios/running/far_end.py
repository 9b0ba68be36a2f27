"""The other end of a fleet: a worker has a task done in a process of its own.

So a task has a main thread and signals to itself, and leaves nothing behind in the worker.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback

from plan.endings import ending
from plan.errors import RunError
from scenarios.running import compiled


def at_far_end(load: bytes, source: str) -> bytes:
    """Have a task done, on whatever machine this is.

    Args:
        load: a function and its argument, pickled.
        source: digest of the nodes' code where they come from.

    Returns:
        The result, pickled; a `RunError` if this is another revision, or the process died.
    """
    if compiled.digest() != source:
        problem = f"worker {socket.gethostname()} has another revision of the testbed"
        return pickle.dumps(RunError(f"{problem}: install the same there"))
    command = [sys.executable, "-I", "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        # it stays open: should this worker die, the process hears of it
        process.stdin.write(len(load).to_bytes(8, "big") + load)
        process.stdin.flush()
        result = process.stdout.read()
        status = process.wait()
    return result if status == 0 else pickle.dumps(RunError(ending("its process", status)))


def _main() -> None:
    load = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), "big"))
    threading.Thread(target=_end_with_worker, daemon=True).start()
    # what is said goes to where results do not
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    status = 1
    try:
        task, item = pickle.loads(load)
        with out:
            out.write(pickle.dumps(task(item)))
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        # the thread waits for as long as the worker lives
        os._exit(status)


def _end_with_worker() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    _main()
