"""Map supervision: the exact RAM of training samples is fitted to what is known of it, beside the value.

A net that regresses a number well may carry it anywhere: where the hertz come from is not in the number. Where a
solver says it (maps of contributions), or an engineer does (regions that may carry it), the same net can be asked for
both. The map is linear in the last features: one more term of the loss, and one more sample a step.

Right reasons as a term of the loss: Ross, Hughes & Doshi-Velez 2017, arXiv:1703.03717; here the map is exact, signed
and in the target's unit, and the truth is a solver's.
"""

from __future__ import annotations

__all__ = ["Supervision"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ram.axes import Axis
from ram.data.dataset import Dataset
from ram.data.units import factor
from ram.errors import ConfigError, DataError, explained, nearest
from ram.evaluation.localisation import summed_on_cells
from ram.evaluation.ridges import ridge_share, ridges_of
from ram.models.geometry import cell_axes, trace_cells
from ram.models.regressor import Regressor
from ram.models.symmetry import Symmetry, augment, undone
from ram.randomness import generator
from ram.runs.supervision import MapSupervisionConfig

_WHERE = "training.map_supervision"
_ROWS = 256  # truth maps read at a time

Maps = Float[Tensor, "batch output *cells"]


@dataclass(frozen=True, eq=False)
class Supervision:
    """What is known of the maps of the training samples, on the cells of the net, in standard deviations of the target.

    Attributes
    ----------
    truth
        Shape (known, output, *cells): contributions against `reference`; zero where a target has none.
    place
        Shape (sample,): the row of each training sample in `truth`, -1 where it has none.
    known
        Shape (sample, output): which targets of which samples are supervised.
    size
        Shape (output,): mean over the known samples of the sum of squared contributions; a misfit of 1 is that of a
        map of zeros.
    reference
        Shape (1, channel, *space): the design that contributions are against.
    outside
        Shape (sample, *cells): the share of each cell that may carry nothing; None where everything may.
    group
        Symmetries that samples are augmented with: maps are turned back before they are compared.
    seed
        Of the experiment.
    """

    config: MapSupervisionConfig
    truth: Float[Tensor, "known output *cells"]
    place: Int[np.ndarray, " sample"]
    known: Bool[np.ndarray, "sample output"]
    size: Float[Tensor, " output"]
    reference: Float[Tensor, "one channel *space"] | None
    outside: Float[Tensor, "sample *cells"] | None
    group: tuple[Symmetry, ...]
    seed: int

    @classmethod
    def of(
        cls,
        config: MapSupervisionConfig | None,
        *,
        regressor: Regressor,
        train: Dataset,
        group: Sequence[Symmetry],
        seed: int,
    ) -> Supervision | None:
        """Return what is known of the maps of the training part; None where nothing is asked for.

        Raises
        ------
        ConfigError, DataError
            Where the net has no exact map, or the data file does not hold what is asked for.
        """
        if config is None or not config.asks:
            return None
        _require_exact(regressor, train)
        _require_views(config, group)
        source, cells = _grids(regressor, train)
        truth, known = _no_truth(regressor, train, cells)
        reference = None
        if config.weight:
            known = _chosen(_known(config, regressor, train), share=config.share, seed=seed)
            truth = _truth(config, regressor, train, known, source=source, cells=cells)
            reference = _reference(train)
        rows = np.flatnonzero(known.any(axis=1))
        place = np.full(len(train), -1)
        place[rows] = np.arange(len(rows))
        counts = torch.from_numpy(known[rows].sum(axis=0)).clamp(min=1)
        size = truth.square().flatten(2).sum(dim=(0, 2)) / counts
        outside = _outside(config, regressor, train, source=source, cells=cells) if config.outside else None
        return cls(config, truth, place, known, size.clamp(min=1e-12), reference, outside, tuple(group), seed)

    def to(self, device: torch.device, dtype: torch.dtype) -> Supervision:
        """Return this on the device and in the precision of the net."""
        moved = {
            name: None if value is None else value.to(device=device, dtype=dtype)
            for name, value in (("truth", self.truth), ("size", self.size), ("outside", self.outside))
        }
        reference = None if self.reference is None else self.reference.to(device)
        return replace(self, reference=reference, **moved)  # type: ignore[arg-type]

    def answer(
        self, net: Regressor, x: Tensor, parameters: Tensor, *, positions: np.ndarray, choice: np.ndarray,
        whole: np.ndarray, epoch: int,
    ) -> tuple[Float[Tensor, "batch output"], Tensor]:  # fmt: skip
        """Return the standardised predictions of a share of a batch, and its share of what maps add to the loss.

        Parameters
        ----------
        x, positions, choice
            Augmented inputs, their places among the training samples, and which symmetry each was augmented with.
        whole
            The places of the whole batch, of which other processes may have other shares.
        """
        beside = [x] if self.reference is None else [x, self.reference.to(x.dtype)]
        if self.config.symmetric:
            beside.append(self._another_view(x, positions, epoch))
        inputs = torch.cat(beside) if len(beside) > 1 else x
        own = None if not parameters.shape[1] else _beside(parameters, len(inputs))
        predicted, maps = net.prediction_and_contributions(inputs, own)
        mine = undone(maps[: len(x)], self.group, choice)
        loss = maps.new_zeros(())
        if self.reference is not None:
            loss = loss + self.config.weight * self._misfit(mine - maps[len(x)], positions, whole)
        if self.outside is not None:
            off = mine.abs() * self.outside[torch.from_numpy(positions)][:, None]
            loss = loss + self.config.outside * _per_sample(off, whole)
        if self.config.smooth:
            loss = loss + self.config.smooth * sum(
                (_per_sample(mine.diff(dim=axis).abs(), whole) for axis in range(2, mine.ndim)), mine.new_zeros(())
            )
        if self.config.symmetric:
            other = self._views(maps[-len(x) :], positions, epoch)
            loss = loss + self.config.symmetric * _per_sample((mine - undone(other, self.group, choice)).abs(), whole)
        return predicted[: len(x)], loss

    def _misfit(self, maps: Maps, positions: np.ndarray, whole: np.ndarray) -> Tensor:
        """Mean over what is known in the whole batch of the squared misfit, against a map of zeros."""
        count = int(self.known[whole].sum())
        rows = np.flatnonzero(self.known[positions].any(axis=1))
        if not rows.size:
            return maps.sum() * 0.0
        known = torch.from_numpy(self.known[positions[rows]]).to(maps.device)
        truth = self.truth[torch.from_numpy(self.place[positions[rows]]).to(maps.device)]
        squares = (maps[torch.from_numpy(rows).to(maps.device)] - truth).square().flatten(2).sum(dim=2)  # (row, output)
        return torch.where(known, squares / self.size, 0.0).sum() / count

    def _another_view(self, x: Tensor, positions: np.ndarray, epoch: int) -> Tensor:
        return augment(x, self.group, self._draws(positions, epoch))

    def _views(self, maps: Maps, positions: np.ndarray, epoch: int) -> Maps:
        return undone(maps, self.group, self._draws(positions, epoch))

    def _draws(self, positions: np.ndarray, epoch: int) -> np.ndarray:
        """Return which symmetry the second view of each sample is turned by, never none."""
        draws = generator(self.seed, "second view", epoch).integers(1, len(self.group), size=len(self.place))
        return np.asarray(draws[positions])


def _beside(parameters: Tensor, count: int) -> Tensor:
    """Return parameters for the reference and second views too; their predictions are not used."""
    times = -(-count // len(parameters))
    return parameters.repeat(times, 1)[:count]


def _per_sample(values: Maps, whole: np.ndarray) -> Tensor:
    """Return a share of the mean over a whole batch of what is summed over cells, averaged over targets."""
    return values.flatten(2).sum(dim=2).mean(dim=1).sum() / len(whole)


def _require_exact(regressor: Regressor, train: Dataset) -> None:
    if regressor.dense is not None:
        allowed, step = "'gap', of which a map is exact", "Set model.head = 'gap', or leave map_supervision out"
        raise ConfigError(explained(where=_WHERE, what="the head", allowed=allowed, got="'dense'", next_step=step))
    if (train.lengths < train.axes[-1].size).any():
        step = "Leave map_supervision out, or cut the signals to one length"
        raise ConfigError(
            explained(where=_WHERE, what="samples", allowed="of one size", got="padded ones", next_step=step)
        )


def _require_views(config: MapSupervisionConfig, group: Sequence[Symmetry]) -> None:
    if config.symmetric and len(group) < 2:
        allowed, step = "with symmetries of the data set and training.augment = true", "Leave it out"
        raise ConfigError(
            explained(where=f"{_WHERE}.symmetric", what="training", allowed=allowed, got="none", next_step=step)
        )


def _grids(regressor: Regressor, train: Dataset) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    """Return the axes of what the backbone sees, and those of its cells."""
    axes = train.axes
    if regressor.front is not None:
        axes = regressor.front.axes(axes[0].size, start_s=float(axes[0].centres[0]))
    net, training = regressor.behind, regressor.training
    net.eval()
    sample = torch.zeros(1, len(net.input_mean), *(axis.size for axis in axes), dtype=net.head.weight.dtype)
    with regressor.single_view():
        geometries = trace_cells(net.features, sample)
    net.train(training)
    return axes, cell_axes(geometries, axes)


def _no_truth(
    regressor: Regressor, train: Dataset, cells: Sequence[Axis]
) -> tuple[Float[Tensor, "none output *cells"], Bool[np.ndarray, "sample output"]]:
    outputs = len(regressor.target_names)
    empty = torch.zeros(0, outputs, *(axis.size for axis in cells), dtype=torch.float32)
    return empty, np.zeros((len(train), outputs), dtype=bool)


def _known(config: MapSupervisionConfig, regressor: Regressor, train: Dataset) -> Bool[np.ndarray, "sample output"]:
    """Return which targets of which samples have a map of that kind; the others are left to their value."""
    kinds = train.truth_kinds
    if regressor.front is not None:
        step = "Name ridges or regions of the spectrogram instead, with outside above 0"
        got = "a spectrogram"
        raise ConfigError(
            explained(where=f"{_WHERE}.weight", what="what the net sees", allowed="the file's own inputs, over which "
                      "maps known from physics lie", got=got, next_step=step)
        )  # fmt: skip
    columns = []
    for name, log in zip(regressor.target_names, regressor.target_log, strict=True):
        if (name, config.kind) in kinds and log:
            step = "Take it out of data.log_targets: maps of a logarithm are factors"
            raise ConfigError(
                explained(where=_WHERE, what=f"'{name}', which has maps", allowed="no log target", got="one",
                          next_step=step)
            )  # fmt: skip
        present = (name, config.kind) in kinds
        columns.append(train.has_truth(name, config.kind) if present else np.zeros(len(train), dtype=bool))
    known = np.stack(columns, axis=1)
    if not known.any():
        there = sorted({kind for _, kind in kinds})
        step = nearest(config.kind, there) or "Make it with maps: the recipe's truth_train"
        raise DataError(
            explained(where=f"{train.path}:/truth", what=f"maps of kind '{config.kind}'",
                      allowed="there for a target that is regressed, in the training part",
                      got=", ".join("/".join(key) for key in kinds) or "none", next_step=step)
        )  # fmt: skip
    return known


def _chosen(known: Bool[np.ndarray, "sample output"], *, share: float, seed: int) -> Bool[np.ndarray, "sample output"]:
    """Return `known` for a share of the samples that have any; a smaller share is part of a larger one."""
    rows = np.flatnonzero(known.any(axis=1))
    kept = generator(seed, "supervised maps").permutation(rows)[: max(1, round(share * len(rows)))]
    chosen = np.zeros(len(known), dtype=bool)
    chosen[kept] = True
    return known & chosen[:, None]


def _truth(
    config: MapSupervisionConfig,
    regressor: Regressor,
    train: Dataset,
    known: Bool[np.ndarray, "sample output"],
    *,
    source: Sequence[Axis],
    cells: Sequence[Axis],
) -> Float[Tensor, "known output *cells"]:
    """Return the maps summed on the net's cells, in standard deviations of each target."""
    rows = np.flatnonzero(known.any(axis=1))
    maps = np.zeros((len(rows), known.shape[1], *(axis.size for axis in cells)), dtype=np.float32)
    for column, (name, unit) in enumerate(zip(regressor.target_names, regressor.target_units, strict=True)):
        if not known[:, column].any():
            continue
        scale = factor(train.truth_kinds[name, config.kind], to=unit) / float(regressor.target_scale[column])
        for begin in range(0, len(rows), _ROWS):
            part = rows[begin : begin + _ROWS]
            values = train[part].truth_array(name, config.kind).astype(np.float64) * scale
            values[~known[part, column]] = 0.0
            maps[begin : begin + _ROWS, column] = summed_on_cells(values, source=source, cells=cells)
    return torch.from_numpy(maps)


def _reference(train: Dataset) -> Float[Tensor, "one channel *space"]:
    design = train.reference_design()
    if design is None:
        step = "Write it beside the maps: DatasetSpec(reference=...)"
        raise DataError(
            explained(where=f"{train.path}:/truth/reference", what="the design that maps are against",
                      allowed="in the file", got="none", next_step=step)
        )  # fmt: skip
    return torch.from_numpy(design.astype(np.float32))[None]


def _outside(
    config: MapSupervisionConfig, regressor: Regressor, train: Dataset, *, source: Sequence[Axis], cells: Sequence[Axis]
) -> Float[Tensor, "sample *cells"]:
    """Return the share of each cell that belongs to none of the regions and touches none of the ridges."""
    inside = np.zeros((len(train), *(axis.size for axis in cells)))
    if config.regions:
        inside = _in_regions(config.regions, regressor, train, source=source, cells=cells)
    if config.ridges:
        front = regressor.front
        if front is None:
            step = "Add [model.spectrogram], or name regions"
            raise ConfigError(
                explained(where=f"{_WHERE}.ridges", what="the net", allowed="one that sees a spectrogram",
                          got="none", next_step=step)
            )  # fmt: skip
        width = {"lobe_hz": front.main_lobe_hz, "window_s": front.length / front.sample_rate_hz}
        frequency, time = cells
        on = [ridge_share(one, frequency=frequency, time=time, **width) > 0 for one in ridges_of(train, config.ridges)]
        inside = np.maximum(inside, on)
    return torch.from_numpy(1.0 - inside).float()


def _in_regions(
    names: Sequence[str], regressor: Regressor, train: Dataset, *, source: Sequence[Axis], cells: Sequence[Axis]
) -> Float[np.ndarray, "sample *cells"]:
    known = train.region_names
    for name in names:
        if name not in known or regressor.front is not None:
            allowed = f"one of {', '.join(known) or 'none'}, regions of what the net sees"
            raise ConfigError(
                explained(where=f"{_WHERE}.regions", what="a region", allowed=allowed, got=f"'{name}'",
                          next_step=nearest(name, known))
            )  # fmt: skip
    codes = [known.index(name) for name in names]
    grid = {"source": source, "cells": cells}
    points = summed_on_cells(np.ones((1, *(axis.size for axis in source))), **grid)
    parts = [
        summed_on_cells(np.isin(train[begin : begin + _ROWS].regions_array(), codes).astype(np.float64), **grid)
        for begin in range(0, len(train), _ROWS)
    ]
    inside: np.ndarray = np.concatenate(parts) / points
    return inside
