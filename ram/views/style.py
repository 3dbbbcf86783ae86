"""Colours, figures and PNG bytes of all pictures; colour-blind safe, no state shared between pictures.

Source: Okabe & Ito 2008 (lines and bars); matplotlib's RdBu (contributions) and viridis (inputs).
"""

from __future__ import annotations

__all__ = [
    "BLUE",
    "DIVERGING",
    "GREY",
    "INK",
    "ORANGE",
    "SEQUENTIAL",
    "coarser",
    "embedded",
    "new_figure",
    "png",
    "styled",
]

import base64
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DIVERGING = "RdBu_r"  # red raises the value, blue lowers it
SEQUENTIAL = "viridis"
_DPI: ContextVar[float] = ContextVar("dpi", default=140.0)  # twice what a page shows: sharp on fine screens and paper
INK, GREY, BLUE, ORANGE = "#1a1a1a", "#8a8a8a", "#0072b2", "#d55e00"

# Names come from files: a dollar sign in one of them is no formula.
_STYLE = {
    "axes.formatter.use_mathtext": False,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "figure.titlesize": 11,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.parse_math": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def styled() -> AbstractContextManager[None]:
    """Return a context with the style of all pictures, whatever the user's own settings are."""
    return style.context(["default", _STYLE])


@contextmanager
def coarser(times: float) -> Iterator[None]:
    """Draw with so many times fewer points along each axis, within the context."""
    token = _DPI.set(_DPI.get() / times)
    try:
        yield
    finally:
        _DPI.reset(token)


def new_figure(width: float, height: float, *, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Return an empty figure, sizes in inches, that no window and no global state knows of."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes."""
    with styled(), io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=_DPI.get(), metadata={"Software": None})
        return buffer.getvalue()


def embedded(figure: Figure, words: str) -> dict[str, str]:
    """Return a figure as the page holds it: its bytes as an address, and what it shows in words."""
    return {"source": f"data:image/png;base64,{base64.b64encode(png(figure)).decode()}", "words": words}
