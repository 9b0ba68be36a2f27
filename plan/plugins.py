"""Code of a user's that a run goes by: found once, the same in every process, and named with
file and line where it fails.

A plug-in is an object in a file (`/path/mine.py:Policy`) or in an installed module
(`package.module:Policy`). The runner finds it and puts its digest into the plan; whoever loads it
later loads those very bytes or nothing.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NoReturn, ParamSpec, TypeVar

import msgspec

from plan.errors import RunError

PATIENCE_S = 10.0
"""Wall seconds that a call of a plug-in may take; what it is asked takes microseconds."""

P = ParamSpec("P")
T = TypeVar("T")


class PluginError(RunError):
    """A plug-in failed; the message begins with its file and line."""


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plug-in is.

    Attributes:
        file: its source. module: by which it is imported; None: the file is run by itself.
        attribute: dotted name of the object in it.
        digest: SHA-256 of the source.
    """

    file: str
    attribute: str
    digest: str
    module: str | None = None


def load(plugin: Plugin) -> Any:
    """The object.

    Raises:
        PluginError: its source is another than was found, does not run, or has no such object.
    """
    found: Any = _module(plugin.file, plugin.digest, plugin.module)
    for name in plugin.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise PluginError(f"{plugin.file}: has no {plugin.attribute}") from None
    return found


@functools.cache
def _module(file: str, digest: str, module: str | None) -> ModuleType:
    try:
        source = Path(file).read_bytes()
    except OSError as error:
        raise PluginError(f"{file}: cannot be read: {error.strerror}") from None
    if sha256(source).hexdigest() != digest:
        raise PluginError(f"{file}: has changed since the run's plan was made")
    with failing_in(file, "its own code"):
        return import_module(module) if module else _run(file, source, digest)


def _run(file: str, source: bytes, digest: str) -> ModuleType:
    module = ModuleType(f"plugin_{digest[:16]}")
    module.__file__ = file
    # where dataclasses and their like look for the module of a class
    sys.modules[module.__name__] = module
    exec(compile(source, file, "exec"), module.__dict__)
    return module


class Caller:
    """Calls functions of one plug-in."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function of the plug-in answers.

        Raises:
            PluginError: it raises, or takes longer than `PATIENCE_S`.
        """
        with failing_in(self._plugin.file, _name(function)):
            return function(*args, **kwargs)

    def refuse(self, function: Callable[..., object], answer: object, problem: str) -> NoReturn:
        """An answer that cannot be used.

        Args:
            problem: why, a clause such as "is no engine of group 0".
        """
        code = _code(function)
        line = f":{code.co_firstlineno}" if code else ""
        shown = f"{answer!r:.80}"
        raise PluginError(
            f"{self._plugin.file}{line}: {_name(function)} answers {shown}, which {problem}"
        )


@contextmanager
def failing_in(file: str, what: str) -> Iterator[None]:
    """Around code of a plug-in.

    Args:
        file: whose lines are named; what: of it runs.

    Raises:
        PluginError: it raises, or takes too long.
    """
    try:
        with _alarm():
            yield
    except PluginError:
        raise
    except _TooLong as error:
        raise PluginError(f"{_place(error, file)} in {what}: {error}") from None
    except SyntaxError as error:
        raise PluginError(f"{file}:{error.lineno}: SyntaxError: {error.msg}") from None
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginError(f"{_place(error, file)} in {what}: {text.rstrip(': ')}") from error


class _TooLong(BaseException):
    """A plug-in does not answer; it is no `Exception`, which a plug-in may catch."""


@contextmanager
def _alarm() -> Iterator[None]:
    """Only the main thread can be interrupted; whoever else has set the alarm gets it after."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, _too_long)
    before_s, interval_s = signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before_s, interval_s)
        signal.signal(signal.SIGALRM, handler)


def _too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _TooLong(f"no answer after {PATIENCE_S:g} s")


def _place(error: BaseException, file: str) -> str:
    """The last line of a file that an error passed."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == file
    ]
    return f"{file}:{lines[-1]}" if lines else file


def _code(function: Callable[..., object]) -> CodeType | None:
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)
