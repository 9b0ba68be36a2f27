"""Every name of the emulated datacentre, made and read here alone.

All are unique, and at most 15 characters where the kernel sees them.

| what | such as | |
|---|---|---|
| node | `st0 pe0 de0 sched agents` | |
| host (network namespace) | `pe0`, `pe0g1` | a node's own name; the host of its GPU 1 |
| engine | `pe0.1` | GPU 1 of the node |
| NIC | `pe0.snic pe0.mgmt pe0.cnic1` | |
| end | `pe0.snic pe0.mgmt` | of a NIC with one end, whose name it has |
| | `pe0.dram1 pe0.hbm1` | of a CNIC: DRAM of the node, HBM of the GPU |
| switch | `ce0 ca0 cc0 se0 me0` | plane and level: compute edge, aggregation, core, ... |
| link, its directions | `ce0-ca0`, `ce0→ca0` | |
| egress | `pe0.snic out`, `pe0.snic in`, `ce0→ca0` | at the node, at its leaf switch, of a link |
| device | `pe0-snic`, `ce0-p1` | network interface of a NIC or end, of a switch's port |
"""

from __future__ import annotations

from typing import Literal

SCHEDULER, AGENTS = "sched", "agents"
_NODE = {"storage": "st", "prefill": "pe", "decode": "de"}


def node_name(kind: Literal["storage", "prefill", "decode"], number: int) -> str:
    """The node of a kind with that number."""
    return f"{_NODE[kind]}{number}"


def gpu_host(node: str, gpu: int) -> str:
    """The host (network namespace) of one GPU of `node`."""
    return f"{node}g{gpu}"


def engine_name(node: str, gpu: int) -> str:
    """The engine that is GPU `gpu` of `node`."""
    return f"{node}.{gpu}"


def node_of(engine: str) -> str:
    """The node whose GPU the engine is."""
    return engine.partition(".")[0]


def gpu_of(engine: str) -> int:
    """The number of the engine's GPU within its node."""
    return int(engine.partition(".")[2])


def cnic_name(engine: str) -> str:
    """The engine's CNIC."""
    return f"{node_of(engine)}.cnic{gpu_of(engine)}"


def hbm_end(engine: str) -> str:
    """The HBM end of the engine's CNIC."""
    return f"{node_of(engine)}.hbm{gpu_of(engine)}"


def dram_end(engine: str) -> str:
    """The DRAM end of the engine's CNIC."""
    return f"{node_of(engine)}.dram{gpu_of(engine)}"


def snic_end(node: str) -> str:
    """The node's SNIC, and its end on the storage plane."""
    return f"{node}.snic"


def mgmt_end(node: str) -> str:
    """The node's management NIC, and its end on the management plane."""
    return f"{node}.mgmt"


def switch_name(plane: str, level: str, number: int) -> str:
    """The switch of a plane and level with that number."""
    return f"{plane[0]}{level[0]}{number}"


def link_name(a: str, b: str) -> str:
    """The link between two switches."""
    return f"{a}-{b}"


def direction(source: str, target: str) -> str:
    """One direction of the link between two switches, and the egress that sends over it."""
    return f"{source}→{target}"


def out_of(nic: str) -> str:
    """The egress at the node: what leaves it by that NIC."""
    return f"{nic} out"


def into(nic: str) -> str:
    """The egress at the leaf switch: what enters the node by that NIC."""
    return f"{nic} in"


def device(name: str) -> str:
    """The network interface of a NIC or an end."""
    return name.replace(".", "-")


def port_device(switch: str, port: int) -> str:
    """The network interface of a switch's port."""
    return f"{switch}-p{port}"
