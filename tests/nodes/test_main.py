"""Claims about what a runner and node processes say to each other; all on the loopback."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from nodes.worlds.sockets.world import MESSAGE_PORT
from plan.events import (
    Ask,
    Completed,
    Error,
    NodeEvent,
    Progress,
    Ready,
    Start,
    Status,
    Stop,
    Stopped,
)
from plan.model import Plan
from plan.records import RequestRecord
from tests.nodes.plans import DUAL, TOKENS, agent, make_plan, on_loopback
from tests.nodes.processes import NodeProcess, Nodes, launched

pytestmark = pytest.mark.slow

REQUESTS = 3


def tiny_plan() -> Plan:
    """One node of each kind, an agent with three turns."""
    turns = [(2 * TOKENS, 4)] * REQUESTS
    return on_loopback(make_plan([agent(*turns, preloaded=4 * TOKENS)]))


Launch = Callable[..., Nodes]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts processes of the named nodes of the tiny plan, or of all of them."""
    with ExitStack() as stack:

        def start(*names: str) -> Nodes:
            return stack.enter_context(launched(tiny_plan(), DUAL, tmp_path, *names))

        yield start


def test_all_nodes_serve_a_run_from_ready_to_stopped(launch: Launch, tmp_path: Path) -> None:
    nodes = launch().started()
    said: list[NodeEvent] = []
    while not said or not isinstance(said[-1], Completed):
        said.append(nodes["agents"].event())
    *progress, _ = said
    counts = [event.done for event in progress if isinstance(event, Progress)]
    assert len(counts) == len(progress)
    assert counts == sorted(set(counts))
    nodes.tell(Stop())
    nodes.expect(Stopped())
    for node in nodes.values():
        node.end_input()
        assert node.last_events() == []
        assert node.process.returncode == 0
    text = (tmp_path / "requests.jsonl").read_bytes()
    records = msgspec.json.Decoder(RequestRecord).decode_lines(text)
    assert [(record.turn, record.error) for record in records] == [(0, None), (1, None), (2, None)]
    assert nodes["de0"].stats.blocks_verified > 0


def test_a_run_starts_at_the_moment_it_is_told(launch: Launch, tmp_path: Path) -> None:
    """Model time 0 is the same reading of the clock in all processes."""
    nodes = launch()
    nodes.expect(Ready())
    start = time.monotonic() + 0.5
    nodes.tell(Start(start))
    while not isinstance(nodes["agents"].event(), Completed):
        pass
    elapsed_s = time.monotonic() - start
    text = (tmp_path / "requests.jsonl").read_bytes()
    records = msgspec.json.Decoder(RequestRecord).decode_lines(text)
    assert records[0].submit_s >= 0
    assert records[-1].done_s is not None
    assert records[-1].done_s <= elapsed_s


def test_a_record_is_on_disk_before_its_request_is_told(launch: Launch, tmp_path: Path) -> None:
    nodes = launch().started()
    while not isinstance(event := nodes["agents"].event(), Completed):
        assert isinstance(event, Progress)
        assert (tmp_path / "requests.jsonl").read_bytes().count(b"\n") >= event.done


def test_a_node_that_is_asked_says_what_it_waits_for(launch: Launch) -> None:
    """The decode node is stopped, so the request stays where it is."""
    nodes = launch()
    nodes.expect(Ready())
    nodes["de0"].process.send_signal(signal.SIGSTOP)
    nodes.tell(Start(time.monotonic() + 0.1))
    status = asked(nodes["sched"])
    while not status.requests:
        status = asked(nodes["sched"])
    assert status.requests == {"being read or in prefill": 1}
    assert (status.node, status.alarms, status.transfers) == ("sched", 0, {})
    assert any("nodes/worlds/sockets/world.py" in place for place in status.tasks)


def asked(node: NodeProcess) -> Status:
    node.tell(Ask())
    status = node.event()
    assert isinstance(status, Status), status
    return status


def test_the_end_of_input_before_the_start_ends_a_node_quietly(launch: Launch) -> None:
    node = launch("pe0")["pe0"]
    assert node.event() == Ready()
    node.end_input()
    assert node.last_events() == []
    assert node.process.returncode == 0


@pytest.mark.parametrize("line", ["strat 12.5", '{"command": "halt"}', '{"command": "start"}'])
def test_a_command_that_is_none_ends_a_node_with_an_error_that_names_it(
    launch: Launch, line: str
) -> None:
    node = launch("sched")["sched"]
    assert node.event() == Ready()
    node.say(line.encode())
    (error,) = node.last_events()
    assert isinstance(error, Error)
    assert f"{line!r} is no command" in error.message
    assert node.process.returncode == 1


def test_a_node_whose_port_is_taken_ends_in_one_error_that_names_end_and_port(
    launch: Launch,
) -> None:
    with socket.socket() as taken:
        ip = tiny_plan().fabric.ends()["pe0.mgmt"].ip
        # what an earlier test left behind must not count
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((ip, MESSAGE_PORT))
        taken.listen()
        node = launch("pe0")["pe0"]
        (error,) = node.last_events()
    assert isinstance(error, Error)
    assert f"pe0.mgmt cannot listen at {ip}:{MESSAGE_PORT}" in error.message
    assert node.process.returncode == 1


def test_a_peer_that_dies_ends_the_others_with_an_error_that_names_it(launch: Launch) -> None:
    nodes = launch().started()
    assert isinstance(nodes["agents"].event(), Progress)
    while not isinstance(nodes["agents"].event(), Completed):
        pass
    nodes["sched"].process.kill()
    (error,) = nodes["agents"].last_events()
    assert isinstance(error, Error)
    assert "sched" in error.message


def test_a_node_without_a_plan_ends_in_an_error_that_names_the_file(
    launch: Launch, tmp_path: Path
) -> None:
    node = launch("pe0")["pe0"]
    (tmp_path / "plan.json").unlink()
    (error,) = node.last_events()
    assert isinstance(error, Error)
    assert "plan.json" in error.message
    assert node.process.returncode == 1
