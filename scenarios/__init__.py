"""From a scenario file to a report: a run is asked for, planned, served, measured, told."""

from scenarios import entrance

entrance.isolate()
