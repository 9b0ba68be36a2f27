"""Claims: whoever waits for a run is told how far it is, and what it waits for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from plan.end import End, Steady
from scenarios.running.display import PLAIN_EVERY_S, Progress, rule


def test_without_a_terminal_progress_is_a_line_every_few_seconds() -> None:
    clock = [0.0]
    console = Console(file=io.StringIO(), force_terminal=False)
    with Progress(console, lambda: clock[0]) as progress:
        progress.system("basic", 40)
        for done in range(1, 21):
            clock[0] += PLAIN_EVERY_S / 2
            progress.update(done, {"pe0": 0.97, "de0": 0.0}, clock[0])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "basic: 40 requests"
    assert lines[-1] == "basic: 20/40 done, about 0:50 left, SNICs pe0 97% de0 0%"
    assert len(lines) == 11


def test_on_a_terminal_progress_shows_each_snic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress(console) as progress:
        progress.system("basic", 4)
        progress.update(2, {"pe0": 0.97}, 1.0)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2/4 requests" in text
    assert "97%" in text


def told(end: End, total: int | None, at_s: list[float]) -> list[str]:
    """Plain lines of a run that is at these model times, a line's wall time apart."""
    clock = [0.0]
    console = Console(file=io.StringIO(), force_terminal=False)
    with Progress(console, lambda: clock[0]) as progress:
        progress.system("basic", total, end)
        for done, moment_s in enumerate(at_s):
            clock[0] += PLAIN_EVERY_S
            progress.update(100 * (done + 1), {"pe0": 0.5}, moment_s)
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return lines


def test_a_run_without_an_end_says_what_ends_it_and_at_which_time_it_is() -> None:
    end = End(steady=Steady(), ttft_beyond_s=4.0, after_s=7200.0, warmup_s=600.0)
    first, *_, last = told(end, None, [50.0 * i for i in range(1, 13)])
    assert first == (
        "basic: requests until mean TTFT over 150 s is within 0.05 of that 1800 s before"
        " (at 2550 s at the earliest) or mean TTFT over 150 s is beyond 4 s"
        " or 7200 s have passed"
    )
    assert last == "basic: 1200 done, at 600 of 7200 s, at most about 11:00 left, SNICs pe0 50%"


def test_without_a_bound_nobody_says_how_long_it_takes() -> None:
    first, *_, last = told(End(agents=300), None, [50.0, 100.0])
    assert first == "basic: requests until 300 agents are done"
    assert last == "basic: 200 done, at 100 s, SNICs pe0 50%"


def test_a_time_alone_is_no_upper_bound() -> None:
    assert told(End(after_s=200.0), None, [50.0, 100.0])[-1] == (
        "basic: 200 done, at 100 of 200 s, about 0:10 left, SNICs pe0 50%"
    )


def test_of_two_ends_the_sooner_one_counts() -> None:
    assert (
        "200/400 done, at 100 of 1000 s, about 0:10 left"
        in told(End(after_s=1000.0), 400, [50.0, 100.0])[-1]
    )
    assert (
        "200/9000 done, at 100 of 150 s, about 0:05 left"
        in told(End(after_s=150.0), 9000, [50.0, 100.0])[-1]
    )


def test_a_warm_up_alone_ends_nothing() -> None:
    assert rule(End(warmup_s=10.0)) == ""


def test_on_a_terminal_the_time_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Progress(console) as progress:
        progress.system("basic", None, End(after_s=200.0))
        progress.update(2, {}, 100.0)
        assert progress._bar().percentage_completed == 50
    assert "2 requests, at 100 of 200 s" in console.file.getvalue()  # type: ignore[attr-defined]
