"""What the commands that fit constants have in common: their directory and their optimisers."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

from plan.errors import MachineError


def optimisers() -> ModuleType:
    """`scipy.optimize`.

    Raises:
        MachineError: it is not installed.
    """
    try:
        from scipy import optimize
    except ImportError:
        raise MachineError(
            "scipy is not installed", "pip install 'dualpath-testbed[calibrate]'"
        ) from None
    found: ModuleType = optimize
    return found


def parser_of(command: str, description: str | None) -> argparse.ArgumentParser:
    """A command line with the directory where what was simulated is kept."""
    parser = argparse.ArgumentParser(
        prog=f"dualpath {command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/calibration"),
        help="directory, may be that of a fit that was broken off (default: runs/calibration)",
    )
    return parser
