"""Planted tasks: the law in plain numpy, truth that adds up and is nothing where nothing counts, and the shortcut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ram
from ram.data.making import load_recipe
from ram.data.simulators import load_simulator
from ram.errors import ConfigError, SolverError
from ram.physics import planted

FOLDER = Path(__file__).parents[1] / "datasets" / "planted"
TASKS = [(task, dimensions) for task in planted.LAWS for dimensions in (1, 2)]


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(FOLDER)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    """Every task of 60 samples, by task and dimensions."""
    folder = tmp_path_factory.mktemp("planted")
    for task, dimensions in TASKS:
        recipe.make(folder / f"{task}{dimensions}.h5", task=task, dimensions=dimensions, samples=60, progress=False)
    return {(t, d): ram.open_dataset(folder / f"{t}{d}.h5") for t, d in TASKS}


def coordinates(data: ram.Dataset) -> dict[str, np.ndarray]:
    return {axis.name: axis.centres for axis in data.axes}


def target_of(data: ram.Dataset) -> str:
    return next(iter(data.targets))


def energy(x: np.ndarray, wave: tuple[float, ...], width: float, step: float) -> float:
    """The energy of a band by Parseval's sum over frequencies: another way than the law's."""
    frequencies = np.meshgrid(*(np.fft.fftfreq(n, step) for n in x.shape), indexing="ij")
    power = np.abs(np.fft.fftn(x)) ** 2 / x.size
    gain = 0.0
    for sign in (1, -1):
        gain = gain + np.exp(-sum((f - sign * w) ** 2 for f, w in zip(frequencies, wave, strict=True)) / (2 * width**2))
    return float((gain * power).sum() * step**x.ndim)


def test_the_laws_are_sums_and_products_of_band_energies(made):
    data = made["additive", 1]
    x = data[3].x[0].astype(np.float64)
    raising, lowering = (energy(x, (tone,), 15.0, 1e-3) / 0.016 for tone in (60.0, 120.0))
    assert planted.value(planted.LAWS["additive"], x, coordinates(data)) == pytest.approx(
        100 + 10 * raising - 10 * lowering
    )
    data = made["interaction", 2]
    x = data[3].x[0].astype(np.float64)
    waves = [(0.25 * np.sin(np.pi * k / 3), 0.25 * np.cos(np.pi * k / 3)) for k in (0, 1)]
    first, second = (energy(x, wave, 0.05, 1.0) / 25.0 for wave in waves)
    assert planted.value(planted.LAWS["interaction"], x, coordinates(data)) == pytest.approx(100 + 10 * first * second)


@pytest.mark.parametrize(("task", "dimensions"), TASKS)
def test_simulators_give_the_files_targets_but_for_the_sensors_noise(made, task, dimensions):
    data = made[task, dimensions]
    simulator = load_simulator(f"ram.physics.planted:{task}")
    found = [simulator(sample.x, data.axes)[target_of(data)] for sample in data]
    missed = data.target_array()[:, 0] - found
    assert 0.12 < missed.std() < 0.28
    assert np.std(found) > 20 * 0.2


@pytest.mark.parametrize(("task", "dimensions"), TASKS)
def test_contributions_sum_to_the_laws_difference(made, task, dimensions):
    data, law = made[task, dimensions], planted.LAWS[task]
    x, reference, at = data[4].x[0].astype(np.float64), data.reference_design()[0], coordinates(data)
    maps = planted.contributions(law, x, reference, at)
    assert maps.sum() == pytest.approx(planted.value(law, x, at) - planted.value(law, reference, at), abs=1e-9)
    np.testing.assert_allclose(data[4].truth[target_of(data), "contribution"], maps, atol=1e-5)


def test_the_slope_is_that_of_central_differences(made):
    data, law = made["interaction", 2], planted.LAWS["interaction"]
    x, at, step = data[3].x[0].astype(np.float64), coordinates(data), 1e-4
    place = np.unravel_index(np.abs(x).argmax(), x.shape)
    moved = [x.copy(), x.copy()]
    moved[0][place] += step
    moved[1][place] -= step
    slope = (planted.value(law, moved[0], at) - planted.value(law, moved[1], at)) / (2 * step)
    whole = planted.contributions(
        law, x, x - step * (np.arange(x.size).reshape(x.shape) == np.ravel_multi_index(place, x.shape)), at
    )
    assert whole.sum() / step == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(("task", "dimensions"), TASKS)
def test_the_truth_lies_where_the_law_looks_and_nowhere_else(made, task, dimensions):
    data, law = made[task, dimensions], planted.LAWS[task]
    maps, codes = data.truth_array(target_of(data), "contribution").astype(np.float64), data.regions_array()
    carried = {
        name: np.mean([np.abs(one[code == number].sum()) for one, code in zip(maps, codes, strict=True)])
        for number, name in enumerate(data.region_names)
    }
    counts = {*law.weights, *(law.product or ())}
    whole = sum(carried.values())
    assert all(carried[name] < 0.02 * whole for name in data.region_names if name not in counts), carried
    assert all(carried[name] > 0.3 * whole for name in counts), carried


def test_a_product_is_shared_half_and_half(made):
    data = made["interaction", 2]
    maps, codes = data.truth_array("stiffness", "contribution").astype(np.float64), data.regions_array()
    halves = np.array([[one[code == k].sum() for k in (1, 2)] for one, code in zip(maps, codes, strict=True)])
    np.testing.assert_allclose(halves[:, 0], halves[:, 1], rtol=0.15, atol=0.3)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_sticker_follows_the_target_but_in_the_test_part(made, dimensions):
    data = made["shortcut", dimensions]
    codes, x = data.regions_array(), data.x()[:, 0]
    size = np.array([np.sqrt(np.mean(one[code == 3] ** 2)) for one, code in zip(x, codes, strict=True)])
    target, parts = data.target_array()[:, 0], data.split_array()
    for part in ("train", "validation"):
        assert np.corrcoef(size[parts == part], target[parts == part])[0, 1] > 0.9
    other = load_recipe(FOLDER)
    many = [planted.drawn("shortcut", coordinates(data), seed=0, index=10 * i, follows=False) for i in range(60)]
    assert other.part_of(10) == "test"
    size = [np.sqrt(np.mean(one[code == 3] ** 2)) for one, code in many]
    values = [planted.value(planted.LAWS["shortcut"], one, coordinates(data)) for one, _ in many]
    assert abs(np.corrcoef(size, values)[0, 1]) < 0.35


@pytest.mark.parametrize("dimensions", [1, 2])
def test_what_the_sticker_goes_by_is_what_targets_are_like(made, dimensions):
    target = made["shortcut", dimensions].target_array()[:, 0]
    mean, spread = planted.LAWS["shortcut"].typical
    assert abs(target.mean() - mean) < 0.5 * spread
    assert 0.6 * spread < target.std() < 1.4 * spread


def test_patches_do_not_overlap_and_samples_depend_on_seed_and_index_alone(made, recipe, tmp_path):
    recipe.make(tmp_path / "few.h5", task="additive", dimensions=2, samples=12, jobs=2, progress=False)
    few = ram.open_dataset(tmp_path / "few.h5")
    np.testing.assert_array_equal(few.x(), made["additive", 2][:12].x())
    np.testing.assert_array_equal(few.target_array(), made["additive", 2][:12].target_array())
    assert list(few.split_array()[:4]) == ["test", "validation", "train", "train"]


def test_the_head_says_units_regions_and_what_the_task_is(made):
    data = made["shortcut", 2]
    assert (data.targets, data.channels) == ({"stiffness": "N/mm"}, {"relief": "mm"})
    assert data.region_names == ("plain", "raising", "lowering", "sticker")
    assert [axis.label for axis in data.axes] == ["y (mm)", "x (mm)"]
    assert "another, where it does not" in data.attributes["notes"]
    assert made["additive", 1].symmetries == ("reverse",)


def test_time_reversal_leaves_the_target(made):
    data = made["additive", 1]
    simulate = load_simulator("ram.physics.planted:additive")
    forward, backward = simulate(data[2].x, data.axes), simulate(data[2].x[:, ::-1], data.axes)
    assert forward == pytest.approx(backward)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_its_experiment_trains_for_one_epoch(made, tmp_path, dimensions):
    config = FOLDER.parents[1] / "experiments" / f"planted_{dimensions}d.toml"
    changes = [f"data.file={made['additive', dimensions].path}", "training.epochs=1"]
    run = ram.train(config, output=tmp_path / "run", overrides=changes)
    assert run.units == made["additive", dimensions].targets


def test_wrong_requests_are_named(recipe, tmp_path):
    with pytest.raises(ConfigError, match=r"^datasets/planted: samples must be at least 3\. Got 2\.$"):
        recipe.make(tmp_path / "few.h5", samples=2)
    with pytest.raises(
        ConfigError, match=r"^planted: task must be one of additive, interaction, shortcut\. Got 'aditiv"
    ):
        planted.law_of("aditive")
    with pytest.raises(SolverError, match=r"^planted: an input must be one channel, 1D or 2D\. Got 2 of 1 dimensions"):
        planted.additive(np.zeros((2, 8)), {"time": np.arange(8.0)})
