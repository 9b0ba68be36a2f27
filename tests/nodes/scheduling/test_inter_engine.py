"""Claims: the inter-engine rules of paper section 4, each by example and by property."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.scheduling.inter_engine import (
    Z_FACTOR,
    choose_des,
    choose_group,
    choose_pe,
)
from nodes.scheduling.ledger import EngineLoad
from nodes.scheduling.policy import Engine

ALPHA, BETA = 100, 1000


def pe(name: str, tok: int) -> EngineLoad:
    """A prefill engine alone on its node, which has its name."""
    return EngineLoad(name, name, 0, tok=tok)


def de(name: str, tok: int = 0, *, seq: int = 0, capacity: float = 1000) -> EngineLoad:
    return EngineLoad(name, name, 0, seq=seq, tok=tok, capacity=capacity)


def chosen_pe(loads: dict[str, tuple[int, int]]) -> str | None:
    """The choice among engines given as name -> (tok, read queue of its node)."""
    engines = [pe(name, tok) for name, (tok, _) in loads.items()]
    queues = {name: queue for name, (_, queue) in loads.items()}
    engine = choose_pe(engines, queues, ALPHA, BETA)
    return engine.name if engine else None


def names(engines: list[Engine]) -> list[str]:
    return [engine.name for engine in engines]


# --- PE scheduling


def test_the_least_tok_of_class_2_is_chosen() -> None:
    assert chosen_pe({"a": (500, 0), "b": (400, 0), "c": (600, 0)}) == "b"


def test_class_2_goes_before_a_less_loaded_class_3() -> None:
    assert chosen_pe({"short": (900, ALPHA), "long": (0, ALPHA + 1)}) == "short"


def test_the_least_tok_of_class_3_is_chosen_when_class_2_is_empty() -> None:
    assert chosen_pe({"a": (500, ALPHA + 1), "b": (400, 9 * ALPHA)}) == "b"


def test_class_1_gets_nothing_even_if_alone() -> None:
    assert chosen_pe({"a": (BETA + 1, 0), "b": (BETA + 1, 9 * ALPHA)}) is None


def test_beta_itself_is_not_too_much() -> None:
    assert chosen_pe({"a": (BETA, 0)}) == "a"


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.integers(0, 2 * BETA), st.integers(0, 2 * ALPHA)),
        min_size=1,
    )
)
def test_no_engine_of_a_better_class_or_a_smaller_tok_is_passed_over(
    loads: dict[str, tuple[int, int]],
) -> None:
    classes: dict[int, dict[str, int]] = {1: {}, 2: {}, 3: {}}
    for name, (tok, queue) in loads.items():
        classes[1 if tok > BETA else 2 if queue <= ALPHA else 3][name] = tok
    best = classes[2] or classes[3]
    choice = chosen_pe(loads)
    if choice is None:
        assert not best
    else:
        assert best[choice] == min(best.values())


# --- DE scheduling, phase 1


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 10**6), min_size=1))
def test_phase_1_takes_the_group_with_the_least_total_tok(tokens: dict[int, int]) -> None:
    assert tokens[choose_group(tokens)] == min(tokens.values())


# --- DE scheduling, phase 2


def test_r_is_the_longest_prefix_that_fits_the_summed_free_hbm() -> None:
    """50 + 50 of 100 free tokens fit; the third waits although the engines differ."""
    assert len(choose_des([50, 50, 1], [de("a", capacity=50), de("b", capacity=50)])) == 2


def test_r_ignores_fragmentation_but_the_engines_do_not() -> None:
    """60 fits the sum of 50 + 50 and no single engine, so the fetch ends there."""
    assert choose_des([60, 10], [de("a", capacity=50), de("b", capacity=50)]) == []


def test_below_z_the_least_seq_is_chosen_not_the_least_tok() -> None:
    """Z = 1.05 x (20 + 400 + 410) / 2 = 435: both stay below it."""
    engines = [de("a", 400, seq=3), de("b", 410, seq=2)]
    assert names(choose_des([20], engines)) == ["b"]


def test_an_engine_above_z_is_not_chosen_while_another_is_below() -> None:
    """Z = 1.05 x (100 + 900) / 2 = 525: b would exceed it and has fewer requests."""
    engines = [de("a", 200, seq=9), de("b", 700, seq=0)]
    assert names(choose_des([100], engines)) == ["a"]


def test_when_all_would_exceed_z_the_least_tok_is_chosen() -> None:
    """Z = 1.05 x (400 + 90) / 2 = 257: 400 exceeds it everywhere."""
    engines = [de("a", 50, seq=0), de("b", 40, seq=7)]
    assert names(choose_des([400], engines)) == ["b"]


def test_an_engine_without_the_hbm_is_never_chosen() -> None:
    engines = [de("full", 0, seq=0, capacity=90), de("roomy", 500, seq=9)]
    assert names(choose_des([100], engines)) == ["roomy"]


def test_choices_count_for_the_next_request() -> None:
    engines = [de("a"), de("b")]
    assert sorted(names(choose_des([100, 100], engines))) == ["a", "b"]
    assert names(choose_des([900, 900, 200], [de("a"), de("b")])) == ["a", "b"]


engine_loads = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 9), st.integers(0, 600)), min_size=1, max_size=5
)
lengths_queued = st.lists(st.integers(1, 300), max_size=8)


@given(lengths_queued, engine_loads)
def test_phase_2_follows_r_z_and_hbm_at_every_step(
    lengths: list[int], loads: list[tuple[int, int, int]]
) -> None:
    """The paper's definition, checked choice by choice. Loads: (tok, seq, free HBM)."""
    engines = [de(str(i), tok, seq=seq, capacity=free) for i, (tok, seq, free) in enumerate(loads)]
    chosen = choose_des(lengths, engines)

    tok = [tok for tok, _, _ in loads]
    seq = [seq for _, seq, _ in loads]
    free = [free for _, _, free in loads]
    r = max(n for n in range(len(lengths) + 1) if sum(lengths[:n]) <= sum(free))
    z = Z_FACTOR * (sum(lengths[:r]) + sum(tok)) / len(loads)
    assert len(chosen) <= r
    for length, engine in zip(lengths, chosen, strict=False):
        e = int(engine.name)
        roomy = [i for i in range(len(loads)) if free[i] >= length]
        below = [i for i in roomy if tok[i] + length <= z]
        assert e in roomy
        if below:
            assert e in below
            assert seq[e] == min(seq[i] for i in below)
        else:
            assert tok[e] == min(tok[i] for i in roomy)
        tok[e] += length
        seq[e] += 1
        free[e] -= length
    if len(chosen) < r:
        assert max(free) < lengths[len(chosen)]
