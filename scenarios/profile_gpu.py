r"""Fill a GPU's profile from the kernel tables of `aiconfigurator-core`: `dualpath profile_gpu`.

    pip install aiconfigurator-core
    dualpath profile_gpu --system h100_sxm --hub deepseek-ai/DeepSeek-V3.2 --model ds-660b \
        --out h100-ds-660b.csv

That package (Apache-2.0, x86-64) holds measured times of kernels from A100 to GB300; nothing else
of the testbed needs it. Attention, other layers of a GPU's own, experts and their AllToAlls are
written apart, and decode steps as a whole. Attention is data-parallel, experts are spread over
--ep GPUs; beyond one node of 8 the package prices their AllToAlls as an all-gather, which is
several times too slow, so one node is the default.

Exit status: 0 done; 2 the command line is wrong; 3 the package is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plan.errors import MachineError, ScenarioError
from scenarios.configuration import yaml_dialect
from scenarios.configuration.gpu_profiles import COLUMNS
from scenarios.configuration.units import count
from scenarios.running.outcome import DONE, concluded

PACKAGE = "aiconfigurator-core"
CACHED = (0, 2048, 8192, 32768, 65536, 131072)
TOKENS = (1, 64, 256, 512, 1024, 4096, 8192)
BATCHES = (1, 4, 16, 64, 128, 256)
CONTEXTS = (1024, 8192, 32768, 65536, 131072)

Cells = tuple[str, int, int, int, int, float]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _arguments(argv)
    return concluded(lambda: _fill(arguments))


def _fill(arguments: argparse.Namespace) -> int:
    if arguments.out.exists():
        raise ScenarioError("--out", str(arguments.out), "name a new file", "is there")
    try:
        from aiconfigurator_core.sdk.engine import EngineHandle
    except ModuleNotFoundError as error:
        raise MachineError(f"{error.name} is not installed", f"pip install {PACKAGE}") from None
    engines = {ep: _engine(EngineHandle, arguments, ep) for ep in arguments.ep}
    rows = [*_prefill(engines), *_decode(engines)]
    with arguments.out.open("x", encoding="utf-8", newline="") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in _header(arguments).items())
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*cells[:5], f"{cells[5]:.6g}") for cells in rows)
    print(f"{len(rows)} times: {arguments.out}")
    return DONE


def _engine(handle: Any, arguments: argparse.Namespace, ep: int) -> Any:
    with contextlib.redirect_stdout(sys.stderr):
        return handle.compile(
            arguments.hub,
            arguments.system,
            arguments.backend,
            tp_size=1,
            attention_dp_size=ep,
            moe_tp_size=1,
            moe_ep_size=ep,
        )


def _header(arguments: argparse.Namespace) -> dict[str, object]:
    import aiconfigurator_core

    systems = Path(aiconfigurator_core.__file__).parent / "systems"
    gpu = yaml_dialect.read((systems / f"{arguments.system}.yaml").read_text())["gpu"]
    return {
        "name": arguments.system,
        "model": arguments.model,
        "source": f"{PACKAGE} {version(PACKAGE)}, {arguments.backend}, {arguments.hub}",
        "flops": gpu["bfloat16_tc_flops"],
        "hbm_bytes": gpu["mem_capacity"],
        "hbm_bytes_per_s": gpu["mem_bw"],
    }


def _prefill(engines: dict[int, Any]) -> Iterator[Cells]:
    [first, *_] = engines.values()
    for cached in CACHED:
        for tokens in TOKENS:
            yield "attention", 0, cached, tokens, 1, _parts(first, cached, tokens)["attention"]
    for tokens in TOKENS:
        yield "dense", 0, 0, tokens, 1, _parts(first, 0, tokens)["dense"]
        for ep, engine in engines.items():
            parts = _parts(engine, 0, tokens)
            yield "experts", ep, 0, tokens, 1, parts["experts"]
            yield "dispatch", ep, 0, tokens, 1, parts["dispatch"]


def _parts(engine: Any, cached: int, tokens: int) -> dict[str, float]:
    """Seconds of a forward by parts, over all layers."""
    found = dict.fromkeys(("attention", "dense", "experts", "dispatch"), 0.0)
    # the length that it takes has the prefix in it
    operations, _ = engine.run_static_per_op(
        batch_size=1, isl=cached + tokens, osl=1, prefix=cached
    )
    for name, milliseconds, *_ in operations:
        found[_part(name)] += milliseconds / 1000
    return found


def _part(operation: str) -> str:
    if "dispatch" in operation:
        return "dispatch"
    if "attention" in operation or "indexer" in operation:
        return "attention"
    return "experts" if operation.endswith("_moe") else "dense"


def _decode(engines: dict[int, Any]) -> Iterator[Cells]:
    for ep, engine in engines.items():
        for batch in BATCHES:
            for context in CONTEXTS:
                seconds = engine.predict_decode_latency(batch, context) / 1000
                yield "decode", ep, context, 0, batch, seconds


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dualpath profile_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--system", required=True, help="its name of a GPU, e.g. h100_sxm")
    parser.add_argument("--hub", required=True, help="its name of a model, as on the hub")
    parser.add_argument("--model", required=True, help="ours, e.g. ds-660b")
    parser.add_argument(
        "--ep", type=count, nargs="+", default=[8], help="GPUs that share the experts (default: 8)"
    )
    parser.add_argument("--backend", default="sglang", help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="a new CSV file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
