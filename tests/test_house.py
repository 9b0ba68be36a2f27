"""Whoever breaks a law of the house is found: each kind of breach, planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import house
from tests.house import House

ROWS = {"low": set[str](), "high": {"low"}, "high/wing": {"low"}, "high/one": {"high/wing"}}
SOUND = {
    "low/__init__.py": '"""The cellar."""\n',
    "low/stone.py": "def lay() -> int:\n    return 1\n",
    "high/wing/door.py": "from low import stone\n",
    "high/one.py": "import high.wing.door\n",
    "high/roof.py": "from low.stone import lay\n",
    "tests/low/test_stone.py": "from low.stone import lay\n",
}

Plant = Callable[[dict[str, str]], House]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """A sound house with some files more, or others."""

    def made(changes: dict[str, str]) -> House:
        for name, text in (SOUND | changes).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return House(tmp_path, ("low", "high"))

    return made


def test_a_sound_house_breaks_no_law(plant: Plant) -> None:
    sound = plant({})
    assert house.arrows(sound, ROWS) == house.unknown(sound, ROWS) == house.relative(sound) == []
    assert house.dynamic(sound) == house.busy_packages(sound) == house.untested(sound, {}) == []
    assert house.circle(sound.between_files()) == house.circle(ROWS) == []
    assert house.long(sound, 2) == []


@pytest.mark.parametrize(
    "text",
    [
        "import high.roof\n",
        "from high import roof\n",
        "from high.roof import lay\n",
        "from high.roof import *\n",
        "def late() -> None:\n    import high.roof\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from high import roof\n",
        "try:\n    pass\nfinally:\n    import high.roof as above\n",
    ],
)
def test_an_arrow_up_is_found_however_it_is_written(plant: Plant, text: str) -> None:
    [problem] = house.arrows(plant({"low/stone.py": text}), ROWS)
    assert "low may not import high.roof of high" in problem


def test_an_arrow_from_one_room_to_its_neighbour_is_found(plant: Plant) -> None:
    [problem] = house.arrows(plant({"high/wing/door.py": "from high import one\n"}), ROWS)
    assert problem == "high/wing/door.py:1: high/wing may not import high.one of high/one"


def test_a_module_that_is_not_there_is_found(plant: Plant) -> None:
    [problem] = house.arrows(plant({"high/roof.py": "import low.cellar\n"}), ROWS)
    assert "low.cellar, which is not there" in problem


def test_an_excuse_holds_for_its_file_and_module_only(plant: Plant) -> None:
    up = plant({"low/stone.py": "import high.roof\n", "low/sand.py": "import high.roof\n"})
    [problem] = house.arrows(up, ROWS, {("low/stone.py", "high.roof")})
    assert problem.startswith("low/sand.py:1")


def test_an_excuse_that_nobody_needs_is_found(plant: Plant) -> None:
    [problem] = house.arrows(plant({}), ROWS, {("low/stone.py", "high.roof")})
    assert problem == "low/stone.py needs no excuse for high.roof"


def test_a_room_without_a_row_and_a_row_without_a_room_are_found(plant: Plant) -> None:
    rows = {**ROWS, "high/attic": set[str]()}
    assert house.unknown(plant({"low/annex/shed.py": ""}), rows) == [
        "low/annex is not in the table",
        "the table has high/attic, which is not there",
    ]


def test_a_table_that_points_up_is_found() -> None:
    assert house.circle({**ROWS, "low": {"high"}}) != []


def test_a_circle_over_three_files_is_found(plant: Plant) -> None:
    files = {"low/a.py": "import low.b\n", "low/b.py": "from low import c\n"}
    back = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from low.a import one\n"
    found = house.circle(plant({**files, "low/c.py": back}).between_files())
    assert set(found) == {"low/a.py", "low/b.py", "low/c.py"}


@pytest.mark.parametrize("text", ["from . import stone\n", "from .stone import lay\n"])
def test_a_relative_import_is_found(plant: Plant, text: str) -> None:
    assert house.relative(plant({"low/sand.py": text})) == ["low/sand.py:1 is relative"]


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\n",
        "import importlib.util\n",
        "from importlib import import_module\n",
        "import runpy\n",
        "roof = __import__('high.roof')\n",
        "exec('import high.roof')\n",
        "import builtins\n",
    ],
)
def test_an_import_that_is_named_at_run_time_is_found_unless_listed(
    plant: Plant, text: str
) -> None:
    sly = plant({"low/sand.py": text})
    assert house.dynamic(sly) == ["low/sand.py:1 imports by a name made at run time"]
    assert house.dynamic(sly, {"low/sand.py"}) == []


def test_to_ask_for_a_version_is_no_import(plant: Plant) -> None:
    assert house.dynamic(plant({"low/sand.py": "from importlib.metadata import version\n"})) == []


def test_a_foreign_package_out_of_its_place_is_found(plant: Plant) -> None:
    used = plant({"low/sand.py": "from ryu.base import x\n", "high/wing/a.py": "import ryu\n"})
    assert house.foreigners(used, {"ryu": {"high/wing"}}) == ["low/sand.py:1 imports ryu.base"]


def test_an_init_file_that_does_something_is_found(plant: Plant) -> None:
    busy = plant({"high/__init__.py": '"""A house."""\nfrom low import stone\n'})
    assert house.busy_packages(busy) == ["high/__init__.py"]


def test_a_file_of_too_many_lines_is_found(plant: Plant) -> None:
    assert house.long(plant({"low/sand.py": "\n" * 401}), 400) == ["low/sand.py has 401 lines"]


HEAP = "class Heap:\n    def pile(self) -> int:\n        return 1\n"


def test_a_file_without_a_test_is_found(plant: Plant) -> None:
    [problem] = house.untested(plant({"low/sand.py": HEAP}), {})
    assert problem == "low/sand.py has no tests/low/test_sand.py"


def test_a_file_that_only_declares_needs_no_test(plant: Plant) -> None:
    bare = "class Heap:\n    size: int\n    def pile(self) -> int:\n        '''Later.'''\n"
    assert house.untested(plant({"low/sand.py": bare}), {}) == []


def test_a_stand_in_has_to_be_there_and_to_reach_the_file(plant: Plant) -> None:
    beside = plant({"low/sand.py": HEAP, "tests/test_all.py": "import low.stone\n"})
    assert house.untested(beside, {"low/sand.py": "tests/test_none.py"}) == [
        "tests/test_none.py, which is to cover low/sand.py, is not there"
    ]
    assert house.untested(beside, {"low/sand.py": "tests/test_all.py"}) == [
        "tests/test_all.py does not even import low/sand.py"
    ]


@pytest.mark.parametrize("text", ["import low.through\n", "start = ['-m', 'low.through']\n"])
def test_a_stand_in_may_reach_the_file_through_others(plant: Plant, text: str) -> None:
    files = {"low/sand.py": HEAP, "low/through.py": "import low.sand\n", "tests/test_all.py": text}
    assert house.untested(plant(files), {"low/sand.py": "tests/test_all.py"}) == []


def test_a_stand_in_that_nobody_needs_is_found(plant: Plant) -> None:
    covered = {"low/stone.py": "tests/low/test_stone.py", "low/gone.py": "tests/test_all.py"}
    assert house.untested(plant({}), covered) == [
        "low/stone.py needs no stand-in for a test",
        "low/gone.py is not there",
    ]
