"""YAML from anywhere: what is read is small, flat and plain, or refused with one line."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.errors import ScenarioError
from scenarios.configuration import yaml_dialect
from scenarios.configuration.loading import load_scenario

LAUGHS = "\n".join(
    [
        "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]",
        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)),
    ]
)
MERGES = "\n".join(
    [
        "m0: &m0 {a: 1, b: 2}",
        *(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}" for i in range(1, 10)),
    ]
)
MINIMAL = "workload: {source: {generator: 32K}, agents: 4}"

REFUSED = {
    "laughs": (LAUGHS, "expands to more than 100000 values"),
    "merges": (MERGES, "expands to more than 100000 values"),
    "itself": ("a: &a [*a]", "refers to itself"),
    "deep flow": ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
    "very deep flow": ("a: " + "[" * 9000 + "]" * 9000, "nested"),
    "deep block": ("\n".join(f"{' ' * i}a:" for i in range(60)), "nested more than 50 deep"),
    "large": ("a: " + "x" * 300_000, "larger than 256 KiB"),
    "int of a list": ("a: !!int [1]", "tag"),
    "int of text": ("a: !!int x", "tag"),
    "timestamp of text": ("a: !!timestamp x", "tag"),
    "bool of text": ("a: !!bool x", "tag"),
    "object": ("a: !!python/object/apply:os.system [id]", "tag"),
    "two documents": ("a: 1\n---\na: 2", "single document"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", REFUSED)
def test_what_expands_nests_or_weighs_too_much_is_refused(tmp_path: Path, name: str) -> None:
    text, why = REFUSED[name]
    path = tmp_path / "case.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=why) as caught:
        load_scenario(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.timeout(20)
def test_an_override_that_expands_is_refused() -> None:
    laughs = "{" + LAUGHS.replace("\n", ", ") + "}"
    with pytest.raises(ValueError, match="expands"):
        yaml_dialect.read(laughs)


def test_a_number_of_any_length_is_a_number_or_text() -> None:
    assert yaml_dialect.read("1" * 30) == int("1" * 30)
    assert yaml_dialect.read("1" * 31) == "1" * 31
    assert yaml_dialect.read("9" * 50_000) == "9" * 50_000


def test_an_anchor_may_be_used_again() -> None:
    assert yaml_dialect.read("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1},
    }


def test_a_mapping_of_many_keys_takes_time_in_proportion() -> None:
    few, many = ("{" + ", ".join(f"k{i}: " for i in range(n)) + "}" for n in (1500, 12_000))
    taken = []
    for text in (few, many):
        begun = time.process_time()
        yaml_dialect.read(text)
        taken.append(time.process_time() - begun)
    assert taken[1] < 24 * taken[0]


@pytest.mark.timeout(20)
def test_a_scenario_that_never_ends_is_refused() -> None:
    with pytest.raises(ScenarioError, match="larger than 256 KiB"):
        load_scenario(Path("/dev/zero"))


def test_a_scenario_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(MINIMAL,))
    writer.start()
    assert load_scenario(pipe).workload.agents == 4
    writer.join()


@given(st.text(st.sampled_from("&a*b[]{}<: \n-!?|>'\"1,#%@`\t\x00\x85"), max_size=80))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        yaml_dialect.read(text)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("key", ["a" * 5000, ".".join(["workload"] * 3000)])
def test_an_endless_key_is_refused_briefly(tmp_path: Path, key: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, [f"{key}=1"])
    assert len(str(caught.value)) < 1000
