"""Interventions: a region of a sample is given the reference's design, and the solver is asked again.

What the target loses by that is the true change of the region, sample by sample. It is held against the change that a
map claims for it, the sum of the contributions in the region: no map is needed for the truth, only a simulator.

For a target that adds over regions the two are equal for a true map. Where regions work together they are not: taking
away either of two factors takes the whole product, of which a path integral gives each of them half.

Regions are those of the file, voids among them, for fill is given as well as what is filled; and random patches. Drawn
on the cells of a map they are unions of whole cells, so that no border runs through one: what lies on both sides of
such a border, the edge of a spoke and the void beside it, may well have opposite signs, and a cell holds their sum.
"""

from __future__ import annotations

__all__ = ["Interventions", "cache_folder", "intervene", "region_masks"]

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.computing import compute_in_order
from ram.data.dataset import Dataset
from ram.data.simulators import Simulator
from ram.errors import ConfigError, DataError, SolverError, explained
from ram.evaluation.localisation import cell_of_point
from ram.randomness import generator

VERSION = 1  # raise it when the same question has other answers
PATCHES = 4
PATCH_SHARE = 1 / 16  # of the input: a quarter of each side of an image
_FAILURES = "failures"


@dataclass(frozen=True)
class _Drawing:
    """How regions are drawn; what is asked of the solver depends on it."""

    patches: int
    share: float
    seed: int
    cells: tuple[Axis, ...]

    def words(self, own: Sequence[Axis]) -> str:
        """Return all of it for a fingerprint; what is not asked for is not said, so that older answers stay known."""
        found = f"{self.patches} {self.seed} "
        if self.share != PATCH_SHARE:
            found += f"{self.share} "
        same = all(one.same_grid(other) for one, other in zip(self.cells, own, strict=True))
        return found if same else found + " ".join(axis.edges.tobytes().hex() for axis in self.cells)


@dataclass(frozen=True, eq=False)
class Interventions:
    """What the solver says of samples, and of each of them with a region replaced.

    Attributes
    ----------
    ids
        Shape (sample,).
    names
        The regions of the file, then ``"patch 1"`` and so on, drawn anew for each sample.
    masks
        Shape (sample, region, *space): the points that were replaced.
    units
        Target -> unit of `values` and `changes`: those of the data file.
    values
        Target -> shape (sample,): the unchanged sample, NaN where the solver failed.
    changes
        Target -> shape (sample, region): value minus value with the region replaced, what the region adds; NaN where
        the solver failed, or the sample has nothing of the region.
    failures
        Why, one text a failure.
    """

    ids: NDArray[np.str_]
    names: tuple[str, ...]
    masks: Bool[np.ndarray, "sample region *space"] = field(repr=False)
    units: Mapping[str, str]
    values: Mapping[str, Float[np.ndarray, " sample"]] = field(repr=False)
    changes: Mapping[str, Float[np.ndarray, "sample region"]] = field(repr=False)
    failures: tuple[str, ...] = ()

    def claims(self, contributions: Float[np.ndarray, "sample *space"]) -> Float[np.ndarray, "sample region"]:
        """Return what maps on the input's grid claim for each region: the sum of their contributions there.

        Raises
        ------
        DataError
            Where the maps are not of these samples, on this grid.
        """
        shape = (self.masks.shape[0], *self.masks.shape[2:])
        if contributions.shape != shape:
            raise DataError(
                explained(where="interventions", what="maps", allowed=f"of shape {shape}", got=contributions.shape)
            )
        flat = self.masks.reshape(*self.masks.shape[:2], -1).astype(np.float64)
        return np.asarray(flat @ contributions.reshape(len(contributions), -1, 1))[..., 0]


