"""From a scenario file to a report: a run is asked for, planned, served, measured, told."""

from scenarios import entrance

entrance.isolate()

from scenarios.running import compiled  # noqa: E402  not before others are kept out

compiled.use()
