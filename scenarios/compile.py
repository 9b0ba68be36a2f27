"""Compile what runs in virtual time spend their time in: `dualpath compile`.

Takes a C compiler, a minute or two of one core, and the extra `compile`
(`pip install 'dualpath-testbed[compile]'`; `make compiled` in a checkout). Everything works
without it, more slowly. A change of the sources puts the result out of use until it is compiled
again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from plan.errors import MachineError, RunError
from scenarios.running import compiled
from scenarios.running.outcome import DONE, concluded

OPTIMIZATION = "3"
_MAKING = "making-"


def main(argv: Sequence[str] | None = None) -> int:
    """Compile, unless that is done; returns the exit status."""
    parser = argparse.ArgumentParser(prog="dualpath compile", description=__doc__)
    parser.parse_args(argv)
    return concluded(_compile)


def _compile() -> int:
    core = compiled.CORES / compiled.digest()
    if compiled.Core(core).whole:
        print(f"compiled already: {core}")
        return DONE
    print(f"compiling {len(compiled.sources())} modules, a minute or two ...", flush=True)
    _replace(core)
    print(f"compiled: {core}")
    return DONE


def build(core: Path, optimization: str = OPTIMIZATION) -> None:
    """Compile a core into a directory that is not there yet.

    Args:
        optimization: as the C compiler's `-O`.

    Raises:
        MachineError: something that it takes is not there.
        RunError: mypyc does not take the sources.
    """
    try:
        from mypyc.build import mypycify
        from setuptools import Distribution
        from setuptools.errors import BaseError
    except ImportError as error:
        remedy = "pip install 'dualpath-testbed[compile]'"
        raise MachineError(f"{error.name} is not installed", remedy) from None
    with tempfile.TemporaryDirectory(prefix="dualpath-core-") as place:
        # it takes module names and the names in error messages from where the sources are
        os.chdir(compiled.ROOT)
        paths = [str(path.relative_to(compiled.ROOT)) for path in compiled.sources()]
        options = ["--config-file=", "--ignore-missing-imports", f"--cache-dir={place}/cache"]
        try:
            modules = mypycify(
                [*options, *paths],
                opt_level=optimization,
                debug_level="0",
                group_name=compiled.GROUP,
                target_dir=place,
            )
            building = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
            building.build_lib, building.build_temp = str(Path(place, "lib")), place
            building.ensure_finalized()
            building.run()
        except SystemExit:
            raise RunError("mypyc does not take the sources; what it says stands above") from None
        except BaseError as error:
            missing = f"no C compiler, or no headers of Python ({error})"
            raise MachineError(missing, "apt-get install gcc python3-dev") from None
        shutil.copytree(Path(place, "lib"), core)


def _replace(core: Path) -> None:
    """Build a core beside those that are there, then take them away."""
    compiled.CORES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_MAKING, dir=compiled.CORES) as beside:
        made = Path(beside, core.name)
        build(made)
        for old in compiled.CORES.iterdir():
            if not old.name.startswith(_MAKING):
                shutil.rmtree(old)
        made.rename(core)


if __name__ == "__main__":
    sys.exit(main())
