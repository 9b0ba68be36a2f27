"""Policies and packings of plug-ins: asked like the built-in ones, and their answers looked at."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.messages import Request
from nodes.scheduling.intra_engine import Chunk, pack
from nodes.scheduling.ledger import EngineLoad, Ledger
from nodes.scheduling.plugged import PluggedPacking, PluggedPolicy, _batch_problem
from nodes.scheduling.policy import Read
from plan.deployment import SchedulerConstants, System
from plan.errors import PluginError, first_cause
from tests.nodes.plans import DUALPATH, agent, make_plan
from tests.nodes.simulated import simulate
from tests.plugged import plugin

CONSTANTS = SchedulerConstants(alpha_tokens=2000, beta_tokens=6000)
MINE = System(name="mine", scheduler="mine.py:plugin")
REQUEST = Request(number=0, agent=0, turn=0, runs=(), prompt=100, cached=64, gen=5, submit_s=0.0)

PAPERS = """
    from nodes.scheduling.read_sides import shorter_queue
    from nodes.scheduling.inter_engine import DualPath
    def plugin(system, constants):
        return DualPath(constants, shorter_queue)
"""

ANSWERING = """
    class plugin:
        def __init__(self, system, constants): ...
        def open_groups(self, known): return [0, 1]
        def choose_pe(self, known, group, request): return known.prefill.engines[0]
        def choose_group(self, known, request): return 1
        def choose_des(self, known, group, waiting): return [known.decode.engines[0]]
        def pe_share(self, known, read): return 0.5
