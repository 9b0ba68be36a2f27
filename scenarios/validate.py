"""Validate the engines against each other: `sudo python -m scenarios.validate NAME.yaml ...`.

Runs every scenario emulated, and simulated several times, and sets their figures side by side:
a table on standard output, `validation.json`, and `validation.html` with a picture. The
simulated runs differ in nothing but the latency of a message, and so in who comes first where
that is a matter of microseconds: their mean is compared, their spread is shown. Each run leaves
its own report beside them. Exit status: 0 the marks hold (JCT within 5 %, mean TTFT within
10 %, utilisations within 3 points); 1 a run failed; 2 a scenario or the command line
is wrong; 3 this machine lacks something; 4 an emulated run is not to be believed, so nothing
follows from it; 5 a mark does not hold; 130 broken off.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from nodes.worlds.virtual.loop import Deadlock
from scenarios.analysis.agreement import JCT_MARK, TTFT_MARK, USE_MARK, Comparison, compare
from scenarios.configuration import library
from scenarios.configuration.schema import Scenario, load_scenario
from scenarios.configuration.units import Duration, count
from scenarios.errors import MachineError, RunError, ScenarioError
from scenarios.planning.plan import make_plan
from scenarios.reports.page import embedded, render, write_json
from scenarios.reports.plots import INK, STYLE, colour
from scenarios.results.metrics import Summary
from scenarios.running.execution import (
    BROKEN_OFF,
    DONE,
    DOUBTED,
    FAILED,
    LACKING,
    WRONG,
    claim,
    enter_sandbox,
    fail,
    run_scenario,
)
from topology.errors import TopologyError

MISSED = 5
LATENCY_STEP = 0.5
"""Each simulated run's message latency is longer than the last's by so much of the first's."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario by both engines.

    Attributes:
        verdicts: of the emulated runs, by system (`scenarios.results.fidelity`).
        systems: figures side by side, by system.
    """

    scenario: str
    description: str
    verdicts: dict[str, str]
    systems: dict[str, list[Comparison]]

    @property
    def holds(self) -> bool:
        return all(figure.holds for figures in self.systems.values() for figure in figures)

    @property
    def believable(self) -> bool:
        return "not believable" not in self.verdicts.values()


class BrokenOff(Exception):
    """The user ended a run before it was done."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    try:
        scenarios = [
            load_scenario(library.find(path), arguments.set) for path in arguments.scenario
        ]
        _check_names(scenarios)
        for scenario in scenarios:
            make_plan(scenario)
        enter_sandbox()
        out = arguments.out or Path("runs") / f"validation-{time.strftime('%Y%m%d-%H%M%S')}"
        claim(out)
        validations = []
        for scenario in scenarios:
            validations.append(validate(scenario, out / scenario.name, arguments.repeats))
            write(validations, out)
            print_table(validations[-1])
    except ScenarioError as error:
        return fail(WRONG, error)
    except MachineError as error:
        return fail(LACKING, error)
    except (RunError, TopologyError, Deadlock) as error:
        return fail(FAILED, error)
    except BrokenOff:
        return BROKEN_OFF
    print(f"report: {out / 'validation.html'}")
    if not all(validation.believable for validation in validations):
        return DOUBTED
    return DONE if all(validation.holds for validation in validations) else MISSED


def validate(scenario: Scenario, out: Path, repeats: int) -> Validation:
    """Run a scenario by both engines; inside a sandbox.

    Args:
        out: new or empty; the runs go to `out/emulate` and `out/simulate-1` to `-repeats`.

    Raises:
        BrokenOff: not all systems were served to the end.
        ScenarioError, RunError, TopologyError, Deadlock: as `run_scenario`.
    """
    emulated = _run(scenario, "emulate", out / "emulate")
    simulated = [
        _run(_with_latency(scenario, 1 + LATENCY_STEP * i), "simulate", out / f"simulate-{i + 1}")
        for i in range(repeats)
    ]
    return Validation(
        scenario=scenario.name,
        description=scenario.description,
        verdicts={name: s.fidelity.verdict for name, s in emulated.systems.items()},
        systems=compare(emulated, simulated),
    )


def _with_latency(scenario: Scenario, factor: float) -> Scenario:
    latency = Duration(scenario.cluster.message_latency * factor)
    cluster = msgspec.structs.replace(scenario.cluster, message_latency=latency)
    return msgspec.structs.replace(scenario, cluster=cluster)


def _run(scenario: Scenario, engine: Literal["emulate", "simulate"], out: Path) -> Summary:
    scenario = msgspec.structs.replace(scenario, engine=engine)
    status, summary = run_scenario(scenario, out)
    if summary is None or status == BROKEN_OFF:
        raise BrokenOff
    return summary


def write(validations: Sequence[Validation], out: Path) -> None:
    """Write `validation.json`, `validation.png` and `validation.html`, which needs no other
    file."""
    write_json(out / "validation.json", [_plain(v) for v in validations])
    picture = out / "validation.png"
    with style.context(STYLE):
        draw(validations).savefig(picture)
    page = render(
        "validation.html.j2",
        validations=validations,
        picture=embedded(picture),
        marks=(JCT_MARK, TTFT_MARK, USE_MARK),
        columns=COLUMNS,
        cells=cells,
    )
    (out / "validation.html").write_text(page, encoding="utf-8")