def intervene(
    data: Dataset,
    simulator: Simulator,
    *,
    reference: Float[np.ndarray, "channel *space"] | None = None,
    patches: int = PATCHES,
    share: float = PATCH_SHARE,
    cells: Sequence[Axis] | None = None,
    seed: int = 0,
    jobs: int = 1,
    cache: Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
) -> Interventions:
    """Return what the targets of `data` lose where regions are given the reference's design.

    A sample costs a solve, one for each region that it has, and one for each patch. Answers are kept, so that the same
    question is answered at once when it is asked again.

    Parameters
    ----------
    data
        Samples; their regions are those of the file, if it has any.
    simulator
        Says the targets of an input.
    reference
        The design that regions are given; that of the truth in the file if not given.
    patches
        Number of random patches of each sample, beside the regions.
    share
        Of the input, that each patch takes.
    cells
        Of the maps whose claims will be held against the answers: regions and patches are whole cells. The points of
        the input if not given.
    seed
        Of the patches.
    jobs
        Worker processes; answers do not depend on it.
    cache
        Folder for the answers; beside the data file if not given.
    progress
        Whether to show a bar, or who is told (done, in all).

    Raises
    ------
    ConfigError
        There is neither a region nor a patch; the simulator returns no numbers, or none of the file's targets.
    DataError
        There is no reference, or it has another shape than the inputs.
    SolverError
        The solver failed on every sample.
    """
    design = _reference(data, reference)
    names = (*data.region_names, *(f"patch {number + 1}" for number in range(patches)))
    if not names:
        got = "no regions in the file and no patches"
        raise ConfigError(explained(where=str(data.path), what="regions", allowed="there, or patches", got=got))
    drawing = _Drawing(patches, share, seed, tuple(cells or data.axes))
    question = functools.partial(_answers, data=data, simulator=simulator, reference=design, drawing=drawing)
    fingerprint = _fingerprint(data, simulator, design, drawing)
    found = compute_in_order(
        question,
        range(len(data)),
        jobs=jobs,
        folder=cache_folder(data, cache) / fingerprint[:16],
        fingerprint=fingerprint,
        progress=progress,
    )
    return _gathered(data, simulator, names, [_usable(one) for one in found], design=design, drawing=drawing)


def cache_folder(data: Dataset, cache: Path | None = None) -> Path:
    """Return where answers about a data file are kept: beside it, if no other folder is given."""
    return data.path.with_name(f"{data.path.name}.interventions") if cache is None else cache


def region_masks(
    data: Dataset,
    *,
    reference: Float[np.ndarray, "channel *space"],
    patches: int = PATCHES,
    share: float = PATCH_SHARE,
    cells: Sequence[Axis] | None = None,
    seed: int = 0,
) -> Bool[np.ndarray, "sample region *space"]:
    """Return the points of each region of each sample, then those of random patches.

    A patch is a box that takes `share` of the input, about a point where the sample differs from the reference; it
    depends on seed and sample alone. With `cells` both are whole cells: a cell is of the region that most of its points
    are of.
    """
    drawing = _Drawing(patches, share, seed, tuple(cells or data.axes))
    return _all_masks(data, reference, drawing)


def _all_masks(
    data: Dataset, reference: Float[np.ndarray, "channel *space"], drawing: _Drawing
) -> Bool[np.ndarray, "sample region *space"]:
    return np.stack([_masks(data, position, reference, drawing) for position in range(len(data))])


def _reference(
    data: Dataset, reference: Float[np.ndarray, "channel *space"] | None
) -> Float[np.ndarray, "channel *space"]:
    design = data.reference_design() if reference is None else reference
    shape = (len(data.channels), *(axis.size for axis in data.axes))
    if design is None or design.shape != shape:
        got, step = "none" if design is None else design.shape, "Give one, such as the mean training input"
        allowed = f"of shape {shape}"
        raise DataError(
            explained(where=str(data.path), what="the reference design", allowed=allowed, got=got, next_step=step)
        )
    return np.asarray(design, dtype=np.float64)


def _fingerprint(data: Dataset, simulator: Simulator, reference: Float[np.ndarray, "..."], drawing: _Drawing) -> str:
    rows, design = data.indices.tobytes(), np.ascontiguousarray(reference).tobytes()
    words = f"{VERSION} {data.digest} {simulator.digest} {drawing.words(data.axes)}"
    return hashlib.sha256(words.encode() + hashlib.sha256(rows).digest() + design).hexdigest()


def _masks(
    data: Dataset, position: int, reference: Float[np.ndarray, "channel *space"], drawing: _Drawing
) -> Bool[np.ndarray, "region *space"]:
    sample, numbers = data[position], cell_of_point(data.axes, drawing.cells)
    codes = _codes_on_cells(sample.regions, numbers) if data.region_names and sample.regions is not None else None
    names = range(len(data.region_names))
    own = [np.zeros(numbers.shape, dtype=bool) if codes is None else codes[numbers] == code for code in names]
    places = np.argwhere((sample.x != reference.astype(np.float32)).any(axis=0))
    random = generator(drawing.seed, "intervention", sample.id)
    sizes = tuple(axis.size for axis in drawing.cells)
    for _ in range(drawing.patches):
        point = places[random.integers(len(places))] if len(places) else np.array(numbers.shape) // 2
        middle = np.unravel_index(numbers[tuple(point)], sizes)
        own.append(_box(tuple(map(int, middle)), sizes, drawing.share).ravel()[numbers])
    return np.stack(own)


