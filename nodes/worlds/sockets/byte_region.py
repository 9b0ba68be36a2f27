"""Regions that hold real bytes, and the Layer Blocks in them with identity and checksum.

A Layer Block on the wire is a row of 32-bit words: trajectory, block id, group, a payload
that follows from those three, and a checksum over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span
from plan.deployment import WORD, BlockLayout

_KNUTH = 2654435761

Words = npt.NDArray[np.uint32]


def encode(pieces: list[Piece], groups: range, words: int) -> Words:
    """The Layer Blocks of `pieces`, shape [rows, len(groups), words]."""
    rows = sum(piece.size for piece in pieces)
    blocks = np.empty((rows, len(groups), words), np.uint32)
    row = 0
    for piece in pieces:
        part = blocks[row : row + piece.size]
        part[..., 0] = piece.trajectory
        part[..., 1] = np.arange(piece.first_id, piece.first_id + piece.size)[:, None]
        part[..., 2] = np.arange(groups.start, groups.stop)[None, :]
        row += piece.size
    seed = blocks[..., 0] * np.uint32(_KNUTH) + blocks[..., 1] * np.uint32(40503) + blocks[..., 2]
    columns = np.arange(3, words - 1, dtype=np.uint32) * np.uint32(2246822519)
    blocks[..., 3:-1] = seed[..., None] ^ columns
    blocks[..., -1] = _checksum(blocks)
    return blocks


def _checksum(blocks: Words) -> Words:
    weights = np.arange(1, 2 * (blocks.shape[-1] - 1), 2, dtype=np.uint32)
    total: Words = (blocks[..., :-1] * weights).sum(axis=-1, dtype=np.uint32)
    # never 0 for zeros: fresh memory must not pass for the first block of trajectory 0
    return total + np.uint32(1)


class ByteRegion:
    """Registered memory, uint32 [rows, groups, words]."""

    def __init__(self, key: int, rows: int, layout: BlockLayout) -> None:
        self.key = key
        self.rows = rows
        self._words = np.zeros((rows, layout.groups, layout.wire_bytes // WORD), np.uint32)

    def grow(self, rows: int) -> None:
        if rows > len(self._words):
            held = self._words
            self._words = np.zeros((rows, *held.shape[1:]), np.uint32)
            self._words[: len(held)] = held
            self.rows = rows

    def fill(self, pieces: list[Piece], group: int | None) -> None:
        for piece in pieces:
            rows = slice(piece.row, piece.row + piece.size)
            groups = self._groups(group)
            self._words[rows, groups.start : groups.stop] = encode(
                [piece], groups, self._words.shape[2]
            )

    def corrupt(self, pieces: list[Piece], group: int | None) -> int:
        groups = self._groups(group)
        bad = 0
        for piece in pieces:
            found = self._words[piece.row : piece.row + piece.size, groups.start : groups.stop]
            ids = np.arange(piece.first_id, piece.first_id + piece.size, dtype=np.uint32)
            intact = (
                (found[..., 0] == piece.trajectory)
                & (found[..., 1] == ids[:, None])
                & (found[..., 2] == np.arange(groups.start, groups.stop)[None, :])
                & (found[..., -1] == _checksum(found))
            )
            bad += piece.size * len(groups) - int(np.count_nonzero(intact))
        return bad

    def put(self, row: int, full_blocks: Sequence[bytes | memoryview]) -> None:
        """Copy stored Full Blocks into consecutive rows."""
        words = self._words[row : row + len(full_blocks)]
        words[:] = np.frombuffer(b"".join(full_blocks), np.uint32).reshape(words.shape)

    def full_blocks(self, row: int, count: int) -> Iterator[memoryview]:
        """The bytes of consecutive rows, in place."""
        size = self._words[0].nbytes
        held = _bytes(self._words[row : row + count])
        return (held[at : at + size] for at in range(0, len(held), size))

    def size(self, span: Span) -> int:
        """Bytes of a span."""
        lo, hi, group = span.lo, span.hi, span.group
        size = (hi - lo) * self._words.shape[2] * WORD
        return size if group is not None else size * self._words.shape[1]

    def payload(self, span: Span) -> bytes | memoryview:
        """The bytes of a span, to be sent: Full Blocks in place, a Layer Block column gathered
        (as a NIC's gather list would)."""
        lo, hi, group = span.lo, span.hi, span.group
        if group is None:
            return _bytes(self._words[lo:hi])
        return self._words[lo:hi, group].tobytes()

    def landing(self, span: Span) -> memoryview | None:
        """Where the bytes of a span can be received in place; None if they are scattered."""
        if span.group is None:
            return _bytes(self._words[span.lo : span.hi])
        return None

    def place(self, span: Span, received: bytes | memoryview) -> None:
        """Copy received bytes of a span to where they belong."""
        lo, hi, group = span.lo, span.hi, span.group
        words = self._words
        if group is None:
            words[lo:hi] = np.frombuffer(received, np.uint32).reshape(hi - lo, *words.shape[1:])
        else:
            words[lo:hi, group] = np.frombuffer(received, np.uint32).reshape(hi - lo, -1)

    def _groups(self, group: int | None) -> range:
        return range(self._words.shape[1]) if group is None else range(group, group + 1)


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    return array.data.cast("B")
