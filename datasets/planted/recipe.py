"""Planted tasks: signals and images whose target a formula makes, so that the true map is known without a solver.

    ram data make datasets/planted --task shortcut --dimensions 2 --output planted_shortcut_2d.h5

Sample i depends on (task, dimensions, seed, i) alone. Of ten samples in a row the first is for the test, the second for
validation, the others for training. The reference of all contributions is the mean input of the training samples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.making import compute_in_order, partial_folder
from ram.errors import ConfigError, explained
from ram.physics import planted
from ram.randomness import generator

VERSION = 1  # raise it when the same seed gives other samples or other values
TARGET_NOISE = 0.2  # standard deviation of what a sensor of the target adds, in the target's unit
NOTES = {
    "additive": "One kind of texture raises the target, one lowers it, one does nothing.",
    "interaction": "The target follows the product of the energies of two kinds of texture; a third does nothing. A "
    "contribution is an integral along the way from the mean input, so each of the two has half of the product.",
    "shortcut": "One kind of texture raises the target, one lowers it. The sticker does nothing, but its amplitude "
    "follows the target in training and validation part, which come from one laboratory; the test part comes from "
    "another, where it does not.",
}


def make(
    output: Path,
    *,
    task: Literal["additive", "interaction", "shortcut"] = "additive",
    dimensions: Literal[1, 2] = 2,
    samples: int = 2000,
    seed: int = 0,
    jobs: int = 1,
    progress: bool | Callable[[int, int], None] = True,
) -> None:
    """Write a planted task to `output`.

    Parameters
    ----------
    output
        The data file.
    task
        Which law makes the target.
    dimensions
        1: signals of 512 ms at 1 kHz; 2: images of 48 x 48 mm, a pixel a mm.
    samples, seed
        How many, and which ones.
    jobs
        Worker processes; the bytes of the file do not depend on it.
    progress
        Whether to show a bar, or who is told (done, in all).

    Raises
    ------
    ConfigError
        Fewer than 3 samples.
    """
    if samples < 3:
        raise ConfigError(explained(where="datasets/planted", what="samples", allowed="at least 3", got=samples))
    axes = axes_of(dimensions)
    work = functools.partial(_sample, task=task, dimensions=dimensions, seed=seed)
    results = compute_in_order(
        work,
        range(samples),
        jobs=jobs,
        folder=partial_folder(output),
        fingerprint=f"planted {VERSION} {task} {dimensions} {samples} {seed}",
        progress=progress,
        chunk=100,
    )
    made: list[Mapping[str, Any]] = []
    for result in results:
        if isinstance(result, str):
            raise RuntimeError(f"planted {task}: {result}")
        made.append(result)
    training = [result["x"] for index, result in enumerate(made) if part_of(index) == "train"]
    reference = np.mean(training, axis=0, dtype=np.float64)
    spec = specification(task, axes, samples=samples, seed=seed, reference=reference)
    write_dataset(output, spec, _records(task, axes, made, seed=seed, reference=reference))


def part_of(index: int) -> str:
    """Return the part of the split that a sample belongs to.

    >>> [part_of(i) for i in (0, 1, 2, 9, 10)]
    ['test', 'validation', 'train', 'train', 'test']
    """
    return {0: "test", 1: "validation"}.get(index % 10, "train")


def axes_of(dimensions: int) -> tuple[Axis, ...]:
    """Return the axes of the inputs: seconds, or millimetres from the middle."""
    if dimensions == 1:
        return (Axis.uniform("time", "s", size=512, step=1e-3),)
    return tuple(Axis.uniform(name, "mm", size=48, step=1.0, start=-23.5) for name in ("y", "x"))


def _coordinates(axes: tuple[Axis, ...]) -> dict[str, NDArray[np.float64]]:
    return {axis.name: axis.centres for axis in axes}


def _sample(index: int, *, task: str, dimensions: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return input (float32, as the file holds it) and regions of one sample."""
    at = _coordinates(axes_of(dimensions))
    x, regions = planted.drawn(task, at, seed=seed, index=index, follows=part_of(index) != "test")
    return {"x": x.astype(np.float32), "regions": regions}


def specification(
    task: str, axes: tuple[Axis, ...], *, samples: int, seed: int, reference: Float[np.ndarray, "*space"]
) -> DatasetSpec:
    """Return what the data set declares."""
    (target, unit), (channel, channel_unit) = planted.TARGETS[len(axes)], planted.CHANNELS[len(axes)]
    return DatasetSpec(
        name=f"planted-{task}-{len(axes)}d",
        source="generated: ram.physics.planted",
        licence="MIT",
        created_with=f"datasets/planted version {VERSION}, task {task}, dimensions {len(axes)}, samples {samples}, "
        f"seed {seed}",
        axes=axes,
        channels={channel: channel_unit},
        targets={target: unit},
        truth={(target, "contribution"): unit, (target, "region"): "1"},
        regions=("plain", *planted.law_of(task).kinds),
        count=samples,
        reference=reference[None],
        symmetries=("reverse",) if len(axes) == 1 else (),
        notes=NOTES[task],
    )


def _records(
    task: str,
    axes: tuple[Axis, ...],
    made: list[Mapping[str, Any]],
    *,
    seed: int,
    reference: Float[np.ndarray, "*space"],
) -> Iterator[Record]:
    law, at, (target, _) = planted.law_of(task), _coordinates(axes), planted.TARGETS[len(axes)]
    heard = [1 + law.kinds.index(kind) for kind in law.heard]
    for index, result in enumerate(made):
        x = result["x"].astype(np.float64)
        noise = float(generator(seed, "planted target", task, len(axes), index).normal(0, TARGET_NOISE))
        truth = planted.contributions(law, x, reference, at)
        yield Record(
            id=f"{task}-{seed}-{index:06d}",
            x=result["x"][None],
            targets={target: planted.value(law, x, at) + noise},
            split={"default": part_of(index)},
            truth={
                (target, "contribution"): truth.astype(np.float32),
                (target, "region"): np.isin(result["regions"], heard).astype(np.float32),
            },
            regions=result["regions"],
        )
