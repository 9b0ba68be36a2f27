"""What is in an SVG picture."""

from __future__ import annotations

from xml.etree import ElementTree

from scenarios.reports.svg import Drawing

SPACE = "{http://www.w3.org/2000/svg}"


def marks(drawing: Drawing, tag: str) -> list[dict[str, str]]:
    """The attributes of every mark of a kind."""
    return [dict(one.attrib) for one in ElementTree.fromstring(str(drawing)).iter(SPACE + tag)]


def words(drawing: Drawing) -> list[str]:
    """Every text, in its order."""
    return [one.text or "" for one in ElementTree.fromstring(str(drawing)).iter(SPACE + "text")]
