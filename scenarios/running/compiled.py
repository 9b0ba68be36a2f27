"""The compiled core: what a run in virtual time spends its time in, as machine code.

`dualpath compile` makes it of the very sources that plain Python runs, into a directory that is
named by a digest of all that it was made of. So a core of other sources, or for another Python,
is never found; and where there is none the same code runs as plain Python, with the same results.
Its modules come all from there or all from their sources.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from scenarios.configuration.trust import others_write, trusted

ROOT = Path(__file__).parents[2]
CORES = ROOT / "nodes" / ".compiled"
VARIABLE = "DUALPATH_CORE"
PLAIN = "plain"
"""What the variable says to have plain Python in any case."""

GROUP = "dualpath_core"
LIBRARY = f"{GROUP}__mypyc"
"""The machine code of all modules, which are but doors to it."""

_FOLDERS = (
    *("nodes/engines", "nodes/protocol", "nodes/scheduling", "nodes/storage", "nodes/timing"),
    *("nodes/worlds", "nodes/worlds/virtual"),
)
_MORE = ("nodes/roles.py", "nodes/agents/population.py", "nodes/agents/context.py", "plan/names.py")
_PLAIN = {
    # data of msgspec's, which has machine code for it
    *("__init__.py", "messages.py"),
    # asyncio's own classes are their bases, or they look into the frames of Python
    *("loop.py", "progress.py", "failure.py", "waiting.py"),
}
"""Names of files in these folders that stay as they are."""


def sources() -> list[Path]:
    """The files that are compiled."""
    found = [path for folder in _FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]
    return [path for path in found if path.name not in _PLAIN] + [ROOT / name for name in _MORE]


def module_of(source: Path) -> str:
    """The name by which a source is imported."""
    return ".".join(source.relative_to(ROOT).with_suffix("").parts)


def digest() -> str:
    """Of all that a core is made of: Python, this file and the sources."""
    made_of = sha256(f"{EXTENSION_SUFFIXES[0]} {platform.python_version()}".encode())
    made_of.update(Path(__file__).read_bytes())
    for path in sources():
        content = path.read_bytes()
        made_of.update(f"\n{module_of(path)} {len(content)}\n".encode() + content)
    return made_of.hexdigest()[:16]


def file_of(core: Path, module: str) -> Path:
    """Where a core has one of its modules."""
    return core.joinpath(*module.split(".")).with_suffix(EXTENSION_SUFFIXES[0])


class Core:
    """A finder of modules (`sys.meta_path`): those of the core in a directory."""

    def __init__(self, directory: Path) -> None:
        names = [LIBRARY, *map(module_of, sources())]
        self._files = {name: file_of(directory, name) for name in names}

    @property
    def whole(self) -> bool:
        """Whether all of its files are there, and whoever can change them is trusted."""
        return all(path.is_file() and _safe(path) for path in self._files.values())

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  Python calls it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Where a module comes from; None for those of others."""
        if name not in self._files:
            return None
        file = str(self._files[name])
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))

    def loaded(self, modules: Sequence[str]) -> bool:
        """Whether any of these, which are imported already, would be the core's."""
        return any(name in self._files for name in modules)


def use() -> None:
    """Have the modules of the core come from there, if there is a core of these sources."""
    if os.environ.get(VARIABLE) != PLAIN and CORES.is_dir():
        enter(Core(CORES / digest()))


def enter(core: Core) -> None:
    """Have its modules come from a whole core, unless plain ones are there already."""
    if core.whole and not core.loaded(tuple(sys.modules)):
        sys.meta_path.insert(0, core)


def kind() -> str:
    """What runs in virtual time go by, for a result's provenance."""
    if any(isinstance(finder, Core) for finder in sys.meta_path):
        return "compiled"
    if os.environ.get(VARIABLE) == PLAIN:
        return f"plain Python ({VARIABLE}={PLAIN})"
    if not CORES.is_dir():
        return "plain Python (not compiled)"
    if (CORES / digest()).is_dir():
        return "plain Python (what is compiled is not whole, or others can write to it)"
    return "plain Python (what is compiled is of other sources)"


def _safe(path: Path) -> bool:
    """Whether root may run what is there; others run what they like."""
    if os.geteuid() != 0:
        return True
    places = [path, path.parent, *(above for above in path.parents if above == CORES)]
    return all(trusted(s.st_uid) and not others_write(s) for s in map(os.stat, places))
