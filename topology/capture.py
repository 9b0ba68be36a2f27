"""Frames of one link, recorded while they pass: headers only, both directions.

Recorded at a switch port. What enters is seen as it arrives, what leaves when its queue has let
it go, so a capture shows lanes as the wire sees them. tcpdump does it: the kernel copies
the headers alone, in blocks, and counts what it had no room for.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plan.errors import RunError

SNAP_BYTES = 96
"""Ethernet, IPv4 and TCP headers with all options."""
MAX_FRAMES = 1_000_000
"""Some 110 MB of file."""
_BUFFER_KIB = 16 * 1024
_FLUSH_S = 1.2
"""The kernel hands tcpdump a block of frames when it is full or a second old."""
_COUNTS = re.compile(r"(\d+) packets? (captured|received by filter|dropped by kernel)")


class Capture:
    """A capture, its counts being there when it has ended.

    Attributes:
        path: pcap file of Ethernet frames, with times of the wall clock.
        frames: recorded; dropped: passed while the kernel had no room for them.
        full: it ended at its limit of frames, before it was told to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self.dropped = 0
        self.full = False


@contextmanager
def capturing(device: str, path: Path, max_frames: int = MAX_FRAMES) -> Iterator[Capture]:
    """Record what passes a switch port until the block ends.

    Args:
        device: in the switches' namespace, which is the caller's.

    Raises:
        RunError: tcpdump could not record, or does not say what it did.
    """
    process = subprocess.Popen(
        [
            *("tcpdump", "-i", device, "-w", str(path), "-s", str(SNAP_BYTES)),
            *("-n", "-p", "-Z", "root", "-B", str(_BUFFER_KIB), "-c", str(max_frames)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C is for the runner, which then ends the capture
        start_new_session=True,
    )
    assert process.stderr is not None
    capture = Capture(path)
    try:
        _await_listening(process, device)
        yield capture
        time.sleep(_FLUSH_S)  # noqa: TID251  nothing tells when the kernel has handed over
        process.send_signal(signal.SIGINT)
        _count(capture, process.stderr.read(), max_frames)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def _count(capture: Capture, said: str, max_frames: int) -> None:
    counts = {what: int(number) for number, what in _COUNTS.findall(said)}
    try:
        capture.frames = counts["captured"]
        unread = counts["received by filter"] - capture.frames
        capture.dropped = counts["dropped by kernel"]
    except KeyError:
        why = f"tcpdump ended without its counts: {said.strip()}"
        raise RunError(f"capture to {capture.path} failed: {why}") from None
    capture.full = capture.frames >= max_frames
    if not capture.full:
        capture.dropped = max(capture.dropped, unread)


def _await_listening(process: subprocess.Popen[str], device: str) -> None:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if "listening on" in line:
            return
        said.append(line)
    raise RunError(f"tcpdump could not record {device}: {''.join(said).strip()}")
