"""A GPU's profile from what LLMServingSim's profiler measured (casys-kaist/LLMServingSim on
GitHub): a folder `tp1` of its output, as its documentation describes it.

`attention.csv` has a kernel's time over a chunk of a prompt and its effective key length, or over
decoding sequences and their context; `dense.csv` that of other layers over tokens,
`per_sequence.csv` that of what follows the last layer over sequences, `moe.csv` that of a whole
block of experts over GPUs that share them, tokens of all of these, and experts that have any. All
are microseconds of one layer; a model's layers are what the scenario says.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from plan.deployment import ModelSpec
from plan.errors import ScenarioError
from plan.gpu_profile import GpuProfile, Grid
from scenarios.configuration import yaml_dialect

KEY = "gpu.profile"
MAX_ROWS = 2_000_000
_ONCE = ("embedding", "final_layernorm")
_TWICE = ("layernorm",)
_DENSE_BLOCK = ("gate_up_proj", "act_fn", "down_proj")
_FIRST_CACHED = 256

Number = Annotated[float, Meta(ge=0, le=1e12)]
Points = dict[float, float]


class _Dense(msgspec.Struct):
    layer: str
    tokens: Number
    time_us: Number


class _PerSequence(msgspec.Struct):
    layer: str
    sequences: Number
    time_us: Number


class _Attention(msgspec.Struct):
    """`kv_prefill` is of older tables, in which a chunk is one request's."""

    prefill_chunk: Number
    n_decode: Number
    kv_decode: Number
    time_us: Number
    layer: str = "attention"
    prefill_key: Number | None = None
    kv_prefill: Number = 0
    decode_q_len: Number = 1


class _Experts(msgspec.Struct):
    tokens: Number
    activated_experts: Number
    time_us: Number
    ep: Annotated[int, Meta(ge=1, le=4096)] = 1


class Curve:
    """Times over one number: straight between points, the first below, the last slope beyond."""

    def __init__(self, points: Points) -> None:
        self._places = sorted(points)
        self._times = [points[place] for place in self._places]

    def __call__(self, place: float) -> float:
        places, times = self._places, self._times
        if len(places) == 1 or place <= places[0]:
            return times[0]
        high = min(bisect_right(places, place), len(places) - 1)
        share = (place - places[high - 1]) / (places[high] - places[high - 1])
        return max(0.0, times[high - 1] + share * (times[high] - times[high - 1]))


class _Bundle(NamedTuple):
    """What was measured, by the kernel or layer: over tokens; over sequences; over chunk, then
    key length; over sequences, then context; over GPUs, tokens, then experts."""

    dense: dict[str, Curve]
    sequences: dict[str, Curve]
    chunks: dict[str, dict[float, Points]]
    decode: dict[str, dict[float, Points]]
    experts: dict[int, dict[float, Points]]


def read_bundle(folder: Path, model: ModelSpec) -> dict[str, Any]:
    """The fields of a GPU that a folder tells, as plain data.

    Args:
        model: what was measured.

    Raises:
        ScenarioError: it is no such folder, or not of such a model.
    """
    if folder.name.startswith("tp") and folder.name != "tp1":
        raise ScenarioError(KEY, str(folder), "name tp1", "has times of GPUs that share a layer")
    if (folder / "linear_attention.csv").exists():
        remedy = "name a model whose layers all attend"
        raise ScenarioError(KEY, str(folder), remedy, "has layers of linear attention")
    bundle = _read(folder)
    if bool(bundle.experts) != bool(model.moe_layers):
        problem = "has no moe.csv" if model.moe_layers else "has a moe.csv"
        remedy = f"name the profile of {model.name}"
        raise ScenarioError(KEY, str(folder), remedy, problem)
    return _hardware(folder) | {"profile": msgspec.to_builtins(_profile(bundle, model, folder))}


