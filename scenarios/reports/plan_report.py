"""What a planner found: tables on standard output, a page with the surface, and JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scenarios.analysis.planner import WORTH, Choice, Demand, Upgrade, buildable
from scenarios.configuration.systems import title
from scenarios.reports.drawing import colour
from scenarios.reports.figures import STYLE, Axes, Figure, MaxNLocator, style
from scenarios.reports.page import embedded, number, render
from scenarios.results.readable_json import write_json

SHOWN = 12
"""Choices that the table on standard output has."""
CHOICES = ("split", "system", "agents/s", "what binds", "next", "idle TTFT, s", "DE batch")
UPGRADES = ("twice the", "agents/s", "gain", "what binds then", "best split then", "agents/s of it")

Rows = list[tuple[str, ...]]


class Deployment(msgspec.Struct, kw_only=True):
    """What was found for a scenario and so many nodes.

    Attributes:
        choices: the best first; upgrades: of the best one.
        surface: all systems over sizes of both sides, for the picture.
        simulated_aps: by deployment and system.
    """

    scenario: str
    nodes: int
    gpus: int
    demand: Demand
    choices: list[Choice]
    upgrades: list[Upgrade]
    surface: list[Choice]
    simulated_aps: dict[str, float] = {}

    @property
    def best(self) -> Choice:
        """What to build."""
        return buildable(self.choices)[0]

    @property
    def verdict(self) -> str:
        """What to build, in a sentence."""
        best = self.best
        if not best.capacity_aps:
            return f"Nothing keeps the SLO with {self.nodes} nodes: {best.binding}."
        buys = self.upgrades[0]
        more = (
            f"twice the {buys.what} makes it {buys.gain:.2f}x"
            if buys.gain >= WORTH
            else "twice of no two resources makes it much more"
        )
        return (
            f"{best.label} with {title(best.system)}: up to {best.capacity_aps:.3g} agents/s,"
            f" bound by {best.binding}; {more}."
        )


def choice_rows(deployment: Deployment, most: int | None = None) -> Rows:
    """A row for each choice."""
    return [
        (
            choice.label,
            title(choice.system),
            number(choice.capacity_aps),
            choice.binding,
            _next(choice),
            number(choice.ttft_s) if choice.limits_aps else "-",
            str(choice.decoding or "-"),
        )
        for choice in deployment.choices[:most]
    ]


def _next(choice: Choice) -> str:
    """What binds after what binds first."""
    others = sorted((aps, name) for name, aps in choice.limits_aps.items())[1:2]
    return "".join(f"{name}, {aps:.3g}" for aps, name in others)


def upgrade_rows(deployment: Deployment) -> Rows:
    """A row for each upgrade of the best choice."""
    return [
        (
            upgrade.what,
            number(upgrade.capacity_aps),
            f"{upgrade.gain:.2f}x",
            upgrade.binding,
            upgrade.best.label,
            number(upgrade.best.capacity_aps),
        )
        for upgrade in deployment.upgrades
    ]


def print_tables(deployment: Deployment) -> None:
    """The verdict, the best choices, and what upgrades buy."""
    console = Console()
    console.print(Text(deployment.verdict))
    for headings, rows in (
        (CHOICES, choice_rows(deployment, SHOWN)),
        (UPGRADES, upgrade_rows(deployment)),
    ):
        table = Table(*headings)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)


def write(deployment: Deployment, out: Path) -> None:
    """Write `plan.json`, `plan.png` and `plan.html`, which needs no other file."""
    write_json(out / "plan.json", deployment)
    picture = out / "plan.png"
    with style.context(STYLE):
        draw(deployment).savefig(picture)
    simulated = [(name, number(aps)) for name, aps in deployment.simulated_aps.items()]
    page = render(
        "plan.html.j2",
        deployment=deployment,
        demand=msgspec.structs.asdict(deployment.demand),
        tables=[
            ("Splits of all nodes", CHOICES, choice_rows(deployment)),
            (f"Upgrades of {deployment.best.label}", UPGRADES, upgrade_rows(deployment)),
            ("Simulated", ("deployment", "agents/s"), simulated),
        ],
        picture=embedded(picture),
    )
    (out / "plan.html").write_text(page, encoding="utf-8")


def draw(deployment: Deployment) -> Figure:
    """Capacity over the split of all nodes, and a system's over the sizes of both sides."""
    names = list(dict.fromkeys(choice.system for choice in deployment.surface))
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(11, 4 + 3.6 * lines), layout="constrained")
    grid = figure.add_gridspec(1 + lines, columns)
    _over_splits(figure.add_subplot(grid[0, :]), deployment, names)
    highest = max(choice.capacity_aps for choice in deployment.surface)
    for place, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + place // columns, place % columns])
        of_system = [choice for choice in deployment.surface if choice.system == name]
        _surface(axes, name, of_system, highest)
    return figure


def _over_splits(axes: Axes, deployment: Deployment, names: list[str]) -> None:
    for name in names:
        own = sorted((c for c in deployment.choices if c.system == name), key=lambda c: c.prefill)
        places = [choice.prefill for choice in own]
        rates = [choice.capacity_aps for choice in own]
        axes.plot(places, rates, marker="o", color=colour(name, names), label=title(name))
        simulated = {f"{c.label} {c.system}": c.prefill for c in own}
        for key in simulated.keys() & deployment.simulated_aps.keys():
            at = (simulated[key], deployment.simulated_aps[key])
            axes.plot(*at, marker="X", markersize=10, color=colour(name, names))
    best = deployment.best
    said = f"{best.label}, {best.binding}" if best.capacity_aps else "nothing keeps the SLO"
    axes.annotate(said, (best.prefill, best.capacity_aps), (4, 8), textcoords="offset points")
    axes.set(
        title=f"{deployment.nodes} nodes: agents a second that every resource bears",
        xlabel="prefill nodes, all others decode",
        ylabel="agents/s",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.legend()


def _surface(axes: Axes, name: str, choices: list[Choice], highest: float) -> None:
    prefills = sorted({choice.prefill for choice in choices})
    decodes = sorted({choice.decode for choice in choices})
    rates = np.zeros((len(decodes), len(prefills)))
    for choice in choices:
        rates[decodes.index(choice.decode), prefills.index(choice.prefill)] = choice.capacity_aps
    axes.imshow(rates, origin="lower", cmap="Blues", vmin=0, vmax=highest or 1, aspect="auto")
    for row, line in enumerate(rates):
        for column, rate in enumerate(line):
            dark = rate > 0.6 * highest
            axes.text(
                column,
                row,
                f"{rate:.2g}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    axes.set_xticks(range(len(prefills)), [str(size) for size in prefills])
    axes.set_yticks(range(len(decodes)), [str(size) for size in decodes])
    axes.grid(visible=False)
    axes.set(title=title(name), xlabel="prefill nodes", ylabel="decode nodes")
