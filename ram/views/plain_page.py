"""A page of sections, each with words, tables and pictures: one HTML file that needs nothing else."""

from __future__ import annotations

__all__ = ["Table", "plain_page", "section"]

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

import ram


@dataclass(frozen=True)
class Table:
    """One table; the first column is text."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def plain_page(title: str, sections: Sequence[Mapping[str, Any]]) -> str:
    """Return the page; every word in it is escaped."""
    folder = files("ram.views")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment.from_string(folder.joinpath("plain_page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        sections=sections,
        style=Markup(style),  # the package's own file, whose digest the policy names
        style_digest=f"sha256-{digest}",
        generator=f"ram {ram.__version__}",
    )


def section(
    title: str,
    content: Sequence[Table],
    *,
    pictures: Sequence[Mapping[str, str]] = (),
    words: Sequence[str] = (),
    nothing: str = "",
) -> dict[str, Any]:
    """Return one section; it says `nothing` where it has no table."""
    said = list(words) if content else [nothing]
    return {"title": title, "words": [text for text in said if text], "tables": content, "pictures": pictures}
