"""Numbers of maps as the page says them."""

from __future__ import annotations

__all__ = ["Said", "largest_of"]

from dataclasses import dataclass
from typing import Any

from ram.maps.bounds import in_words
from ram.maps.carriers import carriers
from ram.maps.regression_map import RegressionMap
from ram.views.numbers import Writer, figure
from ram.views.scenes import share

_MOST_CELLS = 20_000  # of a map whose largest boxes are looked for: more would take seconds
_NEARLY = 1e-9


@dataclass(frozen=True)
class Said:
    """The first row of `maps` in words.

    Attributes
    ----------
    writer
        Of the target's values.
    """

    maps: RegressionMap
    writer: Writer

    @property
    def prediction(self) -> str:
        """The prediction with its unit."""
        return self.writer.value(float(self.maps.prediction[0]))

    @property
    def residual(self) -> str:
        """What a map that adds up fails to account for; empty where it is rounding."""
        one = self.maps
        if not one.adds_up or one.completeness()[0] < 1e-4:
            return ""
        return self.plain(float(one.residual[0]))

    @property
    def parts(self) -> list[dict[str, str]]:
        """What each channel, stage or layer carries."""
        return [
            {"name": name, "carried": self.share(float(value))}
            for name, value in zip(self.maps.part_names, self.maps.part_totals[0], strict=True)
            if not self.maps.part_units
        ]

    def share(self, carried: float) -> str:
        """Return what some cells carry, as the map counts it: in the target's unit, as a factor, or in its own."""
        if self.maps.adds_up:
            return share(self.maps, carried, writer=self.writer)
        return f"{'+' if carried > 0 else ''}{self.plain(carried)}"

    def plain(self, value: float) -> str:
        """Return a number in the unit of the map."""
        unit = self.maps.map_unit
        return figure(value) if unit in ("", "1") else f"{figure(value)}\N{NO-BREAK SPACE}{unit}"

    def of_whole(self, carried: float) -> str:
        """Return ``"+7.3 Hz of +41.0 Hz"``: what a region carries, of what all cells do."""
        return f"{self.share(carried)} of {self.share(float(self.maps.contributions[0].sum()))}"

    def compared(self, name: str, value: float, other: str, its: float) -> str:
        """Return ``"B is 12.3 Hz lower than A"``."""
        gap = self.writer.rounded(value - its)
        if abs(gap) <= _NEARLY:
            return f"{self.maps.target}: {name} is as high as {other}"
        amount = self.writer.value(abs(gap))
        return f"{self.maps.target}: {name} is {amount} {'higher' if gap > 0 else 'lower'} than {other}"


def largest_of(maps: RegressionMap, said: Said, *, most: int = 4) -> list[dict[str, Any]]:
    """Return the boxes of cells that carry most, in words, with their bounds; none for a map of very many cells."""
    if maps.contributions[0].size > _MOST_CELLS or maps.part_units:
        return []
    return [
        {"where": in_words(one.bounds, maps.axes), "carried": said.share(one.contribution), "bounds": one.bounds}
        for one in carriers(maps, most=most)
    ]
