"""The compared systems (paper section 7): what each does, and how reports name and colour it."""

from __future__ import annotations

from dataclasses import dataclass

from plan.deployment import System


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A system that a scenario can name.

    Attributes:
        title: its name in a sentence.
        colour: in every picture, after Okabe and Ito.
        description: what it does, in a line.
    """

    system: System
    title: str
    colour: str
    description: str


BUILT_IN: dict[str, BuiltIn] = {
    one.system.name: one
    for one in (
        BuiltIn(
            system=System(
                name="basic", layerwise=False, paths="pe", scheduler="round_robin", quota=False
            ),
            title="Basic",
            colour="#7f868f",
            description="reads on the prefill side, copies whole batches to HBM before it "
            "computes them (6 µs to submit a Layer Block, by the GPU's driver), and has no quota; "
            "engines are taken in turn",
        ),
        BuiltIn(
            system=System(name="layerwise", paths="pe", scheduler="round_robin", quota=False),
            title="Basic with layerwise prefill",
            colour="#56B4E9",
            description="reads while others compute, and loads a layer while the one before "
            "computes",
        ),
        BuiltIn(
            system=System(name="dram-pool", paths="pe", dram_pool=True),
            title="Basic with a DRAM pool",
            colour="#CC79A7",
            description="layerwise; decode nodes keep KV-Cache in DRAM, and a turn goes where "
            "its own is",
        ),
        BuiltIn(
            system=System(name="dualpath-rr", scheduler="round_robin", quota=False),
            title="DualPath without its scheduler",
            colour="#E69F00",
            description="layerwise; reads on either side, engines and sides in turn",
        ),
        BuiltIn(
            system=System(name="dualpath"),
            title="DualPath",
            colour="#0072B2",
            description="reads where the disk read queue is shorter; engines are chosen by what "
            "they have to do",
        ),
        BuiltIn(
            system=System(name="oracle", io=False),
            title="the Oracle",
            colour="#009E73",
            description="DualPath without any I/O: no reads, no copies, no transfers",
        ),
    )
}
"""Each adds one feature to the one before, but for `dram-pool`, which puts memory in front of
storage instead of a second path, and `oracle`."""

SYSTEMS: dict[str, System] = {name: one.system for name, one in BUILT_IN.items()}

BASELINE = "basic"
"""What speed-ups are over."""

PROPOSED = "dualpath"
"""What the paper proposes, and its theory speaks of."""


def title(system: str) -> str:
    """A system's name in a sentence: its own where it is not built in."""
    return BUILT_IN[system].title if system in BUILT_IN else system
