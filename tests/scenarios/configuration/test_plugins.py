"""Plug-ins that scenarios name: found, or refused in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from plan.errors import ScenarioError
from plan.plugins import load
from scenarios.configuration.loading import load_scenario, plain, resolved_yaml
from scenarios.configuration.plugins import MAX_BYTES, anchored, find, plugins_of
from tests.other_users import OTHER, directory, given, link

WORKLOAD = "workload: {source: {generator: 32K}, agents: 1}\n"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' files")


MARK = "DUALPATH_PLUGIN = 1\n"


def policy(place: Path, source: str = "class Policy: ...\n", mark: str = MARK) -> str:
    place.mkdir(exist_ok=True)
    (place / "mine.py").write_text(source + mark)
    return f"{place / 'mine.py'}:Policy"


def refusal(reference: str) -> str:
    with pytest.raises(ScenarioError) as refused:
        find("policies", "systems[0].scheduler", reference, ["dualpath"])
    return str(refused.value)


def test_files_start_at_a_directory_and_other_references_stay() -> None:
    here = Path("/a/b")
    assert anchored("mine.py:Policy", here) == "/a/b/mine.py:Policy"
    assert anchored("../c/mine.py:a.b", here) == "/a/c/mine.py:a.b"
    assert anchored("/x/mine.py:Policy", here) == "/x/mine.py:Policy"
    assert anchored("package.module:Policy", here) == "package.module:Policy"
    assert anchored("dualpath", here) == "dualpath"


def test_a_file_and_a_module_are_found_with_their_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find("policies", "key", policy(tmp_path))
    assert (found.file, found.attribute) == (str(tmp_path / "mine.py"), "Policy")
    kit = tmp_path / "kit_of_mine"
    policy(kit)
    monkeypatch.syspath_prepend(tmp_path)
    module = find("policies", "key", "kit_of_mine.mine:Policy")
    assert module.module == "kit_of_mine.mine"
    assert module.digest == found.digest
    assert load(module).__module__ == "kit_of_mine.mine"


def test_a_package_declares_plug_ins_as_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dispatch_kit.py").write_text(f"{MARK}class Fair: ...\n")
    meta = tmp_path / "dispatch_kit-1.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: dispatch-kit\nVersion: 1\n")
    (meta / "entry_points.txt").write_text("[dualpath.policies]\nfair = dispatch_kit:Fair\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load(find("policies", "key", "fair")).__name__ == "Fair"
    with pytest.raises(ScenarioError, match=r"an entry point of dualpath\.packings"):
        find("packings", "key", "fair")


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        (
            "fair",
            'systems[0].scheduler: "fair" is not there; write dualpath, FILE.py:NAME, '
            "package.module:NAME or an entry point of dualpath.policies",
        ),
        ("mine.txt:Policy", "cannot be loaded: there is no module mine.txt"),
        ("a b:c", "is not there; write dualpath, FILE.py"),
        ("nowhere.at_all:Policy", "cannot be loaded: there is no module nowhere.at_all"),
        ("/nowhere/mine.py:Policy", "cannot be loaded: /nowhere/mine.py: No such file"),
        (
            "shutil:rmtree",
            "shutil.py: has no line DUALPATH_PLUGIN = 1, by which a file is a plug-in",
        ),
        ("msgspec.json:decode", "msgspec/json.py: has no line DUALPATH_PLUGIN = 1"),
        ("builtins:exec", "there is no module builtins"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(reference: str, complaint: str) -> None:
    assert complaint in refusal(reference)


@pytest.mark.parametrize("mark", ["", "DUALPATH_PLUGIN = 2\n", "# DUALPATH_PLUGIN = 1\n"])
def test_nothing_runs_of_a_file_that_does_not_say_that_it_is_a_plug_in(
    tmp_path: Path, mark: str
) -> None:
    source = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    assert "has no line DUALPATH_PLUGIN = 1" in refusal(policy(tmp_path, source, mark))
    assert not (tmp_path / "ran").exists()


def test_an_object_that_the_file_does_not_have_is_named(tmp_path: Path) -> None:
    assert "mine.py: has no Policy" in refusal(policy(tmp_path, "class Other: ...\n"))


def test_what_is_no_plain_file_of_moderate_size_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "large.py").write_text("#" * (MAX_BYTES + 1))
    for name in ("pipe", "folder", "large"):
        assert "is no file of at most 1 MiB" in refusal(f"{tmp_path}/{name}.py:Policy")


def test_a_mistake_in_a_plug_in_is_named_with_its_line(tmp_path: Path) -> None:
    assert "mine.py:2: SyntaxError" in refusal(policy(tmp_path, "x = 1\nclass Policy\n"))
    assert "mine.py:1 in its own code: NameError" in refusal(policy(tmp_path, "nothing\n"))


def test_every_place_of_a_scenario_that_takes_plug_ins_starts_at_its_file(tmp_path: Path) -> None:
    policy(tmp_path, "class Policy: ...\ndef read(path): ...\ndef packing(c, p): ...\n")
    (tmp_path / "trace.csv").touch()
    path = tmp_path / "mine.yaml"
    path.write_text(
        "workload: {source: {trace: trace.csv, format: mine.py:read}, agents: 1}\n"
        "systems: [basic, {name: ours, scheduler: mine.py:Policy, packing: mine.py:packing}]\n"
        "gpu_timing: mine.py:Policy\n"
        "report: {sections: [mine.py:read]}\n"
    )
    scenario = load_scenario(path)
    names = {f"{tmp_path}/mine.py:{name}" for name in ("read", "Policy", "packing")}
    assert set(plugins_of(scenario)) == names
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "again.yaml").write_text(resolved_yaml(scenario))
    assert plain(load_scenario(again / "again.yaml")) == plain(scenario)


# --- as root


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where everybody can write, as in /tmp."""
    place = directory(tmp_path / "shared")
    place.chmod(0o1777)
    return place


@as_root
def test_what_others_can_write_is_not_run(shared: Path) -> None:
    marker = shared / "ran"
    source = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\nclass Policy: ...\n"
    reference = policy(directory(shared / "mine"), source)
    file = Path(reference.partition(":")[0])
    file.chmod(0o666)
    assert f"{file} can be written by others: as root, keep plug-ins" in refusal(reference)
    file.chmod(0o644)
    file.parent.chmod(0o777)
    assert f"{file.parent} can be written by others" in refusal(reference)
    # its sticky bit does not keep others from putting a file there first
    file.parent.chmod(0o1777)
    assert f"{file.parent} can be written by others" in refusal(reference)
    file.parent.chmod(0o755)
    given(file, OTHER)
    assert f"{file} belongs to another user" in refusal(reference)
    given(file, 0)
    given(file.parent, OTHER)
    assert f"{file.parent} belongs to another user" in refusal(reference)
    assert not marker.exists()
    given(file.parent, 0)
    assert find("policies", "key", reference)
    assert marker.exists()


@as_root
def test_a_link_leads_to_what_is_looked_at(shared: Path) -> None:
    reference = policy(directory(shared / "theirs"))
    file = Path(reference.partition(":")[0])
    given(file, OTHER)
    link(directory(shared / "mine") / "mine.py", file)
    assert f"{file} belongs to another user" in refusal(f"{shared}/mine/mine.py:Policy")
    shutil.rmtree(shared / "theirs")
