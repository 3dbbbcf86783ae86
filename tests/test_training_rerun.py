"""A run made again is identical, or every difference is named with its size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from ram.data import making
from ram.errors import ConfigError, DataError
from ram.maps.regression_map import save_maps
from ram.runs.differences import RunDifferences, run_differences
from ram.runs.net import load_net, save_net
from ram.runs.run import open_run
from ram.training.rerun import make_again, rerun
from ram.training.train import train

Shell = Callable[..., tuple[int, str, str]]

RECIPE = '''
from pathlib import Path
from ram.data.layout import write_dataset
from ram.axes import Axis
from ram.data.spec import DatasetSpec, Record
from ram.randomness import generator


def make(output: Path, *, samples: int = 30, seed: int = 1, jobs: int = 1, progress: bool = True) -> None:
    """Noise, and its mean."""
    spec = DatasetSpec(name="noise", axes=(Axis.uniform("time", "s", size=16, step=1e-3),), channels={"u": "V"},
                       targets={"mean": "V"}, count=samples)
    draws = (generator(seed, "noise", i).standard_normal((1, 16)).astype("float32") + i % 7 for i in range(samples))
    write_dataset(output, spec, (
        Record(id=f"n{i}", x=x, targets={"mean": float(x.mean())}, group=f"g{i}",
               split={"default": ("train", "train", "train", "validation", "test")[i % 5]})
        for i, x in enumerate(draws)))
'''
NOISE = """\
name = "noise"
[data]
file = "noise.h5"
targets = ["mean"]
[model]
backbone = "plain"
widths = [4]
[training]
epochs = 1
threads = 1
"""


@pytest.fixture
def twin(disc_folder: Path, disc_run: Path, tmp_path: Path) -> Path:
    """A copy of a run that may be changed, beside its data."""
    shutil.copy(disc_folder / "discs.h5", tmp_path / "discs.h5")
    shutil.copytree(disc_run, tmp_path / "twin")
    return tmp_path / "twin"


def found(disc_run: Path, twin: Path) -> RunDifferences:
    return run_differences(open_run(disc_run), open_run(twin))


def said(disc_run: Path, twin: Path) -> dict[str, str]:
    return {one.file: one.text for one in found(disc_run, twin).files}


def test_a_run_made_again_is_identical(shell: Shell, disc_run: Path, tmp_path: Path) -> None:
    torch.manual_seed(77)
    code, out, _ = shell("rerun", disc_run, "--output", tmp_path / "again")
    assert code == 0
    assert f"files of {tmp_path / 'again'} have the bytes of {disc_run}\n" in out
    assert out.endswith(f"run: {tmp_path / 'again'}\n")
    for name in ("checkpoint.safetensors", "history.jsonl", "predictions.h5", "maps.h5", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == (disc_run / name).read_bytes()


def test_another_thread_or_seed_is_said(disc_folder: Path, disc_run: Path, tmp_path: Path) -> None:
    changes = ["seed=5", "training.threads=2"]
    other = train(disc_folder / "discs.toml", output=tmp_path / "other", overrides=changes, progress=False).path
    of = found(disc_run, other)
    assert not of.identical
    assert of.config == {"seed": (3, 5), "training.threads": (1, 2)}
    assert of.environment == {"threads": (1, 2)}
    texts = said(disc_run, other)
    assert next(iter(texts)) == "history.jsonl"  # what came first is named first
    assert texts["history.jsonl"].startswith("parts in epoch 1: loss")
    change = open_run(other).metrics["test"]["mass"]["mae"] - open_run(disc_run).metrics["test"]["mass"]["mae"]
    assert f"mass mae {change:+.3g} kg" in texts["metrics.json"]


def test_a_changed_weight_is_said_relative_to_its_tensor(disc_run: Path, twin: Path) -> None:
    net, spec = load_net(twin / "checkpoint.safetensors")
    with torch.no_grad():
        size = float(net.head.weight.abs().max())
        net.head.weight[0, 0] += 0.25 * size
        largest = float(load_net(disc_run / "checkpoint.safetensors")[0].head.weight.abs().max())
    save_net(twin / "checkpoint.safetensors", net, spec, epoch=1)
    (one,) = found(disc_run, twin).files
    assert one.file == "checkpoint.safetensors"
    assert one.sizes["net.head.weight"] == pytest.approx(0.25 * size / largest, rel=1e-5)
    assert one.text.startswith("1 of ")
    assert "net.head.weight most: 0.25 of its largest number" in one.text


def test_the_epoch_in_which_histories_part_is_named(disc_run: Path, twin: Path) -> None:
    rows = [json.loads(line) for line in (twin / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[1]["loss"] += 1e-4
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (twin / "history.jsonl").write_text(text, encoding="utf-8")
    (one,) = found(disc_run, twin).files
    assert one.text.startswith("parts in epoch 2: loss ")
    assert one.sizes["loss"] == pytest.approx(1e-4)
    (twin / "history.jsonl").write_text(text.splitlines()[0] + "\n", encoding="utf-8")
    assert said(disc_run, twin) == {"history.jsonl": "the same up to epoch 1; 2 and 1 epochs"}


def test_predictions_and_maps_are_apart_in_units(disc_run: Path, twin: Path) -> None:
    stored = open_run(twin).all_predictions()
    values = stored.values.copy()
    values[4, 0] += 0.125
    replace(stored, values=values).save(twin / "predictions.h5")
    maps = open_run(twin).maps()
    one = maps["umbrella"]
    largest = np.abs(one.contributions).max()
    changed = one.contributions.copy()
    changed[0, 0, 0] += 0.5 * largest
    save_maps(twin / "maps.h5", maps | {"umbrella": replace(one, contributions=changed)})
    texts = said(disc_run, twin)
    assert texts["predictions.h5"] == "predictions are apart by up to umbrella 0.125 Hz, mass 0 kg"
    assert texts["maps.h5"].startswith(f"cells are apart by up to umbrella {0.5 * largest:.3g} Hz (50 %), mass 0 kg")


def test_other_files_missing_files_and_other_data_are_said(disc_run: Path, twin: Path) -> None:
    (twin / "notes.txt").write_text("new", encoding="utf-8")
    (twin / "maps.h5").unlink()
    (twin / "checks.json").write_text("[1]", encoding="utf-8")
    (twin / "predictions.h5").write_bytes(b"damaged")
    (twin / "times.json").write_text("{}", encoding="utf-8")
    provenance = json.loads((twin / "provenance.json").read_text(encoding="utf-8"))
    provenance["data"]["digest"] = "0" * 32
    (twin / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    texts = said(disc_run, twin)
    assert texts.pop("predictions.h5").startswith("cannot be compared: ")
    assert texts == {
        "notes.txt": f"is in {twin} only",
        "maps.h5": f"is in {disc_run} only",
        "checks.json": "says something else",
    }
    assert found(disc_run, twin).data == (open_run(disc_run).provenance["data"]["digest"], "0" * 32)


def test_another_environment_is_said_and_the_result_is_what_counts(shell: Shell, twin: Path, tmp_path: Path) -> None:
    provenance = json.loads((twin / "provenance.json").read_text(encoding="utf-8"))
    provenance["versions"]["numpy"], provenance["platform"]["cpu_capability"] = "1.0", "AVX9"
    (twin / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    code, out, _ = shell("rerun", twin, "--output", tmp_path / "again")
    assert code == 0
    assert "environment: versions.numpy was 1.0, is " in out
    assert "environment: platform.cpu_capability was AVX9, is " in out
    assert "in another environment" in out


def test_a_run_that_differs_leaves_with_one(shell: Shell, twin: Path, tmp_path: Path) -> None:
    (twin / "metrics.json").write_bytes((twin / "metrics.json").read_bytes() + b" ")
    code, out, _ = shell("rerun", twin, "--output", tmp_path / "again", "--json")
    answer = json.loads(out)
    assert (code, answer["identical"]) == (1, False)
    assert [one["file"] for one in answer["files"]] == ["metrics.json"]
    assert "checkpoint.safetensors" in answer["equal"]


def test_other_data_are_refused_before_training(
    shell: Shell, disc_run: Path, changed_discs: Callable[..., Path], tmp_path: Path
) -> None:
    config = changed_discs(lambda record: replace(record, x=record.x + np.float32(1)))
    code, _, err = shell("rerun", disc_run, "--data", config.parent / "discs.h5", "--output", tmp_path / "again")
    assert code == 2
    assert "the data of this run must be those with digest" in err
    assert not (tmp_path / "again").exists()


def test_a_run_that_was_not_finished_is_refused(twin: Path) -> None:
    (twin / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"the manifest must be in every finished run. Got none."):
        rerun(open_run(twin))


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A run on data that a recipe has made; the recipe is in the folder ``noise``, the data are gone."""
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise/recipe.py").write_text(RECIPE, encoding="utf-8")
    making.make(tmp_path / "noise", tmp_path / "noise.h5", {"samples": "40", "seed": "6"}, progress=False)
    (tmp_path / "noise.toml").write_text(NOISE, encoding="utf-8")
    run = train(tmp_path / "noise.toml", output=tmp_path / "run", progress=False).path
    (tmp_path / "noise.h5").unlink()
    return run