def _plain(validation: Validation) -> dict[str, object]:
    """As it is written, with what follows from the figures."""
    rows = {
        system: [
            {**msgspec.structs.asdict(figure), "error": figure.error, "holds": figure.holds}
            for figure in figures
        ]
        for system, figures in validation.systems.items()
    }
    return {**msgspec.structs.asdict(validation), "systems": rows, "holds": validation.holds}


COLUMNS = ("figure", "emulated", "simulated", "from", "to", "error", "mark")


def print_table(validation: Validation) -> None:
    """The figures of one scenario on standard output."""
    for system, figures in validation.systems.items():
        table = Table(
            *COLUMNS,
            title=f"{validation.scenario}, {system} ({validation.verdicts[system]})",
        )
        for figure in figures:
            table.add_row(figure.figure, *cells(figure), style=None if figure.holds else "bold red")
        Console().print(table)


def cells(figure: Comparison) -> tuple[str, ...]:
    """What stands in `COLUMNS` after the figure's name."""
    unit = " pt" if figure.share else " %"
    shown = [
        "-" if value is None else f"{value:.1%}" if figure.share else f"{value:.4g}"
        for value in (figure.emulated, figure.simulated, *(figure.spread or (None, None)))
    ]
    error = "-" if figure.error is None else f"{100 * figure.error:+.1f}{unit}"
    mark = "-" if figure.mark is None else f"{100 * figure.mark:.0f}{unit}"
    if not figure.holds:
        mark += " missed"
    return *shown, error, mark


def draw(validations: Sequence[Validation]) -> Figure:
    """Relative errors of the times, and one engine's utilisations over the other's."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    times, uses = figure.subplots(1, 2, width_ratios=(1.4, 1))
    names = list(dict.fromkeys(name for v in validations for name in v.systems))
    colours = {name: colour(name, names) for name in names}
    _draw_times(times, validations, colours)
    _draw_uses(uses, validations, colours)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _draw_times(axes: Axes, validations: Sequence[Validation], colours: dict[str, str]) -> None:
    """JCT as filled, mean TTFT as open circles, a row per scenario; lines are the spread."""
    labelled = set()
    for row, validation in enumerate(validations):
        for shift, (system, figures) in enumerate(validation.systems.items()):
            for figure, filled in zip(figures[:2], (True, False), strict=True):
                if figure.error is None:
                    continue
                label = f"{system}, {figure.figure.removesuffix(', s')}"
                height = row + 0.14 * (shift - (len(validation.systems) - 1) / 2)
                if figure.spread and figure.emulated:
                    ends = [100 * (end / figure.emulated - 1) for end in figure.spread]
                    axes.plot(ends, [height] * 2, "-", color=colours[system], alpha=0.4)
                axes.plot(
                    100 * figure.error,
                    height,
                    "o",
                    color=colours[system],
                    markerfacecolor=colours[system] if filled else "white",
                    label=None if label in labelled else label,
                )
                labelled.add(label)
    for mark in (JCT_MARK, TTFT_MARK):
        for sign in (-1, 1):
            axes.axvline(sign * 100 * mark, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(validations)), [v.scenario for v in validations])
    axes.set_ylim(len(validations) - 0.5, -0.5)
    axes.set_xlim(-max(12.0, -axes.get_xlim()[0]), max(12.0, axes.get_xlim()[1]))
    axes.set_xlabel("simulated less emulated, % of emulated")
    axes.set_title("Times: JCT (mark 5 %) and mean TTFT (mark 10 %)")


def _draw_uses(axes: Axes, validations: Sequence[Validation], colours: dict[str, str]) -> None:
    for validation in validations:
        for system, figures in validation.systems.items():
            pairs = [
                (100 * f.emulated, 100 * f.simulated)
                for f in figures
                if f.share and f.emulated is not None and f.simulated is not None
            ]
            if pairs:
                axes.plot(*zip(*pairs, strict=True), ".", color=colours[system], alpha=0.7)
    for shift in (-100 * USE_MARK, 0.0, 100 * USE_MARK):
        axes.axline((0, shift), slope=1, color=INK, linewidth=0.8, linestyle=":" if shift else "-")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xlabel("emulated, %")
    axes.set_ylabel("simulated, %")
    axes.set_title("Utilisation of every SNIC and CNIC (mark 3 points)")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scenarios.validate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="+", type=Path, help="YAML file, name, or pattern such as 'validation/*'"
    )
    parser.add_argument("--out", type=Path, help="directory (default: runs/validation-TIME)")
    parser.add_argument(
        "--repeats", type=count, default=5, help="simulated runs of a scenario (default: 5)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override a key of every scenario; may be given again",
    )
    return parser.parse_args(argv)


def _check_names(scenarios: Sequence[Scenario]) -> None:
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError("name", name, "give every scenario a name of its own")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
