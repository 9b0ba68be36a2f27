"""Claims: from what is said every request is where it is, waits, or is tried again."""

from __future__ import annotations

from nodes.protocol.messages import (
    Alive,
    Assign,
    Attempt,
    Failed,
    Fetch,
    Held,
    Members,
    Message,
    Report,
    Request,
    Submit,
    Unfinished,
)
from nodes.scheduling.gathering import Gathering, Standing

NODES = ["pe0", "de0", "st0"]
UNTOLD = Members(0, {})


def request(number: int) -> Request:
    return Request(number, number, 0, ((0, 4),), 200, 64, 10, 0.0)


def assign(number: int, attempt: int = 1) -> Assign:
    return Assign(request(number), "pe0.0", "de0.0", 0, 1.0, attempt)


def held(
    node: str, *serving: Assign, members: Members = UNTOLD, **more: tuple[Attempt, ...]
) -> Held:
    return Held(node, 1, members, serving, report=Report(node, (), 0), **more)


def standings(*answers: Held, requests: int = 1) -> list[Standing]:
    gathering = Gathering(NODES)
    for answer in answers:
        gathering.heard(answer)
    gathering.heard(Unfinished(tuple(request(number) for number in range(1, requests + 1))))
    return gathering.standings([answer.node for answer in answers])


def test_what_both_have_goes_on_there() -> None:
    [found] = standings(held("pe0", assign(1, 2)), held("de0", assign(1, 2)))
    assert (found.number, found.assign, found.prefilled) == (2, assign(1, 2), False)
    assert found.lost is None


def test_a_decode_node_that_has_the_whole_prompt_needs_no_prefill_node() -> None:
    [found] = standings(held("pe0"), held("de0", assign(1), whole=(Attempt(1, 1),)))
    assert (found.prefilled, found.lost) == (True, None)


def test_what_one_side_alone_has_is_lost() -> None:
    [found] = standings(held("pe0"), held("de0", assign(1)))
    assert found.lost == "pe0 has it no more"
    [found] = standings(held("pe0", assign(1)), held("de0"))
    assert found.lost == "de0 has it no more"


def test_what_failed_somewhere_is_lost_and_what_nobody_has_waits() -> None:
    came_to_nothing = (Attempt(1, 1), Attempt(2, 2))
    answers = held("pe0", failed=came_to_nothing), held("de0", assign(1))
    first, second, third = standings(*answers, requests=3)
    assert first.lost == "it came to nothing while there was no scheduler"
    assert (second.number, second.assign, second.lost) == (2, None, None)
    assert (third.number, third.assign, third.lost) == (0, None, None)


def test_only_the_last_attempt_counts() -> None:
    [found] = standings(held("pe0", assign(1, 1), assign(1, 2)), held("de0", assign(1, 2)))
    assert (found.number, found.lost) == (2, None)


def test_who_is_not_there_has_nothing() -> None:
    gathering = Gathering(NODES)
    for answer in (held("pe0", assign(1)), held("de0", assign(1))):
        gathering.heard(answer)
    gathering.heard(Unfinished((request(1),)))
    [found] = gathering.standings(["de0"])
    assert found.lost == "pe0 has it no more"


def test_what_is_said_after_an_answer_waits_and_what_was_said_before_is_in_it() -> None:
    gathering = Gathering(NODES)
    report = Fetch(0, (Report("pe0", (Attempt(1, 1),), 0),))
    failed = Failed(Attempt(1, 1), "pe0", "why", read=False)
    said: list[Message] = [Alive("pe0", 1), report, failed]
    for message in (*said, held("pe0"), *said, Alive("de0", 1), Submit(request(7))):
        gathering.heard(message)
    assert list(gathering.later()) == said
    assert gathering.silent == ["de0", "st0"]
    gathering.heard(Unfinished(()))
    gathering.heard(Unfinished((request(9),)))
    gathering.heard(Submit(request(8)))
    assert gathering.requests == ()
    assert list(gathering.later()) == [*said, Submit(request(8))]


def test_who_was_taken_for_dead_before_has_to_begin_another_life() -> None:
    gathering = Gathering(NODES)
    gathering.heard(held("pe0", members=Members(1, {"pe0": 1, "de0": 1, "st0": 1})))
    gathering.heard(held("de0", members=Members(3, {"pe0": 0, "de0": 1, "st0": 0})))
    gathering.heard(Held("st0", 2, Members(-1, {})))
    assert [gathering.fenced(node) for node in NODES] == [True, False, False]
