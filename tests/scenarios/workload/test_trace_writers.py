"""Claims: trajectories that are written as a trace are read again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan.errors import TraceError
from plan.workload import Trajectory, Turn, steps
from scenarios.workload.generator import generate
from scenarios.workload.sniffing import format_of
from scenarios.workload.stems import in_common
from scenarios.workload.trace import load
from scenarios.workload.trace_formats import Format
from scenarios.workload.trace_writers import WRITERS
from tests.examples import tries

FORMATS: list[tuple[str, Format]] = [
    ("turns.csv", "turns"),
    ("turns.jsonl", "turns"),
    ("mooncake.jsonl", "mooncake"),
    ("weka.jsonl", "weka"),
]
lengths = st.integers(1, 3000)


@st.composite
def trajectories(draw: st.DrawFn) -> list[Trajectory]:
    made = []
    for number in range(draw(st.integers(1, 3))):
        turns, context = [], (preloaded := draw(st.sampled_from([0, 7, 700])))
        for index in range(draw(st.integers(1, 6))):
            keep = draw(st.none() | st.integers(0, context)) if index else None
            append, gen, gap_s = draw(lengths), draw(lengths), draw(st.integers(0, 90)) / 4
            turns.append(
                Turn(append, gen, None if keep == context else keep, gap_s if index else 0.0)
            )
            context = (context if keep is None else keep) + append + gen
        start_s = draw(st.integers(0, 40)) / 4 if number else 0.0
        made.append(
            Trajectory(
                name=f"a,{number}",
                turns=tuple(turns),
                preloaded=preloaded,
                start_s=start_s,
                stems=((0, preloaded),) if preloaded else (),
            )
        )
    return in_common(made)


def there_and_back(file: str, format: Format, given: Sequence[Trajectory]) -> list[Trajectory]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text("".join(WRITERS[file](given)))
        assert format_of(path) == format
        return load(path, format, shared=True)


@given(trajectories())
@tries(30)
@pytest.mark.parametrize("file", ["turns.csv", "turns.jsonl"])
def test_rows_of_turns_are_the_trajectories_again(file: str, given: list[Trajectory]) -> None:
    assert there_and_back(file, "turns", given) == given


@given(trajectories())
@tries(30)
@pytest.mark.parametrize(("file", "format"), FORMATS)
def test_every_format_has_all_prompts_generations_and_gaps(
    file: str, format: Format, given: list[Trajectory]
) -> None:
    for before, after in zip(given, there_and_back(file, format, given), strict=True):
        assert after.name == before.name
        assert [step.prompt for step in steps(after)] == [step.prompt for step in steps(before)]
        assert [turn.gen for turn in after.turns] == [turn.gen for turn in before.turns]
        assert [turn.gap_s for turn in after.turns] == [turn.gap_s for turn in before.turns]


@pytest.mark.parametrize(("file", "format"), FORMATS)
def test_what_only_grows_is_the_same_in_every_format(file: str, format: Format) -> None:
    given = generate("32K", 5, 3)
    assert there_and_back(file, format, given) == given


def in_common_tokens(trajectories: Sequence[Trajectory]) -> list[int]:
    """How many tokens each two have in common, whatever stems are called."""
    whose = [
        [next(stem for stem, end in one.stems if token < end) for token in range(one.stems[-1][1])]
        for one in trajectories
    ]
    return [
        sum(a == b for a, b in zip(one, other, strict=False))
        for one, other in combinations(whose, 2)
    ]


def test_a_trace_of_two_families_is_one_again(tmp_path: Path) -> None:
    """Two parents of one system prompt, each with a child that begins with its parent's turns."""
    turns = (Turn(3 * 512, 9), Turn(512, 9), Turn(512, 9, 700))
    given = [
        Trajectory(name="mother", turns=turns, stems=((0, 1024), (1, 1536))),
        Trajectory(name="daughter", turns=turns, preloaded=1536, stems=((0, 1024), (1, 1536))),
        Trajectory(name="father", turns=turns, stems=((0, 1024), (2, 2048))),
        Trajectory(name="son", turns=turns, preloaded=2048, stems=((0, 1024), (2, 2048))),
    ]
    again = there_and_back("mooncake.jsonl", "mooncake", given)
    assert [one.preloaded for one in again] == [0, 1536, 1024, 2048]
    assert in_common_tokens(again) == in_common_tokens(given)
    assert [step.prompt for one in again for step in steps(one)] == [
        step.prompt for one in given for step in steps(one)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent,time,append,gen\n", "1: the heading has no cached"),
        ("agent,time,cached,append,gen\na,0,0,none,1\n", r"2: .*`\$.append`"),
        ("agent,time,cached,append,gen\na,0,0,9,1\na,1,11,9,1\n", "3: cached: 11 .* of 10"),
        ("agent,time,cached,append,gen\na,2,0,9,1\na,1,10,9,1\n", "3: time: 1 s is before 2 s"),
        ('{"agent": "a", "time": 0, "cached": 0, "append": 0, "gen": 1}\n', r"1: .*`\$.append`"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "trace").write_text(text)
    with pytest.raises(TraceError, match=said):
        load(tmp_path / "trace", "turns")
