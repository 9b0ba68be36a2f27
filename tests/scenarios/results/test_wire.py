"""Claims about recorded links, made with captures that scapy wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from controller.lanes import lane_table
from plan.errors import ScenarioError
from plan.model import Plan
from plan.scale import Scale
from scenarios.reports.wire_report import sections
from scenarios.results.frames import Frames, read_frames
from scenarios.results.taps import Tap, find_taps
from scenarios.results.wire import LinkTraffic, describe
from tests.scenarios.synthetic import make_plan, make_result

START_S = 1_700_000_000.0
PLAN = msgspec.structs.replace(make_plan(), scale=Scale(byte_scale=2000, dilation=4))
ENDS = PLAN.fabric.ends()
DSCP = PLAN.lanes.dscp
HEADERS = 14 + 20 + 20


def frame(
    source: str,
    target: str,
    t_s: float,
    *,
    dscp: int = DSCP["kv"],
    payload: int = 1000,
    sequence: int = 1,
    number: int = 1,
) -> Packet:
    """A TCP frame between two ends, `t_s` model seconds after the run's start."""
    one, other = ENDS[source], ENDS[target]
    made = (
        Ether(src=one.mac, dst=other.mac)
        / IP(src=one.ip, dst=other.ip, tos=dscp << 2, id=number)
        / TCP(sport=7, dport=8, seq=sequence, flags="A")
        / Raw(bytes(payload))
    )
    made.time = START_S + t_s * PLAN.scale.dilation
    return made


def tap(link: str) -> Tap:
    [found] = find_taps(PLAN, [link])
    return found


def read(directory: Path, link: str, packets: Sequence[Packet]) -> Frames:
    path = directory / "link.pcap"
    wrpcap(str(path), list(packets), linktype=1)
    return read_frames(path, tap(link).side)


def traffic(
    directory: Path,
    link: str,
    packets: Sequence[Packet],
    queues: Sequence[dict[str, int]] | None = None,
    plan: Plan = PLAN,
    dropped: int = 0,
) -> LinkTraffic:
    rules = [plan.lanes.filters] * 2
    frames = read(directory, link, packets)
    return describe(plan, tap(link), frames, rules, queues or [{}, {}], START_S, dropped=dropped)


def test_frames_are_counted_by_class_and_lane_in_model_units(tmp_path: Path) -> None:
    packets = [
        frame("pe0.dram0", "de0.hbm0", 1.0),
        frame("pe0.dram0", "de0.hbm0", 3.0, sequence=1001),
        frame("pe0.hbm0", "de0.hbm0", 2.0, dscp=DSCP["collective"], payload=946),
    ]
    collective, kv = sorted(traffic(tmp_path, "pe0.cnic0", packets).classes, key=lambda c: c.lane)
    assert (collective.traffic, collective.lane, collective.dscp) == (
        "collective",
        "collective",
        46,
    )
    assert (kv.traffic, kv.lane, kv.frames, kv.sent_again) == ("kv", "kv", 2, 0)
    assert kv.bytes == pytest.approx(2 * (1000 + HEADERS) * 2000 / PLAN.fabric.framing)
    assert kv.first_s == pytest.approx(1.0, abs=1e-5)
    assert kv.last_s == pytest.approx(3.0, abs=1e-5)
    assert collective.share == pytest.approx(1000 / (1000 + 2 * (1000 + HEADERS)))


def test_out_of_a_node_and_into_it_are_told_apart(tmp_path: Path) -> None:
    packets = [frame("pe0.dram0", "de0.hbm0", 0.0), frame("de0.hbm0", "pe0.hbm0", 0.1)]
    assert read(tmp_path, "pe0.cnic0", packets).direction.tolist() == [0, 1]
    assert read(tmp_path, "de0.cnic0", packets).direction.tolist() == [1, 0]


def test_a_reflected_copy_counts_once_each_way(tmp_path: Path) -> None:
    """A local copy leaves the CNIC and comes back; other frames may pass in between."""
    first = frame("pe0.dram0", "pe0.hbm0", 0.0, dscp=DSCP["copy"])
    second = frame("pe0.dram0", "pe0.hbm0", 0.1, dscp=DSCP["copy"], sequence=1001, number=2)
    packets = [first, second, first, second]
    frames = read(tmp_path, "pe0.cnic0", packets)
    assert frames.direction.tolist() == [0, 0, 1, 1]
    assert not frames.repeated.any()


def test_a_links_lower_ends_send_up() -> None:
    plan = make_plan(prefill=2, decode=2)
    fabric = plan.fabric
    links = [link.name for link in fabric.links]
    edge = next(name for name in links if name.startswith("se0-sa"))
    core = next(name for name in links if name.startswith("sa0-sc"))
    leaf = {end.mac: nic.switch for nic in fabric.nics for end in nic.ends}
    pod = {switch.name: (switch.plane, switch.pod) for switch in fabric.switches}
    below_edge, below_core = (found.side for found in find_taps(plan, [edge, core]))
    assert below_edge == {mac for mac, switch in leaf.items() if switch == "se0"}
    assert below_core == {mac for mac, switch in leaf.items() if pod[switch] == pod["sa0"]}
    assert len(below_edge) < len(below_core) < sum(nic.kind == "snic" for nic in fabric.nics)


