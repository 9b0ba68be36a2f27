"""Regions that hold identities instead of bytes: the same content, for virtual time."""

from __future__ import annotations

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span


class IdentityRegion:
    """Registered memory that remembers which blocks stand in which rows, group by group.

    What arrives in a row takes the place of what was there, as bytes would.
    """

    __slots__ = ("_columns", "groups", "key", "rows")

    def __init__(self, key: int, rows: int, groups: int) -> None:
        self.key = key
        self.rows = rows
        self.groups = groups
        self._columns: list[list[Piece]] = [[] for _ in range(groups)]

    def grow(self, rows: int) -> None:
        self.rows = max(self.rows, rows)

    def fill(self, pieces: list[Piece], group: int | None) -> None:
        for piece in pieces:
            if piece.row < 0 or piece.row + piece.size > self.rows:
                raise ValueError(f"{piece} lies outside the region's {self.rows} rows")
            for column in self._of(group):
                _put(column, piece)

    def corrupt(self, pieces: list[Piece], group: int | None) -> int:
        return sum(
            piece.size - sum(part.size for held in column for part in _common(piece, held))
            for column in self._of(group)
            for piece in pieces
        )

    def content(self, span: Span) -> list[Piece]:
        """What stands in the rows of a span: of one group, or the Full Blocks of which every
        group is there."""
        first, *others = self._of(span.group)
        found = [part for held in first for part in _clip(held, span.lo, span.hi)]
        for column in others:
            found = [part for piece in found for held in column for part in _common(piece, held)]
        return found

    def _of(self, group: int | None) -> list[list[Piece]]:
        return self._columns if group is None else [self._columns[group]]


def _put(column: list[Piece], piece: Piece) -> None:
    """Into a column, which is in row order and free of overlaps."""
    last = column[-1] if column else None
    if last is None or last.row + last.size <= piece.row:
        if last is not None and _follows(last, piece):
            column[-1] = last._replace(size=last.size + piece.size)
        else:
            column.append(piece)
        return
    end = piece.row + piece.size
    column[:] = [
        part
        for held in column
        for part in (*_clip(held, 0, piece.row), *_clip(held, end, held.row + held.size))
    ]
    column.append(piece)
    column.sort()


def _common(one: Piece, other: Piece) -> list[Piece]:
    """Rows in which both have the same block."""
    if one.trajectory != other.trajectory or one.first_id - one.row != other.first_id - other.row:
        return []
    return _clip(one, other.row, other.row + other.size)


def _follows(last: Piece, piece: Piece) -> bool:
    return (
        last.row + last.size == piece.row
        and last.first_id + last.size == piece.first_id
        and last.trajectory == piece.trajectory
    )


def _clip(piece: Piece, lo: int, hi: int) -> list[Piece]:
    row, size, trajectory, first_id = piece
    if lo <= row and row + size <= hi:
        return [piece]
    start, stop = max(lo, row), min(hi, row + size)
    if start >= stop:
        return []
    return [Piece(start, stop - start, trajectory, first_id + start - row)]
