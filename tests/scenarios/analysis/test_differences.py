"""Runs side by side."""

from __future__ import annotations

import msgspec

from scenarios.analysis.differences import MAIN, Figure, Setting, figures, settings
from scenarios.results.metrics import summarise
from tests.scenarios.synthetic import basic_and_dualpath


def test_only_settings_that_differ_are_told_by_their_dotted_keys() -> None:
    one = {"cluster": {"prefill": 1, "decode": 2}, "seed": 1}
    other = {"cluster": {"prefill": 1, "decode": 4}, "seed": 1, "arrival": "poisson"}
    assert settings([one, other, one]) == [
        Setting("cluster.decode", (2, 4, 2)),
        Setting("arrival", (None, "poisson", None)),
    ]


def test_changes_are_over_the_first_run() -> None:
    assert Figure("jct_s", (40.0, 30.0, None)).changes == (0.0, -0.25, None)
    assert Figure("drops", (0.0, 3.0)).changes == (None, None)
    assert Figure("fidelity.verdict", ("believable", "doubtful")).changes == (None, None)


def test_every_figure_of_a_summary_is_told_the_main_ones_first() -> None:
    plan, results = basic_and_dualpath()
    both, one = summarise(plan, results), summarise(plan, results[:1])
    found = figures([both, one])
    assert list(found) == ["basic", "dualpath"]
    assert [figure.name for figure in found["basic"][: len(MAIN)]] == list(MAIN)
    assert not any(figure.differs for figure in found["basic"])
    jct = found["dualpath"][0]
    assert jct == Figure("jct_s", (20.0, None))
    names = {figure.name for figure in found["basic"]}
    assert {"snic.pe0.utilisation", "cnic.pe0.0.read_bytes", "agent_jct_s.p99"} <= names
    assert msgspec.json.decode(msgspec.json.encode(jct), type=Figure) == jct
