"""Lines that physics expects along an axis of an input: ``"frequency = 0.96 * p_wave_speed / (2 * depth)"``.

A formula of parameters and targets of the data file, with their units; pint says whether it gives a place on the axis.
"""

from __future__ import annotations

__all__ = ["Line", "line_in"]

import ast
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ram.axes import Axis
from ram.data.dataset import Dataset
from ram.data.units import quantity
from ram.errors import ConfigError, explained, nearest

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_EXAMPLE = "Such as frequency = 0.96 * p_wave_speed / (2 * depth)"
_ALLOWED = "AXIS = FORMULA of numbers and names with + - * / ** and brackets"


@dataclass(frozen=True)
class Line:
    """A line across a map, one place on an axis for each sample.

    Attributes
    ----------
    axis
        Name of the axis that it has a place on; it runs across all others.
    formula
        Of numbers, parameters and targets of the data file.
    """

    axis: str
    formula: str
    _tree: ast.expr = field(repr=False, compare=False)

    def __str__(self) -> str:
        """Return it as it is written in a config."""
        return f"{self.axis} = {self.formula}"

    def check(self, data: Dataset) -> None:
        """Raise ConfigError where a name is neither a parameter nor a target of `data`."""
        known = [*data.parameters, *data.targets]
        for name in _names(self._tree):
            if name not in known:
                raise ConfigError(
                    explained(
                        where=f"line '{self}'", what="a name", allowed=f"one of {', '.join(known)}", got=f"'{name}'",
                        next_step=nearest(name, known),
                    )
                )  # fmt: skip

    def places(self, data: Dataset, axes: Sequence[Axis]) -> Float[np.ndarray, " sample"]:
        """Return where the line lies for each sample, in the unit of the axis; NaN where it is not known.

        Raises
        ------
        ConfigError
            Where a name is not in the file, there is no such axis, or the formula does not give a place on it.
        """
        self.check(data)
        axis = {one.name: one for one in axes}.get(self.axis)
        if axis is None:
            names = [one.name for one in axes]
            allowed, near = f"one of {', '.join(names)}", nearest(self.axis, names)
            raise ConfigError(
                explained(
                    where=f"line '{self}'", what="the axis", allowed=allowed, got=f"'{self.axis}'", next_step=near
                )
            )
        try:
            with np.errstate(all="ignore"):
                one = quantity(np.asarray(1.0), "1")  # a formula may be a bare number
                values = (one * _value(self._tree, data)).to(quantity(np.asarray(1.0), axis.unit).units).magnitude
        except Exception as error:  # pint raises a dozen kinds
            step = "Look at the units of the parameters and targets: ram data info"
            allowed, got = f"one that gives {axis.unit}", f"'{error}'"
            raise ConfigError(
                explained(where=f"line '{self}'", what="the formula", allowed=allowed, got=got, next_step=step)
            ) from None
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (len(data),))


def line_in(text: str) -> Line:
    """Return the line that `text` says.

    Raises
    ------
    ConfigError
        It is not AXIS = FORMULA, or the formula has more than arithmetic.

    >>> line_in("time = 2 * depth / p_wave_speed")
    Line(axis='time', formula='2 * depth / p_wave_speed')
    """
    name, equals, formula = (part.strip() for part in text.partition("="))
    try:
        tree = ast.parse(formula, mode="eval").body if equals and name.isidentifier() else None
    except SyntaxError:
        tree = None
    if tree is None or not _is_arithmetic(tree):
        raise ConfigError(
            explained(where="lines", what="a line", allowed=_ALLOWED, got=f"'{text}'", next_step=_EXAMPLE)
        )
    return Line(name, formula, tree)


def _is_arithmetic(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return type(node.op) in _BINARY and _is_arithmetic(node.left) and _is_arithmetic(node.right)
    if isinstance(node, ast.UnaryOp):
        return type(node.op) in _UNARY and _is_arithmetic(node.operand)
    number = (
        isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
    )
    return number or isinstance(node, ast.Name)


def _names(tree: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _value(node: ast.expr, data: Dataset) -> Any:
    """Return a number, or a quantity with one value a sample."""
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, data), _value(node.right, data))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, data))
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]  # a number, as was looked at
    assert isinstance(node, ast.Name), "the tree has been looked at"
    if node.id in data.parameters:
        return quantity(data.parameter_array([node.id])[:, 0], data.parameters[node.id])
    return quantity(data.target_array([node.id])[:, 0], data.targets[node.id])
