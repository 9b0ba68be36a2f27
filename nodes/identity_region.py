"""Regions that hold identities instead of bytes: the same content, for virtual time."""

from __future__ import annotations

from nodes.blocks import Piece
from nodes.world import Span


class IdentityRegion:
    """Registered memory that remembers which blocks stand in which rows, per group."""

    __slots__ = ("_columns", "_whole", "groups", "key", "rows")

    def __init__(self, key: int, rows: int, groups: int) -> None:
        self.key = key
        self.rows = rows
        self.groups = groups
        self._whole: list[Piece] = []
        self._columns: dict[int, list[Piece]] = {}

    def fill(self, pieces: list[Piece], group: int | None) -> None:
        target = self._whole if group is None else self._columns.setdefault(group, [])
        for piece in pieces:
            if piece.row < 0 or piece.row + piece.size > self.rows:
                raise ValueError(f"{piece} lies outside the region's {self.rows} rows")
            if target and _follows(target[-1], piece):
                last = target[-1]
                target[-1] = last._replace(size=last.size + piece.size)
            else:
                target.append(piece)

    def corrupt(self, pieces: list[Piece], group: int | None) -> int:
        groups = range(self.groups) if group is None else (group,)
        return sum(
            piece.size - sum(part.size for part in self._held(piece, one))
            for piece in pieces
            for one in groups
        )

    def content(self, span: Span) -> list[Piece]:
        """What stands in the rows of a span of one group, or of all groups alike."""
        if span.group is None and self._columns:
            # Full Blocks assembled from Layer Blocks: there where every group is there.
            first = [
                part
                for piece in self._columns.get(0, [])
                for part in _clip(piece, span.lo, span.hi)
            ]
            return [
                *self._clipped(self._whole, span),
                *(p for p in first if self.corrupt([p], None) == 0),
            ]
        held = self._clipped(self._whole, span)
        if span.group is not None:
            held += self._clipped(self._columns.get(span.group, []), span)
        return held

    @staticmethod
    def _clipped(pieces: list[Piece], span: Span) -> list[Piece]:
        return [part for piece in pieces for part in _clip(piece, span.lo, span.hi)]

    def _held(self, wanted: Piece, group: int) -> list[Piece]:
        shift = wanted.first_id - wanted.row
        hi = wanted.row + wanted.size
        spots: list[Piece] = []
        covered = wanted.row
        candidates = [*self._whole, *self._columns.get(group, [])]
        candidates.sort()
        for piece in candidates:
            if piece.trajectory != wanted.trajectory or piece.first_id - piece.row != shift:
                continue
            for part in _clip(piece, covered, hi):
                spots.append(part)
                covered = part.row + part.size
        return spots


def _follows(last: Piece, piece: Piece) -> bool:
    return (
        last.row + last.size == piece.row
        and last.first_id + last.size == piece.first_id
        and last.trajectory == piece.trajectory
    )


def _clip(piece: Piece, lo: int, hi: int) -> list[Piece]:
    start, stop = max(lo, piece.row), min(hi, piece.row + piece.size)
    if start >= stop:
        return []
    return [Piece(start, stop - start, piece.trajectory, piece.first_id + start - piece.row)]
