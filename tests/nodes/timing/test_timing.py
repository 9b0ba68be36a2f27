"""Claims: batches are cut by what is predicted; computing takes what it takes."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import msgspec
import pytest

from nodes.timing.timing import Predictor, Timing, timing_of
from plan.deployment import System
from plan.fabric import NodeKind
from plan.model import Plan
from tests.nodes.plans import GROUPS, LAYER_BLOCK_BYTES, LAYERWISE, TOKENS, agent, make_plan
from tests.nodes.simulated import Simulated, simulate

PLAN = make_plan([agent((3 * TOKENS, 1), preloaded=10 * TOKENS)])
NO_QUOTA = msgspec.structs.replace(LAYERWISE, quota=False)


class _Pessimist(Predictor):
    """Takes any chunk for an hour's work."""

    def attention_s(self, cached: int, bsz: int) -> float:
        return 3600.0


def pessimistic(plan: Plan, kind: NodeKind) -> Timing:
    return replace(timing_of(plan, kind), predictor=_Pessimist(plan.model, plan.gpu))


def mispredicted(system: System) -> Simulated:
    with patch("nodes.roles.timing_of", pessimistic):
        return simulate(PLAN, system, 1.0)


def test_the_quota_goes_by_the_prediction() -> None:
    """Chunk by chunk of one block, each of which loads the context before it again."""
    into_pe = mispredicted(LAYERWISE).samples[-1].nics["pe0.cnic0"][1]
    assert into_pe / (GROUPS * LAYER_BLOCK_BYTES) == pytest.approx(10 + 11 + 12)


def test_computing_takes_the_truth_whatever_was_predicted() -> None:
    assert mispredicted(NO_QUOTA).records == simulate(PLAN, NO_QUOTA, 1.0).records
