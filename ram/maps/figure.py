"""Figures that a notebook shows as pictures, whether or not it has loaded pyplot."""

from __future__ import annotations

__all__ = ["MapFigure"]

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class MapFigure(Figure):
    """A figure that no window and no global state knows of; Jupyter shows it by itself."""

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as buffer:
            FigureCanvasAgg(self)
            self.savefig(buffer, format="png")
            return buffer.getvalue()
