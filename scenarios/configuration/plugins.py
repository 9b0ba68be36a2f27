"""Plug-ins that a scenario names: found, hashed and loaded before anything is built.

`mine.py:Policy` is an object of a file, relative to the scenario; `package.module:Policy` one of
an installed module; a bare name one that a package has declared as an entry point. Scenarios
come from anywhere, so only a file that says that it is a plug-in is one.
"""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NoReturn

from nodes.scheduling.registry import POLICIES
from plan.errors import PluginError, ScenarioError
from plan.plugins import Plugin, load
from scenarios.configuration.schema import Scenario
from scenarios.configuration.trust import others_write, trusted
from scenarios.workload.trace_formats import READERS

MAX_BYTES = 2**20
"""Of a plug-in's file."""

Kind = Literal["policies", "packings", "traces", "timings", "sections"]
"""Of plug-ins; entry points that declare one are in the group `dualpath.KIND`."""

MARK, VERSION = "DUALPATH_PLUGIN", 1
"""A plug-in's file has the line `DUALPATH_PLUGIN = 1`; the number is that of the protocols."""

_FILE = re.compile(r"(.+\.py):([A-Za-z_][\w.]*)", re.ASCII)
_MODULE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)", re.ASCII)
_NAME = re.compile(r"[\w-]+", re.ASCII)


def plugins_of(scenario: Scenario) -> dict[str, Plugin]:
    """All plug-ins of a scenario by what it calls them.

    Raises:
        ScenarioError: as `find`.
    """
    return {
        reference: find(kind, path, reference, known)
        for kind, path, reference, known in _named(scenario)
        if reference not in known
    }


def _named(scenario: Scenario) -> Iterator[tuple[Kind, str, str, Collection[str]]]:
    """Kind, key, reference, and what is built in."""
    for index, system in enumerate(scenario.compared):
        yield "policies", f"systems[{index}].scheduler", system.scheduler, POLICIES
        if system.packing is not None:
            yield "packings", f"systems[{index}].packing", system.packing, ()
    if scenario.workload.source.trace is not None:
        yield "traces", "workload.source.format", scenario.workload.source.format, READERS
    if scenario.gpu_timing is not None:
        yield "timings", "gpu_timing", scenario.gpu_timing, ()
    for index, section in enumerate(scenario.report.sections):
        yield "sections", f"report.sections[{index}]", section, ()


def anchored(reference: str, directory: Path) -> str:
    """A reference, its file absolute: relative ones start at a directory."""
    if found := _FILE.fullmatch(reference):
        file = os.path.normpath(directory.absolute() / found[1])
        return f"{file}:{found[2]}"
    return reference


def find(kind: Kind, path: str, reference: str, known: Iterable[str] = ()) -> Plugin:
    """The plug-in of a reference, which is loaded to see that it can be.

    Args:
        path: the dotted key that names it.
        known: what the key may be instead, for the remedy.

    Raises:
        ScenarioError: there is none, it cannot be loaded, or root may not trust it.
    """
    group = f"dualpath.{kind}"
    target = _declared(group, reference) if _NAME.fullmatch(reference) else reference
    try:
        plugin = _found(target) if target else None
        if plugin is not None:
            load(plugin)
    except PluginError as error:
        raise ScenarioError(path, reference, "correct it", f"cannot be loaded: {error}") from error
    if plugin is None:
        names = "".join(f"{name}, " for name in known)
        remedy = f"write {names}FILE.py:NAME, package.module:NAME or an entry point of {group}"
        raise ScenarioError(path, reference, remedy, "is not there")
    return plugin


def _declared(group: str, name: str) -> str | None:
    """Where installed packages have a plug-in of that name."""
    return next((point.value for point in entry_points(group=group, name=name)), None)


def _found(target: str) -> Plugin | None:
    if file := _FILE.fullmatch(target):
        path = os.path.realpath(file[1])
        return Plugin(file=path, attribute=file[2], digest=_digest(path))
    if module := _MODULE.fullmatch(target):
        path = _source(module[1])
        return Plugin(file=path, attribute=module[2], digest=_digest(path), module=module[1])
    return None


def _source(module: str) -> str:
    """The file of a module, of whose packages nothing is run."""
    top, *parts = module.split(".")
    spec = find_spec(top)
    for i, _ in enumerate(parts, start=2):
        locations = spec.submodule_search_locations if spec else None
        name = ".".join([top, *parts][:i])
        spec = PathFinder.find_spec(name, locations) if locations else None
    if spec is None or not spec.has_location or spec.origin is None:
        raise PluginError(f"there is no module {module}")
    return os.path.realpath(spec.origin)


def _digest(path: str) -> str:
    """SHA-256 of a file that is a plug-in, and that root may trust."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            os.close(descriptor)
            raise PluginError(f"{path}: is no file of at most 1 MiB")
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        if os.geteuid() == 0:
            _check_trust(Path(path), status)
        source = file.read()
    if not _declared_in(source, path):
        raise PluginError(f"{path}: has no line {MARK} = {VERSION}, by which a file is a plug-in")
    return sha256(source).hexdigest()


def _declared_in(source: bytes, path: str) -> bool:
    """Whether a source says that it is a plug-in: a scenario can call nothing else by name."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise PluginError(f"{path}:{error.lineno}: SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise PluginError(f"{path}: is no Python: {error}") from None
    return any(
        ast.unparse(line) == f"{MARK} = {VERSION}"
        for line in tree.body
        if isinstance(line, ast.Assign)
    )


def _check_trust(path: Path, status: os.stat_result) -> None:
    """As root: nobody else can write the file, or put another one in its place.

    A directory such as /tmp, whose sticky bit keeps hands off others' entries, may be on the
    way, but not be the file's own.
    """
    _refuse_if(path, status, sticky=False)
    for above in path.parents:
        _refuse_if(above, os.lstat(above), sticky=above != path.parent)


def _refuse_if(path: Path, status: os.stat_result, *, sticky: bool) -> None:
    remedy = "as root, keep plug-ins in a directory of your own"
    if not trusted(status.st_uid):
        _distrust(path, f"belongs to another user: {remedy}")
    if others_write(status) and not (sticky and status.st_mode & stat.S_ISVTX):
        _distrust(path, f"can be written by others: {remedy}")


def _distrust(path: Path, problem: str) -> NoReturn:
    raise PluginError(f"{path} {problem}")
