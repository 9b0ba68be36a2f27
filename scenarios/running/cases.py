"""Cases of the reproduction, run in virtual time for their figures alone: no report, no records.

What was measured once is kept, under a digest of all that it depends on, and not run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import msgspec

from nodes.virtual_run import simulate
from plan.errors import RunError, TestbedError
from plan.records import CounterSample, RequestRecord
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan
from scenarios.reproduction.comparison import Measured
from scenarios.results.latencies import tpot_s, ttft_s, ttst_s
from scenarios.results.measured import measured as measured_of
from scenarios.results.readable_json import write_json
from scenarios.results.result import SystemResult
from scenarios.running import compiled
from scenarios.running.fleet import Fleet
from scenarios.running.simulation import rare_collections

K = TypeVar("K")

SAMPLE_S = 60.0
"""Model seconds between two looks at whether the run comes on."""


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
    with rare_collections():
        run = simulate(plan, system, SAMPLE_S, records.append, _ignore)
    if not run.complete:
        raise RunError(f"{scenario.name}: broken off")
    result = SystemResult(
        system=system,
        records=records,
        samples=[],
        node_stats=run.stats,
        drops={},
        complete=run.complete,
        ending=run.ending,
        wall_s=0.0,
    )
    seen = measured_of(plan, result)
    return Measured(
        jct_s=max(r.done_s for r in records if r.done_s is not None),
        ttft_mean_s=fmean(ttft_s(seen.done)),
        ttst_mean_s=_mean(ttst_s(seen.done)),
        tpot_mean_s=_mean(tpot_s(seen.done)),
        agent_jct_mean_s=_mean(seen.jcts_s),
        requests=len(records),
        cpu_s=time.process_time() - begun_s,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _attempt(item: tuple[K, Scenario]) -> Measured | RunError:
    """`measure`, with what went wrong as a result: for processes side by side."""
    try:
        return measure(item[1])
    except TestbedError as error:
        return RunError(str(error))


def _ignore(_: CounterSample) -> None:
    """Nobody asks for counters."""