def _codes_on_cells(regions: UInt8[np.ndarray, "*space"], numbers: Int[np.ndarray, "*space"]) -> NDArray[np.int64]:
    """Return, for each cell, the code that most of its points have."""
    known, codes = np.unique(regions, return_inverse=True)
    counts = np.zeros((int(numbers.max()) + 1, len(known)), dtype=np.int64)
    np.add.at(counts, (numbers.ravel(), codes.ravel()), 1)
    return np.asarray(known[counts.argmax(axis=1)], dtype=np.int64)


def _box(middle: tuple[int, ...], sizes: tuple[int, ...], share: float) -> Bool[np.ndarray, "*cells"]:
    """Return a box about a cell, as a mask over the cells; it is moved inwards where it would reach over the edge."""
    mask = np.zeros(sizes, dtype=bool)
    sides = [max(1, round(size * share ** (1 / len(sizes)))) for size in sizes]
    begins = [int(np.clip(at - side // 2, 0, n - side)) for at, side, n in zip(middle, sides, sizes, strict=True)]
    mask[tuple(slice(begin, begin + side) for begin, side in zip(begins, sides, strict=True))] = True
    return mask


def _answers(
    position: int,
    *,
    data: Dataset,
    simulator: Simulator,
    reference: Float[np.ndarray, "channel *space"],
    drawing: _Drawing,
) -> dict[str, NDArray[np.generic]]:
    """Return what the solver says of one sample, and of it with each region replaced; NaN where it fails."""
    sample = data[position]
    masks = _masks(data, position, reference, drawing)
    x = sample.x.astype(np.float64)
    designs = [x, *(np.where(mask, reference, x) if mask.any() else None for mask in masks)]
    answers: list[dict[str, float]] = []
    failures = []
    for number, design in enumerate(designs):
        answers.append({})
        try:
            answers[-1] |= {} if design is None else simulator(design, data.axes)
        except SolverError as error:
            failures.append(f"{sample.id}{f', region {number}' if number else ''}: {error}")
        if not answers[0]:
            break  # nothing to compare with
    targets = sorted({name for one in answers for name in one})
    rows = {name: [one.get(name, np.nan) for one in answers] for name in targets}
    return {_FAILURES: np.array(failures, dtype=np.str_)} | {f"of {name}": np.array(row) for name, row in rows.items()}


def _usable(result: Mapping[str, object] | str) -> Mapping[str, NDArray[np.generic]]:
    if isinstance(result, str):  # not a failure of the solver: what the simulator returns is no answer
        raise ConfigError(result.partition(": ")[2] or result)
    return {name: np.asarray(values) for name, values in result.items()}


def _gathered(
    data: Dataset,
    simulator: Simulator,
    names: tuple[str, ...],
    answers: Sequence[Mapping[str, NDArray[np.generic]]],
    *,
    design: Float[np.ndarray, "channel *space"],
    drawing: _Drawing,
) -> Interventions:
    failures = tuple(str(text) for one in answers for text in one[_FAILURES])
    known = {name.removeprefix("of ") for one in answers for name in one if name != _FAILURES}
    if not known:
        raise SolverError(f"{simulator.entry}: the solver failed on all {len(data)} samples. {failures[0]}")
    targets = [name for name in data.targets if name in known]
    if not targets:
        allowed = f"one of the targets {', '.join(data.targets)} of {data.path}"
        raise ConfigError(
            explained(where=simulator.entry, what="what it returns", allowed=allowed, got=", ".join(sorted(known)))
        )
    nothing = np.full(1 + len(names), np.nan)
    values = {
        name: np.stack([np.asarray(one.get(f"of {name}", nothing), dtype=np.float64) for one in answers])
        for name in targets
    }
    return Interventions(
        ids=data.ids,
        names=names,
        masks=_all_masks(data, design, drawing),
        units={name: data.targets[name] for name in targets},
        values={name: rows[:, 0] for name, rows in values.items()},
        changes={name: rows[:, :1] - rows[:, 1:] for name, rows in values.items()},
        failures=failures,
    )
