"""Claims about the QoS rows, without a switch."""

from __future__ import annotations

import msgspec
import pytest

from controller.qos import Qos, transaction, verify, wanted_qos
from plan.errors import RunError
from tests.controller.fabrics import make_fabric, make_plan

FABRIC = make_fabric()
PLAN = make_plan(FABRIC)


def test_every_switch_port_of_the_plan_gets_an_egress() -> None:
    devices = {nic.switch_device for nic in FABRIC.nics}
    devices |= {link.a_device for link in FABRIC.links} | {link.b_device for link in FABRIC.links}
    assert wanted_qos(PLAN).keys() == devices


def test_an_egress_carries_its_nominal_payload_plus_framing() -> None:
    # 400 Gbit/s over byte scale 4000 and dilation 2 is 50 Mbit/s of payload
    assert wanted_qos(PLAN)["ce0-p1"].max_bps == round(50e6 * 9014 / 8948)


def test_lanes_guarantee_their_shares_and_may_borrow_the_whole_link() -> None:
    egress = wanted_qos(PLAN)["ce0-p1"]
    assert [queue.vl for queue in egress.queues] == [0, 1, 2, 3]
    assert all(queue.ceil_bps == egress.max_bps for queue in egress.queues)
    assert sum(queue.rate_bps for queue in egress.queues) <= egress.max_bps
    assert egress.queues[2].rate_bps == int(egress.max_bps / 241)
    assert [queue.priority for queue in egress.queues] == [0, 0, 1, 0]


@pytest.mark.parametrize("byte_scale", [500.0, 4000.0, 40000.0])
def test_bursts_cover_two_frames_but_stay_in_the_millisecond_range(byte_scale: float) -> None:
    for egress in wanted_qos(make_plan(FABRIC, byte_scale=byte_scale)).values():
        for queue in egress.queues:
            assert 8 * queue.burst_bytes >= 2 * 8 * 9014
            assert 8 * queue.burst_bytes <= max(2 * 8 * 9014, 0.0021 * egress.max_bps)


def test_lanes_off_is_a_single_queue_with_the_whole_rate() -> None:
    for egress in wanted_qos(make_plan(FABRIC, lanes=False)).values():
        (queue,) = egress.queues
        assert (queue.vl, queue.rate_bps) == (0, egress.max_bps)


def test_ports_of_one_rate_share_their_rows() -> None:
    words = transaction(wanted_qos(PLAN))
    rates = {egress.max_bps for egress in wanted_qos(PLAN).values()}
    assert words.count("create") == 5 * len(rates)
    assert words.count("Port") == len(wanted_qos(PLAN))


def test_rows_of_an_earlier_call_are_destroyed_in_the_same_transaction() -> None:
    words = transaction(wanted_qos(PLAN))
    assert words[:8] == ["--", "--all", "destroy", "QoS", "--", "--all", "destroy", "Queue"]


def test_a_port_without_queues_a_wrong_rate_and_a_stray_port_are_errors() -> None:
    wanted = wanted_qos(PLAN)
    held: dict[str, Qos | None] = dict(wanted)
    verify(wanted, held)
    with pytest.raises(RunError, match=r"ce0-p1 should have .*, not None"):
        verify(wanted, held | {"ce0-p1": None})
    slower = msgspec.structs.replace(wanted["ce0-p1"], max_bps=1)
    with pytest.raises(RunError, match="ce0-p1 should have"):
        verify(wanted, held | {"ce0-p1": slower})
    with pytest.raises(RunError, match="stray is on a bridge"):
        verify(wanted, held | {"stray": None})
    with pytest.raises(RunError, match="ce0-p1 of the plan is on no bridge"):
        verify(wanted, {name: egress for name, egress in held.items() if name != "ce0-p1"})
