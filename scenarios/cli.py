"""The command `dualpath`: one name for all commands of the testbed.

Each of them has arguments of its own (`dualpath run --help`) and is loaded when it is asked
for; `python -m scenarios.run` and its like are the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

DISTRIBUTION = "dualpath-testbed"
COMMANDS = {
    "run": "serve a scenario's agents, emulated or simulated, and write a report",
    "trace": "what is in a trace, and the same in another format",
    "serve": "watch a run in a browser while it goes",
    "compare": "set runs side by side, difference by difference",
    "export": "write what a run measured for Perfetto, AIPerf and vLLM",
    "capacity": "find the largest arrival rate at which each system keeps its SLO",
    "validate": "set emulated and simulated runs side by side",
    "reproduce": "the paper's figures beside ours",
    "calibrate_gpu": "fit a GPU's constants to the paper's Oracle",
    "calibrate_storage": "fit what storage delivers of one read to one point of the paper",
    "plan": "what to build for a workload, and what binds it",
    "profile_gpu": "fill a GPU's profile from measured kernels",
    "theory": "the bottleneck-free analysis of the paper",
    "chaos": "hunt for faults that are not survived, in virtual time",
    "compile": "make simulated runs faster; needs a C compiler",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Hand the arguments after a command's name to it; returns its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] not in COMMANDS:
        # it ends with help, the version or an error
        _parser().parse_args(arguments)
    command, *others = arguments
    status: int = import_module(f"scenarios.{command}").main(others)
    return status


def _parser() -> argparse.ArgumentParser:
    # as long to load as the rest of this file, and seldom asked for
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        prog="dualpath",
        description="An open testbed for DualPath: dual-path KV-Cache loading.",
        epilog="dualpath COMMAND --help lists what a command takes.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(DISTRIBUTION)}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        commands.add_parser(name, help=about)
    return parser
