"""What maps are scored on: a net, samples, and all that is known of them."""

from __future__ import annotations

__all__ = ["Subject", "claimed_maps", "claimed_values", "default_reference_of", "on_cells"]

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ram.axes import Axis
from ram.errors import DataError, explained
from ram.evaluation.localisation import cell_of_point, cells_that_count, summed_on_cells
from ram.maps.activation import evaluating, uncompiled
from ram.maps.explain import explain_regressor
from ram.maps.methods import Method, method_called
from ram.maps.regression_map import RegressionMap
from ram.models.regressor import Regressor

Space = Float[np.ndarray, "sample *space"]
Rows = slice | NDArray[np.integer[Any]]
_AT_ONCE = 64  # samples, of at most so many points together: more only fall out of the cache
_POINTS_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class Subject:
    """A net and the samples on which its maps are scored; what is not known is None, or NaN for a sample.

    Attributes
    ----------
    net
        What is asked; for one that begins with a spectrogram what lies behind that, ``regressor.behind``, and `x` are
        levels over frequency and time.
    target
        Which of its targets.
    x
        Shape (sample, channel, *space), in the units that the net was trained on.
    reference
        Shape (channel, *space): what every map and every truth is against.
    axes, channels
        Axes of the space in array order; name and unit of each channel.
    parameters
        Shape (sample, parameter): design parameters that the net asks for beside the input.
    lengths
        Shape (sample,): how long padded signals are.
    ids, groups
        Of each sample; samples of one group are no independent witnesses.
    measured
        Shape (sample,), in the target's unit.
    contribution
        Shape (sample, *space), in the target's unit: what physics says that each point adds to the difference from the
        reference.
    sensitivity, mean_sensitivity
        By channel, in the target's unit per the channel's: shape (sample, *space) of these samples, and (*space), the
        mean over samples that the net learned from.
    material
        Shape (sample, *space): points that count, for they hold material in the sample or the reference; all if None.
    region
        Shape (sample, *space): where the target is known to come from, for data whose truth is a place.
    regions, region_names
        Shape (sample, *space), codes, and their names.
    """

    net: Regressor
    target: str
    x: Float[np.ndarray, "sample channel *space"] = field(repr=False)
    reference: Float[np.ndarray, "channel *space"] = field(repr=False)
    axes: tuple[Axis, ...]
    channels: Mapping[str, str]
    parameters: Float[np.ndarray, "sample parameter"] | None = field(default=None, repr=False)
    lengths: Int[np.ndarray, " sample"] | None = field(default=None, repr=False)
    ids: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_), repr=False)
    groups: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_), repr=False)
    measured: Float[np.ndarray, " sample"] | None = field(default=None, repr=False)
    contribution: Space | None = field(default=None, repr=False)
    sensitivity: Mapping[str, Space] = field(default_factory=dict, repr=False)
    mean_sensitivity: Mapping[str, Float[np.ndarray, "*space"]] = field(default_factory=dict, repr=False)
    material: Bool[np.ndarray, "sample *space"] | None = field(default=None, repr=False)
    region: Bool[np.ndarray, "sample *space"] | None = field(default=None, repr=False)
    regions: UInt8[np.ndarray, "sample *space"] | None = field(default=None, repr=False)
    region_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.target not in self.net.target_names:
            allowed = f"one of {', '.join(self.net.target_names)}"
            raise DataError(explained(where="Subject", what="the target", allowed=allowed, got=self.target))
        space = tuple(axis.size for axis in self.axes)
        wanted: dict[str, tuple[int, ...]] = {"x": (len(self.x), len(self.channels), *space)}
        wanted["reference"] = wanted["x"][1:]
        wanted |= dict.fromkeys(("contribution", "material", "region", "regions"), (len(self.x), *space))
        wanted |= dict.fromkeys(("measured", "lengths"), (len(self.x),))
        for name, shape in wanted.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise DataError(explained(where="Subject", what=name, allowed=f"of shape {shape}", got=values.shape))
        names = self.ids if len(self.ids) else [str(row) for row in range(len(self.x))]
        object.__setattr__(self, "ids", np.asarray(names, dtype=np.str_))
        groups = self.groups if len(self.groups) else np.full(len(self.x), "")
        object.__setattr__(self, "groups", np.asarray(groups, dtype=np.str_))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Rows) -> Subject:
        """Return the same question about some of the samples."""
        columns = (
            "x", "parameters", "lengths", "ids", "groups", "measured", "contribution", "material", "region", "regions",
        )  # fmt: skip
        kept = {name: getattr(self, name) for name in columns}
        chosen: dict[str, Any] = {name: None if values is None else values[rows] for name, values in kept.items()}
        sensitivity = {name: values[rows] for name, values in self.sensitivity.items()}
        return replace(self, **chosen, sensitivity=sensitivity)

    @property
    def column(self) -> int:
        """Which output of the net is asked."""
        return self.net.target_names.index(self.target)

    @property
    def log(self) -> bool:
        """Whether the net regresses the logarithm: then maps add up there, and their sums are in it."""
        return self.net.target_log[self.column]

    @property
    def unit(self) -> str:
        """Unit in which maps add up."""
        return "1" if self.log else self.net.target_units[self.column]

    @property
    def views(self) -> int:
        """How many passes an answer takes: one for each symmetry that the net averages over."""
        return max(1, len(self.net.symmetries))

    @property
    def _at_once(self) -> int:
        """How many samples the net is asked about together."""
        points = math.prod(axis.size for axis in self.axes)
        return max(1, min(_AT_ONCE, _POINTS_AT_ONCE // points))

    @cached_property
    def exact(self) -> str:
        """The method of the net's own cells: exact RAM, or Grad-RAM where dense layers follow the feature maps."""
        return "ram" if self.net.dense is None else "grad-ram"

    @cached_property
    def cells(self) -> tuple[Axis, ...]:
        """The net's own cells, on which all maps and truths are compared."""
        return self.explain(self.exact, rows=slice(0, 1)).axes

    @cached_property
    def truth(self) -> Float[np.ndarray, "sample *cells"] | None:
        """The truth summed on the net's own cells."""
        if self.contribution is None:
            return None
        return summed_on_cells(np.asarray(self.contribution, np.float64), source=self.axes, cells=self.cells)

    @cached_property
    def where(self) -> Bool[np.ndarray, "sample *cells"]:
        """The net's own cells that hold a point that counts."""
        return cells_that_count(self.material, source=self.axes, cells=self.cells, count=len(self))

    @cached_property
    def region_cells(self) -> Bool[np.ndarray, "sample *cells"] | None:
        """The net's own cells of which at least half belongs to the region; its fullest cell where none does."""
        if self.region is None:
            return None
        ones = np.ones((1, *self.region.shape[1:]))
        whole = summed_on_cells(ones, source=self.axes, cells=self.cells)
        share = summed_on_cells(self.region.astype(np.float64), source=self.axes, cells=self.cells) / whole
        most = share.reshape(len(share), -1).max(axis=1).reshape(-1, *(1,) * len(self.cells))
        return np.asarray((share > 0) & (share >= np.minimum(0.5, most) - 1e-9))

    @cached_property
    def cell_of_point(self) -> Int[np.ndarray, "*space"]:
        """The number of the own cell in which each point of the input lies."""
        return cell_of_point(self.axes, self.cells)

    @cached_property
    def reference_answer(self) -> Float[np.ndarray, " sample"]:
        """What the net says of the reference beside each sample's own design parameters, where maps add up."""
        if self.parameters is None or not self.parameters.shape[1]:
            return np.repeat(self.answers(self.reference[None], rows=np.zeros(1, dtype=np.int64)), len(self))
        return self.answers(np.broadcast_to(self.reference, self.x.shape), rows=np.arange(len(self)))

    @cached_property
    def answer(self) -> Float[np.ndarray, " sample"]:
        """What the net says of the samples, where maps add up: for a log target in the logarithm."""
        return self.answers(self.x, rows=np.arange(len(self)))

    def answers(
        self, x: Float[np.ndarray, "row channel *space"] | Tensor, *, rows: NDArray[np.integer[Any]]
    ) -> Float[np.ndarray, " row"]:
        """Return what the net says of changed inputs, where maps add up.

        Parameters
        ----------
        rows
            Shape (row,): which sample each input was made of; its parameters and length go with it.
        """
        net, found = self.net, []
        like = net.head.weight
        with uncompiled(), evaluating(net), torch.no_grad():
            for start in range(0, len(x), self._at_once):
                part, own = x[start : start + self._at_once], rows[start : start + self._at_once]
                # a reference that is repeated for each sample is a view that torch must not take
                given = torch.as_tensor(
                    np.require(part, requirements=["C", "W"]) if isinstance(part, np.ndarray) else part
                )
                found.append(net.standardised_prediction(given.to(like), *self._beside(own))[:, self.column].double())
        scale, mean = (float(values[self.column]) for values in (net.target_scale, net.target_mean))
        return mean + scale * torch.cat(found).cpu().numpy()

    def _beside(self, rows: NDArray[np.integer[Any]]) -> tuple[Tensor | None, Tensor | None]:
        parameters, lengths = self.parameters, self.lengths
        return (
            None if parameters is None or not self.net.parameter_names else torch.from_numpy(parameters[rows]),
            None if lengths is None else torch.from_numpy(np.asarray(lengths[rows], dtype=np.int64)),
        )

    def explain(
        self,
        method: str,
        *,
        rows: Rows = slice(None),
        net: Regressor | None = None,
        x: Float[np.ndarray, "row channel *space"] | None = None,
        options: Mapping[str, int | float] | None = None,
        seed: int = 0,
    ) -> RegressionMap:
        """Return maps of a method against the reference, as the method allows; see `default_reference_of`.

        Parameters
        ----------
        rows
            Of which samples.
        net, x
            Another net, or changed inputs of these samples, in place of the subject's own.

        Raises
        ------
        ConfigError, DataError, ModelError
            Where the method does not fit the net or the data; says why.
        """
        known = method_called(method)
        several = known.grade == "sensitivity"
        found = explain_regressor(
            net or self.net,
            self.x[rows] if x is None else x,
            parameters=None if self.parameters is None else self.parameters[rows],
            targets=[self.target],
            method=method,
            reference=self.reference if default_reference_of(known) else None,
            reference_name="the reference design",
            input_axes=self.axes,
            ids=self.ids[rows],
            regions=self.regions[rows] if self.regions is not None and "region" in method else None,
            channel="each" if several else None,
            channel_unit=tuple(self.channels.values()) if several else "1",
            channels=tuple(self.channels),
            options=options,
            seed=seed,
            batch_size=self._at_once,
            lengths=None if self.lengths is None else self.lengths[rows],
        )
        return found[self.target]

    def region_answers(self) -> int:
        """Return how many regions there are to ask about, at least one."""
        return 1 if self.regions is None else max(1, np.unique(self.regions).size)


def default_reference_of(method: Method) -> bool:
    """Say whether maps of a method are against the reference.

    Methods whose maps add up are: exact RAM as RAM(x) - RAM(reference), those of the input from the reference to x; and
    those that put it in the place of a region or a feature are. Gradients, and the published maps without a unit (CAM,
    Grad-CAM ...), are of the sample alone.
    """
    return method.adds_up or method.name == "score-cam" or (method.kind == "input" and method.grade == "effect")


def claimed_maps(subject: Subject, maps: RegressionMap, *, rows: Rows = slice(None)) -> Float[np.ndarray, "row *cells"]:
    """Return what maps claim that each of the net's own cells adds to the difference from the reference.

    A sensitivity (Hz per mm) is multiplied by the difference of the input from the reference, channel by channel, and
    summed over the channels: the first-order claim. Every other map is taken as it is. Values on another grid than the
    net's own cells are summed on these, so that sums are kept (law 4 of the map).
    """
    return on_cells(claimed_values(subject, maps, rows=rows), source=maps.axes, cells=subject.cells)


def claimed_values(
    subject: Subject, maps: RegressionMap, *, rows: Rows = slice(None)
) -> Float[np.ndarray, "row *cells"]:
    """Return the claims of `claimed_maps` on the map's own grid."""
    if maps.grade != "sensitivity":
        return maps.contributions
    steps = subject.x[rows].astype(np.float64) - subject.reference
    return np.asarray((maps.part_contributions * steps).sum(axis=1))


def on_cells(
    values: Float[np.ndarray, "row *space"], *, source: Sequence[Axis], cells: Sequence[Axis]
) -> Float[np.ndarray, "row *cells"]:
    """Return values on one grid summed on the cells of another; as they are where the grids are one."""
    if len(source) == len(cells) and all(a.same_grid(b) for a, b in zip(source, cells, strict=True)):
        return np.asarray(values, dtype=np.float64)
    return summed_on_cells(np.asarray(values, dtype=np.float64), source=source, cells=cells)
