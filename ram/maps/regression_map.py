"""The map of a prediction: what each cell of the input adds to it, in the target's unit.

``prediction = baseline + sum of contributions (+ shares of design parameters) + residual``
"""

from __future__ import annotations

__all__ = ["ADDING", "GRADES", "RegressionMap", "load_maps", "save_maps"]

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from ram.axes import Axis, share_within
from ram.errors import ConfigError, DataError, explained, nearest
from ram.maps.comparing import require_comparable
from ram.maps.files import load_maps, save_maps
from ram.maps.parts import named_part, require_parts, spread
from ram.maps.pictured import Pictured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

GRADES: Mapping[str, str] = MappingProxyType(
    {
        "exact": "sums to the prediction by construction",
        "complete": "sums to the difference from the reference up to a reported residual",
        "first-order": "a linear approximation; residual reported",
        "sensitivity": "change of the target for a change of the input",
        "effect": "change of the prediction when a region is taken away",
        "relative": "no unit: compare within one map only",
    }
)


ADDING = ("exact", "complete", "first-order")
"""Grades whose maps add up to the prediction, but for a residual that is reported."""

_LINEAR = ("contributions", "parameter_contributions", "part_contributions")


def _frozen(values: ArrayLike) -> Array:
    """Return a read-only view in float64; the caller's own array stays writable."""
    if type(values) is np.ndarray and values.dtype == np.float64 and not values.flags.writeable:
        return values
    view = np.asarray(values, dtype=np.float64).view()
    view.setflags(write=False)
    return view


@lru_cache(maxsize=64)
def _none(shape: tuple[int, ...]) -> Array:
    """Return an array of a shape that holds nothing, read-only: most maps have several such."""
    return _frozen(np.empty(shape))


