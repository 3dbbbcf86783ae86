"""Mechanical MNIST, uniaxial extension: image of a block of two materials -> strain energy, from another solver.

    ram data make datasets/mechanical_mnist --output mnist.h5                     # fetches the published files
    ram data make datasets/mechanical_mnist --source FOLDER --output mnist.h5     # they are at hand

Source: Lejeune 2020, "Mechanical MNIST: a benchmark dataset for mechanical metamodels", Extreme Mechanics Letters 36.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ram.axes import Axis
from ram.data.layout import DatasetSpec, Record, write_dataset
from ram.data.sources import Published, source_folder
from ram.errors import ConfigError, DataError, explained

VERSION = 1  # raise it when the same files give other values
REPOSITORY = "elejeune11/Mechanical-MNIST"
COMMIT = "ef6ed4e399757298c17f925ea13916c153428f8e"
IMAGES, ENERGIES = "mnist_img_test.txt", "summary_psi_test_all.txt"
PUBLISHED = Published(
    "mechanical_mnist",
    f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/data/",
    {
        f"{IMAGES}.zip": "6013e9e0f6807c891221bdd4de61494fdaf6bf46307c47b3560d29d0f2c3682f",
        ENERGIES: "cb2e2ad5fb7f9a0135238204b1c7bee6ab7d2154d57d8549051468b47c8f55a7",
    },
)
PIXELS = 28
# The displacement of the upper edge at each of the 13 steps, in pixels. Below 0.5 the file keeps too few digits.
DISPLACEMENTS = (0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0)
REGRESSED = {
    f"energy_{displacement:g}".replace(".", "_"): step
    for step, displacement in enumerate(DISPLACEMENTS)
    if displacement >= 0.5
}

Images = UInt8[np.ndarray, "sample y x"]
Energies = Float[np.ndarray, "sample step"]


def make(
    output: Path,
    *,
    source: Path | None = None,
    samples: int = 10_000,
    progress: bool | Callable[[int, int], None] = True,
) -> None:
    """Write images and strain energies as one data file.

    Parameters
    ----------
    output
        The data file.
    source
        A folder or archive with ``mnist_img_test.txt`` (or its ``.zip``) and ``summary_psi_test_all.txt``; None: they
        are fetched, and checked by SHA-256.
    samples
        The first so many; of ten in a row the last two are for the test, the one before for validation.
    progress
        Who is told (done, in all).

    Raises
    ------
    ConfigError
        A file is missing, or there are fewer samples.
    DataError
        A file is not what its name says.
    """
    with source_folder(source, published=PUBLISHED) as folder:
        images, energies = read_images(folder), read_energies(folder)
    if not 10 <= samples <= min(len(images), len(energies)):
        allowed = f"10 to {min(len(images), len(energies)):,}"
        raise ConfigError(explained(where="datasets/mechanical_mnist", what="samples", allowed=allowed, got=samples))
    write_dataset(output, specification(samples), _records(images[:samples], energies[:samples], progress))


def read_images(folder: Path) -> Images:
    """Return the images, from the text or from its archive."""
    text = _found(folder, IMAGES, f"{IMAGES}.zip")
    if text.suffix == ".zip":
        with zipfile.ZipFile(text) as packed:
            content = packed.read(IMAGES)
    else:
        content = text.read_bytes()
    values = _numbers(text, content, columns=PIXELS**2)
    if values.min() < 0 or values.max() > 255:
        got = f"{values.min():g} to {values.max():g}"
        raise DataError(explained(where=str(text), what="the images", allowed="whole numbers from 0 to 255", got=got))
    return values.astype(np.uint8).reshape(-1, PIXELS, PIXELS)


def read_energies(folder: Path) -> Energies:
    """Return the change in strain energy at each step."""
    text = _found(folder, ENERGIES)
    return _numbers(text, text.read_bytes(), columns=len(DISPLACEMENTS))


def _found(folder: Path, *names: str) -> Path:
    """Return the first of these files that lies anywhere in a folder."""
    for name in names:
        for path in sorted(folder.rglob(name)):
            return path
    raise ConfigError(
        explained(where=str(folder), what="the source", allowed=f"a folder with {' or '.join(names)}", got="none")
    )


def _numbers(path: Path, content: bytes, *, columns: int) -> Float[np.ndarray, "row column"]:
    try:
        values = np.loadtxt(io.BytesIO(content), ndmin=2)
    except ValueError as error:
        raise DataError(
            explained(where=str(path), what="a text of numbers", allowed=f"{columns} a line", got=f"'{error}'")
        ) from None
    if values.shape[1] != columns:
        raise DataError(
            explained(where=str(path), what="a text of numbers", allowed=f"{columns} a line", got=values.shape[1])
        )
    return values


def specification(count: int) -> DatasetSpec:
    """Return what the data set declares; y runs from the edge that is pulled to the edge that is held."""
    return DatasetSpec(
        name="mechanical_mnist",
        source=f"github.com/{REPOSITORY}, commit {COMMIT}; Lejeune 2020, uniaxial extension, test part",
        licence="CC BY-SA 3.0",
        created_with=f"datasets/mechanical_mnist version {VERSION}, {count} samples",
        axes=tuple(Axis.uniform(name, "1", size=PIXELS, step=1.0, start=0.5) for name in ("y", "x")),
        channels={"intensity": "1"},
        targets=dict.fromkeys(REGRESSED, "1"),
        symmetries=("mirror",),
        count=count,
        dtype="uint8",
        notes="Young's modulus grows with intensity from 1 to 100. Targets are the change in strain energy of the "
        "block when its upper edge is moved by so many pixels, in the units of the finite-element model.",
    )


def _records(images: Images, energies: Energies, progress: bool | Callable[[int, int], None]) -> Iterator[Record]:  # noqa: FBT001 - a bar, or who is told
    for index, (image, energy) in enumerate(zip(images, energies, strict=True)):
        yield Record(
            id=f"mnist-{index:05d}",
            x=image.astype(np.float32)[None],
            targets={name: float(energy[step]) for name, step in REGRESSED.items()},
            split={"default": {7: "validation", 8: "test", 9: "test"}.get(index % 10, "train")},
        )
        if callable(progress):
            progress(index + 1, len(images))
