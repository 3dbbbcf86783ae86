"""One look at every input before any is read: what they have in common, and what they have not."""

from __future__ import annotations

__all__ = ["Survey", "survey", "with_rate", "with_rates"]

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ram.data.importing.cells import quantity
from ram.data.importing.inputs import Inputs
from ram.data.importing.look import Look
from ram.data.importing.tables import Table
from ram.errors import ConfigError, DataError, explained

_NEAR = 1e-6
_AGREES = 1e-3


@dataclass(frozen=True)
class Survey:
    """What the inputs declare.

    Parameters
    ----------
    looks
        One for each input.
    said
        What was recognised in how many of them.
    """

    looks: Sequence[Look] = field(repr=False)
    said: tuple[str, ...]

    @property
    def first(self) -> Look:
        """The first input's."""
        return self.looks[0]

    def steps(self) -> Counter[float | None]:
        """Return how many inputs have which step of time; steps that differ by rounding count as one."""
        counts: Counter[float | None] = Counter()
        for look in self.looks:
            same = (known for known in counts if known and look.step and abs(known / look.step - 1) < _NEAR)
            counts[next(same, look.step)] += 1
        return counts


def survey(inputs: Inputs, *, watch: Callable[[int], None]) -> Survey:
    """Look at every input.

    Parameters
    ----------
    watch
        Is told of each input that was looked at.

    Raises
    ------
    DataError
        One is damaged, or has other channels or axes than the first.
    """
    looks: list[Look] = []
    for index in range(len(inputs)):
        look = inputs.look(index)
        if looks:
            _check_alike(look, looks[0], inputs, index)
        looks.append(look)
        watch(1)
    kinds = Counter(look.kind for look in looks)
    said = [f"{count:,} {kind}" for kind, count in kinds.most_common()]
    remarks = Counter(look.said for look in looks if look.said)
    said += [f"{count:,} of them: {text}" if count < len(looks) else text for text, count in remarks.most_common(6)]
    return Survey(looks, tuple(said))


def with_rate(known: Survey, rate: str) -> Survey:
    """Return the survey with a rate such as ``"48 kHz"`` for signals that do not say theirs.

    Raises
    ------
    ConfigError
        It is no rate, or not that of a signal which says it.
    """
    if not rate or len(known.first.shape) != 2:
        return known
    given = quantity(rate, unit="Hz", where="--sample-rate")
    said = [1 / look.step for look in known.looks if look.step and not abs(look.step * given - 1) < _AGREES]
    if said or not given > 0:
        allowed = f"{said[0]:.6g} Hz, as the files say, or not given" if said else "above 0 Hz"
        step = "To bring signals to another rate, say --resample" if said else ""
        raise ConfigError(
            explained(where="--sample-rate", what="the rate", allowed=allowed, got=repr(rate), next_step=step)
        )
    return replace(known, looks=[replace(look, step=look.step or 1 / given) for look in known.looks])


def with_rates(known: Survey, table: Table, name: str) -> Survey:
    """Return the survey with the rates of a column, where the files themselves do not say.

    The column's unit says whether it holds rates or steps; without one, numbers below 1 are steps in s.

    Raises
    ------
    DataError
        A rate is missing, not positive, or not that of the file.
    """
    column = table.column(name, wanted_by="the rates")
    values = table.numbers(column)
    unit = column.unit or ("s" if np.nanmax(values) < 1 else "Hz")
    is_step = unit == "s" or unit.endswith("s")
    looks = []
    for row, look in enumerate(known.looks):
        given = values[row] * quantity(f"1 {unit}", unit="s" if is_step else "Hz", where=f"column {name}")
        step = (given if is_step else 1 / given) if given > 0 else float("nan")
        if not step > 0 or (look.step and abs(look.step / step - 1) > _AGREES):
            said = f", and {1 / look.step:.6g} Hz in the file" if look.step else ""
            raise DataError(
                explained(
                    where=table.where(row, column),
                    what="the rate",
                    allowed="above 0 and that of the file",
                    got=f"{values[row]:g} {unit}{said}",
                )
            )
        looks.append(replace(look, step=look.step or step))
    return replace(known, looks=looks, said=(*known.said, f"rates of column {name!r} in {unit}"))


def _check_alike(look: Look, first: Look, inputs: Inputs, index: int) -> None:
    if len(look.shape) != len(first.shape) or look.shape[0] != first.shape[0]:
        what, allowed, got = "an input", _words(first), _words(look)
        step = "Leave it out of the table, or choose its columns (--columns) so that all have the same channels"
    elif look.shape[1:-1] != first.shape[1:-1] or (len(first.shape) > 2 and look.shape != first.shape):
        what = "a picture" if len(first.shape) == 3 else "an array"
        allowed, got = f"of {_size(first)} cells, as {inputs.name(0)}", f"{_size(look)}"
        step = "Cut or scale the pictures to one size"
    else:
        return
    raise DataError(explained(where=inputs.name(index), what=what, allowed=allowed, got=got, next_step=step))


def _words(look: Look) -> str:
    axes = len(look.shape) - 1
    return f"of {look.shape[0]} channel{'s' * (look.shape[0] > 1)} and {axes} ax{'e' if axes > 1 else 'i'}s"


def _size(look: Look) -> str:
    return " x ".join(map(str, look.shape[1:]))