def _read(folder: Path) -> _Bundle:
    chunks: dict[str, dict[float, Points]] = {}
    decode: dict[str, dict[float, Points]] = {}
    for row in _rows(folder / "attention.csv", _Attention):
        chunk = row.prefill_chunk
        if chunk and not row.n_decode:
            key = row.kv_prefill + chunk / 2 if row.prefill_key is None else row.prefill_key
            if key >= chunk / 2:  # a shorter one is of several requests' chunks together
                chunks.setdefault(row.layer, {}).setdefault(chunk, {})[key] = row.time_us
        elif row.n_decode and not chunk and row.decode_q_len == 1:
            of_batch = decode.setdefault(row.layer, {}).setdefault(row.n_decode, {})
            of_batch[row.kv_decode] = row.time_us
    for what, found in (("prefill alone", chunks), ("decode alone", decode)):
        if not found:
            raise _refused(folder / "attention.csv", f"has no rows of {what}", "measure it")
    experts: dict[int, dict[float, Points]] = {}
    if (folder / "moe.csv").exists():
        for one in _rows(folder / "moe.csv", _Experts):
            of_tokens = experts.setdefault(one.ep, {}).setdefault(one.tokens, {})
            of_tokens[one.activated_experts] = one.time_us
    return _Bundle(
        dense=_curves((r.layer, r.tokens, r.time_us) for r in _rows(folder / "dense.csv", _Dense)),
        sequences=_curves(
            (r.layer, r.sequences, r.time_us)
            for r in _rows(folder / "per_sequence.csv", _PerSequence)
        ),
        chunks=chunks,
        decode=decode,
        experts=experts,
    )


def _curves(rows: Iterator[tuple[str, float, float]]) -> dict[str, Curve]:
    points: dict[str, Points] = {}
    for layer, place, time_us in rows:
        points.setdefault(layer, {})[place] = time_us
    return {layer: Curve(found) for layer, found in points.items()}


