"""What each region of the input carries, by the net and by physics, in the target's unit."""

from __future__ import annotations

__all__ = ["RegionRow", "RegionTable", "part_table", "region_table"]

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from ram.errors import DataError, explained
from ram.maps.regression_map import RegressionMap


@dataclass(frozen=True)
class RegionRow:
    """One region over all samples of a table; what physics says is NaN where the file does not hold it.

    Attributes
    ----------
    net, physics
        Mean over the samples of what the region carries, in the target's unit, signed.
    net_absolute, physics_absolute
        Mean over the samples of its absolute value.
    net_share, physics_share
        Its part of the sum over the regions of those absolute values, 0 to 1.
    difference
        Mean absolute difference between net and physics.
    """

    name: str
    net: float
    net_absolute: float
    net_share: float
    physics: float
    physics_absolute: float
    physics_share: float
    difference: float


@dataclass(frozen=True, eq=False)
class RegionTable:
    """What each region carries, sample by sample.

    Attributes
    ----------
    names
        The regions in the order of their codes, then the design parameters that the net was given beside the
        input; together they are the whole: ``net.sum(axis=1) == prediction - baseline``.
    ids
        Shape (sample,).
    unit
        Unit of `net` and `physics`; ``"1"`` for a log target, whose contributions are logarithms of factors.
    net
        Shape (sample, row): what the net's map holds within the region.
    physics
        Shape (sample, row): what the truth holds within it; NaN for samples without truth and for parameters.
    log
        The net regresses the logarithm.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    unit: str
    net: Float[np.ndarray, "sample row"] = field(repr=False)
    physics: Float[np.ndarray, "sample row"] = field(repr=False)
    log: bool = False

    @property
    def rows(self) -> tuple[RegionRow, ...]:
        """The averages over the samples, one row a region.

        Samples without truth count for the net alone: give samples that all have one to compare like with like.
        """
        net, physics = np.abs(self.net).mean(axis=0), _mean(np.abs(self.physics))
        figures = (
            self.net.mean(axis=0), net, _share(net),
            _mean(self.physics), physics, _share(physics),
            _mean(np.abs(self.net - self.physics)),
        )  # fmt: skip
        return tuple(RegionRow(name, *map(float, row)) for name, *row in zip(self.names, *figures, strict=True))


def region_table(
    maps: RegressionMap,
    regions: UInt8[np.ndarray, "batch *space"],
    names: Sequence[str],
    *,
    truth: Float[np.ndarray, "batch *space"] | None = None,
) -> RegionTable:
    """Return what each region carries by the net's maps and, where given, by physics.

    A cell that lies in two regions gives each of them the share of its extent (law 4 of the map).

    Parameters
    ----------
    maps
        Maps of a batch of samples.
    regions
        Shape (batch, *space) on the input's grid: the number of the region in `names` that each point belongs
        to. Every point belongs to one (a void is a region), so that the rows sum to the whole.
    names
        Names of the regions.
    truth
        Shape (batch, *space), in the maps' unit, NaN for samples whose truth is not known.

    Raises
    ------
    DataError
        Where shapes differ, or a code has no name.
    """
    space = (len(maps), *(axis.size for axis in maps.input_axes))
    _require_shape(regions, space, "the regions")
    highest = int(regions.max(initial=0))
    if highest >= len(names):
        allowed = f"below {len(names)}, the number of names"
        raise DataError(explained(where="region table", what="the codes of regions", allowed=allowed, got=highest))
    net = _sums(maps.on_input_grid().contributions, regions, len(names))
    physics = np.full_like(net, np.nan)
    if truth is not None:
        _require_shape(truth, space, "the truth")
        physics = _sums(truth, regions, len(names))
        physics[np.isnan(truth).reshape(len(truth), -1).any(axis=1)] = np.nan  # empty regions of unknown samples too
    own = maps.parameter_contributions  # (batch, parameter): no place in the input, no truth
    return RegionTable(
        names=(*names, *maps.parameter_names),
        ids=tuple(map(str, maps.ids)),
        unit="1" if maps.log else maps.unit,
        net=np.concatenate([net, own], axis=1),
        physics=np.concatenate([physics, np.full_like(own, np.nan)], axis=1),
        log=maps.log,
    )


def part_table(maps: RegressionMap) -> RegionTable:
    """Return what each part of the maps carries: each channel of a net that keeps them apart, or each stage.

    Design parameters beside the input follow; all rows together are the whole, as in `region_table`.
    """
    net = np.concatenate([maps.part_totals, maps.parameter_contributions], axis=1)
    return RegionTable(
        names=(*maps.part_names, *maps.parameter_names),
        ids=maps.ids,
        unit="1" if maps.log else maps.unit,
        net=net,
        physics=np.full_like(net, np.nan),
        log=maps.log,
    )


def _require_shape(values: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if values.shape != shape:
        raise DataError(explained(where="region table", what=what, allowed=f"of shape {shape}", got=values.shape))


def _sums(
    values: Float[np.ndarray, "batch *space"], regions: UInt8[np.ndarray, "batch *space"], count: int
) -> Float[np.ndarray, "batch region"]:
    pairs = zip(regions.reshape(len(regions), -1), values.reshape(len(values), -1), strict=True)
    return np.array([np.bincount(codes, weights=row, minlength=count) for codes, row in pairs]).reshape(-1, count)


def _mean(values: Float[np.ndarray, "sample row"]) -> Float[np.ndarray, " row"]:
    """Return the mean over the samples that have a value; NaN where none has."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _share(absolute: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    total = np.nansum(absolute)
    return absolute / total if total > 0 else np.full_like(absolute, np.nan)
