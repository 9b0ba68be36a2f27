"""All pictures of a report, in its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from plan.model import Plan
from scenarios.configuration.systems import BASELINE, BUILT_IN
from scenarios.reports import congestion_plots, fault_report, plots, service_plots
from scenarios.reports.charts import Chart
from scenarios.reports.drawing import CnicTheory, Picture, Run
from scenarios.reports.svg import NARROW, Drawing
from scenarios.results.metrics import windows_of
from scenarios.results.result import SystemResult
from scenarios.results.summary import Summary


class Image(Protocol):
    """What a page shows as a picture, drawn for its width."""

    def drawn(self, width: float = ...) -> Drawing:
        """The picture, so many px wide."""


PICTURES: dict[str, tuple[Callable[[Run], Chart | Image | None], str, str]] = {
    "jct": (
        plots.jct,
        "Who finished first",
        "Time until the last request of the job was done; shorter is better. "
        f"The factor is {BUILT_IN[BASELINE].title}'s time over the system's.",
    ),
    "snic_use": (
        plots.snic_use,
        "Storage NICs over time",
        "How much of each node's storage NIC was used for reading KV-Cache. The dashed line is "
        "the NIC's rate. A full NIC beside an idle one is bandwidth that nobody could use.",
    ),
    "ttft_parts": (
        plots.ttft_parts,
        "Where the time to the first token goes",
        "Mean over requests, in the paper's parts (its Fig 12). Scheduling: until a PE and a DE "
        "are found; allocating: until there is room in DRAM; reading: until the KV-Cache is "
        "there, waiting for the storage NIC included; prefill: until the first token, waiting "
        "for a forward batch included.",
    ),
    "token_times": (
        plots.token_times,
        "Token times",
        "Share of requests at or below a time to first token (TTFT), from first to second "
        "(TTST), and per token after that (TPOT). Further left is better.",
    ),
    "service": (
        service_plots.service,
        "Service over time",
        "Mean time to first token and per token, of the requests that got theirs at a time. "
        "What the figures are of lies between the dotted lines, if there are any.",
    ),
    "faults": (
        fault_report.service,
        "Service while things break",
        "Requests done a second, and mean time to first token of those that got theirs at a time. "
        "Dotted lines are where faults begin and end.",
    ),
    "load": (
        service_plots.load,
        "Load over time",
        "Agents that came, and agents that have turns left; requests that wait for engines, that "
        "wait for their first token on them, and that decode.",
    ),
    "working_set": (
        service_plots.working_set,
        "Working set",
        "KV-Cache of the agents that have turns left: what storage, or a cache before it, has to "
        "hold. Dashed is a prediction, the paper's formula (its section 8.2) from the measured "
        "arrivals, completion times and lengths.",
    ),
    "snic_balance": (
        plots.snic_balance,
        "Balance of the storage NICs",
        "The fullest storage NIC over the average, while they are busy. 1 is perfect balance. "
        "On its own cluster the paper measured 1.53 under round robin and 1.18 with DualPath's "
        "scheduler (its Fig 13).",
    ),
    "attention_balance": (
        congestion_plots.attention_balance,
        "Balance of attention",
        "Longest over average attention time among the engines of an expert-parallel prefill "
        "group: all wait for the slowest. On its own cluster the paper measured 1.06 over the "
        "first 5 % of the run (its Fig 14).",
    ),
    "engine_tokens": (
        congestion_plots.engine_tokens,
        "Work of each engine",
        "Unfinished tokens that each engine has been given, over time: prompts on the prefill "
        "side until their first token, prompts and generations on the decode side until done. "
        "One row an engine; stripes are engines with more work than their neighbours.",
    ),
    "cnic_use": (
        plots.cnic_use,
        "Compute NICs",
        "Reads and writes of memory through each GPU's compute NIC, local copies included, over "
        "the whole run. Lines across are a prediction: the load at which both paths together would "
        "keep every storage NIC full.",
    ),
    "lane_traffic": (
        plots.lane_traffic,
        "Virtual lanes",
        "Traffic of each lane over time, summed over every port of the fabric that it leaves by.",
    ),
    "collective_times": (
        congestion_plots.collective_times,
        "Collectives",
        "Share of expert-parallel exchanges that took up to a time, from their first byte's "
        "posting to their last byte's arrival. The Oracle's have the fabric for themselves, but "
        "systems batch differently: the delay beyond a collective's bytes, in the table, compares.",
    ),
    "fabric_use": (
        congestion_plots.fabric_use,
        "Every NIC and link",
        'Use of each NIC and each switch-to-switch link, one row for each direction: "in" goes '
        'into the node, "out" leaves it, arrows are inside the fabric.',
    ),
    "lane_backlog": (
        congestion_plots.lane_backlog,
        "Queues by lane",
        "What waited in the queues of all hosts and switch ports, looked at once a second of "
        "wall time. A lane that others may not hold up has none, whatever waits beside it.",
    ),
    "egress_backlog": (
        congestion_plots.egress_backlog,
        "Where queues stood",
        'What waited at each egress, all lanes together: "out" at the node\'s NIC, "in" at the '
        "leaf switch in front of it, arrows inside the fabric. The longest queues are shown.",
    ),
    "tokens_in_progress": (
        plots.tokens_in_progress,
        "Work in progress",
        "Context and generation tokens of all requests that have been submitted and are not done.",
    ),
}
"""Function, title and caption of each picture."""

IMAGES = {"jct", "ttft_parts", "engine_tokens", "cnic_use", "fabric_use", "egress_backlog"}
"""Those of the pictures that are no charts."""


def draw(out_dir: Path, run: Run) -> list[Picture]:
    """Write every picture that the run has data for into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, (function, title, caption) in PICTURES.items():
        if (found := function(run)) is not None:
            path = out_dir / f"{name}.svg"
            found.drawn().save(path)
            if isinstance(found, Chart):
                pictures.append(Picture(path, title, caption, found))
            else:
                pictures.append(Picture(path, title, caption, narrow=found.drawn(NARROW)))
    return pictures


def charts_of(run: Run) -> dict[str, Chart]:
    """Every chart that the run has data for."""
    return {
        name: found
        for name, (function, _, _) in PICTURES.items()
        if name not in IMAGES and isinstance(found := function(run), Chart)
    }


def run_of(
    plan: Plan,
    results: Sequence[SystemResult],
    summary: Summary,
    theory: CnicTheory | None = None,
) -> Run:
    """What pictures are drawn from."""
    cuts = {r.system.name: cut for r in results if (cut := windows_of(plan, r)) is not None}
    return Run(plan, results, summary, cuts, theory)
