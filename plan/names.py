"""Engines and their ends by name: engine `pe0.1` is GPU 1 of node `pe0`."""

from __future__ import annotations


def engine_name(node: str, gpu: int) -> str:
    """The engine that is GPU `gpu` of `node`."""
    return f"{node}.{gpu}"


def node_of(engine: str) -> str:
    """The node whose GPU the engine is."""
    return engine.partition(".")[0]


def hbm_end(engine: str) -> str:
    """The HBM end of the engine's CNIC."""
    node, _, gpu = engine.partition(".")
    return f"{node}.hbm{gpu}"


def dram_end(engine: str) -> str:
    """The DRAM end of the engine's CNIC."""
    node, _, gpu = engine.partition(".")
    return f"{node}.dram{gpu}"


def snic_end(node: str) -> str:
    """The node's end on the storage plane."""
    return f"{node}.snic"
