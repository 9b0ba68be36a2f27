"""Mininet's prompt on the fabric of a scenario, instead of a run."""

from __future__ import annotations

from pathlib import Path

from plan.model import write_plan
from scenarios.configuration.loading import resolved_yaml
from scenarios.configuration.schema import Scenario
from scenarios.planning.plan import make_plan
from scenarios.running.display import Progress
from scenarios.running.fabric import open_fabric
from scenarios.running.journal import JOURNAL, Journal
from scenarios.running.run_directory import claim


def prompt(scenario: Scenario, out: Path) -> None:
    """Build the scenario's fabric and hand it to the user until `exit`; inside a sandbox.

    Args:
        out: new or empty, for the logs.

    Raises:
        ScenarioError: something in the scenario cannot be honoured, or `out` is taken.
        RunError: the fabric could not be built.
    """
    plan = make_plan(scenario).plan
    claim(out)
    (out / "scenario.yaml").write_text(resolved_yaml(scenario))
    write_plan(plan, out / "plan.json")
    with Progress() as progress:
        progress.note("building the fabric")
        sample_s = plan.scale.wall_s(float(scenario.report.sample))
        with (
            Journal(out / JOURNAL) as journal,
            open_fabric(plan, out, sample_s, journal) as fabric,
        ):
            progress.end()
            fabric.network.cli()
