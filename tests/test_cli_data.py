"""`ram data make` and `ram data info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from ram.cli.data import recipe_options
from ram.errors import ConfigError

RECIPE = '''\
from pathlib import Path
from typing import Any


def make(output: Path, *, samples: int = 3, pitch_mm: float = 0.5, name: str, progress: Any = True) -> None:
    """Write what was asked for."""
    output.write_text(f"{samples} {pitch_mm} {name}")
'''
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "beams"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE, encoding="utf-8")
    return folder


def test_options_of_the_recipe_reach_make_with_their_types(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "beams.h5"
    code, out, _ = shell("data", "make", recipe, "--pitch-mm=2", "--name", "thin", "--output", output)
    assert (code, out) == (0, f"data: {output}\n")
    assert output.read_text(encoding="utf-8") == "3 2.0 thin"


def test_help_shows_the_options_of_the_recipe(shell: Shell, recipe: Path) -> None:
    code, out, _ = shell("data", "make", recipe, "--help")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["--samples", "int", "3"] in lines
    assert ["--pitch-mm", "float", "0.5"] in lines
    assert ["--name", "str", "required"] in lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sample", "4"], "Got 'sample'. Did you mean 'samples'?"),
        (["--samples", "few"], "option samples must be samples (int, 3). Got 'few'."),
        (["--samples", "4"], "option name must be given. Got none."),
        (["--samples"], "a recipe's option must be --name VALUE. Got '--samples'."),
        (["4"], "a recipe's option must be --name VALUE. Got '4'."),
    ],
)
def test_wrong_options_are_named(shell: Shell, recipe: Path, tmp_path: Path, words: list[str], message: str) -> None:
    output = tmp_path / "beams.h5"
    code, out, err = shell("data", "make", recipe, "--output", output, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not output.exists()


def test_folder_and_output_must_be_given(shell: Shell, recipe: Path) -> None:
    assert shell("data", "make")[::2] == (
        2,
        "Error: ram data make: FOLDER must be given. Got nothing. Such as datasets/wheel.\n",
    )
    assert shell("data", "make", recipe)[::2] == (
        2,
        "Error: ram data make: --output must be given. Got nothing. Such as wheel.h5.\n",
    )


def test_folder_without_recipe_names_the_nearest(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    code, _, err = shell("data", "make", tmp_path / "beam", "--output", tmp_path / "b.h5")
    assert code == 2
    assert "must be one with a recipe.py. Got no such file. Did you mean 'beams'?" in err


def test_file_that_is_there_is_kept_unless_it_may_be_replaced(shell: Shell, recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "beams.h5"
    output.write_text("old", encoding="utf-8")
    code, _, err = shell("data", "make", recipe, "--name", "thin", "--output", output)
    assert code == 2
    assert "the output must be a new file. Got one that is there already." in err
    assert output.read_text(encoding="utf-8") == "old"
    assert shell("data", "make", recipe, "--name", "thin", "--output", output, "--overwrite")[0] == 0
    assert output.read_text(encoding="utf-8") == "3 0.5 thin"


@pytest.mark.parametrize("words", [["samples"], ["--samples", "4", "more"], ["--samples"]])
def test_words_that_are_no_options_are_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="a recipe's option must be --name VALUE"):
        recipe_options(words)


def test_info_says_what_is_in_a_file(shell: Shell, disc_folder: Path) -> None:
    code, out, _ = shell("data", "info", disc_folder / "discs.h5")
    assert code == 0
    for word in ("ram-dataset/1", "umbrella", "Hz", "mass", "kg", "thickness", "mm", "30"):
        assert word in out


def test_info_as_json_is_for_scripts(shell: Shell, disc_folder: Path) -> None:
    code, out, _ = shell("data", "info", disc_folder / "discs.h5", "--json")
    assert code == 0
    assert json.loads(out)


def test_info_shows_the_tree_of_any_hdf5_file(shell: Shell, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        file["traces/left"] = [[1.0, 2.0]]
    code, out, _ = shell("data", "info", tmp_path / "lab.h5")
    assert code == 0
    assert "left" in out
    assert "float64" in out
