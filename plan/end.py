"""When a run ends, as its plan says."""

from __future__ import annotations

import msgspec


class Steady(msgspec.Struct, frozen=True, kw_only=True):
    """TTFT has come to rest: its mean over a window differs by at most a share `within` from
    that of `apart_s` seconds before (paper section 7)."""

    within: float = 0.05
    apart_s: float = 1800.0


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What ends a run before all requests are served, whichever comes first.

    Attributes:
        after_s: the time, model seconds; agents: so many agents are done.
        ttft_beyond_s: mean TTFT over the window is beyond that.
        window_s: length of the windows that TTFT is taken over.
        warmup_s: what happens before is not measured, and ends nothing but by `after_s`.
    """

    after_s: float | None = None
    agents: int | None = None
    ttft_beyond_s: float | None = None
    steady: Steady | None = None
    window_s: float = 150.0
    warmup_s: float = 0.0
