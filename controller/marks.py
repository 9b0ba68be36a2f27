"""Marks of flows (OpenFlow cookies): what is old goes, and what is right stays.

A switch that loses its controller goes by the flows that it has (`fail_mode: secure`). When it is
connected again all that is wanted is written once more, which replaces entries in place, with a
mark of its own; then what bears an earlier one is deleted. At no moment a wanted flow is missing.
"""

from __future__ import annotations

LIFE_SHIFT = 32
"""A mark has the controller's life above so many bits, and below how often the switch has been
connected in it."""
_WHOLE = 2**64 - 1
_LIFE = _WHOLE ^ (2**LIFE_SHIFT - 1)


def first_mark(life: int) -> int:
    """Before the first connection in a life."""
    return life << LIFE_SHIFT


FIRST_EVER = first_mark(1) + 1
"""Of a switch's first connection: what it has then is nobody's."""


def earlier_marks(mark: int) -> list[tuple[int, int]]:
    """(mark, mask) of all that came before: those of earlier lives at once, those of this one."""
    life = mark >> LIFE_SHIFT
    lives = [(first_mark(number), _LIFE) for number in range(1, life)]
    return lives + [(one, _WHOLE) for one in range(first_mark(life) + 1, mark)]
