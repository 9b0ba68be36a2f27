"""Options of a command line that change a scenario, and what they change."""

from __future__ import annotations

import argparse


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--systems`, `--engine` and `--set`."""
    parser.add_argument("--systems", help="comma-separated names, instead of the scenario's")
    parser.add_argument(
        "--engine", choices=("emulate", "simulate"), help="instead of the scenario's"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a key of the scenario; may be given again",
    )


def overrides(arguments: argparse.Namespace) -> list[str]:
    """What was given, as `load_scenario` takes it; `--set` first."""
    given = list(arguments.set)
    if arguments.systems:
        given.append(f"systems=[{arguments.systems}]")
    if arguments.engine:
        given.append(f"engine={arguments.engine}")
    return given
