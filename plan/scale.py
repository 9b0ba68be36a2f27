"""The one place that knows how model quantities become emulated ones."""

from __future__ import annotations

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Similarity between the modelled cluster and what crosses the wire.

    Everything outside this type is in model units: bytes, seconds, bit/s.

    Attributes:
        byte_scale: model bytes per emulated byte (> 0).
        dilation: wall seconds per model second (> 0).
    """

    byte_scale: float
    dilation: float = 1.0

    def __post_init__(self) -> None:
        for field in ("byte_scale", "dilation"):
            value = getattr(self, field)
            if not value > 0:
                raise ValueError(f"{field} must be > 0, not {value!r}")

    def wire_bps(self, model_bps: float) -> float:
        """Emulated bit/s for a model rate in bit/s."""
        return model_bps / (self.byte_scale * self.dilation)

    def model_bps(self, wire_bps: float) -> float:
        """Model bit/s for an emulated rate in bit/s."""
        return wire_bps * self.byte_scale * self.dilation

    def model_bytes(self, wire_bytes: float) -> float:
        """Model bytes for emulated bytes."""
        return wire_bytes * self.byte_scale

    def wire_bytes(self, model_bytes: float) -> float:
        """Emulated bytes for model bytes."""
        return model_bytes / self.byte_scale

    def wall_s(self, model_s: float) -> float:
        """Wall seconds for model seconds."""
        return model_s * self.dilation

    def model_s(self, wall_s: float) -> float:
        """Model seconds for wall seconds."""
        return wall_s / self.dilation
