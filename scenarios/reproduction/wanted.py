"""The points of the paper's figures, each with the run that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scenarios.reproduction.paper import FIGURES, Case, Figure, Paper, PaperPoint, paper
from scenarios.results.latencies import PARTS
from scenarios.workload.generator import DATASET

Points = Iterator[PaperPoint]

COMPARED = ("oracle", "dualpath", "basic")
"""The systems of Fig 7, in the order of its bars there."""
ABLATED = ("basic", "layerwise", "dualpath-rr", "dualpath")
"""Those of Fig 12 right."""


def points(figures: tuple[Figure, ...] = FIGURES) -> list[PaperPoint]:
    """The points of some figures, in their order there."""
    known = paper()
    found = [point for of in _FIGURES for point in of(known)]
    return [point for point in found if point.figure in figures]


def jcts_s() -> dict[Case, float]:
    """Fig 7's JCTs by case."""
    return {
        point.case: point.value
        for point in _jct(paper())
        if point.case is not None and point.value is not None
    }


def _batches(known: Paper) -> Points:
    for n, value in known.batches.values.items():
        yield PaperPoint("3", None, n, "throughput", value, known.batches.reading_error)


def _jct(known: Paper) -> Points:
    for model, rows in known.jct.values.items():
        for row, bars in rows.items():
            for n, values in bars.items():
                for name, value in zip(COMPARED, values, strict=True):
                    case = Case(model, row, n, name)
                    yield PaperPoint("7", case, n, "jct_s", value, known.jct.reading_error)


def _ratios(known: Paper) -> Points:
    """Drawn over prefill nodes for each decode node."""
    ratios = known.ratios
    for nodes in ratios.nodes:
        for name in ("basic", "dualpath"):
            case = Case("ds-27b", ratios.row, ratios.agents, name, nodes=nodes)
            yield PaperPoint("8", case, nodes[0] / nodes[1], "jct_over_nodes_s", None, 0.0)


def _lengths(known: Paper) -> Points:
    lengths = known.lengths
    for name in ("basic", "dualpath"):
        whole = Case("ds-660b", lengths.row, lengths.agents, name)
        for factor in lengths.factors:
            longer = whole._replace(append=factor)
            yield PaperPoint("9", longer, factor, "jct_over_append_s", None, 0.0)
            longer = whole._replace(gen=factor)
            yield PaperPoint("9", longer, factor, "jct_over_gen_s", None, 0.0)


def _online(known: Paper) -> Points:
    error = known.online.reading_error
    for model, quantities in known.online.values.items():
        for quantity, systems in quantities.items():
            figure: Figure = "11" if quantity == "agent_jct_s" else "10"
            for system, values in systems.items():
                for aps, value in values.items():
                    case = _arriving(model, system, aps)
                    yield PaperPoint(figure, case, aps, quantity, value, error)
    yield from _capacities(known)


def _capacities(known: Paper) -> Points:
    """What it takes to see an SLO missed, and the paper has no values of."""
    slo, online = known.online.capacity, known.online.values
    for model, systems in slo.aps.items():
        for system in systems:
            for quantity in slo.slo:
                told = online[model][quantity].get(system, {})
                for aps in known.online.rates(model, system):
                    if aps not in told:
                        case = _arriving(model, system, aps)
                        yield PaperPoint("10", case, aps, quantity, None, 0.0)


def _arriving(model: str, system: str, aps: float) -> Case:
    """A run of Figs 10 and 11."""
    return Case(model, "48K", DATASET, system, aps)


def _ablation(known: Paper) -> Points:
    """Fig 12 right; and left, the parts of TTFT, of which the paper prints no numbers."""
    for n, values in known.ablation.values.items():
        for name, value in zip(ABLATED, values, strict=True):
            case = Case("ds-660b", "64K", n, name)
            yield PaperPoint("12", case, n, "jct_s", value, known.ablation.reading_error)
    for system, rates in known.online.values["ds-660b"]["ttft_s"].items():
        for aps in rates if system != "oracle" else ():
            case = _arriving("ds-660b", system, aps)
            for part in PARTS:
                yield PaperPoint("12", case, aps, f"{part}_percent", None, 0.0)


def _balance(known: Paper) -> Points:
    balance = known.balance
    for name, value in balance.snic_max_over_avg.items():
        case = Case("ds-660b", balance.row, balance.agents, name)
        yield PaperPoint("13", case, case.agents, "snic_max_over_avg", value, balance.reading_error)
    case = Case("ds-660b", balance.row, balance.agents, "dualpath")
    value = balance.attention_max_over_avg
    yield PaperPoint("14", case, case.agents, "attention_max_over_avg", value, 0.0)


def _scale(known: Paper) -> Points:
    """What 48P96D does over time; one of its units of 2P4D stands for them all."""
    scale = known.scale
    case = Case("ds-660b", "48K", scale.agents // scale.units, "dualpath")
    curves = {
        "prompt_tokens_per_s": [1e7 * value / scale.units for value in scale.prompt_tps_1e7],
        "ttft_then_s": scale.ttft_s,
        "running_agents": [value / scale.units for value in scale.running_agents],
    }
    for quantity, values in curves.items():
        for i, value in enumerate(values):
            yield PaperPoint("15", case, i * scale.every_s, quantity, value, scale.reading_error)


def _table_3(known: Paper) -> Points:
    table = known.table_3
    for units, jct_s in table.jct_s.items():
        case = Case("ds-660b", "48K", table.agents[units], "dualpath", nodes=_nodes(known, units))
        yield PaperPoint("table-3", case, units, "jct_s", jct_s, 0.0)
    for units, values in table.online.items():
        aps, nodes = table.aps[units], _nodes(known, units)
        case = Case("ds-660b", "48K", DATASET, "dualpath", aps, nodes)
        for quantity, value in values.items():
            yield PaperPoint("table-3", case, units, quantity, value, 0.0)


def _nodes(known: Paper, units: int) -> tuple[int, int] | None:
    """None for a single one, which is the model's usual deployment."""
    return known.table_3.units[units] if units > 1 else None


_FIGURES: tuple[Callable[[Paper], Points], ...] = (
    *(_batches, _jct, _ratios, _lengths, _online, _ablation, _balance, _scale, _table_3),
)
