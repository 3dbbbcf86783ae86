"""Numbers with units as people write them: ``"0.8 ms"``, ``"10kHz"``."""

from __future__ import annotations

__all__ = ["quantity_in"]

import re

from ram.data.units import factor_or_none

_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*")


def quantity_in(text: str, *, unit: str, bare: bool = False) -> float | None:
    """Return the number in `unit`; None where the text is none, or measures something else.

    Parameters
    ----------
    bare
        Whether a number without unit is taken as one in `unit`.

    >>> quantity_in("0.8 ms", unit="s"), quantity_in("3", unit="s"), quantity_in("3 kg", unit="s")
    (0.0008, None, None)
    """
    found = _NUMBER_AND_UNIT.fullmatch(text)
    if found is None or not (found[2] or bare):
        return None
    times = 1.0 if not found[2] else _factor(found[2], unit)
    return None if times is None else float(found[1]) * times


def _factor(word: str, unit: str) -> float | None:
    try:
        return factor_or_none(word, to=unit)
    except Exception:  # pint raises a dozen kinds for a word that is no unit
        return None
