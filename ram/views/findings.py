"""What a run has to say of its maps: regions, agreement with physics, and the samples that are shown."""

from __future__ import annotations

__all__ = [
    "Agreement",
    "Explained",
    "explained",
    "explained_targets",
    "has_truth",
    "regions_by",
    "truth_in_unit",
]

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from ram.data.dataset import Dataset
from ram.data.units import convert
from ram.evaluation.localisation import cells_that_count, material_points, rank_agreement, summed_on_cells
from ram.evaluation.regions import RegionTable, region_table
from ram.maps.fronts import over_input
from ram.maps.regression_map import RegressionMap
from ram.runs.run import Run

LARGEST = 256  # samples that averages are taken over: enough for two digits, seconds of work
KIND = "contribution"


@dataclass(frozen=True)
class Agreement:
    """How the maps of one target agree with physics, on the net's own cells.

    Attributes
    ----------
    ranks
        Shape (sample,): Spearman's rank correlation between map and truth over the cells with material.
    trivial, trivial_name
        The mean of the same figure for a map without any net, the best of "a channel minus its mean design's".
    net_reference, solver_reference
        What the net and the solver say of the mean design itself, in the target's unit.
    """

    ranks: Float[np.ndarray, " sample"] = field(repr=False)
    trivial: float
    trivial_name: str
    net_reference: float
    solver_reference: float

    @property
    def mean(self) -> float:
        """Mean rank correlation."""
        return float(np.nanmean(self.ranks)) if np.isfinite(self.ranks).any() else float("nan")


@dataclass(frozen=True, eq=False)
class Explained:
    """The maps of one target for samples of the test part, and what physics says of the same samples.

    Attributes
    ----------
    data
        The samples.
    maps
        Their maps, against the mean design where physics is against it, else against the training mean.
    truth
        Shape (sample, *space), the maps' unit, NaN where not known; None where the file has none.
    regions
        None where the file names no regions.
    over_inputs
        Whether maps lie over the file's inputs, and not over their spectrograms.
    """

    data: Dataset
    maps: RegressionMap
    truth: Float[np.ndarray, "sample *space"] | None = field(repr=False)
    regions: RegionTable | None
    agreement: Agreement | None
    over_inputs: bool = True

    @property
    def truth_on_cells(self) -> Float[np.ndarray, "sample *cells"] | None:
        """The truth summed on the cells of the maps."""
        if self.truth is None:
            return None
        return summed_on_cells(self.truth, source=self.maps.input_axes, cells=self.maps.axes)

    @property
    def reference_words(self) -> str:
        """What the maps are against, in two words."""
        return "training mean" if self.truth is None else "mean design"


def explained_targets(run: Run, test: Dataset, *, largest: int = LARGEST) -> dict[str, Explained]:
    """Return every target of a run, explained on the same samples for net and physics.

    Where the file holds contributions by physics, the samples are those that have them; else the first ones.
    Targets with the same samples share one pass through the net.
    """
    groups: dict[bytes, list[str]] = {}
    for name in run.units:
        groups.setdefault(has_truth(run, test, name).tobytes(), []).append(name)
    found: dict[str, Explained] = {}
    for names in groups.values():
        compared = has_truth(run, test, names[0])
        rows = test[compared] if compared.any() else test
        found |= explained(run, rows[:largest], names, with_truth=bool(compared.any()))
    return {name: found[name] for name in run.units}


def explained(run: Run, data: Dataset, targets: Sequence[str], *, with_truth: bool) -> dict[str, Explained]:
    """Return targets explained for the samples of `data`; with truth, some of the samples may lack it."""
    design = data.reference_design() if with_truth else None
    reference = "train-mean" if not with_truth else "train-mean-design" if design is None else design
    maps = run.explain(data, target=targets, reference=reference, method=run.method)
    return {name: _explained(run, data, maps[name], with_truth=with_truth) for name in targets}


def has_truth(run: Run, data: Dataset, target: str) -> Bool[np.ndarray, " sample"]:
    """Say which samples have a truth that a map of this target can be held against, in the same unit, on its axes."""
    logarithmic = next(one.log for one in run.spec.targets if one.name == target)
    if (target, KIND) not in data.truth_kinds or logarithmic or run.spec.model.spectrogram is not None:
        return np.zeros(len(data), dtype=bool)
    return data.has_truth(target, KIND)


def _explained(run: Run, data: Dataset, maps: RegressionMap, *, with_truth: bool) -> Explained:
    truth = truth_in_unit(run, data, maps.target) if with_truth else None
    agreement = None if truth is None else _agreement(run, data, maps, truth)
    regions = regions_by(data, over_input(maps, data.axes), truth)
    return Explained(data, maps, truth, regions, agreement, run.spec.model.spectrogram is None)


def truth_in_unit(run: Run, data: Dataset, target: str) -> Float[np.ndarray, "sample *space"]:
    """Return what physics says each point of the input contributes, in the unit of the run's target."""
    values = data.truth_array(target, KIND).astype(np.float64)
    return convert(values, unit=data.truth_kinds[target, KIND], to=run.units[target])


def regions_by(
    data: Dataset, maps: RegressionMap, truth: Float[np.ndarray, "sample *space"] | None = None
) -> RegionTable | None:
    """Return the table of the file's regions, with a row of its own for points that the file puts in none.

    None where the file names no regions.
    """
    if not data.region_names:
        return None
    codes, names = data.regions_array(), list(data.region_names)
    if (codes == 255).any():
        codes = np.where(codes == 255, len(names), codes).astype(np.uint8)
        names.append("no region")
    return region_table(maps, codes, names, truth=truth)


def _agreement(run: Run, data: Dataset, maps: RegressionMap, truth: Float[np.ndarray, "sample *space"]) -> Agreement:
    cells = summed_on_cells(truth, source=maps.input_axes, cells=maps.axes)
    points = material_points(data.x(), data.reference_design(), channels=list(data.channels))
    material = cells_that_count(points, source=maps.input_axes, cells=maps.axes, count=len(maps))
    trivial = _trivial(data, maps, cells, material)
    best = max(trivial, key=lambda name: np.nan_to_num(trivial[name], nan=-2.0))
    measured = _measured(run, data, maps.target)
    solver = measured - truth.reshape(len(truth), -1).sum(axis=1)
    known = np.isfinite(solver)
    return Agreement(
        ranks=rank_agreement(maps.contributions, cells, where=material),
        trivial=trivial[best],
        trivial_name=best,
        net_reference=float(np.mean(maps.baseline)),
        solver_reference=float(np.mean(solver[known])) if known.any() else float("nan"),
    )


def _measured(run: Run, data: Dataset, target: str) -> Float[np.ndarray, " sample"]:
    return convert(data.target_array([target])[:, 0], unit=data.targets[target], to=run.units[target])


def _trivial(
    data: Dataset, maps: RegressionMap, cells: Float[np.ndarray, "sample *cells"], material: Bool[np.ndarray, "..."]
) -> dict[str, float]:
    """Return the mean rank agreement of each channel minus that of the mean design, which needs no net."""
    inputs, design = data.x().astype(np.float64), data.reference_design()
    difference = inputs - (inputs.mean(axis=0) if design is None else design)
    figures = {}
    for number, name in enumerate(data.channels):
        naive = summed_on_cells(difference[:, number], source=maps.input_axes, cells=maps.axes)
        ranks = rank_agreement(naive, cells, where=material)
        figures[name] = float(np.nanmean(ranks)) if np.isfinite(ranks).any() else float("nan")
    return figures
