"""Claims: the compiled core gives what plain Python gives, and is never of other sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nodes import roles
from scenarios.compile import build
from scenarios.running import compiled
from scenarios.running.compiled import Core
from tests.other_users import OTHER, given

TINY = Path(__file__).parents[1] / "tiny.yaml"
RUN = """
import sys
from pathlib import Path
from scenarios.running import compiled

compiled.enter(compiled.Core(Path(sys.argv.pop(1))))
from scenarios.run import main

sys.exit(main())
"""
BUSY = """
import sys
from pathlib import Path
from scenarios.running import compiled

compiled.enter(compiled.Core(Path(sys.argv[1])))
from nodes.worlds.virtual.loop import VirtualTimeLoop
from nodes.worlds.virtual.progress import time_has_to_pass

loop = VirtualTimeLoop()
# one that is due at once, again and again, without a line of Python in between
loop.agenda.ready.append((loop.agenda.ready.extend, ([],)))
endless = loop.agenda.ready[0]
endless[1][0].extend([endless] * 2)
with time_has_to_pass(loop, 0.05):
    loop.run_forever()
"""


FAILS = """
import sys
from pathlib import Path
from scenarios.running import compiled

compiled.enter(compiled.Core(Path(sys.argv[1])))
import msgspec
from nodes.virtual_run import simulate
from scenarios.configuration.loading import load_scenario
from scenarios.planning.plan import make_plan

scenario = load_scenario(Path(sys.argv[2]), ["engine=simulate"])
plan = msgspec.structs.replace(make_plan(scenario).plan, dram_buffer_bytes=1.0)
simulate(plan, scenario.compared[0], 5.0, print, print)
"""


HUNTS = """
import sys
from pathlib import Path
from scenarios.running import compiled

compiled.enter(compiled.Core(Path(sys.argv[1])))
from scenarios.configuration.loading import load_scenario
from scenarios.running.chaos import Hunt

options = ["workload.agents=6", "engine=simulate", "cluster.prefill=2", "cluster.decode=2"]
scenario = load_scenario(Path(sys.argv[2]), options)
print(compiled.kind().partition(" ")[0])
for system in scenario.compared[:2]:
    for trial in map(Hunt(scenario, system).try_seed, range(1, 9)):
        print(system.name, trial.seed, trial.faults, trial.attempts, trial.problems, trial.digest)
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's own, or a quick one of the same sources."""
    own = compiled.CORES / compiled.digest()
    if Core(own).whole:
        return own
    if not shutil.which("cc"):
        pytest.skip("no C compiler: apt-get install gcc")
    made = tmp_path_factory.mktemp("core") / "made"
    build(made, optimization="0")
    return made


@pytest.mark.slow
def test_records_are_the_same_to_the_byte(core: Path, tmp_path: Path) -> None:
    found = {}
    for place in (core, tmp_path / "none"):
        out = tmp_path / f"out-{place.name}"
        subprocess.run(
            [sys.executable, "-c", RUN, place, TINY, "--engine", "simulate", "--out", out],
            check=True,
            capture_output=True,
        )
        facts = msgspec.json.decode((out / "provenance.json").read_bytes())
        records = sorted(out.glob("systems/*/*.jsonl"))
        found[facts["core"].partition(" ")[0]] = [
            (path.relative_to(out), path.read_bytes()) for path in records
        ]
    assert list(found) == ["compiled", "plain"]
    assert len(found["plain"]) > 3
    assert found["compiled"] == found["plain"]


@pytest.mark.slow
def test_what_breaks_is_survived_to_the_same_byte(core: Path, tmp_path: Path) -> None:
    found = []
    for place in (core, tmp_path / "none"):
        command: list[str | Path] = [sys.executable, "-c", HUNTS, place, TINY]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(done.stdout.splitlines())
    (core_, *trials), (plain, *others) = found
    assert (core_, plain) == ("compiled", "plain")
    assert trials == others
    assert len(trials) == 16
    assert any(int(trial.split()[3]) for trial in trials)


@pytest.mark.slow
def test_work_without_an_end_at_one_instant_ends(core: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY, core], capture_output=True, text=True, timeout=60
    )
    assert "Livelock: livelock at model time 0 s: it does not pass while" in done.stderr


@pytest.mark.slow
def test_an_error_names_the_node_whose_task_it_is(core: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FAILS, core, TINY], capture_output=True, text=True)
    assert "buffer of" in done.stderr
    assert "in node " in done.stderr


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources that may be changed, and a core of them, as far as names go."""
    for path in compiled.sources():
        copy = tmp_path / path.relative_to(compiled.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "CORES", tmp_path / "nodes" / ".compiled")
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    core = compiled.CORES / compiled.digest()
    for name in (compiled.LIBRARY, *map(compiled.module_of, compiled.sources())):
        file = compiled.file_of(core, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_a_core_of_the_sources_is_found(checkout: Path) -> None:
    core = Core(compiled.CORES / compiled.digest())
    assert core.whole
    spec = core.find_spec("nodes.worlds.virtual.agenda")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(compiled.CORES)
    assert core.find_spec("nodes.worlds.virtual.loop") is None


@pytest.mark.parametrize("name", ["nodes/roles.py", "nodes/worlds/virtual/agenda.py"])
def test_a_core_of_other_sources_is_not(checkout: Path, name: str) -> None:
    with (checkout / name).open("a") as source:
        source.write("\n")
    assert not Core(compiled.CORES / compiled.digest()).whole
    assert compiled.kind() == "plain Python (what is compiled is of other sources)"


def test_a_new_source_makes_it_another_core(checkout: Path) -> None:
    (checkout / "nodes/engines/new.py").touch()
    assert compiled.kind() == "plain Python (what is compiled is of other sources)"


def test_without_a_core_it_is_plain_python(checkout: Path) -> None:
    shutil.rmtree(compiled.CORES)
    assert compiled.kind() == "plain Python (not compiled)"


def test_plain_python_can_be_asked_for(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, compiled.PLAIN)
    before = list(sys.meta_path)
    compiled.use()
    assert sys.meta_path == before
    assert compiled.kind() == "plain Python (DUALPATH_CORE=plain)"


def test_modules_come_all_from_the_core_or_none(checkout: Path) -> None:
    core = Core(compiled.CORES / compiled.digest())
    before = list(sys.meta_path)
    assert roles.__name__ in sys.modules
    compiled.enter(core)
    assert sys.meta_path == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' files")
@pytest.mark.parametrize("harm", ["owner", "mode"])
def test_root_loads_nothing_that_others_may_have_made(checkout: Path, harm: str) -> None:
    core = compiled.CORES / compiled.digest()
    file = compiled.file_of(core, compiled.LIBRARY)
    if harm == "owner":
        given(file, OTHER)
    else:
        file.chmod(0o666)
    assert not Core(core).whole
    assert "others can write to it" in compiled.kind()
