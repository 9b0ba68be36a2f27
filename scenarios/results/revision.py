"""The git revision of a checkout, read from its own files.

A repository's configuration can name programs that git would run, as root. So git is not asked
for the revision, and is asked for uncommitted changes through an empty repository of our own
that borrows the checkout's objects and index.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
_DIGITS = 12
_LARGEST_BYTES = 2**22
_NAME = re.compile(r"refs/[\w./+-]+", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{40}")
_GIT = ("git", "--no-pager")
_TIMEOUT_S = 10


@dataclass(frozen=True)
class _Repository:
    """`own`: of this checkout (HEAD, index); `common`: of all its worktrees (objects, refs)."""

    own: Path
    common: Path


def revision(root: Path) -> str:
    """The commit that is checked out, with `-dirty` for uncommitted changes.

    Args:
        root: where `.git` is looked for; not above it, and only if all of it belongs to the
            one who owns this directory.

    Returns:
        `unknown` where there is none.
    """
    try:
        repository = _repository(root)
        commit = _commit(repository)
    except (OSError, ValueError):
        return UNKNOWN
    return commit[:_DIGITS] + _mark(root, repository, commit)


def _repository(root: Path) -> _Repository:
    owner = root.stat().st_uid
    git = root / ".git"
    if git.is_file():
        _require_owner(git, owner)
        git = root / _read(git).removeprefix("gitdir:").strip()
    common = git
    if (git / "commondir").exists():
        common = git / _read(git / "commondir").strip()
    for directory in (git, common):
        _require_owner(directory, owner)
    return _Repository(git, common)


def _require_owner(path: Path, owner: int) -> None:
    if path.stat().st_uid != owner:
        raise ValueError(f"{path} belongs to another user than the code")


def _read(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_LARGEST_BYTES)


def _commit(repository: _Repository) -> str:
    head = _read(repository.own / "HEAD").strip()
    name = head.removeprefix("ref: ")
    if name == head:
        return _hash(head)
    if _NAME.fullmatch(name) is None or ".." in name:
        raise ValueError(f"{name} is no reference")
    loose = repository.common / name
    if loose.exists():
        return _hash(_read(loose).strip())
    for line in _read(repository.common / "packed-refs").splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return _hash(commit)
    raise ValueError(f"{name} is nowhere")


def _hash(text: str) -> str:
    if _HASH.fullmatch(text) is None:
        raise ValueError(f"{text[:80]} is no commit")
    return text


def _mark(root: Path, repository: _Repository, commit: str) -> str:
    """`-dirty`, nothing, or `-unchecked` where git does not say."""
    with tempfile.TemporaryDirectory(prefix="dualpath-") as ours:
        for directory in ("objects", "refs"):
            Path(ours, directory).mkdir()
        Path(ours, "HEAD").write_text(f"{commit}\n")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": ours,
            "GIT_DIR": ours,
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(repository.own / "index"),
            "GIT_OBJECT_DIRECTORY": str(repository.common / "objects"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            # or it would write to the index
            "GIT_OPTIONAL_LOCKS": "0",
        }
        command = [*_GIT, "status", "--porcelain", "-uno", "--ignore-submodules=all"]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return "-unchecked"
    return "-dirty" if done.stdout else ""
