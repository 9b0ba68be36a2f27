"""From a YAML file and overrides to a checked scenario, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec

from plan.deployment import ModelSpec
from plan.errors import ScenarioError
from scenarios.configuration import library, yaml_dialect
from scenarios.configuration.checks import check
from scenarios.configuration.decoding import convert
from scenarios.configuration.gpu_profiles import read_profile, shipped
from scenarios.configuration.hf_models import HubModel, derive
from scenarios.configuration.llmservingsim import read_bundle
from scenarios.configuration.models import GPUS, MODELS
from scenarios.configuration.plugins import anchored
from scenarios.configuration.schema import Scenario

_ALTERNATIVES = {
    "source": {"generator", "trace"},
    "arrival": {"rate", "steps", "file", "trace"},
}
"""Parts of `workload` of which one key takes the others away."""
_LONGEST_KEY = 200
"""Characters of a dotted key; the schema's are far shorter."""


def plain(scenario: Scenario) -> dict[str, Any]:
    """The scenario with all defaults filled in, as plain data (quantities as text)."""
    data: dict[str, Any] = msgspec.to_builtins(scenario, enc_hook=str)
    return data


def with_dilation(scenario: Scenario, dilation: float) -> Scenario:
    """The scenario at a dilation."""
    scale = msgspec.structs.replace(scenario.scale, dilation=dilation)
    return msgspec.structs.replace(scenario, scale=scale)


def resolved_yaml(scenario: Scenario) -> str:
    """The scenario with all defaults filled in; `load_scenario` reads it back equal."""
    return yaml_dialect.write(plain(scenario))


def load_scenario(
    path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Scenario:
    """Read, override and check a scenario file.

    Args:
        overrides: "key.path=value", the value in YAML; later ones win. Setting one of
            `workload.source.generator` and `.trace` takes the other away, and so does one of
            the four ways to arrive.
        values: of dotted keys, set after the overrides: a point of the scenario's sweep,
            which goes.

    Raises:
        ScenarioError: it cannot be read, or something in it cannot be honoured.
    """
    data = _read_mapping(path)
    data.setdefault("name", path.stem)
    _anchor(data, library.anchor(path))
    for override in overrides:
        _override(data, override)
    _anchor(data, Path.cwd())
    if values:
        data.pop("sweep", None)
        for key, value in values.items():
            _assign(data, key, deepcopy(value))
        _anchor(data, library.anchor(path))
    _derive_model(data)
    _derive_gpu(data)
    scenario = convert(data, Scenario)
    check(scenario)
    return scenario


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            # no further than what is refused: it may be a pipe or a device
            data = yaml_dialect.read(file.read(yaml_dialect.MAX_BYTES + 1))
    except OSError as error:
        raise ScenarioError("scenario", str(path), str(error.strerror), "cannot be read") from None
    except ValueError as error:
        raise ScenarioError("scenario", str(path), str(error), "is not YAML") from None
    if not isinstance(data, dict):
        raise ScenarioError("scenario", str(path), "write keys such as workload:", "is no mapping")
    return data


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps) or len(key) > _LONGEST_KEY:
        raise ScenarioError("--set", override, "write e.g. --set workload.agents=20")
    try:
        value = yaml_dialect.read(text)
    except ValueError as error:
        raise ScenarioError(key, text, str(error), "is not YAML") from None
    _assign(data, key.strip(), value)


def _assign(data: dict[str, Any], key: str, value: Any) -> None:
    steps = key.split(".")
    for step in steps[:-1]:
        child = data.setdefault(step, {})
        if not isinstance(child, dict):
            raise ScenarioError(key, value, f"{step} is {child!r}: override {step} as a whole")
        data = child
    data[steps[-1]] = value
    for part, alternatives in _ALTERNATIVES.items():
        if steps[:2] == ["workload", part] and steps[-1] in alternatives:
            for other in alternatives - {steps[-1]}:
                data.pop(other, None)


def _anchor(data: dict[str, Any], directory: Path) -> None:
    """Relative paths in a scenario start at a directory."""
    workload = data.get("workload")
    parts = workload if isinstance(workload, dict) else {}
    places = (
        (parts.get("source"), "trace"),
        (parts.get("arrival"), "file"),
        (data.get("model"), "hf"),
        (_profile_of(data), "profile"),
    )
    for holder, key in places:
        if isinstance(holder, dict) and isinstance(holder.get(key), str):
            holder[key] = os.path.normpath(directory.absolute() / holder[key])
    for holder, key in _plugged(data):
        if isinstance(holder[key], str):
            holder[key] = anchored(holder[key], directory)


def _plugged(data: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Where a scenario may name plug-ins, as far as it is written so: holders and keys."""
    workload, report, systems = (data.get(key) for key in ("workload", "report", "systems"))
    holders: list[tuple[Any, str]] = [(data, "gpu_timing")]
    holders += [(workload.get("source"), "format")] if isinstance(workload, dict) else []
    for system in systems if isinstance(systems, list) else ():
        holders += [(system, "scheduler"), (system, "packing")]
    for holder, key in holders:
        if isinstance(holder, dict) and key in holder:
            yield holder, key
    sections = report.get("sections") if isinstance(report, dict) else None
    if isinstance(sections, list):
        yield from ((sections, index) for index in range(len(sections)))


def _profile_of(data: dict[str, Any]) -> Any:
    """Where a scenario names a GPU's profile, which is a file."""
    gpu = data.get("gpu")
    named = isinstance(gpu, dict) and gpu.get("profile") in shipped()
    return None if named else gpu


def _derive_gpu(data: dict[str, Any]) -> None:
    """Put in the place of a GPU's profile or preset what it holds; fields beside it stand."""
    gpu = data.get("gpu")
    if not isinstance(gpu, dict):
        return
    if isinstance(gpu.get("profile"), str):
        named = _profiled(gpu.pop("profile"), data.get("model", "ds-27b"))
    elif "preset" in gpu:
        preset = gpu.pop("preset")
        if not isinstance(preset, str) or preset not in GPUS:
            raise ScenarioError("gpu.preset", preset, f"write one of {', '.join(GPUS)}")
        named = msgspec.to_builtins(GPUS[preset])
    else:
        return
    data["gpu"] = named | gpu


def _profiled(asked: str, model: object) -> Any:
    """The fields of a GPU that a profile tells: a file's, or those of a folder of
    LLMServingSim's, whose times are of one layer of the model."""
    if asked in shipped() or not os.path.isdir(asked):
        return msgspec.to_builtins(read_profile(asked))
    if isinstance(model, str) and model not in MODELS:
        raise ScenarioError("model", model, f"write one of {', '.join(MODELS)}")
    spec = MODELS[model] if isinstance(model, str) else convert(model, ModelSpec)
    return read_bundle(Path(asked), spec)


def _derive_model(data: dict[str, Any]) -> None:
    """Put in the place of a model's config.json what follows from it, so that a resolved
    scenario holds all that it needs."""
    model = data.get("model")
    if not isinstance(model, dict) or "hf" not in model:
        return
    try:
        asked = convert(model, HubModel)
    except ScenarioError as error:
        path = f"model.{error.path}"
        raise ScenarioError(path, error.value, error.remedy, error.problem) from None
    data["model"] = msgspec.to_builtins(derive(asked))
