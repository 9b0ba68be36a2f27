"""What `sudo make` does in the checkout of another user: nothing of his is given away, and
nothing of root's is left there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.other_users import OTHER, directory, given

ROOT = Path(__file__).parents[1]
READ = ("Makefile", "requirements.lock", "build-constraints.txt", "pyproject.toml")
RECORDS = """#!/bin/sh
echo "$(id -u) $*" >>{log}
mkdir -p .cache_of_tools
echo x >.cache_of_tools/$$
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' files"),
    pytest.mark.skipif(shutil.which("make") is None, reason="make: apt-get install make"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where other users get to, as they don't to pytest's own directories."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def log(place: Path) -> Path:
    """What the tools of the checkout were called with, and by whom."""
    path = place / "log"
    path.touch()
    path.chmod(0o666)
    return path


@pytest.fixture
def checkout(place: Path, log: Path) -> Path:
    """Another user's, set up, with tools that say who runs them and leave a file behind."""
    root = place / "checkout"
    root.mkdir()
    for name in READ:
        shutil.copy(ROOT / name, root / name)
    for tool in (".venv/bin/python", ".uv/bin/uv"):
        (root / tool).parent.mkdir(parents=True)
        (root / tool).write_text(RECORDS.format(log=log))
        (root / tool).chmod(0o755)
    said = subprocess.run(["make", "-pn", "help"], cwd=root, capture_output=True, text=True).stdout
    for variable in ("UV_INSTALLED", "INSTALLED"):
        [stamp] = re.findall(rf"^{variable} := (.*)$", said, re.MULTILINE)
        (root / stamp).touch()
    for home, folders, files in os.walk(root):
        for name in (*folders, *files):
            given(Path(home, name), OTHER)
    return given(root, OTHER)


def make(checkout: Path, target: str, **environment: str) -> None:
    subprocess.run(
        ["make", target], cwd=checkout, env=os.environ | environment, check=True, timeout=60
    )


def of_root(checkout: Path) -> list[Path]:
    return [path for path in checkout.rglob("*") if path.lstat().st_uid == 0]


@pytest.mark.parametrize("target", ["lint", "fast", "lock"])
def test_what_takes_no_root_is_done_by_the_checkout_s_owner(
    checkout: Path, log: Path, target: str
) -> None:
    make(checkout, target)
    users = {line.partition(" ")[0] for line in log.read_text().splitlines()}
    assert users == {str(OTHER)}
    assert of_root(checkout) == []


@pytest.mark.parametrize("target", ["run", "check", "test"])
def test_python_is_isolated_and_writes_no_compiled_files_or_caches(
    checkout: Path, log: Path, target: str
) -> None:
    make(checkout, target)
    calls = [line.split() for line in log.read_text().splitlines() if "-m" in line]
    assert calls
    for user, *arguments in calls:
        assert "-I" in arguments
        if user == "0":
            assert "-B" in arguments
            assert "pytest" not in arguments or "no:cacheprovider" in arguments


@pytest.mark.parametrize("target", ["run", "lint", "test", "fast"])
def test_what_make_has_not_made_is_not_given_away(checkout: Path, place: Path, target: str) -> None:
    (place / "shadow").write_text("root:x")
    os.link(place / "shadow", checkout / "linked")
    (checkout / "foreign").touch()
    given(checkout / "foreign", OTHER + 7)
    make(checkout, target)
    assert (place / "shadow").stat().st_uid == 0
    assert (checkout / "foreign").stat().st_uid == OTHER + 7


@pytest.mark.parametrize("first", [".", "{traps}", ""])
def test_programs_come_from_directories_of_root(checkout: Path, place: Path, first: str) -> None:
    marker = place / "marker"
    traps = directory(place / "traps", OTHER)
    for home in (traps, checkout):
        for name in ("cat", "cut", "sha256sum", "python3", "stat", "id", "setpriv", "getent", "cp"):
            (home / name).write_text(f"#!/bin/dash\necho {name} >>{marker}\n")
            (home / name).chmod(0o755)
    make(checkout, "lint", PATH=f"{first.format(traps=traps)}:{os.environ['PATH']}")
    assert not marker.exists(), marker.read_text()


def test_modules_in_the_checkout_are_not_taken_for_python_s_own(
    checkout: Path, place: Path
) -> None:
    for name in ("ensurepip", "venv"):
        (checkout / f"{name}.py").write_text(f"open({str(place / 'marker')!r}, 'w')")
    make(checkout, "run")
    assert not (place / "marker").exists()
