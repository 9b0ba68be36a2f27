"""Regions that hold identities instead of bytes: the same content, for virtual time."""

from __future__ import annotations

from nodes.protocol.blocks import Piece
from nodes.protocol.world import Span


class _Part:
    """Rows `row .. end` hold blocks of a trajectory; block ids are rows plus `shift`."""

    __slots__ = ("end", "row", "shift", "trajectory")

    def __init__(self, row: int, end: int, trajectory: int, shift: int) -> None:
        self.row = row
        self.end = end
        self.trajectory = trajectory
        self.shift = shift


class IdentityRegion:
    """Registered memory that remembers which blocks stand in which rows, group by group.

    What arrives in a row takes the place of what was there, as bytes would.
    """

    __slots__ = ("_columns", "groups", "key", "rows")

    def __init__(self, key: int, rows: int, groups: int) -> None:
        self.key = key
        self.rows = rows
        self.groups = groups
        self._columns: list[list[_Part]] = [[] for _ in range(groups)]

    def grow(self, rows: int) -> None:
        self.rows = max(self.rows, rows)

    def fill(self, pieces: list[Piece], group: int | None) -> None:
        for row, size, trajectory, first_id in pieces:
            if row < 0 or row + size > self.rows:
                piece = Piece(row, size, trajectory, first_id)
                raise ValueError(f"{piece} lies outside the region's {self.rows} rows")
            for column in self._of(group):
                _put(column, row, row + size, trajectory, first_id - row)

    def corrupt(self, pieces: list[Piece], group: int | None) -> int:
        missing = 0
        for row, size, trajectory, first_id in pieces:
            for column in self._of(group):
                missing += size
                for part in column:
                    if part.shift == first_id - row and part.trajectory == trajectory:
                        missing -= max(0, min(row + size, part.end) - max(row, part.row))
        return missing

    def content(self, span: Span) -> list[Piece]:
        """What stands in the rows of a span: of one group, or the Full Blocks of which every
        group is there."""
        return [
            Piece(part.row, part.end - part.row, part.trajectory, part.row + part.shift)
            for part in self._found(span.lo, span.hi, span.group)
        ]

    def copy(self, source: IdentityRegion, span: Span, row: int) -> None:
        """What stands in a span of another region now stands here, too, from `row` on."""
        down = row - span.lo
        if row < 0 or row + span.hi - span.lo > self.rows:
            raise ValueError(f"{span} at row {row} lies outside the region's {self.rows} rows")
        for part in source._found(span.lo, span.hi, span.group):
            for column in self._of(span.group):
                _put(column, part.row + down, part.end + down, part.trajectory, part.shift - down)

    def _found(self, lo: int, hi: int, group: int | None) -> list[_Part]:
        columns = self._of(group)
        found = _clipped(columns[0], lo, hi)
        for column in columns[1:]:
            found = [both for part in found for both in _common(part, column)]
        return found

    def _of(self, group: int | None) -> list[list[_Part]]:
        return self._columns if group is None else [self._columns[group]]


def _put(column: list[_Part], row: int, end: int, trajectory: int, shift: int) -> None:
    """Into a column, which is in row order and free of overlaps."""
    if column:
        last = column[-1]
        same = last.shift == shift and last.trajectory == trajectory
        if same and last.row <= row <= last.end:
            last.end = max(last.end, end)
            return
        if last.end > row:
            before, after = _clipped(column, 0, row), _clipped(column, end, last.end)
            column[:] = [*before, _Part(row, end, trajectory, shift), *after]
            return
    column.append(_Part(row, end, trajectory, shift))


def _common(one: _Part, column: list[_Part]) -> list[_Part]:
    """Rows in which a column has the same blocks."""
    return [
        part
        for part in _clipped(column, one.row, one.end)
        if part.shift == one.shift and part.trajectory == one.trajectory
    ]


def _clipped(column: list[_Part], lo: int, hi: int) -> list[_Part]:
    """Parts of their own: what of a column lies between two rows."""
    found = []
    for part in column:
        row, end = max(lo, part.row), min(hi, part.end)
        if row < end:
            found.append(_Part(row, end, part.trajectory, part.shift))
    return found
