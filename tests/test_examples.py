"""The gate tries the same examples every time, exploring tries new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings  # noqa: TID251  to look at the profiles themselves
from hypothesis import strategies as st

from tests.examples import TIMES, tries


def drawn(profile: str) -> list[int]:
    """What a property is given by a profile."""
    seen = []

    @settings(settings.get_profile(profile), max_examples=20, database=None)
    @given(st.integers())
    def keep(number: int) -> None:
        seen.append(number)

    keep()
    return seen


@pytest.mark.parametrize("profile", ["fast", "gate"])
def test_a_tier_tries_the_same_every_time(profile: str) -> None:
    assert drawn(profile) == drawn(profile)


def test_exploring_tries_new_ones() -> None:
    assert drawn("explore") != drawn("explore")


@pytest.fixture
def load() -> Iterator[Callable[[str], None]]:
    """Loads a profile until the test is over."""
    before = settings.get_current_profile_name()
    yield settings.load_profile
    settings.load_profile(before)


@pytest.mark.parametrize(("profile", "most"), [("fast", 20), ("gate", 100), ("explore", 1000)])
def test_a_tier_has_its_number_of_examples(
    load: Callable[[str], None], profile: str, most: int
) -> None:
    load(profile)
    assert tries(100).max_examples == most == TIMES[profile] * 100
    assert settings.get_profile(profile).max_examples == most


def test_no_tier_tries_less_than_a_handful(load: Callable[[str], None]) -> None:
    load("fast")
    assert tries(10).max_examples == 5
