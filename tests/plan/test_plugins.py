"""Plug-ins are loaded as they were found, and whatever they do wrong has its file and line."""

from __future__ import annotations

import signal
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from plan import plugins
from plan.errors import PluginError
from plan.plugins import Caller, Plugin, load
from tests.plugged import plugin

FAILING = """
    def plugin(x):
        return 1 / x

    def waits():
        while True:
            pass

    def sleeps():
        import time
        try:
            time.sleep(60)
        except Exception:
            return 0

    def forgets():
        return None.name
"""


def test_an_object_of_a_file_is_loaded_once_and_is_what_stands_there(tmp_path: Path) -> None:
    found = plugin(tmp_path, "class A:\n    b = [7]\nplugin = A()", "A.b")
    assert load(found) == [7]
    assert load(found) is load(found)


def test_a_plugin_may_have_dataclasses(tmp_path: Path) -> None:
    source = """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass(slots=True)
        class plugin:
            x: int = 3
    """
    assert load(plugin(tmp_path, source))().x == 3


def test_an_object_of_an_installed_module_is_loaded() -> None:
    file = Path(plugins.__file__)
    here = Plugin(
        file=str(file),
        attribute="Caller",
        digest=sha256(file.read_bytes()).hexdigest(),
        module="plan.plugins",
    )
    assert load(here) is Caller


def test_another_source_than_was_found_is_not_run(tmp_path: Path) -> None:
    found = plugin(tmp_path, "plugin = 1")
    Path(found.file).write_text("raise SystemExit")
    with pytest.raises(PluginError, match=r"mine\.py: has changed since the run's plan was made"):
        load(found)
    Path(found.file).unlink()
    with pytest.raises(PluginError, match=r"mine\.py: cannot be read: No such file"):
        load(found)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("x = 1\ny = (\n", "mine.py:2: SyntaxError: '(' was never closed"),
        ("x = 1\n1 / 0\n", "mine.py:2 in its own code: ZeroDivisionError: division by zero"),
        ("import nowhere\n", "mine.py:1 in its own code: ModuleNotFoundError: No module named"),
        ("other = 1\n", "mine.py: has no plugin"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_line(
    tmp_path: Path, source: str, complaint: str
) -> None:
    with pytest.raises(PluginError) as refused:
        load(plugin(tmp_path, source))
    assert f"{tmp_path}/{complaint}" in str(refused.value)


def test_what_raises_is_named_with_the_line_that_failed(tmp_path: Path) -> None:
    found = plugin(tmp_path, FAILING)
    with pytest.raises(PluginError) as raised:
        Caller(found)(load(found), 0)
    assert str(raised.value) == (f"{found.file}:2 in plugin: ZeroDivisionError: division by zero")
    assert Caller(found)(load(found), 4) == 0.25


@pytest.mark.parametrize(("name", "line"), [("waits", "[56]"), ("sleeps", "11")])
def test_what_does_not_answer_is_named_with_the_line_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    monkeypatch.setattr(plugins, "PATIENCE_S", 0.05)
    found = plugin(tmp_path, FAILING, name)
    with pytest.raises(PluginError, match=rf"mine\.py:{line} in {name}: does not answer"):
        Caller(found)(load(found))


def test_an_alarm_of_others_rings_when_and_where_it_was_to(tmp_path: Path) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    left = signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        found = plugin(tmp_path, FAILING)
        Caller(found)(load(found), 4)
        with pytest.raises(PluginError):
            Caller(found)(load(found), 0)
        assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, before)


def test_beside_the_main_thread_it_answers_all_the_same(tmp_path: Path) -> None:
    found = plugin(tmp_path, FAILING)
    answers: list[float] = []
    thread = threading.Thread(target=lambda: answers.append(Caller(found)(load(found), 2)))
    thread.start()
    thread.join()
    assert answers == [0.5]


def test_an_answer_that_cannot_be_used_is_named_with_where_it_comes_from(tmp_path: Path) -> None:
    found = plugin(tmp_path, FAILING, "forgets")
    with pytest.raises(PluginError) as refused:
        Caller(found).refuse(load(found), "pe9.9", "is no engine")
    assert str(refused.value) == f"{found.file}:15: forgets answers 'pe9.9', which is no engine"


def test_nothing_is_left_in_the_way_of_other_modules(tmp_path: Path) -> None:
    load(plugin(tmp_path, "plugin = 1"))
    assert "mine" not in sys.modules
