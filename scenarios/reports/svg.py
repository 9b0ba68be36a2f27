"""Drawings as SVG: marks, text and scales that the pictures of a run are made of.

Lengths are px, from the upper left corner. Text is shown as it stands.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from scenarios.results.windows import Series

INK, FAINT, GRID = "#22272e", "#c9ced6", "#e9ecf0"
FONT = "DejaVu Sans, Verdana, sans-serif"
Places = NDArray[np.uint8]
SIZE = 12.0
"""Of letters, which are taken to be `LETTER` times as wide on average."""
LETTER = 0.6
NARROW = 340.0
"""Width of pictures for narrow pages, which show them at about this size."""
LINE = 18.0
"""Height of a line of a legend."""
NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
TICKS = 6


class Drawing:
    """An SVG picture that grows by what is drawn."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._marks: list[str] = []

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        colour: str,
        *,
        width: float = 1.0,
        dashed: bool = False,
    ) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, **_stroke(colour, width, dashed=dashed))

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle."""
        self._add("rect", x=x, y=y, width=width, height=height, fill=colour)

    def curve(self, way: str, colour: str, *, dashed: bool = False) -> None:
        """A line along a path."""
        self._add("path", d=way, fill="none", **_stroke(colour, 1.3, dashed=dashed))

    def area(self, way: str, colour: str, opacity: float) -> None:
        """What a path encloses."""
        self._add("path", d=way, fill=colour, fill_opacity=opacity)

    def image(self, x: float, y: float, width: float, height: float, png: bytes) -> None:
        """A picture of dots."""
        address = "data:image/png;base64," + base64.b64encode(png).decode()
        how = {"preserveAspectRatio": "none", "href": address}
        self._add("image", x=x, y=y, width=width, height=height, **how)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: Literal["start", "middle", "end"] = "start",
        size: float = SIZE,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """Words whose base line starts, has its middle or ends at (x, y); turned, they rise."""
        more: dict[str, str | float] = {"font_weight": "bold"} if bold else {}
        if turned:
            more["transform"] = f"rotate(-90 {_short(x)} {_short(y)})"
        self._add("text", words, x=x, y=y, text_anchor=anchor, font_size=size, fill=INK, **more)

    def legend(self, colours: Mapping[str, str], x: float, y: float) -> None:
        """Labels side by side, each with its colour, from (x, y) on, in as many lines as they
        need."""
        for row, labels in enumerate(legend_lines(colours, self.width - x)):
            place = x
            for label in labels:
                self.box(place, y + LINE * row - 10, 10, 10, colours[label])
                self.text(place + 15, y + LINE * row, label)
                place += _entry(label)

    def __str__(self) -> str:
        size = f"{_short(self.width)} {_short(self.height)}"
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="{FONT}">'
        paper = '<rect width="100%" height="100%" fill="#fff"/>'
        return "\n".join([head, paper, *self._marks, "</svg>", ""])

    def save(self, path: Path) -> None:
        """Write the picture."""
        path.write_text(str(self), encoding="utf-8")

    def _add(self, tag: str, /, words: str = "", **attributes: Any) -> None:
        told = " ".join(
            f'{name.replace("_", "-")}="{value if isinstance(value, str) else _short(value)}"'
            for name, value in attributes.items()
        )
        end = f">{escape(NO_XML.sub('�', words))}</{tag}>" if words else "/>"
        self._marks.append(f"<{tag} {told}{end}")


@dataclass(frozen=True)
class Scale:
    """Where values lie, px: `low` at `start`, `high` at `end`.

    Attributes:
        kind: linear; log; or asinh, which is linear near 0 and logarithmic far from it.
    """

    low: float
    high: float
    start: float
    end: float
    kind: Literal["linear", "log", "asinh"] = "linear"

    def at(self, value: float) -> float:
        """The place of one value."""
        return float(self.all_at(np.array([value]))[0])

    def all_at(self, values: Series) -> Series:
        """The places of values."""
        low, high = self._even(np.array([self.low, self.high], dtype=float))
        share = (self._even(values) - low) / ((high - low) or 1.0)
        places: Series = self.start + share * (self.end - self.start)
        return places

    def ticks(self, most: int = TICKS) -> list[float]:
        """Round values to be labelled; on a linear scale hardly more than so many."""
        if self.kind == "linear":
            step = _step((self.high - self.low) / most)
            first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
            return [float(f"{n * step:.12g}") for n in range(int(first), int(last) + 1)]
        least = self.low if self.kind == "log" else 1.0
        powers = np.arange(np.floor(np.log10(least)), np.ceil(np.log10(max(self.high, least))) + 1)
        digits = (1, 2, 5) if len(powers) < TICKS else (1,)
        found = [digit * 10.0**power for power in powers for digit in digits]
        zero = [0.0] if self.low <= 0 else []
        return zero + [tick for tick in found if least <= tick <= self.high * (1 + 1e-9)]

    def _even(self, values: Series) -> Series:
        if self.kind == "log":
            return np.log(np.maximum(values, np.finfo(float).tiny))
        return np.arcsinh(values) if self.kind == "asinh" else values


def letters(words: str) -> float:
    """How wide words are, about."""
    return LETTER * SIZE * len(words)


def legend_lines(labels: Iterable[str], room: float) -> list[list[str]]:
    """The lines of a legend that is no wider than `room` px, if a single label is not."""
    lines: list[list[str]] = []
    left = 0.0
    for label in labels:
        if not lines or left < _entry(label):
            lines.append([])
            left = room + 20  # behind the last one nothing has to be free
        lines[-1].append(label)
        left -= _entry(label)
    return lines


def label(value: float) -> str:
    """A round value in digits."""
    return f"{value:,.7g}"


def way(x: Series, y: Series, *, steps: bool = False) -> str:
    """A path through points, broken where y is not finite; as steps, y holds to the next x."""
    told, there = [], False
    for one, two in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(two):
            there = False
            continue
        if there and steps:
            told.append(f"H{_short(one)}V{_short(two)}")
        else:
            told.append(f"{'L' if there else 'M'}{_short(one)} {_short(two)}")
        there = True
    return "".join(told)


def back(x: Series, y: Series, *, steps: bool = False) -> str:
    """The rest of a path that encloses an area: to the last of the points and back to the first.

    They are finite.
    """
    told = [f"L{_short(float(x[-1]))} {_short(float(y[-1]))}"]
    for one, two in zip(x[-2::-1].tolist(), y[-2::-1].tolist(), strict=True):
        told.append(f"V{_short(two)}H{_short(one)}" if steps else f"L{_short(one)} {_short(two)}")
    return "".join([*told, "Z"])


def dots(places: Places, palette: Series) -> bytes:
    """A PNG with a dot for each entry of `places` (rows x columns, places in the palette).

    Args:
        palette: n x 3 bytes, red, green and blue; n up to 256.
    """
    rows, columns = places.shape
    lines = np.zeros((rows, columns + 1), np.uint8)
    lines[:, 1:] = places
    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    parts = {
        b"IHDR": head,
        b"PLTE": palette.astype(np.uint8).tobytes(),
        b"IDAT": zlib.compress(lines.tobytes()),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunks(parts))


def _chunks(parts: Mapping[bytes, bytes]) -> Iterator[bytes]:
    for kind, data in parts.items():
        yield struct.pack(">I", len(data)) + kind + data
        yield struct.pack(">I", zlib.crc32(kind + data))


def _entry(label: str) -> float:
    return 35 + letters(label)


def _stroke(colour: str, width: float, *, dashed: bool) -> dict[str, Any]:
    told = {"stroke": colour, "stroke_width": width}
    return told | {"stroke_dasharray": "4 3"} if dashed else told


def _step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * 0.999))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
