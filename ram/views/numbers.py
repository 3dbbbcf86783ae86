"""How the report writes numbers: with their unit, a true minus, and as many digits as their error allows."""

from __future__ import annotations

__all__ = ["NOTHING", "Writer", "figure", "fixed", "per_cent", "writer_for"]

import math
from dataclasses import dataclass

NOTHING = "–"


@dataclass(frozen=True)
class Writer:
    r"""Write values of one target.

    >>> Writer("Hz", 1).value(572.31), Writer("Hz", 1).signed(-11.27)
    ('572.3\xa0Hz', '−11.3\xa0Hz')
    """

    unit: str
    decimals: int

    def value(self, number: float | None) -> str:
        """Return the number with its unit."""
        return self._with_unit(self.bare(number))

    def signed(self, number: float | None) -> str:
        """Return the number with its sign and unit."""
        return self._with_unit(self.bare(number, sign=True))

    def bare(self, number: float | None, *, sign: bool = False) -> str:
        """Return the number alone, for a table whose head says the unit."""
        if number is None or not math.isfinite(number):
            return NOTHING
        rounded = self.rounded(number)
        return f"{rounded:{'+' if sign and rounded else ''}.{self.decimals}f}".replace("-", "−")

    def rounded(self, number: float) -> float:
        """Return the number as it is written; zero has no sign."""
        return round(number, self.decimals) + 0.0

    def _with_unit(self, text: str) -> str:
        return text if text == NOTHING or self.unit == "1" else f"{text}\N{NO-BREAK SPACE}{self.unit}"


def writer_for(unit: str, *, error: float) -> Writer:
    r"""Return the writer that shows two digits of an error of this size, and a decimal where it is below 100.

    >>> writer_for("Hz", error=4.7).value(572.314)
    '572.3\xa0Hz'
    """
    if not (math.isfinite(error) and error > 0):
        return Writer(unit, 3)
    return Writer(unit, min(max(int(error < 100), 1 - math.floor(math.log10(error))), 9))


def figure(number: float | None, *, digits: int = 3) -> str:
    """Return a number without unit in so many digits; plain where there is none.

    >>> figure(0.99412), figure(None)
    ('0.994', '–')
    """
    if number is None or not math.isfinite(number):
        return NOTHING
    return f"{number:.{digits}g}".replace("-", "−")


def fixed(number: float | None, *, decimals: int) -> str:
    """Return a number without unit with so many decimals.

    >>> fixed(-0.0389, decimals=2)
    '−0.04'
    """
    return Writer("1", decimals).bare(number)


def per_cent(share: float) -> str:
    """Return a share (0 to 1) in whole per cent.

    >>> per_cent(0.657)
    '66 %'
    """
    return NOTHING if not math.isfinite(share) else f"{100 * share:.0f} %"