def test_a_sequence_number_that_passed_before_was_sent_again(tmp_path: Path) -> None:
    packets = [
        frame("pe0.dram0", "de0.hbm0", 0.0, sequence=1),
        frame("pe0.dram0", "de0.hbm0", 0.1, sequence=2001, number=2),
        frame("pe0.dram0", "de0.hbm0", 0.2, sequence=1001, number=3),  # only overtaken
        frame("pe0.dram0", "de0.hbm0", 0.3, sequence=1, number=4),
        frame("de0.hbm0", "pe0.dram0", 0.3, sequence=1),  # the other way
        frame("de0.hbm0", "pe0.dram0", 0.4, sequence=9, payload=0),
        frame("de0.hbm0", "pe0.dram0", 0.5, sequence=9, payload=0),  # acknowledges, sends nothing
    ]
    repeated = read(tmp_path, "pe0.cnic0", packets).repeated
    assert repeated.tolist() == [False, False, False, True, False, False, False]
    [kv] = [c for c in traffic(tmp_path, "pe0.cnic0", packets).classes if c.sent_again]
    assert (kv.direction, kv.traffic, kv.sent_again) == ("out of pe0", "kv", 1)


def test_acknowledgements_are_told_apart_where_their_lane_is_another(tmp_path: Path) -> None:
    packets = [frame("pe0.dram0", "de0.hbm0", 0.0, payload=size) for size in (0, 1000)]
    bare, kv = sorted(traffic(tmp_path, "pe0.cnic0", packets).classes, key=lambda c: c.bytes)
    assert (bare.traffic, bare.lane, bare.dscp) == ("kv, no payload", "control", DSCP["kv"])
    assert (kv.traffic, kv.lane, kv.dscp) == ("kv", "kv", DSCP["kv"])


def test_without_lanes_all_classes_share_one(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, lanes=lane_table(None))
    packets = [
        frame("pe0.dram0", "de0.hbm0", 0.0, dscp=mark, payload=size)
        for mark in (DSCP["kv"], DSCP["collective"])
        for size in (0, 1000)
    ]
    rows = traffic(tmp_path, "pe0.cnic0", packets, plan=plan).classes
    assert [(row.traffic, row.lane, row.frames) for row in rows] == [
        ("kv", "shared", 2),
        ("collective", "shared", 2),
    ]


def test_frames_that_the_plan_does_not_know_show_as_unmarked(tmp_path: Path) -> None:
    arp = Ether(src=ENDS["pe0.dram0"].mac, dst="ff:ff:ff:ff:ff:ff") / ARP()
    arp.time = START_S
    packets = [arp, frame("pe0.dram0", "de0.hbm0", 0.0, dscp=7)]
    rows = traffic(tmp_path, "pe0.cnic0", packets).classes
    assert [(row.dscp, row.traffic, row.lane) for row in rows] == [
        (None, "unmarked", "spare"),
        (7, "unmarked", "spare"),
    ]


def queue_of(frames: int) -> dict[str, int]:
    return {"kv": frames * (1000 + HEADERS)}


@pytest.mark.parametrize(("counted", "agree"), [(400, True), (395, True), (800, False), (0, False)])
def test_capture_and_counters_agree_or_it_is_a_problem(
    tmp_path: Path, counted: int, agree: bool
) -> None:
    packets = [
        frame("pe0.dram0", "de0.hbm0", i / 1000, sequence=1 + 1000 * i, number=i)
        for i in range(400)
    ]
    found = traffic(tmp_path, "pe0.cnic0", packets, [queue_of(counted), queue_of(0)])
    assert bool(found.problems) != agree
    out, into = found.lanes
    assert out.captured_bytes == pytest.approx(400 * 1054 * 2000 / PLAN.fabric.framing)
    assert into.error is None
    if counted:
        assert out.error == pytest.approx(400 / counted - 1)


def test_what_the_kernel_dropped_is_no_disagreement_but_is_told(tmp_path: Path) -> None:
    packets = [frame("pe0.dram0", "de0.hbm0", 0.0)]
    found = traffic(tmp_path, "pe0.cnic0", packets, [queue_of(800), queue_of(0)], dropped=799)
    assert found.problems == ()
    result = make_result(PLAN, "basic", 4.0, {"pe0": 1.0, "de0": 0.0})
    [section] = sections(tmp_path, [replace(result, captures=[found])])
    assert "799 more passed unrecorded" in section.tables[0].summary


def test_an_empty_capture_is_described_too(tmp_path: Path) -> None:
    found = traffic(tmp_path, "pe0.cnic0", [])
    assert (found.frames, found.classes) == (0, ())


def test_rates_add_up_to_the_bytes(tmp_path: Path) -> None:
    packets = [frame("pe0.dram0", "de0.hbm0", t, number=int(t)) for t in (0.0, 1.0, 2.0, 5.0)]
    found = traffic(tmp_path, "pe0.cnic0", packets)
    [rates] = found.rates
    assert len(rates.rates_bps) == len(found.edges_s) - 1
    width_s = found.edges_s[1] - found.edges_s[0]
    assert sum(rates.rates_bps) * width_s / 8 == pytest.approx(found.classes[0].bytes)


def test_an_unknown_link_is_named_with_near_ones() -> None:
    with pytest.raises(ScenarioError, match=r'--pcap: "pe0.cnic7" is not.*such as pe0.cnic0'):
        find_taps(PLAN, ["pe0.snic", "pe0.cnic7"])


def test_a_link_named_twice_is_recorded_once() -> None:
    assert len(find_taps(PLAN, ["pe0.snic", "de0.snic", "pe0.snic"])) == 2


def test_every_nic_and_link_of_the_fabric_can_be_recorded() -> None:
    plan = make_plan(prefill=2, decode=2)
    names = [nic.name for nic in plan.fabric.nics] + [link.name for link in plan.fabric.links]
    assert [found.link for found in find_taps(plan, names)] == names
