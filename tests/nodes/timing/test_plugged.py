"""GPU times of plug-ins take the place of the model's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nodes.timing.timing import timing_of
from plan.errors import PluginError
from plan.model import Plan
from tests.nodes.plans import DUALPATH, agent, make_plan
from tests.nodes.simulated import simulate
from tests.plugged import plugin

PLAN = make_plan([agent((200, 40), preloaded=640)])
SLOW = """
    class plugin:
        def __init__(self, model, gpu, ep_group):
            self.layers = model.layers
        def attention_s(self, chunks):
            return sum(7.0 * bsz for _, bsz in chunks)
        def decode_step_s(self, batch, context_tokens, attended_tokens):
            return 0.25 * batch
"""


def plugged(place: Path, source: str) -> Plan:
    mine = plugin(place, source)
    return msgspec.structs.replace(PLAN, gpu_timing="mine", plugins={"mine": mine})


def test_what_a_plugin_has_counts_and_the_rest_is_the_models(tmp_path: Path) -> None:
    ours, models = (timing_of(p, "decode") for p in (plugged(tmp_path, SLOW), PLAN))
    assert ours.truth.decode_step_s(3, 900, 900) == 0.75
    assert ours.truth.prefill_layer_s([(640, 64)]) == models.truth.prefill_layer_s([(640, 64)])
    assert ours.kv_capacity == models.kv_capacity


def test_the_quota_goes_by_its_attention_times(tmp_path: Path) -> None:
    assert timing_of(plugged(tmp_path, SLOW), "prefill").predictor.attention_s(640, 3) == 21.0


def test_a_run_takes_as_long_as_it_says(tmp_path: Path) -> None:
    [record] = simulate(plugged(tmp_path, SLOW), DUALPATH, 1.0).records
    assert record.second_s is not None
    assert record.done_s is not None
    assert record.done_s - record.second_s == pytest.approx(38 * 0.25, rel=0.01)


@pytest.mark.parametrize("seconds", ["-1.0", "float('inf')", "'soon'", "None"])
def test_a_time_that_is_none_is_refused_with_its_line(tmp_path: Path, seconds: str) -> None:
    timing = timing_of(plugged(tmp_path, SLOW.replace("0.25 * batch", seconds)), "decode")
    with pytest.raises(PluginError, match=r"mine\.py:6: plugin\.decode_step_s answers"):
        timing.truth.decode_step_s(3, 900, 900)


def test_a_plugin_without_any_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"mine\.py: plugin has none of prefill_layer_s, own_"):
        timing_of(plugged(tmp_path, "def plugin(*_): return 1"), "prefill")
