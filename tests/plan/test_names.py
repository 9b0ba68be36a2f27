"""Claims about names: they are read back as they were made, and nowhere but in `plan.names`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan import names
from plan.fabric import Fabric
from topology.fattree import FabricSpec, build_fabric

ROOT = Path(__file__).parents[2]
PACKAGES = ("plan", "topology", "controller", "nodes", "scenarios")

NAMED = re.compile(r"node|engine|gpu|host|nic|\bend\b")
"""Expressions that are, by their own names, things with names."""
PARTS = re.compile(r"\.(snic|cnic|mgmt|dram|hbm)|→| (out|in)$")
PREFIXES = {"st", "pe", "de", "sched"}
READING = {"partition", "rpartition", "split", "rsplit", "startswith", "endswith"}
READING |= {"removeprefix", "removesuffix"}

numbers = st.integers(0, 999)
nodes = st.builds(names.node_name, st.sampled_from(["storage", "prefill", "decode"]), numbers)


@given(nodes, numbers)
def test_an_engines_name_says_its_node_and_gpu(node: str, gpu: int) -> None:
    engine = names.engine_name(node, gpu)
    assert (names.node_of(engine), names.gpu_of(engine)) == (node, gpu)


def fabric() -> Fabric:
    return build_fabric(
        FabricSpec(
            prefill=2,
            decode=3,
            storage=2,
            gpus_per_node=2,
            snic_bps=400e9,
            cnic_bps=400e9,
            storage_bps=400e9,
            management_bps=100e9,
        )
    )


def test_a_fabric_is_named_by_the_rule() -> None:
    built = fabric()
    ends = built.nic_of_end()
    for node in built.engine_nodes:
        assert ends[names.snic_end(node.name)].name == names.snic_end(node.name)
        assert ends[names.mgmt_end(node.name)].name == names.mgmt_end(node.name)
        for gpu, engine in enumerate(node.engines):
            cnic = ends[names.hbm_end(engine)]
            assert cnic is ends[names.dram_end(engine)]
            assert (cnic.name, cnic.gpu) == (names.cnic_name(engine), gpu)
            assert built.ends()[names.hbm_end(engine)].host == node.gpu_hosts[gpu]


def test_a_node_has_a_kind_and_an_engine_node_a_side() -> None:
    built = fabric()
    assert {built.kind_of(node.name) for node in built.nodes} == {node.kind for node in built.nodes}
    assert [built.side_of(node.name) for node in built.engine_nodes] == [
        *["prefill"] * 2,
        *["decode"] * 3,
    ]
    with pytest.raises(KeyError):
        built.side_of("st0")
    with pytest.raises(KeyError):
        built.kind_of("pe9")


def made_or_read(source: str) -> Iterator[int]:
    """Lines that make a name from its parts, or take one apart."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.JoinedStr(values=values) if any(map(_joins, values, values[1:], values[2:])):
                yield node.lineno
            case ast.JoinedStr(values=values) if any(
                isinstance(value, ast.Constant) and PARTS.match(str(value.value))
                for value in values[1:]
            ):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=read, attr=method), args=[ast.Constant(text)]):
                if method in READING and _reads(ast.unparse(read), str(text)):
                    yield node.lineno


def _joins(first: ast.expr, between: ast.expr, last: ast.expr) -> bool:
    """`{node}.{gpu}` or `{node}g{gpu}`."""
    if not isinstance(between, ast.Constant):
        return False
    named = (
        ast.unparse(part.value) for part in (first, last) if isinstance(part, ast.FormattedValue)
    )
    return between.value == "g" or (between.value == "." and any(map(_named, named)))


def _reads(what: str, by: str) -> bool:
    if by == ".":
        return _named(what)
    return by in {*PREFIXES, "g"} or bool(PARTS.match(by))


def _named(expression: str) -> bool:
    return bool(NAMED.search(expression.removesuffix(".name").rpartition(".")[2]))


def test_names_are_made_and_read_in_one_place() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != ROOT / "plan" / "names.py"
        for line in made_or_read(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'f"{node}.snic"',
        'f"{to}.mgmt"',
        'f"{x}.hbm{i}"',
        'f"{node.name}.{i}"',
        'f"{x}.{gpu}"',
        'f"{x}g{i}"',
        'f"{x}.cnic{i} read"',
        'f"{nic} out"',
        'f"{a}→{b}"',
        'engine.partition(".")[0]',
        'record.pe_node.split(".")',
        'x.partition("g")[0]',
        'x.startswith("pe")',
        'x.endswith(".mgmt")',
        'x.name.partition(".cnic")[2]',
    ],
)
def test_a_name_that_is_made_or_read_elsewhere_is_found(source: str) -> None:
    assert list(made_or_read(source)) == [1]


@pytest.mark.parametrize(
    "source",
    [
        'f"{node.name}.log"',
        'f"{key}.{field.name}"',
        'key.partition(".")',
        'f"one {node} and {gpu}."',
        'text.startswith("Tcp:")',
        'end.ip.split(".")',
    ],
)
def test_other_texts_are_left_alone(source: str) -> None:
    assert list(made_or_read(source)) == []