def _rows(path: Path, kind: type[Any]) -> Iterator[Any]:
    """The rows of a file.

    Raises:
        ScenarioError: it cannot be read, lacks a column, or has what is no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            wanted = [field.name for field in msgspec.structs.fields(kind) if field.required]
            missing = [name for name in wanted if name not in (reader.fieldnames or ())]
            if missing:
                remedy = "name a tp1 folder of LLMServingSim's profiler"
                raise _refused(path, f"has no column {missing[0]}", remedy)
            for number, row in enumerate(reader, start=2):
                if number > MAX_ROWS:
                    raise _refused(path, "has too many rows", "measure less")
                yield msgspec.convert(row, kind, strict=False)
    except msgspec.ValidationError as error:
        problem = f"is wrong in line {reader.line_num}: {error}"
        raise _refused(path, problem, "correct it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = str(getattr(error, "strerror", None) or error)
        remedy = "name a tp1 folder of LLMServingSim's profiler, or a CSV file"
        raise _refused(path, f"cannot be read: {said}", remedy) from None


def _refused(path: Path, problem: str, remedy: str) -> ScenarioError:
    return ScenarioError(KEY, str(path.parent), remedy, f"has a {path.name} that {problem}")


def _profile(bundle: _Bundle, model: ModelSpec, folder: Path) -> GpuProfile:
    tokens = _axis(2**power for power in range(14))
    own = _own(bundle, model)
    chunks = _axis({chunk for kernel in bundle.chunks.values() for chunk in kernel})
    cached = _cached(bundle, max(chunks))
    shares = {ep: _shared(found, ep, model) for ep, found in bundle.experts.items()}
    ends = list(bundle.sequences.values())
    return GpuProfile(
        model=model.name,
        source=_source(folder),
        attention=_grid(cached, chunks, _attention(bundle, model)),
        dense=_grid((0.0,), tokens, lambda _, n: own(n) + sum(end(1) for end in ends)),
        experts=_grid(_axis(shares), tokens, lambda ep, n: shares[int(ep)](n)) if shares else None,
        decode={ep: _decode(bundle, model, own, shares.get(ep)) for ep in shares or (1,)},
    )


def _axis(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(map(float, values)))


def _grid(
    xs: tuple[float, ...], ys: tuple[float, ...], time_us: Callable[[float, float], float]
) -> Grid:
    seconds = tuple(tuple(float(f"{time_us(x, y) / 1e6:.6g}") for y in ys) for x in xs)
    return Grid(xs=xs, ys=ys, seconds=seconds)


def _own(bundle: _Bundle, model: ModelSpec) -> Callable[[float], float]:
    """What a GPU does for so many tokens of its own, beside attention, over all layers."""
    all_times = [(_times(layer, model), curve) for layer, curve in bundle.dense.items()]
    return lambda tokens: sum(times * curve(tokens) for times, curve in all_times)


def _times(layer: str, model: ModelSpec) -> int:
    """How often a forward has that layer."""
    if layer in _ONCE:
        return 1
    if layer in _TWICE:
        return 2 * model.layers
    return model.layers - (model.moe_layers if layer in _DENSE_BLOCK else 0)


def _cached(bundle: _Bundle, chunk: float) -> tuple[float, ...]:
    """Lengths of what is cached, doubling up to what was measured behind the longest chunk."""
    keys = [key for kernel in bundle.chunks.values() for key in kernel.get(chunk, ())]
    most = max(1.0, max(keys) - chunk / 2)
    found = [0.0]
    step = float(_FIRST_CACHED)
    while step < most:
        found.append(step)
        step *= 2
    return (*found, most)


def _attention(bundle: _Bundle, model: ModelSpec) -> Callable[[float, float], float]:
    """Of one request, by what is cached and new: a token looks at half of its chunk."""
    curves = [
        {chunk: Curve(points) for chunk, points in kernel.items()}
        for kernel in bundle.chunks.values()
    ]

    def time_us(cached: float, chunk: float) -> float:
        key = cached + chunk / 2
        return model.layers * sum(kernel[chunk](key) for kernel in curves if chunk in kernel)

    return time_us


def _shared(measured: dict[float, Points], ep: int, model: ModelSpec) -> Callable[[float], float]:
    """Blocks of experts for a GPU's share of tokens: those of all GPUs come to its experts, of
    which so many have any as choosing at random lets expect."""
    rows = {tokens: Curve(points) for tokens, points in measured.items()}
    own = model.experts / ep

    def time_us(tokens: float) -> float:
        idle = (1 - model.active_experts / model.experts) ** (tokens * ep)
        over = Curve({count: row(own * (1 - idle)) for count, row in rows.items()})
        return model.moe_layers * over(tokens * ep)

    return time_us


def _decode(
    bundle: _Bundle,
    model: ModelSpec,
    own: Callable[[float], float],
    shared: Callable[[float], float] | None,
) -> Grid:
    kernels = [
        {batch: Curve(points) for batch, points in kernel.items()}
        for kernel in bundle.decode.values()
    ]
    batches = _axis(set.intersection(*(set(kernel) for kernel in kernels)))
    contexts = _axis({c for k in bundle.decode.values() for points in k.values() for c in points})

    def time_us(batch: float, context: float) -> float:
        attention = model.layers * sum(kernel[batch](context) for kernel in kernels)
        ends = sum(end(batch) for end in bundle.sequences.values())
        return attention + own(batch) + ends + (shared(batch) if shared else 0.0)

    return _grid(batches, contexts, time_us)


def _source(folder: Path) -> str:
    """What measured it, as its `meta.yaml` says."""
    told = _told(folder.parent / "meta.yaml")
    known = [f"{key} {told[key]}" for key in ("model", "gpu", "vllm_version") if key in told]
    return ", ".join(["LLMServingSim's profiler", *known])[:500]


def _hardware(folder: Path) -> dict[str, Any]:
    """HBM and its bandwidth, from the `hardware.yaml` of the folder that all models share."""
    parents = list(folder.absolute().parents)[:5]
    path = next((p / "hardware.yaml" for p in parents if (p / "hardware.yaml").exists()), None)
    told = _told(path) if path else {}
    spec = told.get("spec")
    found: dict[str, Any] = {"name": str(told.get("hardware", folder.parent.parent.name))}
    if isinstance(spec, dict):
        for field, key, scale in (
            ("hbm_bytes", "memory_total_gib", 2**30),
            ("hbm_bytes_per_s", "memory_bw_gbps", 1e9),
        ):
            if isinstance(spec.get(key), int | float):
                found[field] = spec[key] * scale
    return found


def _told(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            told = yaml_dialect.read(file.read(yaml_dialect.MAX_BYTES + 1))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
