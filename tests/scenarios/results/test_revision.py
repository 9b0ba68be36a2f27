"""The revision of a checkout is read without running what its repository asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("plan", "topology", "controller", "nodes", "scenarios")
OTHER_USER = 54321
SAY = (
    "import sys; sys.path.insert(0, sys.argv[1]); from scenarios.results import provenance; "
    "assert provenance.__file__.startswith(sys.argv[1]); "
    "print(provenance.collect([], seed=1).project.partition(' ')[2])"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("git") is None, reason="git: apt-get install git"),
]


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.fsmonitor=")
    done = subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the code in it, committed."""
    root = tmp_path / "checkout"
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    (root / ".gitignore").write_text("__pycache__\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    return root


def booby_trap(root: Path, marker: Path) -> None:
    """Programs wherever a repository can name one that `describe` or `status` would run."""
    trap = root.parent / "trap"
    trap.write_text(f"#!/bin/sh\nid -u >>{marker}\ncat\n")
    trap.chmod(0o755)
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(trap, hooks / "post-index-change")
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.smudge", "diff.external"):
        git(root, "config", key, str(trap))
    git(root, "config", "core.hooksPath", str(hooks))
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text("* filter=trap diff=trap\n")


def said(code: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SAY, str(code)], capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout.strip().strip("()")


def test_a_clean_checkout_is_named_by_its_commit(checkout: Path) -> None:
    assert said(checkout) == git(checkout, "rev-parse", "HEAD")[:12]


def test_uncommitted_changes_are_marked(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")[:12]
    (checkout / "plan" / "new.py").write_text("")
    assert said(checkout) == commit
    git(checkout, "add", "plan/new.py")
    assert said(checkout) == f"{commit}-dirty"
    git(checkout, "commit", "-qm", "new")
    (checkout / "plan" / "new.py").write_text("# changed\n")
    assert said(checkout).endswith("-dirty")


def test_a_file_touched_but_not_changed_is_clean_and_the_index_is_not_written(
    checkout: Path,
) -> None:
    os.utime(checkout / "plan" / "model.py", (1, 1))
    index = (checkout / ".git" / "index").read_bytes()
    assert not said(checkout).endswith("-dirty")
    assert (checkout / ".git" / "index").read_bytes() == index


def test_packed_references_detached_heads_and_worktrees_are_read(
    checkout: Path, tmp_path: Path
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")[:12]
    git(checkout, "pack-refs", "--all")
    assert said(checkout) == commit
    git(checkout, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert said(tmp_path / "tree") == commit
    git(checkout, "checkout", "-q", "--detach")
    assert said(checkout) == commit


def test_nothing_that_the_repository_names_is_run(checkout: Path, tmp_path: Path) -> None:
    booby_trap(checkout, tmp_path / "marker")
    (checkout / "plan" / "model.py").touch()
    assert said(checkout) != "unknown"
    assert not (tmp_path / "marker").exists()


def test_a_repository_above_the_code_is_not_ours(checkout: Path, tmp_path: Path) -> None:
    """As an installed package finds one above its site-packages."""
    booby_trap(checkout, tmp_path / "marker")
    inner = checkout / "lib" / "site-packages"
    for package in PACKAGES:
        shutil.copytree(checkout / package, inner / package)
    assert said(inner) == "unknown"
    assert not (tmp_path / "marker").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make another user's files")
def test_a_repository_of_another_user_is_not_ours(checkout: Path, tmp_path: Path) -> None:
    booby_trap(checkout, tmp_path / "marker")
    os.chown(checkout / ".git", OTHER_USER, OTHER_USER)
    assert said(checkout) == "unknown"
    assert not (tmp_path / "marker").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make another user's files")
def test_a_checkout_of_a_user_who_is_not_root_has_its_revision(checkout: Path) -> None:
    for directory, folders, files in os.walk(checkout.parent):
        for name in (*folders, *files):
            os.chown(Path(directory, name), OTHER_USER, OTHER_USER)
    assert len(said(checkout)) == 12


@pytest.mark.parametrize(
    "head", ["ref: ../../../etc/shadow", "ref: refs/../../etc", "root:x", "", "ref: refs/nowhere"]
)
def test_a_head_that_is_none_is_unknown(checkout: Path, head: str) -> None:
    (checkout / ".git" / "HEAD").write_text(head)
    assert said(checkout) == "unknown"
