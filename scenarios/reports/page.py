"""What reports are written with: HTML pages from the templates."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2

from scenarios.reports.svg import Drawing

ABSENT = "-"
"""Stands where there is no figure."""

_HERE = Path(__file__).parent
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader([_HERE / "templates", _HERE / "vendor"]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: object) -> str:
    """The page that a template makes of the values; one that is missing is an error."""
    return _ENVIRONMENT.get_template(template).render(values)


def embedded(picture: Path | Drawing) -> str:
    """A picture in base64, so that a page needs no other file."""
    data = picture.read_bytes() if isinstance(picture, Path) else str(picture).encode()
    return base64.b64encode(data).decode()


def number(value: float | None) -> str:
    """A figure to four digits."""
    return ABSENT if value is None else f"{value:.4g}"
