"""The errors that a user of the testbed can meet.

    TestbedError
    ├── ScenarioError   the YAML or an override is wrong; found before anything is built
    ├── MachineError    this machine lacks something that the run needs
    └── RunError        a run that had started could not be finished

Each ends in one line that says what to do.
"""

from __future__ import annotations

import json
import reprlib


class TestbedError(Exception):
    """Root of all errors that the testbed raises on purpose."""

    __test__ = False  # pytest would take the name for a test class


class ScenarioError(TestbedError):
    """A scenario asks for something that cannot be honoured.

    Attributes:
        path: dotted key, e.g. `cluster.cnic` (or the file, where it cannot be read).
        value: what was given there, None for nothing.
        remedy: what to write instead.
    """

    def __init__(
        self, path: str, value: object, remedy: str, problem: str = "cannot be used"
    ) -> None:
        self.path = path
        self.value = value
        self.remedy = remedy
        self.problem = problem
        shown = "" if value is None else f"{_shown(value)} "
        super().__init__(f"{path}: {shown}{problem}; {remedy}")


class MachineError(TestbedError):
    """The machine lacks a right, a program or a kernel feature.

    Attributes:
        missing: what the run needs and did not find.
        remedy: how to provide it.
    """

    def __init__(self, missing: str, remedy: str) -> None:
        self.missing = missing
        self.remedy = remedy
        super().__init__(f"{missing}; {remedy}")


class RunError(TestbedError):
    """A run that had started could not be finished."""


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) <= 80:
        return json.dumps(value)
    return reprlib.repr(value)
