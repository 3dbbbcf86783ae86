"""Mechanical MNIST: images and energies of another solver, as they were published."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ram
from ram.data.making import load_recipe
from ram.errors import ConfigError, DataError

FOLDER = Path(__file__).parents[1] / "datasets" / "mechanical_mnist"
SHARED = Path(os.environ.get("RAM_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "mechanical_mnist"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with data of another solver is not here")


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe(FOLDER)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    np.savetxt(tmp_path / "mnist_img_test.txt", draw.integers(0, 256, size=(20, 784)), fmt="%.1f")
    np.savetxt(tmp_path / "summary_psi_test_all.txt", np.sort(draw.uniform(0, 200, size=(20, 13)), axis=1), fmt="%.5f")
    return tmp_path


@here
def test_the_published_files_become_the_data_set(recipe, tmp_path):
    recipe.make(tmp_path / "m.h5", source=SHARED, samples=200, progress=False)
    data = ram.open_dataset(tmp_path / "m.h5")
    with zipfile.ZipFile(SHARED / "mnist_img_test.txt.zip") as packed, packed.open("mnist_img_test.txt") as stream:
        images = np.array([next(stream).split() for _ in range(200)], dtype=np.float32)
    np.testing.assert_array_equal(data.x()[:, 0], images.reshape(-1, 28, 28))
    energies = np.loadtxt(SHARED / "summary_psi_test_all.txt", max_rows=200)
    np.testing.assert_array_equal(data.target_array(["energy_14", "energy_0_5"]), energies[:, [12, 4]])
    # Stiffness scales the energy, stretched a little it grows with the square of the displacement.
    np.testing.assert_allclose(energies[:, 5] / energies[:, 4], 4.0, rtol=0.02)


def test_parts_axes_and_symmetry(recipe, source, tmp_path):
    recipe.make(tmp_path / "m.h5", source=source, samples=20, progress=False)
    data = ram.open_dataset(tmp_path / "m.h5")
    part = data.split_array("default")
    assert {name: int((part == name).sum()) for name in ("train", "validation", "test")} == {
        "train": 14, "validation": 2, "test": 4
    }  # fmt: skip
    assert data.symmetries == ("mirror",)
    assert [(axis.name, axis.size) for axis in data.axes] == [("y", 28), ("x", 28)]
    np.testing.assert_allclose(data.axes[1].edges[[0, -1]], [0, 28])


def test_a_zip_and_a_text_give_the_same_bytes(recipe, source, tmp_path):
    recipe.make(tmp_path / "text.h5", source=source, samples=20, progress=False)
    with zipfile.ZipFile(source / "mnist_img_test.txt.zip", "w") as packed:
        packed.write(source / "mnist_img_test.txt", "mnist_img_test.txt")
    (source / "mnist_img_test.txt").unlink()
    recipe.make(tmp_path / "zip.h5", source=source, samples=20, progress=False)
    assert (tmp_path / "zip.h5").read_bytes() == (tmp_path / "text.h5").read_bytes()


def test_what_is_refused(recipe, source, tmp_path):
    with pytest.raises(ConfigError, match=r"samples must be 10 to 20\. Got 21"):
        recipe.make(tmp_path / "m.h5", source=source, samples=21, progress=False)
    images = source / "mnist_img_test.txt"
    whole = images.read_text(encoding="utf-8")
    images.write_text(whole.replace(whole.split(" ", 1)[0], "300.0", 1), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"img_test\.txt: the images must be whole numbers from 0 to 255\. Got 0 to 300"
    ):
        recipe.make(tmp_path / "m.h5", source=source, samples=20, progress=False)
    images.write_text("1 2 3\n4 5\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"img_test\.txt: a text of numbers must be 784 a line"):
        recipe.make(tmp_path / "m.h5", source=source, samples=20, progress=False)
    images.unlink()
    with pytest.raises(
        ConfigError, match=r"the source must be a folder with mnist_img_test\.txt or .*\.zip\. Got none"
    ):
        recipe.make(tmp_path / "m.h5", source=source, samples=20, progress=False)
    assert list(tmp_path.glob("m.h5*")) == []
