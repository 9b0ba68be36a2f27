"""What is in an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from scenarios.reports.svg import SIZE, Drawing, letters

SPACE = "{http://www.w3.org/2000/svg}"


def marks(drawing: Drawing, tag: str) -> list[dict[str, str]]:
    """The attributes of every mark of a kind."""
    return [dict(one.attrib) for one in ElementTree.fromstring(str(drawing)).iter(SPACE + tag)]


def words(drawing: Drawing) -> list[str]:
    """Every text, in its order."""
    return [one.text or "" for one in ElementTree.fromstring(str(drawing)).iter(SPACE + "text")]


def texts(drawing: Drawing) -> list[dict[str, str]]:
    """The attributes of every text, and what it says as `text`."""
    found = ElementTree.fromstring(str(drawing)).iter(SPACE + "text")
    return [{**one.attrib, "text": one.text or ""} for one in found]


def beside(drawing: Drawing) -> list[str]:
    """Texts that are not all within the picture, and marks that are wider than it."""
    found = []
    for one in texts(drawing):
        if "transform" in one:
            continue
        x, wide = float(one["x"]), letters(one["text"]) * float(one["font-size"]) / SIZE
        left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[one["text-anchor"]]
        if left < -1 or left + wide > drawing.width + 1 or float(one["y"]) > drawing.height:
            found.append(one["text"])
    boxes = marks(drawing, "rect")[1:]
    return found + ["box" for b in boxes if float(b["x"]) + float(b["width"]) > drawing.width]


def lost(drawing: Drawing, wanted: Sequence[str]) -> list[str]:
    """What should be said and is not."""
    said = words(drawing)
    return [one for one in wanted if one not in said]
