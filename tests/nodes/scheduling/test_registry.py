"""Claims: what every inter-engine policy of the registry keeps to, whatever it chooses."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any, Literal, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.protocol.messages import Request
from nodes.scheduling.ledger import EngineLoad, Ledger
from nodes.scheduling.policy import InterEnginePolicy, Read
from nodes.scheduling.registry import POLICIES, inter_engine_policy
from plan.deployment import SchedulerConstants, System
from tests.examples import tries

CONSTANTS = SchedulerConstants(alpha_tokens=2000, beta_tokens=6000)
PATHS = ("pe", "dual", "split")
HBM = 12_000

every_policy = pytest.mark.parametrize(
    "policy",
    [
        pytest.param(
            inter_engine_policy(
                System(
                    name="any",
                    scheduler=scheduler,
                    paths=cast(Literal["pe", "dual", "split"], paths),
                ),
                CONSTANTS,
            ),
            id=f"{scheduler}-{paths}",
        )
        for scheduler in POLICIES
        for paths in PATHS
    ],
)


class Moment(NamedTuple):
    """A ledger in the middle of a run, and requests that wait."""

    ledger: Ledger
    waiting: deque[Request]


tokens = st.integers(1, 4000)


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Two groups of two nodes a side, loaded by requests that were given at random."""

    def engines(kind: str, first: int, hbm: float) -> list[EngineLoad]:
        nodes = [(first + node // 2, f"{kind}{node}") for node in range(4)]
        return [EngineLoad(f"{node}.0", node, group, capacity=hbm) for group, node in nodes]

    ledger = Ledger(engines("pe", 0, float("inf")), engines("de", 2, HBM))
    sizes = draw(st.lists(st.tuples(tokens, tokens), max_size=8))
    requests = [Request(n, n, 0, ((0, 1),), *size, 1, 0.0) for n, size in enumerate(sizes)]
    given = draw(st.integers(0, len(requests)))
    for request in requests:
        record = ledger.submitted(request)
        if request.number < given:
            de = draw(st.sampled_from(ledger.decode.engines))
            ledger.give_pe(record, draw(st.sampled_from(ledger.prefill.engines)))
            ledger.give_group(record, de.group)
            ledger.give_de(record, de)
            ledger.give_read(record, draw(st.sampled_from([0.0, 1.0])), draw(tokens), draw(tokens))
    nodes = st.sampled_from([*ledger.decode.nodes])
    ledger.homes.update(draw(st.dictionaries(st.integers(0, 8), nodes)))
    ledger.fetching.update(dict.fromkeys(draw(st.lists(st.integers(0, 3), unique=True))))
    return Moment(ledger, deque(requests[given:]))


def answers(policy: InterEnginePolicy, moment: Moment) -> list[Any]:
    """Everything that a scheduler could ask at this moment."""
    ledger, waiting = moment
    found: list[Any] = [[*policy.open_groups(ledger)]]
    for request in waiting:
        found += [policy.choose_pe(ledger, group, request) for group in ledger.prefill.groups]
        found += [policy.choose_group(ledger, request)]
        found += [
            policy.pe_share(ledger, Read(request, pe, de, 640))
            for pe in ledger.prefill.engines
            for de in ledger.decode.engines
        ]
    if waiting:
        found += [[*policy.choose_des(ledger, g, waiting)] for g in ledger.decode.groups]
    return found


def written(moment: Moment) -> str:
    """All that a policy is shown, in full."""
    books = {k: v for k, v in vars(moment.ledger).items() if k not in ("prefill", "decode")}
    books["records"] = [asdict(record) for record in moment.ledger.records.values()]
    books["_loads"] = [asdict(load) for load in moment.ledger._loads.values()]
    sides = asdict(moment.ledger.prefill), asdict(moment.ledger.decode)
    return repr((books, sides, moment.waiting))


@every_policy
@tries(25)
@given(moment=moments())
def test_a_policy_never_changes_what_it_is_shown(policy: InterEnginePolicy, moment: Moment) -> None:
    before = written(moment)
    answers(policy, moment)
    assert written(moment) == before


@every_policy
@tries(25)
@given(moment=moments())
def test_the_same_snapshot_gets_the_same_answers(policy: InterEnginePolicy, moment: Moment) -> None:
    assert answers(policy, moment) == answers(policy, moment)


@every_policy
@tries(25)
@given(moment=moments())
def test_a_policy_chooses_engines_of_the_group_that_asks(
    policy: InterEnginePolicy, moment: Moment
) -> None:
    ledger, waiting = moment
    for request in waiting:
        for group in ledger.prefill.groups:
            engine = policy.choose_pe(ledger, group, request)
            assert engine is None or engine in ledger.prefill.groups[group]
        assert policy.choose_group(ledger, request) in ledger.decode.groups
    for group in ledger.decode.groups if waiting else ():
        engines = policy.choose_des(ledger, group, waiting)
        assert len(engines) <= len(waiting)
        assert all(engine in ledger.decode.groups[group] for engine in engines)


@every_policy
@tries(25)
@given(moment=moments())
def test_hits_in_the_de_s_pool_are_not_read_on_the_prefill_side(
    policy: InterEnginePolicy, moment: Moment
) -> None:
    ledger, waiting = moment
    for request in waiting:
        home = ledger.homes.get(request.agent)
        for de in ledger.decode.engines:
            read = Read(request, ledger.prefill.engines[0], de, 640)
            share = policy.pe_share(ledger, read)
            assert 0 <= share <= 1
            assert de.node != home or share == 0