@dataclass(frozen=True, eq=False, repr=False)
class RegressionMap:
    """Which regions of the input a batch of predictions comes from, in the unit of the target.

    Parameters
    ----------
    contributions
        Shape (batch, *cells), in `unit`: what each cell adds to the prediction. For a `log` target in natural
        logarithm: see `factors`.
    baseline
        Shape (batch,), in `unit`: the part of the prediction that no cell carries; the reference's prediction
        where there is a reference.
    prediction
        Shape (batch,), in `unit`.
    target, unit
        What is regressed, and its unit.
    axes
        The cells' axes in array order: where each cell lies and how far it extends.
    input_axes
        The input's axes in array order, without the channels.
    grade
        How far the map may be trusted, one of `GRADES`.
    method, reference
        How the map was made, and what the predictions are compared with.
    parameter_contributions
        Shape (batch, parameter), as `contributions`: shares of design parameters that have no place in the input.
    parameter_names
        Their names.
    ids
        One for each sample; their numbers if not given.
    log
        The net regresses the logarithm: ``prediction = baseline * product of factors``.
    receptive_field
        How much of the input a cell sees along each axis, in the axis' unit; NaN where that is not known.
    correction
        Shape (batch,), or empty for maps on the net's own cells: how much of a finer map, as a share of its absolute
        contributions, was needed to keep the total of each of the net's own cells.
    map_unit
        Unit of the contributions where it is not that of the target: ``"Hz/mm"`` for a sensitivity, ``"1"`` for a
        relative map.
    part_contributions
        Shape (batch, part, *cells), as `contributions`: what each part of the map carries; they sum to it where maps
        add up. See `part`.
    part_names, part_kind
        Names of the parts, and what they are: one of `ram.maps.parts.PART_KINDS`.
    ends
        Shape (batch,), or empty where nothing is padding: where each sample ends along the last axis, in its unit. What
        lies behind is zero, but for the end of the cell into which it falls; in a difference it is what the other has.
    pictured
        What the first samples look like, for pictures alone: not in files, nor compared.
    part_units
        Units of the parts where they differ from each other: slopes by channels in mm and kg, which have no sum.

    Raises
    ------
    DataError
        Where shapes do not belong together, or the grade is unknown.
    """

    contributions: Float[np.ndarray, "batch *cells"]
    baseline: Float[np.ndarray, " batch"]
    prediction: Float[np.ndarray, " batch"]
    target: str
    unit: str
    axes: tuple[Axis, ...]
    input_axes: tuple[Axis, ...]
    grade: str = "exact"
    method: str = "ram"
    reference: str = "baseline"
    parameter_contributions: Float[np.ndarray, "batch parameter"] = field(default_factory=lambda: _none((0, 0)))
    parameter_names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    log: bool = False
    receptive_field: tuple[float, ...] = ()
    map_unit: str = ""
    correction: Float[np.ndarray, " batch_or_none"] = field(default_factory=lambda: _none((0,)))
    part_contributions: Float[np.ndarray, "batch part *cells"] = field(default_factory=lambda: _none((0, 0)))
    part_names: tuple[str, ...] = ()
    part_kind: str = ""
    part_units: tuple[str, ...] = ()
    ends: Float[np.ndarray, " batch_or_none"] = field(default_factory=lambda: _none((0,)))
    pictured: Pictured = field(default_factory=Pictured)

    def __post_init__(self) -> None:
        batch, own = len(self.contributions), vars(self)  # the one place that may write to it
        own["map_unit"] = self.map_unit or self.unit
        if not self.parameter_names:
            own["parameter_contributions"] = _none((batch, 0))
        if not self.part_names:
            own["part_contributions"] = _none((batch, 0, *self.contributions.shape[1:]))
        for name in (*_LINEAR, "baseline", "prediction", "correction", "ends"):
            own[name] = _frozen(own[name])
        own["ids"] = tuple(map(str, self.ids if len(self.ids) else range(batch)))
        for name in ("axes", "input_axes", "parameter_names", "receptive_field", "part_names", "part_units"):
            own[name] = tuple(own[name])
        self._check()

    def _check(self) -> None:
        batch = len(self.contributions)
        cells = tuple(axis.size for axis in self.axes)
        _require("contributions", self.contributions.shape, (batch, *cells))
        _require("input_axes", len(self.input_axes), len(self.axes))
        _require("parameter_contributions", self.parameter_contributions.shape, (batch, len(self.parameter_names)))
        _require("baseline", self.baseline.shape, (batch,))
        _require("prediction", self.prediction.shape, (batch,))
        _require("ids", len(self.ids), batch)
        for name in ("correction", "ends"):
            if getattr(self, name).size:
                _require(name, getattr(self, name).shape, (batch,))
        require_parts(self)
        if self.grade not in GRADES:
            allowed = f"one of {', '.join(GRADES)}"
            raise DataError(explained(where="RegressionMap", what="the grade", allowed=allowed, got=self.grade))

    def __len__(self) -> int:
        return len(self.contributions)

    def __iter__(self) -> Iterator[RegressionMap]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> RegressionMap:
        """Return the maps of some samples; a number keeps the batch axis, of length one."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        return replace(
            self,
            **self._each(lambda values: values[chosen]),
            baseline=self.baseline[chosen],
            prediction=self.prediction[chosen],
            ids=tuple(self.ids[row] for row in chosen),
            correction=self.correction[chosen] if self.correction.size else self.correction,
            ends=self.ends[chosen] if self.ends.size else self.ends,
        )

    def __repr__(self) -> str:
        count = f"{len(self)} sample{'s' if len(self) != 1 else ''}"
        cells = "x".join(str(axis.size) for axis in self.axes)
        unit = self.map_unit
        if self.log and self.adds_up:
            unit = f"{self.unit} (factors: the net regresses the logarithm)"
        against = "" if self.reference == "baseline" else f" against {self.reference}"
        return f"RegressionMap of {self.target}: {count}, {cells} cells, {unit}, {self.grade}{against}"

    def _repr_html_(self) -> str:
        """Return the maps as Jupyter shows them: see `ram.maps.notebook.as_html`."""
        from ram.maps.notebook import as_html

        return as_html(self)

    @property
    def adds_up(self) -> bool:
        """Whether contributions, baseline and prediction belong together, by the grade of the map."""
        return self.grade in ADDING

    @property
    def total(self) -> Float[np.ndarray, " batch"]:
        """What all cells and design parameters carry together, shape (batch,)."""
        cells: Array = self.contributions.reshape(len(self), -1).sum(axis=1)
        shares: Array = self.parameter_contributions.sum(axis=1)
        return cells + shares

    def part(self, name: str) -> RegressionMap:
        """Return the map of one part: of a channel, ``maps.part("acc_x")``, or of a stage, ``maps.part("stage 1")``.

        What the other parts carry stands in its `parameter_contributions`, one row each, so that it adds up to the
        same prediction.

        Raises
        ------
        ConfigError
            Where the map has no such part.
        """
        return named_part(self, name)

    @property
    def part_totals(self) -> Float[np.ndarray, "batch part"]:
        """What all cells of each part carry together, shape (batch, part)."""
        return np.asarray(self.part_contributions.sum(axis=tuple(range(2, self.part_contributions.ndim))))

    @property
    def residual(self) -> Float[np.ndarray, " batch"]:
        """What the map fails to account for, shape (batch,): prediction - baseline - total; NaN where none is meant."""
        if not self.adds_up:
            return np.full(len(self), np.nan)
        return np.asarray(self._additive(self.prediction) - self._additive(self.baseline) - self.total)

    def completeness(self) -> Float[np.ndarray, " batch"]:
        """Return the residual relative to the sum of absolute contributions, shape (batch,), 0 at best."""
        size = np.abs(self.contributions).reshape(len(self), -1).sum(axis=1)
        size += np.abs(self.parameter_contributions).sum(axis=1)
        return np.asarray(np.abs(self.residual) / np.where(size > 0, size, 1.0))

    @property
    def factors(self) -> Float[np.ndarray, "batch *cells"]:
        """For a log target: what each cell multiplies the baseline by, shape (batch, *cells)."""
        if self.log:
            return np.asarray(np.exp(self.contributions))
        raise ConfigError(
            explained(
                where="RegressionMap.factors",
                what="the target",
                allowed="regressed in the logarithm",
                got=f"{self.target}, whose contributions add up in {self.unit}",
                next_step="Use contributions",
            )
        )

    def on_input_grid(self) -> RegressionMap:
        """Return the map on the input's grid: each cell's contribution spread over its extent by area.

        The total, and the total of every union of cells, are kept (law 4). Nothing is interpolated.
        """
        return replace(
            self,
            contributions=spread(self.contributions, self.axes, self.input_axes),
            part_contributions=spread(self.part_contributions, self.axes, self.input_axes),
            axes=self.input_axes,
        )

    def within(self, **bounds: tuple[float, float]) -> Float[np.ndarray, " batch"]:
        """Return what a region carries, shape (batch,): ``maps.within(x=(40, 90), y=(0, 60))``.

        Parameters
        ----------
        **bounds
            (low, high) in the unit of the axis of that name; an axis that is not named counts whole. A cell that
            lies partly within gives the share of its extent. For a `log` target the result is a logarithm.

        Raises
        ------
        ConfigError
            For a name that is no axis of the map, or bounds in the wrong order.
        """
        names = [axis.name for axis in self.axes]
        for name in bounds:
            if name not in names:
                raise ConfigError(_no_axis(name, self.axes))
        values = self.contributions
        for axis in reversed(self.axes):
            values = values @ (_share(axis, bounds[axis.name]) if axis.name in bounds else np.ones(axis.size))
        return values

    def within_mask(self, mask: ArrayLike) -> Float[np.ndarray, " batch"]:
        """Return what a region of any shape carries, shape (batch,), in the target's unit.

        Parameters
        ----------
        mask
            Shape (*space) or (batch, *space) on the input's grid: True within, or the share that is within.

        Raises
        ------
        DataError
            Where the mask has another shape.
        """
        space = tuple(axis.size for axis in self.input_axes)
        inside = np.asarray(mask, dtype=np.float64)
        if inside.shape not in {space, (len(self), *space)}:
            allowed = f"of shape {space} or {(len(self), *space)}, the input's grid"
            raise DataError(explained(where="within_mask", what="the mask", allowed=allowed, got=inside.shape))
        carried = self.on_input_grid().contributions * inside
        return np.asarray(carried.reshape(len(self), -1).sum(axis=1))

    def along(self, name: str) -> RegressionMap:
        """Return the maps along one axis, summed over the others: what each moment, or each frequency, carries.

        Raises
        ------
        ConfigError
            For a name that is no axis of the map.
        """
        names = [axis.name for axis in self.axes]
        if name not in names:
            known, near = ", ".join(names), nearest(name, names)
            raise ConfigError(
                explained(
                    where="RegressionMap.along", what="an axis", allowed=f"one of {known}", got=name, next_step=near
                )
            )
        kept = names.index(name)
        others = [place - len(names) for place in range(len(names)) if place != kept]

        def summed(values: Array) -> Array:
            return np.asarray(values.sum(axis=tuple(others)))

        return replace(
            self,
            contributions=summed(self.contributions),
            part_contributions=summed(self.part_contributions),
            axes=(self.axes[kept],),
            input_axes=(self.input_axes[kept],),
            receptive_field=self.receptive_field[kept : kept + 1],
            ends=self.ends if kept == len(names) - 1 else np.empty(0),
            pictured=Pictured(),
        )

    def difference(self, other: RegressionMap, *, reference: str = "") -> RegressionMap:
        """Return why these predictions differ from those of `other`: "B is 12 Hz lower, from there".

        Parameters
        ----------
        other
            Maps of the same target and cells, one for all or one for each sample; both must be counted from the
            same baseline.
        reference
            What to call `other`; its ids if not given.

        Raises
        ------
        DataError
            Where the two maps cannot be compared.
        """
        require_comparable(self, other)
        return replace(
            self,
            **{name: getattr(self, name) - getattr(other, name) for name in _LINEAR},
            baseline=np.broadcast_to(other.prediction, self.prediction.shape),
            reference=reference or (other.ids[0] if len(other) == 1 else "another sample each"),
        )

    def mean(self, *, name: str = "") -> RegressionMap:
        """Return the mean map of the batch, one row: a reference such as the training mean.

        For a `log` target logarithms are averaged, so that the factors still multiply to the prediction. Of signals of
        different length the mean is taken by position, those that have ended holding nothing: its sum is the mean sum.

        Parameters
        ----------
        name
            Id of the row, and so what maps against it are said to be against; ``"mean of N samples"`` if not given.
        """
        return replace(
            self,
            **self._each(lambda values: values.mean(axis=0, keepdims=True)),
            baseline=self._in_unit(self._additive(self.baseline).mean(keepdims=True)),
            prediction=self._in_unit(self._additive(self.prediction).mean(keepdims=True)),
            ids=(name or f"mean of {len(self)} samples",),
            correction=self.correction.mean(keepdims=True) if self.correction.size else self.correction,
            ends=np.empty(0),
            pictured=Pictured(),
        )

    def _each(self, change: Callable[[Array], Array]) -> dict[str, Any]:
        """Return every array that adds up, changed."""
        return {name: change(getattr(self, name)) for name in _LINEAR}

    def _additive(self, values: Array) -> Array:
        """From the target's unit to where contributions add up."""
        return np.log(values) if self.log else values

    def _in_unit(self, values: Array) -> Array:
        return np.exp(values) if self.log else values

    def plot(
        self, index: int = 0, *, image: ArrayLike | None = None, ax: Axes | None = None, limit: float | None = None
    ) -> Figure:
        """Return a picture of one map, over the design where `image` is given: see `ram.maps.plots.plot_map`."""
        from ram.maps.plots import plot_map

        return plot_map(self, index, image=image, ax=ax, limit=limit)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the maps to an HDF5 file that is valid netCDF-4, whole or not at all."""
        save_maps(path, {self.target: self})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, target: str | None = None) -> RegressionMap:
        """Return the map of `target` in a file, or the only one that the file holds.

        Raises
        ------
        ConfigError
            Where `target` is not in the file, or is not given and the file holds several.
        """
        maps = load_maps(path)
        chosen = next(iter(maps)) if target is None and len(maps) == 1 else target
        if chosen not in maps:
            raise ConfigError(_no_target(str(path), chosen, maps))
        return maps[chosen]


def _require(name: str, got: object, expected: object) -> None:
    if got != expected:
        what = f"the length of {name}" if isinstance(got, int) else f"the shape of {name}"
        raise DataError(explained(where="RegressionMap", what=what, allowed=f"{expected}", got=got))


def _share(axis: Axis, bounds: tuple[float, float]) -> Array:
    try:
        return np.asarray(share_within(axis, bounds))
    except ValueError as error:
        raise ConfigError(f"RegressionMap.within: {error}.") from None


def _no_axis(name: str, axes: Sequence[Axis]) -> str:
    spans = ", ".join(f"{axis.name} ({axis.edges[0]:g} to {axis.edges[-1]:g} {axis.unit})" for axis in axes)
    suggestion = nearest(name, [axis.name for axis in axes])
    return explained(
        where="RegressionMap.within", what="a bound", allowed=f"named after an axis: {spans}", got=name,
        next_step=suggestion,
    )  # fmt: skip


def _no_target(path: str, target: str | None, maps: Mapping[str, RegressionMap]) -> str:
    return explained(
        where=path, what="the target", allowed=f"one of {', '.join(maps)}", got=target or "none",
        next_step=nearest(target or "", maps) or "Say which with target=",
    )  # fmt: skip
