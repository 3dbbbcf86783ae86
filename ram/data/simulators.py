"""Simulators: functions that say what the targets of an input are, so that physics can be asked again.

A simulator is named by its entry, ``module:function`` or ``solver.py:function``, and has the signature ::

    simulate(x: Float[ndarray, "channel *space"], coordinates: Mapping[str, ndarray]) -> Mapping[str, float]

`x` is one input as the data file holds it, in the units of its channels; `coordinates` holds for each axis the centres
of its cells in the axis' unit; what is returned are targets by name, in the file's units. It may know fewer or more
targets than the file has.
"""

from __future__ import annotations

__all__ = ["Simulator", "load_simulator"]

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from ram.axes import Axis
from ram.data.modules import module_at
from ram.errors import ConfigError, SolverError, explained, nearest

Simulate = Callable[[Float[np.ndarray, "channel *space"], Mapping[str, Shaped[np.ndarray, " cell"]]], Mapping[str, Any]]

_SHAPE = "module:function or file.py:function, as in ram.physics.wheel:frequencies"


@dataclass(frozen=True, eq=False)
class Simulator:
    """A function that has been found and is called with what it needs.

    Attributes
    ----------
    entry
        Where it was found, ``module:function``.
    digest
        32 hexadecimal digits that stand for the entry and the source file that it is in: results that are kept are
        kept under it. They do not change where only a module changes that the source file imports.
    """

    entry: str
    digest: str
    _function: Simulate = field(repr=False)

    def __call__(self, x: Float[np.ndarray, "channel *space"], axes: Sequence[Axis]) -> dict[str, float]:
        """Return the targets of one input, by name, each a finite number.

        Parameters
        ----------
        x
            One input as the data file holds it; it reaches the function in float64, as a copy of its own.
        axes
            The axes of the input's grid.

        Raises
        ------
        SolverError
            The function raised, with its reason; or a value is not finite.
        ConfigError
            What it returned are no numbers by name.
        """
        given = np.array(x, dtype=np.float64)
        try:
            found = self._function(given, {axis.name: axis.centres for axis in axes})
        except SolverError:
            raise
        except Exception as error:
            raise SolverError(f"{self.entry}: {type(error).__name__}: {error}") from error
        return {name: self._number(name, value) for name, value in self._mapping(found).items()}

    def _mapping(self, found: object) -> Mapping[str, Any]:
        if isinstance(found, Mapping) and found and all(isinstance(name, str) for name in found):
            return found
        allowed, got = "a mapping of target names to numbers, not empty", f"{type(found).__name__}: {found!r}"[:120]
        raise ConfigError(explained(where=self.entry, what="what it returns", allowed=allowed, got=got))

    def _number(self, name: str, value: object) -> float:
        numbers = np.asarray(value)
        if numbers.ndim or numbers.dtype.kind not in "fiu":
            got = f"{type(value).__name__}: {value!r}"[:120]
            raise ConfigError(explained(where=self.entry, what=f"target {name}", allowed="one number", got=got))
        if not np.isfinite(numbers):
            raise SolverError(explained(where=self.entry, what=f"target {name}", allowed="finite", got=float(numbers)))
        return float(numbers)


def load_simulator(entry: str) -> Simulator:
    """Return the simulator of an entry. Its code is run: only name one that you trust.

    Parameters
    ----------
    entry
        ``module:function``, with a module that Python can import, or ``folder/solver.py:function``.

    Raises
    ------
    ConfigError
        The entry is no entry, or there is no such module, file or function, or it cannot be imported.

    >>> load_simulator("ram.physics.wheel:frequencies").entry
    'ram.physics.wheel:frequencies'
    """
    place, _, name = entry.rpartition(":")
    if not (place and name.isidentifier()):
        raise ConfigError(explained(where="simulator", what="an entry", allowed=_SHAPE, got=repr(entry)))
    module = _from_file(Path(place), entry) if place.endswith(".py") else _imported(place, entry)
    function = getattr(module, name, None)
    if not callable(function):
        callables = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        got = "nothing of that name" if function is None else type(function).__name__
        raise ConfigError(
            explained(
                where=entry, what=name, allowed=f"a function of {place}", got=got, next_step=nearest(name, callables)
            )
        )
    return Simulator(entry, _digest(entry, module), function)


def _imported(name: str, entry: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        here = "Give the path of its file instead (solver.py:function), or put its folder on PYTHONPATH"
        allowed, got = "a module that Python can import", f"no module named {error.name!r}"
        raise ConfigError(explained(where=entry, what=name, allowed=allowed, got=got, next_step=here)) from error
    except Exception as error:
        raise _broken(entry, name, error) from error


def _from_file(path: Path, entry: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(explained(where=entry, what=str(path), allowed="a file with Python code", got="no such file"))
    try:
        return module_at(path, kind="simulator")
    except Exception as error:
        raise _broken(entry, str(path), error) from error


def _broken(entry: str, what: str, error: Exception) -> ConfigError:
    got = f"{type(error).__name__}: {error}".rstrip(".")
    return ConfigError(explained(where=entry, what=what, allowed="importable", got=got))


def _digest(entry: str, module: ModuleType) -> str:
    source = getattr(module, "__file__", None)
    content = Path(source).read_bytes() if source else b""
    return hashlib.sha256(entry.rpartition("/")[2].encode() + content).hexdigest()[:32]
