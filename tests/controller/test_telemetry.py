"""Claims about counter samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.telemetry import Line, Round, read_samples
from plan.records import CounterSample
from scenarios.results.samples import at
from tests.controller.fabrics import make_fabric, make_plan

FABRIC = make_fabric()
PLAN = make_plan(FABRIC)
PORTS = [(nic.switch, nic.port) for nic in FABRIC.nics]
PORTS += [(link.a, link.a_port) for link in FABRIC.links]
PORTS += [(link.b, link.b_port) for link in FABRIC.links]
KEYS = [f"{switch}:{port}" for switch, port in PORTS]
UNCOUNTED = {str(vl): (5, 2**64 - 1) for vl in range(4)}
SWITCHES = [switch.name for switch in FABRIC.switches]


def idle_line(t: float) -> Line:
    """A round in which nothing has been counted yet."""
    return Line(
        t=t,
        ports=dict.fromkeys(KEYS, (0, 0, 0, 0)),
        queues={key: {str(vl): (0, 0) for vl in range(4)} for key in KEYS},
    )


def write(path: Path, *lines: Line) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return path


def payload(wire_bytes: float) -> float:
    return wire_bytes * 4000 * 8948 / 9014


def test_a_leaf_ports_rx_is_out_of_the_node_and_its_tx_into_it(tmp_path: Path) -> None:
    line = idle_line(10.0)
    nic = FABRIC.nics[0]
    line.ports[f"{nic.switch}:{nic.port}"] = (1000, 300, 0, 0)
    (sample,) = read_samples(write(tmp_path / "t", line), PLAN, 10.0)
    assert sample.nics[nic.name] == pytest.approx((payload(1000), payload(300)))
    assert sum(out + into for out, into in sample.nics.values()) == pytest.approx(payload(1300))


def test_a_link_counts_what_each_of_its_ports_sent(tmp_path: Path) -> None:
    line = idle_line(10.0)
    link = FABRIC.links[0]
    line.ports[f"{link.a}:{link.a_port}"] = (7, 500, 0, 0)
    line.ports[f"{link.b}:{link.b_port}"] = (8, 900, 0, 0)
    (sample,) = read_samples(write(tmp_path / "t", line), PLAN, 10.0)
    assert sample.links[link.name] == pytest.approx((payload(500), payload(900)))


def test_a_lane_is_the_sum_of_its_queues_over_every_egress(tmp_path: Path) -> None:
    line = idle_line(10.0)
    line.queues = {key: {str(vl): (vl * 10, vl) for vl in range(4)} for key in line.queues}
    (sample,) = read_samples(write(tmp_path / "t", line), PLAN, 10.0)
    egresses = len(set(PORTS))
    assert sample.lanes["kv"] == pytest.approx((payload(20 * egresses), 2 * egresses))
    assert sample.lanes["collective"] == (0.0, 0)


def test_time_is_model_seconds_since_the_runs_start(tmp_path: Path) -> None:
    path = write(tmp_path / "t", idle_line(9.0), idle_line(13.0))
    assert [sample.t_s for sample in read_samples(path, PLAN, 10.0)] == [-0.5, 1.5]


def test_a_line_cut_short_by_the_end_of_the_run_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t", idle_line(10.0), idle_line(11.0))
    path.write_bytes(path.read_bytes()[:-5])
    assert len(read_samples(path, PLAN, 10.0)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ports": {}}, "has no counters"),
        ({"queues": {}}, "has no queue 0"),
        ({"queues": dict.fromkeys(KEYS, UNCOUNTED)}, "queue 0 of port .* is not counted"),
    ],
)
def test_a_port_or_queue_that_loses_its_counters_is_an_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    good, bad = idle_line(10.0), msgspec.structs.replace(idle_line(11.0), **changes)
    for lines in ((bad,), (good, bad)):
        with pytest.raises(ValueError, match=message):
            read_samples(write(tmp_path / "t", *lines), PLAN, 10.0)


def test_rounds_from_before_the_queues_were_made_are_left_out(tmp_path: Path) -> None:
    early = msgspec.structs.replace(idle_line(10.0), queues={})
    (kept,) = read_samples(write(tmp_path / "t", early, idle_line(11.0)), PLAN, 11.0)
    assert kept.t_s == 0


def test_a_round_is_done_when_all_parts_of_all_switches_are_in(tmp_path: Path) -> None:
    gathered = Round(SWITCHES)
    for switch in SWITCHES:
        mine = sorted({port for name, port in PORTS if name == switch})
        gathered.ports(switch, [(port, (1, 2, 3, 4)) for port in mine[:1]], last=False)
        gathered.ports(switch, [(port, (1, 2, 3, 4)) for port in mine[1:]], last=True)
        assert not gathered.done
        gathered.queues(switch, [(port, vl, (5, 6)) for port in mine for vl in range(4)], last=True)
    assert gathered.done
    with (tmp_path / "t").open("w") as file:
        gathered.write(file, 12.5)
    (sample,) = read_samples(tmp_path / "t", PLAN, 10.5)
    assert sample.t_s == 1.0
    egresses = len(set(PORTS))
    assert sample.lanes["spare"] == pytest.approx((payload(5 * egresses), 6 * egresses))


def sample(t_s: float, count: float) -> CounterSample:
    return CounterSample(
        t_s=t_s,
        nics={"n": (count, 2 * count)},
        links={"l": (count, 0.0)},
        lanes={"kv": (count, int(count))},
    )


@given(part=st.floats(0, 1))
def test_between_two_samples_counters_grow_linearly(part: float) -> None:
    between = at([sample(0, 0), sample(1, 100), sample(3, 500)], 1 + 2 * part)
    assert between.nics["n"] == pytest.approx((100 + 400 * part, 200 + 800 * part))
    assert between.links["l"][0] == pytest.approx(100 + 400 * part)
    assert between.lanes["kv"][0] == pytest.approx(100 + 400 * part)


@pytest.mark.parametrize("t_s", [-0.1, 3.1])
def test_outside_the_samples_nothing_is_invented(t_s: float) -> None:
    with pytest.raises(ValueError, match="outside the samples"):
        at([sample(0, 0), sample(3, 500)], t_s)
    with pytest.raises(ValueError, match="an empty file"):
        at([], t_s)
