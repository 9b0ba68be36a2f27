"""Claims about the errors themselves."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.errors import Deadlock, RunError, first_cause, reading, said

KEY = KeyError(7)


@given(st.text())
def test_whatever_an_error_says_is_one_line(text: str) -> None:
    for error in (RunError(text), ValueError(text)):
        assert len(said(error).splitlines()) <= 1


def test_only_an_error_that_is_not_ours_is_said_with_its_type() -> None:
    assert said(RunError("pe0 is gone")) == "pe0 is gone"
    assert said(KEY) == "KeyError: 7"
    assert said(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    "error",
    [
        KEY,
        ExceptionGroup("tasks", [KEY, RunError("later")]),
        ExceptionGroup("tasks", [ExceptionGroup("inner", [KEY])]),
    ],
)
def test_the_cause_of_a_group_is_its_first_error(error: Exception) -> None:
    assert first_cause(error) is KEY


def test_a_deadlock_of_many_tasks_names_some_and_notes_all() -> None:
    error = Deadlock(1.5, [(f"task {i}", "here") for i in range(9)])
    assert "task 2 waits at here; and 6 more" in str(error)
    assert len(error.__notes__) == 9


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pe0.stats.json"
    with pytest.raises(RunError, match=f"{path} cannot be read: FileNotFoundError"), reading(path):
        path.read_bytes()


def test_a_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(RunError, match=r"plan\.json cannot be read: .*malformed"), reading(path):
        msgspec.json.decode(b"{]")


def test_an_error_can_be_told_to_another_process() -> None:
    assert str(pickle.loads(pickle.dumps(RunError("pe0 is gone")))) == "pe0 is gone"
