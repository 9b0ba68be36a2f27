"""Claims: connected again, a switch always has what it had and is to have, and in the end nothing
else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.marks import FIRST_EVER, earlier_marks, first_mark
from tests.examples import tries


@given(
    st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 5)), st.integers(0, 9)), max_size=8)
)
@tries(100)
def test_what_is_wanted_is_never_missing_and_what_is_old_goes(
    connections: list[tuple[bool, set[int], int]],
) -> None:
    """Each: whether the controller began anew before, what it wants, after how many messages the
    connection is lost."""
    flows: dict[int, int] = {}
    life, mark = 1, first_mark(1)
    whole: set[int] = set()  # what the last connection that was not cut short wanted
    for anew, wanted, cut in connections:
        if anew:
            life, mark = life + 1, first_mark(life + 1)
        mark += 1
        deletes = earlier_marks(mark)
        messages = [("add", flow, 0) for flow in sorted(wanted)]
        messages += [("delete", *one) for one in deletes]
        for what, value, mask in messages[: None if cut > 6 else cut]:
            if what == "add":
                flows[value] = mark
            else:
                flows = {flow: of for flow, of in flows.items() if of & mask != value}
            assert wanted & whole <= flows.keys()
        if cut > 6:
            assert flows.keys() == wanted
            whole = wanted
        else:
            whole = whole & flows.keys()


def test_what_a_switch_has_at_its_first_connection_is_nobody_s() -> None:
    assert first_mark(1) + 1 == FIRST_EVER
    assert earlier_marks(FIRST_EVER) == []
