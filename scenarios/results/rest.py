"""Whether TTFT was at rest when a run ended, or still rising (paper section 7).

Agents ask for a turn when they have the last one's answer. So beyond its capacity a system does
not collapse: agents pile up, TTFT creeps, and a run that is too short keeps an SLO that a longer
one would miss.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from plan.records import Ending, RequestRecord
from scenarios.results.over_time import Bins, first_tokens
from scenarios.results.windows import Series

WINDOWS = 10
"""Into which the time since the warm-up is cut."""
FEWEST = 5
"""Of these have to have first tokens, or nothing is said."""
TREND = 0.8
"""Of all pairs of windows so many rise; of a series without a trend one half does, and so many
by chance less than once in a hundred times."""
RISE = 0.1
"""By so much mean TTFT of the last windows is above that of the first."""
BY_ITSELF = ("after", "agents")
"""Endings that say nothing of TTFT."""


def rising(records: Iterable[RequestRecord], warmup_s: float, ending: Ending) -> bool:
    """Whether a run ended, by a rule that says nothing of TTFT, while that still rose.

    Args:
        records: all of the run's.
        warmup_s: what came before does not count, model seconds.
    """
    if ending.ended_by not in BY_ITSELF or ending.to_s <= warmup_s:
        return False
    edges_s = np.linspace(warmup_s, ending.to_s, WINDOWS + 1)
    return rises(Bins(edges_s).means(first_tokens(records)))


def rises(means: Series) -> bool:
    """Whether a series has an upward trend that is more than chance, and more than a little; NaN
    where there was nothing."""
    told = means[np.isfinite(means)]
    if len(told) < FEWEST:
        return False
    earlier, later = np.triu_indices(len(told), 1)
    third = len(told) // 3
    risen = told[-third:].mean() > (1 + RISE) * told[:third].mean()
    return bool(risen and np.mean(told[later] > told[earlier]) >= TREND)
