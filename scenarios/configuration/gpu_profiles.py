"""GPUs by their profile, `gpu: {profile: FILE}`: tables of times, read from a CSV file.

A file begins with lines `# key: value`: `name`, `model`, `source`, `flops`, `hbm_bytes` and
`hbm_bytes_per_s`; then come a heading and a row for each time:

    part,ep,cached,tokens,requests,seconds

`part` is `attention` (cached, tokens), `dense` (tokens), `experts` and `dispatch` (ep, tokens), or
`decode` (ep, cached, requests); what a part does not go by is 0. The rows of a part make a
whole grid.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from plan.deployment import GpuSpec
from plan.errors import ScenarioError
from plan.gpu_profile import GpuProfile, Grid

KEY = "gpu.profile"
SHIPPED = Path(__file__).with_name("profiles")
MAX_BYTES = 2**20
COLUMNS = ("part", "ep", "cached", "tokens", "requests", "seconds")

Time = Annotated[float, Meta(ge=0, le=3600)]
Whole = Annotated[int, Meta(ge=0, le=2**24)]
Above = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    name: Text
    model: Text
    source: Text
    flops: Above
    hbm_bytes: Above
    hbm_bytes_per_s: Above


class _Row(msgspec.Struct):
    part: Literal["attention", "dense", "experts", "dispatch", "decode"]
    ep: Whole
    cached: Whole
    tokens: Whole
    requests: Whole
    seconds: Time


def shipped() -> list[str]:
    """The profiles that come with the testbed."""
    return sorted(path.stem for path in SHIPPED.glob("*.csv"))


def read_profile(asked: str) -> GpuSpec:
    """The GPU of a profile.

    Args:
        asked: a path, or the name of one that is shipped.

    Raises:
        ScenarioError: there is none, or it is not one.
    """
    path = SHIPPED / f"{asked}.csv" if asked in shipped() else Path(asked)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"write a file's path, or one of {', '.join(shipped())}"
        said = str(getattr(error, "strerror", None) or error)
        raise ScenarioError(KEY, asked, remedy, f"cannot be read: {said}") from None
    if len(text) > MAX_BYTES:
        raise ScenarioError(KEY, asked, "write fewer rows", "is longer than 1 MiB")
    header, rows = _parsed(text, asked)
    return GpuSpec(
        name=header.name,
        flops=header.flops,
        hbm_bytes=header.hbm_bytes,
        hbm_bytes_per_s=header.hbm_bytes_per_s,
        profile=_profile(header, rows, asked),
    )


def _parsed(text: str, asked: str) -> tuple[_Header, list[_Row]]:
    head: dict[str, str] = {}
    rows: list[_Row] = []
    reader = None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"line {number}"
        if line.startswith("#"):
            key, _, value = line.removeprefix("#").partition(":")
            head[key.strip()] = value.strip()
        elif reader is None:
            reader = next(csv.reader([line]))
            if tuple(reader) != COLUMNS:
                raise ScenarioError(KEY, line, f"write {','.join(COLUMNS)}", f"heads {asked}")
        elif line.strip():
            cells = dict(zip(reader, next(csv.reader([line])), strict=False))
            rows.append(_converted(cells, _Row, where, asked))
    return _converted(head, _Header, "header", asked), rows


def _converted(cells: Mapping[str, str], kind: type[msgspec.Struct], where: str, asked: str) -> Any:
    try:
        return msgspec.convert(cells, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ScenarioError(KEY, asked, "correct it", f"is wrong in its {where}: {error}") from None


def _profile(header: _Header, rows: list[_Row], asked: str) -> GpuProfile:
    parts: dict[str, dict[tuple[int, int], float]] = {}
    decode: dict[int, dict[tuple[int, int], float]] = {}
    for row in rows:
        match row.part:
            case "attention":
                place = row.cached, row.tokens
            case "decode":
                decode.setdefault(row.ep, {})[row.requests, row.cached] = row.seconds
                continue
            case "dense":
                place = 0, row.tokens
            case _:
                place = row.ep, row.tokens
        parts.setdefault(row.part, {})[place] = row.seconds
    for part in ("attention", "dense"):
        if part not in parts:
            raise ScenarioError(KEY, asked, f"add rows of {part}", f"has no {part}")
    if not decode:
        raise ScenarioError(KEY, asked, "add rows of decode", "has no decode")
    grids = {part: _grid(times, part, asked) for part, times in parts.items()}
    return GpuProfile(
        model=header.model,
        source=header.source,
        attention=grids["attention"],
        dense=grids["dense"],
        experts=grids.get("experts"),
        dispatch=grids.get("dispatch"),
        decode={ep: _grid(times, "decode", asked) for ep, times in decode.items()},
    )


def _grid(times: Mapping[tuple[int, int], float], part: str, asked: str) -> Grid:
    xs, ys = _sorted(x for x, _ in times), _sorted(y for _, y in times)
    if len(times) != len(xs) * len(ys):
        missing = next((x, y) for x in xs for y in ys if (x, y) not in times)
        problem = f"has {part} but for {missing}"
        raise ScenarioError(KEY, asked, "write rows that make a whole grid", problem)
    return Grid(
        xs=tuple(map(float, xs)),
        ys=tuple(map(float, ys)),
        seconds=tuple(tuple(times[x, y] for y in ys) for x in xs),
    )


def _sorted(values: Iterable[int]) -> list[int]:
    return sorted(set(values))


def outside(profile: GpuProfile, cached: int, tokens: int, ep_group: int) -> list[str]:
    """What is asked for that was not measured, a sentence each.

    Args:
        cached, tokens: the most that a request has of both.
    """
    grid, found = profile.attention, []
    for what, asked, most in (
        ("cached tokens", cached, grid.xs[-1]),
        ("new tokens", tokens, grid.ys[-1]),
    ):
        if asked > most:
            found.append(f"up to {asked:,} {what}, measured up to {most:,.0f}: beyond, the slope")
    sizes = profile.experts.xs if profile.experts else ()
    if sizes and ep_group not in sizes:
        near = min(sizes, key=lambda size: max(size / ep_group, ep_group / size))
        found.append(f"{ep_group} GPUs share the experts: the times of {near:.0f} are taken")
    return found
