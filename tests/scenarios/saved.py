"""A run's directory with results made by hand, as `scenarios.run` leaves it."""

from __future__ import annotations

from pathlib import Path

from plan.model import write_plan
from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario, resolved_yaml
from scenarios.results import provenance
from scenarios.results.metrics import summarise
from scenarios.results.readable_json import write_json
from scenarios.results.record_files import counters_path, requests_path, write
from tests.scenarios.synthetic import basic_and_dualpath


def saved_run(directory: Path, noise: float = 0.0, **settings: object) -> Path:
    """A run of Basic and DualPath; settings, their dots as `__`, are the scenario's."""
    plan, results = basic_and_dualpath(noise)
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    directory.mkdir()
    scenario = load_scenario(library.find(library.QUICKSTART), overrides)
    (directory / "scenario.yaml").write_text(resolved_yaml(scenario))
    write_plan(plan, directory / "plan.json")
    write_json(directory / "provenance.json", provenance.collect(["run", "quickstart"], seed=1))
    write_json(directory / "summary.json", summarise(plan, results))
    for result in results:
        place = directory / "systems" / result.system.name
        place.mkdir(parents=True)
        write(requests_path(place), result.records)
        write(counters_path(place), result.samples)
        write(place / "nodes.jsonl", result.node_stats)
    return directory
