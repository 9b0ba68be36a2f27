"""Under sudo, what a run makes belongs to who asked for it, and nothing else is given away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scenarios.configuration.trust import others_write, trusted
from scenarios.run import main
from scenarios.running.outcome import DONE
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import claim
from tests.other_users import INVOKER, INVOKER_GROUP, OTHER, directory, given

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' files"),
]


def owners(directory: Path) -> set[tuple[int, int]]:
    found = [directory, *directory.rglob("*")]
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in found}


@pytest.fixture
def mine(shared: Path) -> Path:
    """A directory of the invoking user."""
    return given(directory(shared / "mine"), INVOKER, INVOKER_GROUP)


@pytest.mark.usefixtures("under_sudo")
def test_a_run_under_sudo_belongs_to_who_asked_for_it(mine: Path, sweep: Path) -> None:
    out = mine / "runs" / "one"
    assert main([str(sweep), "--set", "sweep=null", "--out", str(out)]) == DONE
    assert owners(mine / "runs") == {(INVOKER, INVOKER_GROUP)}


@pytest.mark.usefixtures("under_sudo")
def test_so_does_a_sweep_and_what_is_done_of_it_again(mine: Path, sweep: Path) -> None:
    out = mine / "sweep"
    assert main([str(sweep), "--jobs", "2", "--out", str(out)]) == DONE
    assert owners(out) == {(INVOKER, INVOKER_GROUP)}
    next(out.glob("points/*/summary.json")).unlink()
    assert main([str(sweep), "--jobs", "1", "--out", str(out)]) == DONE
    assert owners(out) == {(INVOKER, INVOKER_GROUP)}


@pytest.mark.usefixtures("under_sudo")
def test_also_when_it_failed(mine: Path) -> None:
    out = mine / "run"

    def fail() -> None:
        with handed_over(out):
            claim(out)
            (out / "plan.json").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert owners(out) == {(INVOKER, INVOKER_GROUP)}


@pytest.mark.usefixtures("under_sudo")
def test_a_run_beside_root_s_files_stays_root_s(tmp_path: Path) -> None:
    with handed_over(tmp_path / "run"):
        claim(tmp_path / "run")
        (tmp_path / "run" / "plan.json").touch()
    assert owners(tmp_path / "run") == {(0, 0)}


@pytest.mark.usefixtures("under_sudo")
def test_what_the_run_has_not_made_is_not_given_away(mine: Path, tmp_path: Path) -> None:
    out = directory(mine / "run", INVOKER)
    (tmp_path / "shadow").write_text("root:x")
    (out / "before").write_text("root's own")
    with handed_over(out):
        os.link(tmp_path / "shadow", out / "hard")
        (out / "soft").symlink_to(tmp_path / "shadow")
        os.mkfifo(out / "pipe")
        (out / "foreign").touch()
        given(out / "foreign", OTHER)
        (out / "made").touch()
    assert (tmp_path / "shadow").stat().st_uid == 0
    assert (out / "before").stat().st_uid == 0
    assert (out / "soft").lstat().st_uid == 0
    assert (out / "foreign").stat().st_uid == OTHER
    assert (out / "made").stat().st_uid == INVOKER


@pytest.mark.parametrize("user", ["", "0", "x", "-1", str(2**40)])
def test_without_a_user_who_asked_nothing_is_given(
    mine: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("SUDO_UID", user)
    monkeypatch.setenv("SUDO_GID", str(INVOKER_GROUP))
    with handed_over(mine):
        (mine / "made").touch()
    assert (mine / "made").stat().st_uid == 0


@pytest.mark.usefixtures("under_sudo")
def test_root_trusts_itself_and_who_asked() -> None:
    assert [trusted(user) for user in (0, INVOKER, OTHER)] == [True, True, False]


@pytest.mark.parametrize(
    ("mode", "group", "can"),
    [(0o755, OTHER, False), (0o775, OTHER, True), (0o775, 0, False), (0o757, 0, True)],
)
def test_who_writes_is_told_by_mode_and_group(
    tmp_path: Path, mode: int, group: int, can: bool
) -> None:
    place = given(directory(tmp_path / "place"), 0, group)
    place.chmod(mode)
    assert others_write(place.stat()) == can
