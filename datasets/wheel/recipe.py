"""Wheel discs with their mode frequencies, and what each pixel does to them, from the finite-element solver.

    ram data make datasets/wheel --samples 1000 --size 64 --seed 0 --jobs 2 --output wheel.h5

Sample i depends on (seed, i) alone. Of twenty samples in a row the first is for the test, the second for validation,
the others for training. The reference of all contributions is the mean design of the training samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.making import compute_in_order, partial_folder
from ram.errors import ConfigError, SolverError, explained
from ram.physics import wheel
from ram.physics.design import WINDOW_MM
from ram.randomness import generator

VERSION = 3  # raise it when the same seed gives other wheels or other values
CHANNELS = {"fill": "1", "thickness": "mm"}
PARAMETERS = {
    "n_spokes": "1",
    "hub_radius": "mm",
    "rim_inner_radius": "mm",
    "hub_thickness": "mm",
    "rim_thickness": "mm",
    "root_thickness": "mm",
    "waist_thickness": "mm",
    "tip_thickness": "mm",
    "root_width": "mm",
    "tip_width": "mm",
    "twist": "rad",
    "fork_start": "1",
    "hole_share": "1",
    "thin_spot_depth": "1",
    "rotation": "rad",
    "solver_status": "1",
    "dropped_pixels": "1",
    "truth_points": "1",
    "truth_residual": "1",
}
SOLVED, ODD, FAILED = 0, 1, 2  # values of solver_status

Image = Float[np.ndarray, "channel y x"]
Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What one sample needs: its number, whether its maps are computed, and how far it lies from the mean design.

    Attributes
    ----------
    blend
        1: the wheel itself; below, a design on the straight way from the mean design (0) to it.
    """

    index: int
    truth: bool
    blend: float = 1.0


def part_of(index: int) -> str:
    """Return the part of the split that a sample belongs to.

    >>> [part_of(i) for i in (0, 1, 2, 19, 20)]
    ['test', 'validation', 'train', 'train', 'test']
    """
    return {0: "test", 1: "validation"}.get(index % 20, "train")


def make(
    output: Path,
    *,
    samples: int = 1000,
    size: int = 64,
    seed: int = 0,
    jobs: int = 1,
    truth_test: int | None = None,
    truth_train: int = 0,
    truth_validation: int = 0,
    blends: int = 0,
    progress: bool | Callable[[int, int], None] = True,
) -> None:
    """Write `samples` wheels of `size` x `size` pixels to `output`.

    Parameters
    ----------
    output
        The data file; finished parts lie in ``<output>.partial`` until it is whole.
    samples, size, seed
        How many wheels, pixels along one side, and which family of wheels.
    jobs
        Worker processes; the bytes of the file do not depend on it.
    truth_test, truth_train, truth_validation
        Number of test (None: all), training and validation samples that carry the maps known from physics.
    blends
        Number of training samples more: of the first training wheels a design on the straight way from the mean design
        to each, solved for its targets. They carry no maps, but are what integrated gradients ask a net about.
    progress
        Whether to show a bar, or who is told (done, in all).

    Raises
    ------
    ConfigError
        Fewer than 3 samples or fewer than 24 pixels.
    """
    _check(samples=samples, size=size, blends=blends)
    reference = mean_design(samples=samples, size=size, seed=seed)
    truths = {"test": samples if truth_test is None else truth_test, "train": truth_train}
    tasks = _tasks(samples, truths | {"validation": truth_validation}) + _blends(samples, blends, seed=seed)
    folder = partial_folder(output)
    results = compute_in_order(
        partial(solved, size=size, seed=seed, reference=reference),
        tasks,
        jobs=jobs,
        folder=folder,
        fingerprint=f"wheel {VERSION} {samples} {size} {seed} {truth_test} {truth_train} {truth_validation} {blends}",
        progress=progress,
    )
    failures: list[str] = []
    spec = specification(samples=samples, size=size, seed=seed, reference=reference, blends=blends)
    write_dataset(output, spec, _records(tasks, results, size=size, seed=seed, reference=reference, failures=failures))
    _tell(failures, len(tasks))


def _check(*, samples: int, size: int, blends: int) -> None:
    training = sum(part_of(index) == "train" for index in range(samples))
    if not 0 <= blends <= training:
        allowed = f"0 to {training}, one for each training wheel"
        raise ConfigError(explained(where="datasets/wheel", what="blends", allowed=allowed, got=blends))
    for name, value, least in (("samples", samples, 3), ("size", size, 24)):
        if value < least:
            raise ConfigError(explained(where="datasets/wheel", what=name, allowed=f"at least {least}", got=value))


def _tasks(samples: int, truths: Mapping[str, int]) -> list[Task]:
    """Return the samples in order; the first of each part, as many as `truths` says, carry the truth."""
    left, tasks = dict(truths), []
    for index in range(samples):
        part = part_of(index)
        tasks.append(Task(index, left[part] > 0))
        left[part] -= 1
    return tasks


def _blends(samples: int, count: int, *, seed: int) -> list[Task]:
    """Return designs between the mean design and the first `count` training wheels, evenly drawn."""
    training = [index for index in range(samples) if part_of(index) == "train"][:count]
    return [Task(index, truth=False, blend=float(generator(seed, "blend", index).uniform())) for index in training]


def blended(image: wheel.WheelImage, reference: Image, *, blend: float) -> wheel.WheelImage:
    """Return the image that lies at `blend` on the straight way from `reference` (0) to `image` (1)."""
    fill, thickness = (
        before + blend * (of - before) for before, of in zip(reference, (image.fill, image.thickness), strict=True)
    )
    return image if blend == 1.0 else dataclasses.replace(image, fill=fill, thickness=thickness)


