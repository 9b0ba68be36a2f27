"""Faults from a scenario to a plan: drawn, looked at, one by one (nothing in them is left to
chance or to the run)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from plan.errors import ScenarioError
from plan.fabric import Fabric, NodeKind
from plan.fault_schedule import CONTROLLER
from plan.faults import Fault, FaultKind, Recovery
from scenarios.configuration.faults import (
    DEFAULT_KINDS,
    MOST_FAULTS,
    FaultChoice,
    RandomFaults,
    RecoveryChoice,
)
from scenarios.configuration.schema import Scenario
from scenarios.configuration.units import Duration, Percent, When

OF_NETWORK = ("down", "slow", "loss")
OF_NODES = ("kill", "pause", "power_off")
OF_STORAGE = ("corrupt", "disk_full")
NEEDED: dict[FaultKind, str] = {"slow": "to", "loss": "share", "corrupt": "blocks"}
_GRAIN = 1000  # drawn times are whole milliseconds
_LONGEST = 4.0  # times the mean that a drawn fault lasts


def targets(fabric: Fabric, kind: FaultKind) -> list[str]:
    """All that a kind of fault can befall."""
    nodes = [node.name for node in fabric.nodes if node.kind in ("prefill", "decode", "storage")]
    if kind in OF_STORAGE:
        return [node.name for node in fabric.nodes_of("storage")]
    nodes += [node.name for node in fabric.nodes_of("scheduler")]
    if kind == "power_off":
        return nodes
    if kind in OF_NODES:
        return [*nodes, CONTROLLER]
    links, nics = (link.name for link in fabric.links), (nic.name for nic in fabric.nics)
    return [*links, *nics, *(switch.name for switch in fabric.switches)]


def written_out(scenario: Scenario, fabric: Fabric) -> Scenario:
    """The scenario with its drawn faults among the others.

    Raises:
        ScenarioError: they cannot be drawn.
    """
    if scenario.random_faults is None:
        return scenario
    faults = (*scenario.faults, *draw(scenario.random_faults, fabric))
    return msgspec.structs.replace(scenario, faults=faults, random_faults=None)


def draw(chosen: RandomFaults, fabric: Fabric) -> list[FaultChoice]:
    """Faults by chance, the same for the same seed and fabric.

    Raises:
        ScenarioError: a kind or target is none, or there would be too many.
    """
    if chosen.until / chosen.mean_every > MOST_FAULTS:
        remedy = f"write more: at most {MOST_FAULTS} are drawn"
        raise ScenarioError("random_faults.mean_every", str(chosen.mean_every), remedy)
    weights = chosen.kinds or DEFAULT_KINDS
    places = {kind: _places(chosen, fabric, kind) for kind in weights if weights[kind]}
    if not places:
        raise ScenarioError("random_faults.kinds", chosen.kinds, "give one a weight above 0")
    rng = random.Random(chosen.seed)
    found: list[FaultChoice] = []
    lasting: list[tuple[float, str, str]] = []  # until when, kind, target
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1 / chosen.mean_every)) <= chosen.until:
        kind = rng.choices(list(places), [weights[kind] for kind in places])[0]
        target = rng.choice(places[kind])
        for_s = min(rng.expovariate(1 / chosen.lasting), _LONGEST * chosen.lasting)
        amount = rng.random()
        lasting = [one for one in lasting if one[0] > at_s]
        if len(lasting) >= chosen.at_once or any(target == one[2] for one in lasting):
            continue
        if kind in OF_NODES and target != CONTROLLER and _spent(chosen, fabric, target, lasting):
            continue
        fault = _drawn(kind, target, at_s, for_s, amount)
        lasting.append((at_s + for_s, kind, target))
        found.append(fault)
    return found


def _places(chosen: RandomFaults, fabric: Fabric, kind: FaultKind) -> list[str]:
    able = targets(fabric, kind)
    if chosen.targets is None:
        return able
    among = [target for target in chosen.targets if target in able]
    if not among:
        problem = f"none of which {kind} can befall"
        remedy = f"name one of {', '.join(able[:8])}..., or leave the kind out"
        raise ScenarioError("random_faults.targets", list(chosen.targets), remedy, problem)
    return among


def _spent(
    chosen: RandomFaults, fabric: Fabric, target: str, lasting: list[tuple[float, str, str]]
) -> bool:
    """Whether too few nodes of its kind would be left."""
    kind = fabric.kind_of(target)
    nodes = [node.name for node in fabric.nodes_of(kind)]
    gone = {name for _, what, name in lasting if what in OF_NODES}
    left = sum(name not in gone for name in nodes) - 1
    kept = msgspec.structs.asdict(chosen.keep)
    return bool(left < kept[kind])


def _drawn(kind: FaultKind, target: str, at_s: float, for_s: float, amount: float) -> FaultChoice:
    at = When.parse(str(Duration(max(1, round(at_s * _GRAIN)) / _GRAIN)))
    lasting = Duration(max(1, round(for_s * _GRAIN)) / _GRAIN)
    match kind:
        case "kill" | "power_off":
            return FaultChoice(at=at, kind=kind, target=target, back=lasting)
        case "slow":
            to = Percent(round(5 + 45 * amount, 1))
            return FaultChoice(at=at, kind=kind, target=target, lasting=lasting, to=to)
        case "loss":
            share = Percent(round(0.1 + 4.9 * amount, 2))
            return FaultChoice(at=at, kind=kind, target=target, lasting=lasting, share=share)
        case "corrupt":
            return FaultChoice(
                at=at, kind=kind, target=target, blocks=Percent(round(0.5 + 19.5 * amount, 1))
            )
        case _:
            return FaultChoice(at=at, kind=kind, target=target, lasting=lasting)


def faults_of(scenario: Scenario, fabric: Fabric, *, endless: bool) -> tuple[Fault, ...]:
    """The listed faults, one by one, in the order of the list.

    Args:
        endless: agents come without end, so that there is no share of all requests.

    Raises:
        ScenarioError: one of them cannot be; names it by its place.
    """
    found: list[Fault] = []
    for index, choice in enumerate(scenario.faults):
        key = f"faults[{index}]"
        _check(key, choice, fabric, endless=endless)
        found += _repeated(choice)
        if len(found) > MOST_FAULTS:
            raise ScenarioError(
                "faults", len(found), f"write at most {MOST_FAULTS}", "are too many"
            )
    _check_left(found, fabric)
    return tuple(found)


def recovery_of(choice: RecoveryChoice) -> Recovery:
    """How the nodes of a run with faults notice them and go on.

    Raises:
        ScenarioError: a lease would end between two signs of life.
    """
    if choice.lease < 2 * choice.heartbeat:
        remedy = f"write at least twice the heartbeat of {choice.heartbeat}"
        raise ScenarioError("recovery.lease", str(choice.lease), remedy, "is too short")
    return Recovery(
        hits=choice.hits,
        request=choice.request,
        attempts=choice.attempts,
        heartbeat_s=float(choice.heartbeat),
        lease_s=float(choice.lease),
        give_up_s=float(choice.give_up),
    )


def _check(key: str, choice: FaultChoice, fabric: Fabric, *, endless: bool) -> None:
    able = targets(fabric, choice.kind)
    if choice.target not in able:
        known = ", ".join(able[:12]) + ("..." if len(able) > 12 else "")
        problem = f"is nothing that {choice.kind} can befall"
        raise ScenarioError(f"{key}.target", choice.target, f"write one of {known}", problem)
    if endless and choice.at.share is not None:
        remedy = "write a time: agents come without end"
        raise ScenarioError(f"{key}.at", str(choice.at), remedy)
    ends = "back" if choice.kind in ("kill", "power_off") else "for"
    allowed = {NEEDED.get(choice.kind), *({ends} if choice.kind != "corrupt" else ())}
    given = {
        "for": choice.lasting,
        "back": choice.back,
        "to": choice.to,
        "share": choice.share,
        "blocks": choice.blocks,
    }
    for name, value in given.items():
        if value is not None and name not in allowed:
            raise ScenarioError(f"{key}.{name}", str(value), f"leave it out of {choice.kind}")
    if (needed := NEEDED.get(choice.kind)) and given[needed] is None:
        remedy = f'write e.g. "{Percent.example}"'
        raise ScenarioError(f"{key}.{needed}", None, remedy, "is missing")
    parts = {"to": choice.to, "share": choice.share, "blocks": choice.blocks}
    for name, part in parts.items():
        if part is not None and (part.share > 1 or (name != "blocks" and part.share == 1)):
            raise ScenarioError(f"{key}.{name}", str(part), "write a part of 100 %")
    single = {nic.name for nic in fabric.nics} | {link.name for link in fabric.links}
    if choice.way != "both" and (choice.kind not in OF_NETWORK or choice.target not in single):
        raise ScenarioError(f"{key}.way", choice.way, "leave it out: only links and NICs have one")
    _check_repetition(key, choice)


def _check_repetition(key: str, choice: FaultChoice) -> None:
    if (choice.every is None) != (choice.times is None):
        missing = "times" if choice.times is None else "every"
        raise ScenarioError(f"{key}.{missing}", None, "write both every and times", "is missing")
    lasting = choice.lasting or choice.back
    if choice.every is None or choice.kind == "corrupt":
        return
    if lasting is None or lasting >= choice.every:
        remedy = f"write a time of which {choice.kind} is over before it comes again"
        raise ScenarioError(f"{key}.every", str(choice.every), remedy)


def _repeated(choice: FaultChoice) -> Iterator[Fault]:
    lasting = choice.lasting or choice.back
    for number in range(choice.times or 1):
        yield Fault(
            kind=choice.kind,
            target=choice.target,
            at_s=choice.at.time_s + number * float(choice.every or 0),
            at_share=choice.at.share,
            for_s=None if lasting is None else float(lasting),
            to=choice.to.share if choice.to is not None else 1.0,
            share=choice.share.share if choice.share is not None else 0.0,
            way=choice.way,
            blocks=choice.blocks.share if choice.blocks is not None else 0.0,
        )


def _check_left(faults: list[Fault], fabric: Fabric) -> None:
    """Somebody must be left to serve, whatever ends for good."""
    gone = {f.target for f in faults if f.kind in OF_NODES and f.for_s is None}
    sides: tuple[NodeKind, ...] = ("prefill", "decode", "scheduler")
    for kind in sides:
        names = [node.name for node in fabric.nodes_of(kind)]
        if gone.issuperset(names):
            remedy = "let one of them come back (back, or for)"
            problem = f"leaves no {kind} {'' if kind == 'scheduler' else 'node '}to serve with"
            raise ScenarioError("faults", ", ".join(names), remedy, problem)
