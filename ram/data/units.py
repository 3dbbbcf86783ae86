"""Units, parsed in one place."""

from __future__ import annotations

__all__ = [
    "below_absolute_zero",
    "checked_unit",
    "compatible",
    "convert",
    "difference_factor",
    "factor",
    "factor_or_none",
    "quantity",
]

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ram.errors import DataError, explained

if TYPE_CHECKING:
    import pint


def checked_unit(text: str, *, where: str) -> str:
    """Return `text` where it is a unit, ``"1"`` for an empty one.

    Raises
    ------
    DataError
        It is no unit; the message begins with `where`.

    >>> checked_unit("Hz/mm", where="targets.umbrella")
    'Hz/mm'
    """
    try:
        _unit(text)
    except Exception as error:  # pint raises a dozen kinds, from undefined names to tokenizer errors
        raise DataError(
            explained(
                where=where,
                what="the unit",
                allowed="one that pint knows, such as Hz, mm, kg, Hz/mm, or 1 where there is none",
                got=repr(text),
            )
        ) from error
    return text or "1"


def compatible(unit: str, other: str) -> bool:
    """Whether values in `unit` can be given in `other`.

    >>> compatible("Hz", "kHz"), compatible("Hz", "mm")
    (True, False)
    """
    return bool(_unit(unit).is_compatible_with(_unit(other)))


def convert(values: NDArray[Any], *, unit: str, to: str) -> NDArray[Any]:
    """Return `values` given in `unit` as values in `to`; the same array where the units are equal.

    >>> import numpy as np
    >>> convert(np.array([1.5]), unit="kHz", to="Hz")
    array([1500.])

    Raises
    ------
    DataError
        The units do not fit.
    """
    if unit == to:
        return values
    if not compatible(unit, to):
        raise DataError(
            explained(where=f"unit {unit!r}", what="it", allowed=f"convertible to {to!r}", got="another dimension")
        )
    converted: NDArray[Any] = _registry().Quantity(values, _unit(unit)).to(_unit(to)).magnitude
    return converted


def quantity(values: NDArray[Any], unit: str) -> Any:
    """Return `values` with their unit as pint has them, for arithmetic that keeps units."""
    return _registry().Quantity(values, _unit(unit))


def factor(unit: str, *, to: str) -> float:
    """Return by what values in `unit` are multiplied to give them in `to`.

    >>> factor("kHz", to="Hz")
    1000.0

    Raises
    ------
    DataError
        The units do not fit, or have different zeros (degC and K).
    """
    zero, one = convert(np.array([0.0, 1.0]), unit=unit, to=to)
    if zero != 0.0:
        raise DataError(
            explained(
                where=f"unit {unit!r}", what="it", allowed=f"a multiple of {to!r}", got="a unit with another zero"
            )
        )
    return float(one)


def difference_factor(unit: str, *, to: str) -> float:
    """Return by what a difference in `unit` is multiplied to give it in `to`; units may have different zeros.

    >>> difference_factor("degC", to="K"), difference_factor("kHz", to="Hz")
    (1.0, 1000.0)

    Raises
    ------
    DataError
        The units do not fit.
    """
    zero, one = convert(np.array([0.0, 1.0]), unit=unit, to=to)
    return float(one - zero)


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint  # takes 0.4 s

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True, on_redefinition="raise")


@functools.cache
def _unit(text: str) -> pint.Unit:
    return _registry().Unit("" if text in ("", "1") else text)


def factor_or_none(unit: str, *, to: str) -> float | None:
    """Return by what values in `unit` are multiplied to give them in `to`; None where they do not fit.

    >>> factor_or_none("us", to="s"), factor_or_none("mm", to="s")
    (1e-06, None)
    """
    try:
        return factor(unit, to=to)
    except DataError:
        return None


def below_absolute_zero(values: NDArray[Any], *, unit: str) -> NDArray[np.bool_]:
    """Say which temperatures cannot be; none where `unit` is no scale with a zero of its own, such as degC.

    >>> import numpy as np
    >>> below_absolute_zero(np.array([20.0, -300.0]), unit="degC").tolist()
    [False, True]
    """
    scale = compatible(unit, "K") and factor_or_none(unit, to="K") is None
    return np.asarray(convert(values, unit=unit, to="K") < 0.0 if scale else np.zeros(values.shape, dtype=np.bool_))