def image_of(index: int, *, size: int, seed: int) -> wheel.WheelImage:
    """Return the image of one sample."""
    return wheel.rasterise(wheel.design(seed, index), size)


def mean_design(*, samples: int, size: int, seed: int) -> Image:
    """Return the mean image of the training samples, shape (channel, y, x): fill (1) and thickness (mm)."""
    total = np.zeros((2, size, size))
    training = [index for index in range(samples) if part_of(index) == "train"]
    for index in training:
        image = image_of(index, size=size, seed=seed)
        total += (image.fill, image.thickness)
    return total / len(training)


def solved(task: Task, *, size: int, seed: int, reference: Image) -> dict[str, Float[np.ndarray, "..."] | float]:
    """Return targets, maps and remarks of one sample, by name; a map's name is ``target/kind``."""
    image = blended(image_of(task.index, size=size, seed=seed), reference, blend=task.blend)
    found = wheel.solve(image.fill, image.thickness, pitch_mm=image.pitch_mm, sensitivities=task.truth, modes=5)
    result: dict[str, Float[np.ndarray, "..."] | float] = dict(found.targets)
    result |= {"dropped_pixels": float(found.dropped)}
    if not task.truth:
        return result
    truth = wheel.contributions(
        image.fill, image.thickness, *reference, pitch_mm=image.pitch_mm, target_values=found.targets
    )
    result |= {f"{name}/sensitivity": values.astype(np.float32) for name, values in found.d_thickness.items()}
    result |= {f"{name}/contribution": values.astype(np.float32) for name, values in truth.maps.items()}
    return result | {"truth_points": float(truth.points), "truth_residual": truth.worst}


def specification(*, samples: int, size: int, seed: int, reference: Image, blends: int = 0) -> DatasetSpec:
    """Return what the data set declares; its axes have their origin at the wheel's centre."""
    pitch = WINDOW_MM / size
    start = -(size - 1) / 2 * pitch
    truth = {(name, "sensitivity"): _per_mm(unit) for name, unit in wheel.TARGETS.items()}
    truth |= {(name, "contribution"): wheel.TARGETS[name] for name in wheel.PATH_TARGETS}
    return DatasetSpec(
        name="wheel",
        source="generated: ram.physics.wheel",
        licence="MIT",
        created_with=f"datasets/wheel version {VERSION}, samples {samples}, size {size}, seed {seed}"
        + (f", blends {blends}" if blends else ""),
        axes=tuple(Axis.uniform(name, "mm", size=size, step=pitch, start=start) for name in ("y", "x")),
        channels=CHANNELS,
        targets=wheel.TARGETS,
        parameters=PARAMETERS,
        truth=truth,
        regions=wheel.REGIONS,
        symmetries=("rotate90", "mirror"),
        count=samples + blends,
        reference=reference,
        notes="Planar aluminium discs, clamped at the hub. solver_status: 0 solved, 1 solved but odd (material that "
        "hangs on nothing was left out, or a target has no contributions because modes exchange their character on the "
        "way from the mean design: truth_residual is above 1 %), 2 failed.",
    )


def _per_mm(unit: str) -> str:
    return "1/mm" if unit == "1" else f"{unit}/mm"


def _records(
    tasks: Iterable[Task],
    results: Iterator[Mapping[str, NDArray[Any] | float] | str],
    *,
    size: int,
    seed: int,
    reference: Image,
    failures: list[str],
) -> Iterator[Record]:
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, str):
            if not result.startswith(SolverError.__name__):
                raise RuntimeError(f"wheel {task.index} of seed {seed}: {result}")
            failures.append(f"wheel {task.index} of seed {seed}: {result}")
        image = blended(image_of(task.index, size=size, seed=seed), reference, blend=task.blend)
        yield _record(task, image, {} if isinstance(result, str) else result, seed=seed)


def _record(task: Task, image: wheel.WheelImage, result: Mapping[str, Any], *, seed: int) -> Record:
    design = wheel.design(seed, task.index)
    keys = [(name, kind) for name, _, kind in (key.partition("/") for key in result) if kind]
    return Record(
        id=f"wheel-{seed}-{task.index:06d}{'' if task.blend == 1.0 else '-blend'}",
        x=np.stack([image.fill, image.thickness]).astype(np.float32),
        targets={name: float(result.get(name, np.nan)) for name in wheel.TARGETS},
        parameters=_parameters(design, result),
        split={"default": part_of(task.index)},
        truth={key: result["/".join(key)] for key in keys},
        regions=image.regions,
    )


def _parameters(design: wheel.Design, result: Mapping[str, Any]) -> dict[str, float]:
    values = {}
    for name in PARAMETERS:
        attribute = next((field for field in (name, f"{name}_mm") if hasattr(design, field)), None)
        values[name] = float(getattr(design, attribute)) if attribute else float(result.get(name, np.nan))
    values["thin_spot_depth"] = design.thin_spot.depth if design.thin_spot else 0.0
    values["solver_status"] = _status(result)
    return values


def _status(result: Mapping[str, Any]) -> float:
    if not result:
        return FAILED
    odd = result["dropped_pixels"] > 0 or result.get("truth_residual", 0.0) > 0.01
    return ODD if odd else SOLVED


def _tell(failures: list[str], samples: int) -> None:
    for failure in failures:
        print(failure)  # noqa: T201 - a recipe reports to its user
    print(f"{samples - len(failures)} of {samples} wheels solved, {len(failures)} failed (targets NaN)")  # noqa: T201
