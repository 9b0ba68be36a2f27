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
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, NoReturn, ParamSpec, TypeVar

import msgspec

from plan.errors import PluginError

PATIENCE_S = 10.0
"""Wall seconds that a call of a plug-in may take, where what it is asked takes microseconds."""
LONG_S = 120.0
"""The same where it is asked for much at once: a trace, a section of a report."""

P = ParamSpec("P")
T = TypeVar("T")


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
    _listen()
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
    before = _arm(LONG_S)
    try:
        return import_module(module) if module else _run(file, source, digest)
    except PluginError:
        raise
    except (Exception, _TooLong) as error:
        raise _told(error, file, "its own code") from error
    finally:
        _disarm(before)


def _run(file: str, source: bytes, digest: str) -> ModuleType:
    module = ModuleType(f"plugin_{digest[:16]}")
    module.__file__ = file
    # where dataclasses and their like look for the module of a class
    sys.modules[module.__name__] = module
    exec(compile(source, file, "exec"), module.__dict__)
    return module


class Caller:
    """Calls functions of one plug-in.

    Args:
        long: what they are asked for may take long.
    """

    def __init__(self, plugin: Plugin, *, long: bool = False) -> None:
        self._plugin = plugin
        self._long = long

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function of the plug-in answers.

        Raises:
            PluginError: it raises, or takes longer than `PATIENCE_S` or `LONG_S`.
        """
        before = _arm(LONG_S if self._long else PATIENCE_S)
        try:
            return function(*args, **kwargs)
        except PluginError:
            raise
        except (Exception, _TooLong) as error:
            raise _told(error, self._plugin.file, _name(function)) from error
        finally:
            _disarm(before)

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


class _TooLong(BaseException):
    """A plug-in does not answer; it is no `Exception`, which a plug-in may catch."""


class _Alarm:
    """The state of SIGALRM.

    Attributes:
        calls: of plug-ins that are under way, one in the other.
        others: handler of whoever else sets alarms.
    """

    calls = 0
    others: Callable[[int, FrameType | None], Any] | int | None = None


Timer = tuple[float, float]
"""Seconds that are left, and between alarms after that."""


def _listen() -> None:
    """Only the main thread can be interrupted."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGALRM, _rung)
        if before is not _rung:
            _Alarm.others = before


def _rung(number: int, frame: FrameType | None) -> None:
    if _Alarm.calls:
        raise _TooLong("does not answer")
    if callable(_Alarm.others):
        _Alarm.others(number, frame)


def _arm(patience_s: float) -> Timer | None:
    """A plug-in is called; returns the timer of whoever else has set one."""
    if threading.get_ident() != threading.main_thread().ident:
        return None
    _Alarm.calls += 1
    return signal.setitimer(signal.ITIMER_REAL, patience_s)


def _disarm(before: Timer | None) -> None:
    if before is not None:
        signal.setitimer(signal.ITIMER_REAL, *before)
        _Alarm.calls -= 1


def _told(error: BaseException, file: str, what: str) -> PluginError:
    """The same with the line of a file that it comes from, and what of it ran."""
    if isinstance(error, SyntaxError):
        return PluginError(f"{file}:{error.lineno}: SyntaxError: {error.msg}")
    text = " ".join(str(error).split())
    if not isinstance(error, _TooLong):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return PluginError(f"{_place(error, file)} in {what}: {text}")


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
