"""Which recipe made a data file stands in the file, and is no part of what the data are."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from ram.data import making
from ram.data.dataset import open_dataset
from ram.data.info import describe
from ram.data.origin import ATTRIBUTE, Origin, current_origin

RECIPE = '''
from pathlib import Path
import numpy as np
from ram.axes import Axis
from ram.data.layout import write_dataset
from ram.data.spec import DatasetSpec, Record


def make(output: Path, *, samples: int, gain: float = 2.0, noisy: bool = False, note: str | None = None,
         source: Path = Path("/here"), jobs: int = 1, progress: bool = True) -> None:
    """Make ramps."""
    spec = DatasetSpec(name="ramps", axes=(Axis.uniform("time", "s", size=8, step=1.0),), channels={"u": "V"},
                       targets={"gain": "V"}, count=samples, created_with="ramps")
    rows = (Record(id=f"r{i}", x=gain * i * np.ones((1, 8), np.float32), targets={"gain": gain * i},
                   split={"default": ("train", "validation", "test")[i % 3]}) for i in range(samples))
    write_dataset(output, spec, rows)
'''


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "ramps").mkdir()
    (tmp_path / "ramps/recipe.py").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "ramps"


def origin_of(path: Path) -> Origin:
    found = Origin.from_text(open_dataset(path).attributes[ATTRIBUTE])
    assert found is not None
    return found


def test_every_option_is_kept_but_paths_and_jobs(recipe: Path, tmp_path: Path) -> None:
    path = making.make(recipe, tmp_path / "a.h5", {"samples": "6", "noisy": "yes", "jobs": "1"}, progress=False)
    found = origin_of(path)
    assert found.recipe == "ramps"
    assert found.options == {"samples": "6", "gain": "2.0", "noisy": "true", "note": "none"}
    assert describe(path).as_json()["recipe"] == "ramps --gain 2.0 --noisy true --note none --samples 6"
    again = making.make(recipe, tmp_path / "b.h5", found.options, progress=False)
    assert again.read_bytes() == path.read_bytes()


def test_the_origin_is_no_part_of_the_digest(recipe: Path, tmp_path: Path) -> None:
    made = making.make(recipe, tmp_path / "a.h5", {"samples": "6"}, progress=False)
    making.load_recipe(recipe).make(tmp_path / "b.h5", samples=6)
    assert ATTRIBUTE not in open_dataset(tmp_path / "b.h5").attributes
    assert open_dataset(tmp_path / "b.h5").digest == open_dataset(made).digest
    assert current_origin() is None


def test_after_a_recipe_that_fails_nothing_is_said_of_it(recipe: Path, tmp_path: Path) -> None:
    (recipe / "recipe.py").write_text(RECIPE.replace("write_dataset(output, spec, rows)", "1 / 0"), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        making.make(recipe, tmp_path / "a.h5", {"samples": "6"}, progress=False)
    assert current_origin() is None


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "3", '{"recipe": "a"}', '{"recipe": "a", "sha256": "", "options": 3}']
)
def test_what_is_not_understood_says_nothing(text: str) -> None:
    assert Origin.from_text(text) is None


def test_what_a_file_says_of_its_recipe_is_never_run(disc_folder: Path, tmp_path: Path) -> None:
    """A text of any kind may stand there; the file opens, and nothing is imported."""
    path = tmp_path / "d.h5"
    path.write_bytes((disc_folder / "discs.h5").read_bytes())
    hostile = '{"recipe": "../evil", "sha256": "", "options": {"__import__": "os"}}'
    with h5py.File(path, "r+") as file:
        file.attrs.create(ATTRIBUTE, hostile.encode(), dtype=h5py.string_dtype("utf-8", len(hostile)))
    data = open_dataset(path)
    assert data.digest == open_dataset(disc_folder / "discs.h5").digest
    assert Origin.from_text(data.attributes[ATTRIBUTE]) == Origin("../evil", "", {"__import__": "os"})
