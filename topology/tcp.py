"""TCP as the transport of a fabric that loses nothing, or of one where faults do.

Where nothing is lost TCP is told not to expect it: no slow start, no probing for a lost tail, no
timeout shorter than the deepest queue, and frames that overtook each other (two processors serve
one veth) are not taken for losses. What a connection may have in flight is bounded by its socket
buffers, the credits of such a fabric.
"""

from __future__ import annotations

from pathlib import Path

from topology.namespace import entered

CREDIT_BYTES = 512 * 1024
"""Payload one connection may have in flight unless it sets its socket buffers, emulated
bytes: above rate x round trip of the fastest NIC, far below what the leaf queues hold."""

RTO_MIN_S = 5
"""Longer than a queue of the fabric may suddenly grow, so that no timer fires; what a failed
link swallowed is sent again after it."""

FAULTY_RTO_MIN_S = 0.3
"""Where frames do get lost, TCP's timers must not be what a fault costs."""

INITIAL_WINDOW = 64
"""Segments sent before the first acknowledgement; the credits bound it further."""

_BUFFERS = f"{CREDIT_BYTES} {2 * CREDIT_BYTES} {2 * CREDIT_BYTES}"

LOSSLESS = {
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/tcp_slow_start_after_idle": "0",
    "ipv4/tcp_no_metrics_save": "1",
    "ipv4/tcp_early_retrans": "0",
    # with selective acknowledgements the kernel would apply its own idea of reordering
    "ipv4/tcp_sack": "0",
    "ipv4/tcp_max_reordering": "10000",
    "ipv4/tcp_reordering": "10000",
    "ipv4/tcp_moderate_rcvbuf": "0",
    "ipv4/tcp_reflect_tos": "1",
    "ipv4/tcp_rmem": _BUFFERS,
    "ipv4/tcp_wmem": _BUFFERS,
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}
"""Settings below /proc/sys/net of a fabric that loses nothing."""

LOSSY = {
    "ipv4/tcp_early_retrans": "3",
    "ipv4/tcp_sack": "1",
    "ipv4/tcp_max_reordering": "300",
    "ipv4/tcp_reordering": "3",
    "ipv4/tcp_rto_max_ms": "1000",
}
"""What is different where faults lose frames."""

NEW = {"ipv4/tcp_rto_max_ms"}
"""Since Linux 6.15; without it, a timer that rang waits twice as long the next time."""


def tune(pid: int, *, lossless: bool) -> None:
    """Set up the namespace of a process; a setting that the kernel is too old for is left out."""
    settings = LOSSLESS if lossless else LOSSLESS | LOSSY
    with entered(pid):
        for name, value in settings.items():
            path = Path("/proc/sys/net", name)
            if path.exists() or name not in NEW:
                path.write_text(value)


def route_options(*, lossless: bool) -> str:
    """What a route says of the connections that take it."""
    rto_min_s = RTO_MIN_S if lossless else FAULTY_RTO_MIN_S
    return f"initcwnd {INITIAL_WINDOW} initrwnd {INITIAL_WINDOW} rto_min {rto_min_s}s"
