"""As root, a run's directory is made and written where no other user can get between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plan.errors import ScenarioError
from scenarios.planning.points import load_points
from scenarios.run import main
from scenarios.running.outcome import WRONG
from scenarios.running.run_directory import claim
from scenarios.running.sweep import prepare
from tests.other_users import INVOKER, OTHER, directory, link

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' files"),
]


def refusal(out: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        claim(out)
    [line] = str(caught.value).splitlines()
    assert line.startswith("--out: ")
    return line


# where it lies


def test_a_directory_of_another_user_is_refused(shared: Path) -> None:
    directory(shared / "x", OTHER)
    assert "belongs to another user" in refusal(shared / "x" / "run")
    assert list((shared / "x").iterdir()) == []


def test_the_empty_directory_of_another_user_is_refused(shared: Path) -> None:
    directory(shared / "run", OTHER)
    assert "belongs to another user" in refusal(shared / "run")


@pytest.mark.parametrize("below", ["", "run", "a/b/run"])
def test_a_link_of_another_user_is_not_followed(tmp_path: Path, below: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link(tmp_path / "link", target, OTHER)
    assert "the link" in refusal(tmp_path / "link" / below)
    assert list(target.iterdir()) == []


def test_a_link_of_another_user_to_what_is_not_there_is_not_followed(tmp_path: Path) -> None:
    link(tmp_path / "link", tmp_path / "new", OTHER)
    assert "the link" in refusal(tmp_path / "link")
    assert not (tmp_path / "new").exists()


def test_a_link_of_root_that_leads_through_one_of_another_user_is_not_followed(
    tmp_path: Path,
) -> None:
    link(tmp_path / "theirs", directory(tmp_path / "target"), OTHER)
    link(tmp_path / "ours", "theirs/run")
    assert "theirs" in refusal(tmp_path / "ours")


def test_links_without_end_are_refused(shared: Path) -> None:
    (shared / "link").symlink_to("link")
    assert refusal(shared / "link")


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_where_others_can_rename_what_is_ours_is_refused(shared: Path, mode: int) -> None:
    open_to_all = shared / "open"
    open_to_all.mkdir()
    os.chown(open_to_all, 0, OTHER)
    open_to_all.chmod(mode)
    assert "others can write" in refusal(open_to_all / "run")


def test_a_run_in_a_directory_that_all_write_to_is_refused(shared: Path) -> None:
    assert "others can write" in refusal(shared)


def test_the_ordinary_cases_are_let_through(shared: Path, tmp_path: Path) -> None:
    claim(shared / "run")
    claim(tmp_path / "a" / "b" / "run")
    (tmp_path / "link").symlink_to("a")
    claim(tmp_path / "link" / ".." / "a" / "c")
    assert (tmp_path / "a" / "c").is_dir()
    assert (shared / "run").stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("under_sudo")
def test_the_invoking_user_s_directories_and_links_are_let_through(shared: Path) -> None:
    directory(shared / "mine", INVOKER)
    link(shared / "link", "mine", INVOKER)
    claim(shared / "link" / "runs" / "one")
    assert (shared / "mine" / "runs" / "one").is_dir()


def test_a_command_says_so_in_one_line(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory(shared / "x", OTHER)
    small = ("--set", "workload.agents=2", "--engine", "simulate")
    assert main(["quickstart", *small, "--out", str(shared / "x" / "run")]) == WRONG
    assert "belongs to another user" in capsys.readouterr().err.splitlines()[-1]


# a sweep that is taken up


def test_a_point_s_directory_that_is_a_link_is_refused_and_left_alone(
    sweep: Path, tmp_path: Path
) -> None:
    points = load_points(sweep)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    (tmp_path / "out" / "points").mkdir(parents=True)
    (tmp_path / "out" / "points" / points[0].directory).symlink_to(victim)
    with pytest.raises(ScenarioError, match="holds the link"):
        prepare(tmp_path / "out", points)
    assert (victim / "precious").exists()


@pytest.mark.parametrize("name", ["sweep.json", "scenario.yaml", "plots", "points"])
def test_a_link_among_what_will_be_written_is_refused(
    sweep: Path, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    out = tmp_path / "out"
    (out / "points").mkdir(parents=True)
    if name == "points":
        (out / "points").rmdir()
    (out / name).symlink_to(victim)
    with pytest.raises(ScenarioError, match="link"):
        prepare(out, load_points(sweep))


def test_what_another_user_put_into_a_sweep_is_refused(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "points").mkdir(parents=True)
    (tmp_path / "out" / "sweep.json").touch()
    os.chown(tmp_path / "out" / "sweep.json", OTHER, OTHER)
    with pytest.raises(ScenarioError, match="of another user"):
        prepare(tmp_path / "out", load_points(sweep))


def test_a_hard_link_in_a_sweep_is_refused(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:x")
    (tmp_path / "out" / "points").mkdir(parents=True)
    os.link(tmp_path / "shadow", tmp_path / "out" / "sweep.json")
    with pytest.raises(ScenarioError, match="link"):
        prepare(tmp_path / "out", load_points(sweep))