"""


def ledger() -> Ledger:
    prefill = [EngineLoad("pe0.0", "pe0", 0)]
    return Ledger(prefill, [EngineLoad("de0.0", "de0", 1), EngineLoad("de1.0", "de1", 2)])


def test_the_papers_policy_as_a_plugin_is_the_papers_policy(tmp_path: Path) -> None:
    plan = make_plan([agent((300, 20), (200, 30), preloaded=640) for _ in range(6)], decode=2)
    plan = msgspec.structs.replace(plan, plugins={MINE.scheduler: plugin(tmp_path, PAPERS)})
    assert simulate(plan, MINE, 1.0).records == simulate(plan, DUALPATH, 1.0).records


def test_good_answers_are_handed_on(tmp_path: Path) -> None:
    policy, known = PluggedPolicy(plugin(tmp_path, ANSWERING), MINE, CONSTANTS), ledger()
    pe, de = known.prefill.engines[0], known.decode.engines[0]
    assert policy.open_groups(known) == (0, 1)
    assert policy.choose_pe(known, 0, REQUEST) is pe
    assert policy.choose_group(known, REQUEST) == 1
    assert policy.choose_des(known, 1, [REQUEST]) == [de]
    assert policy.pe_share(known, Read(REQUEST, pe, de, 64)) == 0.5


def ask_all(policy: PluggedPolicy, known: Ledger) -> None:
    read = Read(REQUEST, known.prefill.engines[0], known.decode.engines[0], 64)
    policy.open_groups(known)
    policy.choose_pe(known, 0, REQUEST)
    policy.choose_group(known, REQUEST)
    policy.choose_des(known, 1, [REQUEST])
    policy.pe_share(known, read)


@pytest.mark.parametrize(
    ("was", "answer", "complaint"),
    [
        ("[0, 1]", "[0, 7]", "3: plugin.open_groups answers 7, which is no group"),
        (
            "known.prefill.engines[0]",
            "'pe9.9'",
            "4: plugin.choose_pe answers 'pe9.9', which is no engine of prefill group 0",
        ),
        ("known.prefill.engines[0]", "known.decode.engines[0]", "is no engine of prefill group 0"),
        ("return 1", "return 0", "5: plugin.choose_group answers 0, which is no decode group"),
        ("[known.decode.engines[0]]", "[known.decode.engines[1]]", "no engine of decode group 1"),
        ("[known.decode.engines[0]]", "known.decode.engines * 2", "no list of at most 1 engines"),
        ("[known.decode.engines[0]]", "None", "6: plugin.choose_des answers None, which is no"),
        ("0.5", "float('nan')", "7: plugin.pe_share answers nan, which is no share from 0 to 1"),
        ("0.5", "read.nothing", "7 in plugin.pe_share: AttributeError: 'Read' object has no"),
    ],
)
def test_an_answer_that_is_not_there_is_refused_with_its_line(
    tmp_path: Path, was: str, answer: str, complaint: str
) -> None:
    assert was in ANSWERING
    broken = plugin(tmp_path, ANSWERING.replace(was, answer))
    with pytest.raises(PluginError) as refused:
        ask_all(PluggedPolicy(broken, MINE, CONSTANTS), ledger())
    assert str(refused.value).startswith(f"{broken.file}:")
    assert complaint in str(refused.value)


def test_what_lacks_a_method_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"mine\.py: plugin has no choose_des\(\)"):
        PluggedPolicy(plugin(tmp_path, ANSWERING.replace("choose_des", "choose")), MINE, CONSTANTS)


def test_a_run_ends_with_the_line_of_the_policy_that_failed(tmp_path: Path) -> None:
    broken = plugin(tmp_path, ANSWERING.replace("return 0.5", "return 1 / 0"))
    plan = make_plan([agent((300, 20), preloaded=640)])
    plan = msgspec.structs.replace(plan, plugins={MINE.scheduler: broken})
    with pytest.raises(ExceptionGroup) as ended:
        simulate(plan, MINE, 1.0)
    cause = first_cause(ended.value)
    assert f"{broken.file}:7 in plugin.pe_share: ZeroDivisionError" in str(cause)
    assert isinstance(cause, PluginError)


# --- packings


def predict(cached: int, bsz: int) -> float:
    return 1e-6 * bsz * (cached + bsz)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 3000)), min_size=1, max_size=6))
def test_whatever_the_quota_cuts_is_a_batch(work: list[tuple[int, int]]) -> None:
    queue = [Chunk(i, cached, bsz) for i, (cached, bsz) in enumerate(work)]
    assert _batch_problem(queue, pack(queue, 0.3, predict)) == ""


QUEUE = [Chunk(0, 64, 10), Chunk(1, 0, 20)]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("None", "no list of chunks"),
        ("[]", "not one to 2 chunks"),
        ("[queue[1]]", "where Chunk(request=0, cached=64, bsz=10) is next"),
        ("[Chunk(0, 64, 11)]", "only the last one may be cut"),
        ("[Chunk(0, 64, 0)]", "only the last one may be cut"),
        ("[Chunk(0, 64, 9), queue[1]]", "only the last one may be cut"),
        ("[Chunk(0, 0, 10)]", "requests are computed in their order"),
        ("queue * 2", "not one to 2 chunks"),
    ],
)
def test_a_batch_that_cannot_be_computed_is_refused_with_its_line(
    tmp_path: Path, answer: str, complaint: str
) -> None:
    source = f"""
        from nodes.scheduling.intra_engine import Chunk
        def plugin(constants, predict):
            def packed(queue):
                return {answer}
            return packed
    """
    packing = PluggedPacking(plugin(tmp_path, source), CONSTANTS, predict)
    with pytest.raises(PluginError) as refused:
        packing(QUEUE)
    assert "mine.py:3: plugin.<locals>.packed answers" in str(refused.value)
    assert complaint in str(refused.value)


def test_the_last_request_of_a_batch_may_be_cut(tmp_path: Path) -> None:
    source = """
        from nodes.scheduling.intra_engine import Chunk
        def plugin(constants, predict):
            return lambda queue: [queue[0], Chunk(1, 0, 7)]
    """
    packing = PluggedPacking(plugin(tmp_path, source), CONSTANTS, predict)
    assert packing(QUEUE) == [QUEUE[0], Chunk(1, 0, 7)]


def test_batches_are_formed_by_the_packing_that_a_system_names(tmp_path: Path) -> None:
    """One block at a time, a context is loaded as often as it has missed blocks."""
    source = """
        from nodes.scheduling.intra_engine import Chunk
        def plugin(constants, predict):
            return lambda queue: [Chunk(0, queue[0].cached, min(64, queue[0].bsz))]
    """
    plan = make_plan([agent((192, 1), preloaded=640)])
    plan = msgspec.structs.replace(plan, plugins={"mine.py:plugin": plugin(tmp_path, source)})
    chunked = msgspec.structs.replace(DUALPATH, packing="mine.py:plugin")
    into = [simulate(plan, s, 1.0).samples[-1].nics["pe0.cnic0"][1] for s in (DUALPATH, chunked)]
    assert into[1] / into[0] == pytest.approx((10 + 11 + 12) / 10, rel=0.25)
