"""Reads the imports of a tree of packages and tells what breaks the laws of a house."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

Rows = Mapping[str, Set[str]]
"""Room -> the rooms that it may import from; a room is a folder, or one file of a folder."""

LOADERS = {"importlib", "runpy", "pkgutil", "zipimport", "imp"}
HARMLESS = {"importlib.metadata", "importlib.resources"}


class Import(NamedTuple):
    """One name that a file imports."""

    file: str
    line: int
    module: str

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


class House:
    """The packages below a root.

    Attributes:
        files: path from the root -> its tree; imports under `if TYPE_CHECKING` and inside
            functions count like all others.
    """

    def __init__(self, root: Path, packages: tuple[str, ...]) -> None:
        self.root = root
        self.packages = packages
        self.files = {
            str(path.relative_to(root)): ast.parse(path.read_text())
            for package in packages
            for path in sorted((root / package).rglob("*.py"))
        }

    def imports(self) -> Iterator[Import]:
        """All that are written with a name; a module of a package is named, not the package."""
        for file, tree in self.files.items():
            for node in ast.walk(tree):
                match node:
                    case ast.Import(names=names):
                        yield from (Import(file, node.lineno, alias.name) for alias in names)
                    case ast.ImportFrom(module=module, names=names, level=0):
                        assert module
                        for alias in names:
                            full = f"{module}.{alias.name}"
                            found = full if self.file_of(full) else module
                            yield Import(file, node.lineno, found)

    def file_of(self, module: str) -> str | None:
        """The file of a module of the house; None for all others."""
        path = module.replace(".", "/")
        return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in self.files), None)

    def between_files(self, *, programs: bool = False) -> dict[str, set[str]]:
        """File -> the files of the house that it imports, or names, as `-m` asks, to start them."""
        found: dict[str, set[str]] = {file: set() for file in self.files}
        for one in self.imports():
            if target := self.file_of(one.module):
                found[one.file].add(target)
        for file, tree in self.files.items() if programs else ():
            for node in ast.walk(tree):
                match node:
                    case ast.Constant(value=str(text)) if target := self.file_of(text):
                        found[file].add(target)
        return found


def relative(house: House) -> list[str]:
    """Imports that do not say where from."""
    return [
        f"{file}:{node.lineno} is relative"
        for file, tree in house.files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def dynamic(house: House, allowed: Set[str] = frozenset()) -> list[str]:
    """Files, beside those allowed, that can import what no table sees."""
    found = {
        one.where
        for one in house.imports()
        if one.module.partition(".")[0] in LOADERS and one.module not in HARMLESS
    }
    for file, tree in house.files.items():
        for node in ast.walk(tree):
            match node:
                case ast.Name(id="__import__" | "exec" | "eval"):
                    found.add(f"{file}:{node.lineno}")
                case ast.ImportFrom(module="builtins") | ast.Import(names=[ast.alias("builtins")]):
                    found.add(f"{file}:{node.lineno}")
    return [
        f"{where} imports by a name made at run time"
        for where in sorted(found)
        if where.partition(":")[0] not in allowed
    ]


def arrows(house: House, rows: Rows, excused: Set[tuple[str, str]] = frozenset()) -> list[str]:
    """Imports between rooms that the table does not have, and excuses that nobody needs.

    Args:
        excused: (file, module) that may be although the table says otherwise.
    """
    problems, needed = [], set()
    for one in house.imports():
        target = house.file_of(one.module)
        if target is None:
            if one.module.partition(".")[0] in house.packages:
                problems.append(f"{one.where} imports {one.module}, which is not there")
            continue
        here, there = room(one.file, rows), room(target, rows)
        if here == there or there in rows.get(here, ()):
            continue
        if (one.file, one.module) in excused:
            needed.add((one.file, one.module))
        else:
            problems.append(f"{one.where}: {here} may not import {one.module} of {there}")
    problems += [f"{file} needs no excuse for {module}" for file, module in excused - needed]
    return problems


def room(file: str, rows: Rows) -> str:
    """The row of a file: its own, or that of its folder."""
    return file.removesuffix(".py") if file.removesuffix(".py") in rows else str(Path(file).parent)


def unknown(house: House, rows: Rows) -> list[str]:
    """Rooms without a row, and rows without a room."""
    rooms = {room(file, rows) for file in house.files if not file.endswith("__init__.py")}
    return [f"{name} is not in the table" for name in sorted(rooms - set(rows))] + [
        f"the table has {name}, which is not there" for name in sorted(set(rows) - rooms)
    ]


def circle(graph: Mapping[str, Set[str]]) -> list[str]:
    """One circle of the graph; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def foreigners(house: House, users: Mapping[str, Set[str]]) -> list[str]:
    """Imports of foreign packages by files that are neither named nor in a folder named."""
    return [
        f"{one.where} imports {one.module}"
        for one in house.imports()
        if (allowed := users.get(one.module.partition(".")[0])) is not None
        and not any(one.file == place or one.file.startswith(f"{place}/") for place in allowed)
    ]


def long(house: House, most: int) -> list[str]:
    """Files of more lines than that."""
    lines = {file: len((house.root / file).read_text().splitlines()) for file in house.files}
    return [f"{file} has {count} lines" for file, count in lines.items() if count > most]


def busy_packages(house: House, allowed: Set[str] = frozenset()) -> list[str]:
    """`__init__` files, beside those allowed, that do more than say what their package is for."""
    return [
        file
        for file, tree in house.files.items()
        if file.endswith("__init__.py") and file not in allowed
        if not all(map(_is_text, tree.body))
    ]


def untested(house: House, covered: Mapping[str, str]) -> list[str]:
    """Files that do something and have no test at the mirrored path, nor one that is named.

    Args:
        covered: file -> the test file that covers it instead.
    """
    tests = House(house.root, (*house.packages, "tests"))
    graph = tests.between_files(programs=True)
    problems = []
    for file, tree in house.files.items():
        path = Path("tests") / file
        mirrored = str(path.with_name(f"test_{path.name}"))
        test = covered.get(file)
        if mirrored in tests.files or not _does_something(tree):
            if test:
                problems.append(f"{file} needs no stand-in for a test")
        elif not test:
            problems.append(f"{file} has no {mirrored}")
        elif test not in tests.files:
            problems.append(f"{test}, which is to cover {file}, is not there")
        elif file not in _reached(graph, test):
            problems.append(f"{test} does not even import {file}")
    return problems + [f"{file} is not there" for file in covered if file not in house.files]


def _reached(graph: Mapping[str, Set[str]], start: str) -> set[str]:
    found, left = {start}, [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found


def _does_something(tree: ast.Module) -> bool:
    return any(
        not all(map(_is_text, node.body))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or the three dots of a protocol."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
