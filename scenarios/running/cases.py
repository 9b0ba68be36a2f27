"""Cases of the reproduction, run in virtual time for their figures alone: no report, no records.

What was measured once is kept, under a digest of all that it depends on, and not run again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import msgspec
import numpy as np

from nodes.virtual_run import simulate
from plan.errors import RunError, TestbedError
from plan.records import CounterSample, RequestRecord
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan
from scenarios.reproduction.comparison import Measured, OverTime
from scenarios.results.latencies import tpot_s, ttft_s, ttst_s
from scenarios.results.measured import measured as measured_of
from scenarios.results.metrics import summarise_system
from scenarios.results.readable_json import write_json
from scenarios.results.result import SystemResult
from scenarios.running import compiled
from scenarios.running.fleet import Fleet
from scenarios.running.simulation import rare_collections

K = TypeVar("K")

SAMPLE_S = 15.0
"""Model seconds between two readings of the counters: the windows of the paper's Fig 13."""
EVERY_S = 100.0
"""Model seconds between two points of the curves of its Fig 15."""


def measured(
    cases: Mapping[K, Scenario], kept: Path, fleet: Fleet
) -> Iterator[tuple[K, Measured | RunError]]:
    """Every case with what was measured, those that were kept first.

    Args:
        kept: an existing directory.
    """
    files = {key: kept / f"{_digest(scenario)}.json" for key, scenario in cases.items()}
    left: list[tuple[K, Scenario]] = []
    for key, scenario in cases.items():
        if files[key].exists():
            yield key, msgspec.json.decode(files[key].read_bytes(), type=Measured)
        else:
            left.append((key, scenario))
    for (key, _), result in fleet.do(_attempt, left):
        if isinstance(result, Measured):
            write_json(files[key], result)
        yield key, result


def is_kept(scenario: Scenario, kept: Path) -> bool:
    """Whether it was measured before, as scenario and code are now."""
    return (kept / f"{_digest(scenario)}.json").exists()


def _digest(scenario: Scenario) -> str:
    """Of the scenario, its GPU and the nodes' code."""
    specs = msgspec.json.encode((scenario.gpu_spec, scenario.model_spec))
    text = f"{resolved_yaml(scenario)}\n{compiled.digest()}\n".encode()
    return sha256(text + specs).hexdigest()[:24]


def measure(scenario: Scenario) -> Measured:
    """Serve the scenario by its one system.

    Raises:
        ScenarioError: it cannot be honoured.
        RunError: it ended without having served all requests.
    """
    begun_s = time.process_time()
    plan = make_plan(scenario).plan
    (system,) = scenario.compared
    records: list[RequestRecord] = []
    samples: list[CounterSample] = []
    with rare_collections():
        run = simulate(plan, system, SAMPLE_S, records.append, samples.append)
    if not run.complete:
        raise RunError(f"{scenario.name}: broken off")
    result = SystemResult(
        system=system,
        records=records,
        samples=samples,
        node_stats=run.stats,
        drops={},
        complete=run.complete,
        ending=run.ending,
        wall_s=0.0,
    )
    seen = measured_of(plan, result)
    summary = summarise_system(plan, result)
    return Measured(
        jct_s=max(r.done_s for r in records if r.done_s is not None),
        ttft_mean_s=fmean(ttft_s(seen.done)),
        ttst_mean_s=_mean(ttst_s(seen.done)),
        tpot_mean_s=_mean(tpot_s(seen.done)),
        agent_jct_mean_s=_mean(seen.jcts_s),
        ttft_parts_s=summary.ttft_parts_s,
        snic_max_over_avg=summary.snic_max_over_avg,
        attention_max_over_avg_first=summary.attention_max_over_avg_first,
        over_time=_over_time(records),
        requests=len(records),
        cpu_s=time.process_time() - begun_s,
    )


def _over_time(records: Sequence[RequestRecord]) -> OverTime:
    """The run in spans of `EVERY_S`: a request counts in that of its first token, an agent at
    the beginning of every span in which it has not had its last one."""
    ends_s: dict[int, float] = {}
    for record in records:
        ends_s[record.agent] = max(ends_s.get(record.agent, 0.0), record.done_s or 0.0)
    served = [record for record in records if record.first_s is not None]
    span = np.array([record.first_s for record in served]) // EVERY_S
    spans = math.ceil(max(ends_s.values()) / EVERY_S)
    requests = np.bincount(span.astype(int), minlength=spans)
    tokens = np.bincount(span.astype(int), [r.prompt_tokens for r in served], spans)
    waited_s = np.bincount(span.astype(int), ttft_s(served), spans)
    ends = np.array(list(ends_s.values()))
    return OverTime(
        every_s=EVERY_S,
        prompt_tokens_per_s=(tokens / EVERY_S).tolist(),
        ttft_mean_s=(waited_s / np.maximum(requests, 1)).tolist(),
        running_agents=[int((ends > i * EVERY_S).sum()) for i in range(spans)],
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _attempt(item: tuple[K, Scenario]) -> Measured | RunError:
    """`measure`, with what went wrong as a result: for processes side by side."""
    try:
        return measure(item[1])
    except TestbedError as error:
        return RunError(str(error))
