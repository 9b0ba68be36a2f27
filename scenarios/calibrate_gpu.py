"""Fit a GPU's constants to the paper's Oracle: `python -m scenarios.calibrate_gpu`.

The Oracle moves no KV-Cache, so its job completion times (paper Fig 7) depend on the workload
and on computing alone. Six constants of `GpuSpec` are fitted to some of them, simulated at full
size, to four decode steps (Fig 10), and to what a forward batch of five requests gains over one of
one (Fig 3); nothing is fitted to Basic or DualPath.
The result is a preset (`h800.json`) with the points and what remains of their errors; it takes
effect in the place of scenarios/configuration/h800.json. What was simulated is kept in the output
directory and not simulated again, so a command that was broken off goes on where it was. Needs
scipy.

Exit status: 0 done; 1 a run failed; 2 the command line is wrong; 3 this machine lacks something;
130 broken off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from nodes.timing.compute import DecodeStep, attended
from plan.deployment import GpuSpec
from plan.errors import RunError
from scenarios.configuration.models import (
    GPUS,
    MODELS,
    Calibrated,
    Fitted,
    FittedBatch,
    FittedStep,
)
from scenarios.configuration.units import count
from scenarios.reproduction.cases import scenario_of
from scenarios.reproduction.comparison import FITTED_BATCH, batch_throughput
from scenarios.reproduction.paper import Case, paper
from scenarios.reproduction.wanted import jcts_s
from scenarios.results.readable_json import write_json
from scenarios.running.cases import measured
from scenarios.running.fitting import optimisers, parser_of
from scenarios.running.fleet import Here
from scenarios.running.outcome import DONE, concluded
from scenarios.running.ownership import handed_over
from scenarios.running.run_directory import make

Floats = npt.NDArray[np.float64]

CONSTANTS = (
    "flops",
    "layer_s",
    "request_layer_s",
    "decode_layer_s",
    "decode_request_layer_s",
    "decode_attention_flops",
)
"""What is fitted, all of it on a logarithmic scale."""
FITTED = {
    Case("ds-660b", "32K", 512, "oracle"): 1,
    Case("ds-660b", "32K", 2048, "oracle"): 1,
    Case("ds-660b", "48K", 1024, "oracle"): 1,
    Case("ds-660b", "64K", 1024, "oracle"): 1,
    Case("ds-27b", "32K", 512, "oracle"): 1,
    Case("ds-27b", "32K", 2048, "oracle"): 1,
    Case("ds-27b", "48K", 1024, "oracle"): 1,
    Case("ds-27b", "64K", 512, "oracle"): 1,
    Case("qwen-32b", "32K", 256, "oracle"): 1,
    Case("qwen-32b", "64K", 32, "oracle"): 1,
}
"""Cases, and the slice in which each is simulated: all whole, since fewer engines wait less for
each other at the barrier (an eighth of DS 660B with 4096 agents took 0.85 of the whole's time)."""
STEP = 0.1
"""Of a constant's logarithm, for derivatives."""
FACTOR = 4.0
"""Within which a constant may move from its start."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _calibrate(arguments))


def _calibrate(arguments: argparse.Namespace) -> int:
    if arguments.steps:
        optimisers()  # it is missed now or never
    out: Path = arguments.out
    make(out)
    start = GPUS["h800"]
    with handed_over(out):
        runs = Runs(start, out, arguments.jobs)
        best = np.zeros(len(CONSTANTS))
        if arguments.steps:
            limits = best - np.log(FACTOR), best + np.log(FACTOR)
            best = (
                optimisers()
                .least_squares(
                    runs.residuals,
                    best,
                    jac=runs.derivatives,
                    bounds=limits,
                    max_nfev=arguments.steps,
                    xtol=1e-2,
                    ftol=1e-2,
                )
                .x
            )
        result = runs.result(best)
        write_json(out / f"{start.name}.json", result)
    for point in result.points:
        print(
            f"{point.model:<10}{point.row}{point.agents:>6} agents"
            f"  paper {point.paper_jct_s:6.0f} s  ours {point.ours_jct_s:6.0f} s"
            f"  {point.ours_jct_s / point.paper_jct_s - 1:+.1%}"
        )
    for step in result.steps:
        print(
            f"{step.model:<10}TPOT of {step.batch} a GPU  paper {step.paper_tpot_s:.4f} s"
            f"  ours {step.ours_tpot_s:.4f} s  {step.ours_tpot_s / step.paper_tpot_s - 1:+.1%}"
        )
    batch = result.batch
    print(
        f"{batch.model:<10}batch of {batch.requests}  paper {batch.paper_throughput:.2f}"
        f"  ours {batch.ours_throughput:.2f}"
    )
    print(f"preset: {out / start.name}.json")
    return DONE


class Runs:
    """Simulated points, by the logarithms of factors on a GPU's constants.

    Args:
        start: the constants at factors of 1.
        out: where what was simulated is kept.
        jobs: points that are simulated at once.
    """

    def __init__(self, start: GpuSpec, out: Path, jobs: int) -> None:
        self._start, self._out, self._jobs = start, out, jobs
        self._paper = jcts_s()

    def gpu(self, logs: Floats) -> GpuSpec:
        """The GPU at these factors, its constants to four digits."""
        changed = {
            name: float(f"{getattr(self._start, name) * np.exp(log):.4g}")
            for name, log in zip(CONSTANTS, logs, strict=True)
        }
        return msgspec.structs.replace(self._start, **changed)

    def residuals(self, logs: Floats) -> Floats:
        """Logarithm of ours over the paper's: every point, every decode step, the batch."""
        (row,) = self._residuals([logs])
        print(f"median error {np.median(np.abs(row)):.1%}, largest {np.abs(row).max():.1%}")
        return row

    def derivatives(self, logs: Floats) -> Floats:
        """Of the residuals, by forward differences [point, constant]; all runs side by side."""
        moved = [logs + STEP * unit for unit in np.eye(len(logs))]
        here, *rows = self._residuals([logs, *moved])
        return np.array([(row - here) / STEP for row in rows]).T

    def result(self, logs: Floats) -> Calibrated:
        """The preset at these factors."""
        (row,) = self._residuals([logs])
        gpu = self.gpu(logs)
        return Calibrated(
            gpu=gpu,
            steps=tuple(_steps(gpu)),
            batch=_batch(gpu),
            points=tuple(
                Fitted(
                    model=case.model,
                    row=case.row,
                    agents=case.agents,
                    slice_of=part,
                    paper_jct_s=self._paper[case],
                    ours_jct_s=round(float(self._paper[case] * np.exp(log)), 1),
                )
                for (case, part), log in zip(FITTED.items(), row, strict=False)
            ),
        )

    def _residuals(self, places: Sequence[Floats]) -> list[Floats]:
        scenarios = {
            (place, case): scenario_of(case, part, self.gpu(logs))
            for place, logs in enumerate(places)
            for case, part in FITTED.items()
        }
        found = {}
        for done, (key, result) in enumerate(measured(scenarios, self._out, Here(self._jobs)), 1):
            if isinstance(result, RunError):
                raise result
            found[key] = float(np.log(result.jct_s / self._paper[key[1]]))
            print(f"[{done} of {len(scenarios)} points]", end="\r", file=sys.stderr)
        return [
            np.array([*(found[place, case] for case in FITTED), *_step_errors(self.gpu(logs))])
            for place, logs in enumerate(places)
        ]


def _steps(gpu: GpuSpec) -> Iterator[FittedStep]:
    """Decode steps of the GPU beside the paper's."""
    known = paper().tpot
    for name, step in ((name, step) for name, steps in known.values.items() for step in steps):
        model, tokens = MODELS[name], step.batch * known.context
        chosen = step.batch * attended(model, known.context)
        yield FittedStep(
            model=name,
            ep_group=step.ep_group,
            batch=step.batch,
            context=known.context,
            paper_tpot_s=step.tpot_s,
            ours_tpot_s=DecodeStep(model, gpu, step.ep_group).seconds(step.batch, tokens, chosen),
        )


def _batch(gpu: GpuSpec) -> FittedBatch:
    return FittedBatch(
        model="ds-660b",
        requests=FITTED_BATCH,
        paper_throughput=paper().batches.values[FITTED_BATCH],
        ours_throughput=batch_throughput(FITTED_BATCH, gpu=gpu),
    )


def _step_errors(gpu: GpuSpec) -> list[float]:
    """Of decode steps and of the batch, which need no simulation."""
    batch = _batch(gpu)
    pairs = [(step.ours_tpot_s, step.paper_tpot_s) for step in _steps(gpu)]
    pairs.append((batch.ours_throughput, batch.paper_throughput))
    return [float(np.log(ours / theirs)) for ours, theirs in pairs]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("calibrate_gpu", __doc__)
    parser.add_argument(
        "--steps", type=int, default=4, help="of the optimiser; 0: errors as they are (4)"
    )
    parser.add_argument("--jobs", type=count, default=1, help="points at once (default: 1)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
