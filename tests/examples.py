"""How many examples properties try; the profile says for which tier.

`gate`, the default, tries the same ones every time, so whoever changed nothing breaks nothing;
`fast` the first few of them; `explore` new ones, many, and prints how to try one again.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings  # noqa: TID251  here is where tiers are made

TIMES = {"fast": 0.2, "gate": 1.0, "explore": 10.0}
"""Examples of a profile, in those of the gate."""
LEAST = 5


def register() -> None:
    """Make the profiles known and the gate the one that is taken unless told otherwise."""
    same = settings(deadline=None, derandomize=True, database=None)
    settings.register_profile("gate", same)
    settings.register_profile("fast", same, max_examples=20)
    settings.register_profile(
        "explore",
        deadline=None,
        derandomize=False,
        max_examples=1000,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("gate")


def tries(examples: int) -> settings:
    """Settings of a property that tries so many in the gate."""
    times = TIMES[settings.get_current_profile_name()]
    return settings(max_examples=max(LEAST, round(examples * times)))