def test_data_are_made_again_by_the_recipe_as_they_were(shell: Shell, noise: Path, tmp_path: Path) -> None:
    code, out, _ = shell(
        "rerun", noise, "--recipe", tmp_path / "noise", "--option", "jobs=1", "--output", tmp_path / "b"
    )
    assert code == 0
    assert "identical: " in out
    assert (tmp_path / "b.data.h5").is_file()


def test_a_recipe_that_makes_other_data_says_why(noise: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Options that are not those of the run: seed\."):
        make_again(open_run(noise), tmp_path / "noise", tmp_path / "c.h5", options={"seed": "7"}, progress=False)
    (tmp_path / "noise/recipe.py").write_text(RECIPE.replace("i % 7", "i % 5"), encoding="utf-8")
    with pytest.raises(DataError, match=r"The recipe.py of .* is another one than made the run's data\."):
        make_again(open_run(noise), tmp_path / "noise", tmp_path / "d.h5", progress=False)


def test_without_options_a_recipe_is_not_run(shell: Shell, disc_run: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text("raise SystemExit('run')", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"the options of the recipe must be known. Got a data file that says"):
        make_again(open_run(disc_run), tmp_path, tmp_path / "e.h5")
    code, _, err = shell("rerun", disc_run, "--option", "samples=3")
    assert code == 2
    assert "--option: it must be given with --recipe" in err


def test_code_of_a_recipe_runs_only_when_it_is_named(shell: Shell, noise: Path, tmp_path: Path) -> None:
    """A data file that names a recipe leads nowhere: without --recipe the data must be there."""
    (tmp_path / "noise/recipe.py").write_text("raise SystemExit('run')", encoding="utf-8")
    code, _, err = shell("rerun", noise)
    assert code == 2
    assert "noise.h5" in err
    with h5py.File(tmp_path / "noise.h5", "w"):
        pass
    assert shell("rerun", noise)[0] == 2
