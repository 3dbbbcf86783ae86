"""The wheel data set: the same bytes for any number of workers, nothing dropped, truth that adds up."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ram
from ram.data.making import load_recipe, partial_folder
from ram.errors import ConfigError, SolverError
from ram.physics import wheel

FOLDER = Path(__file__).parents[1] / "datasets" / "wheel"
OPTIONS = {"samples": 22, "size": 24, "seed": 4}


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    return load_recipe(FOLDER)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "wheel.h5"
    recipe.make(path, **OPTIONS, truth_train=1, progress=False)
    return path


def axes(data: ram.Dataset) -> dict[str, np.ndarray]:
    return {axis.name: axis.centres for axis in data.axes}


@pytest.fixture(scope="module")
def data(made) -> ram.Dataset:
    return ram.open_dataset(made)


def test_bytes_do_not_depend_on_the_number_of_workers(recipe, made, tmp_path):
    recipe.make(tmp_path / "wheel.h5", **OPTIONS, truth_train=1, jobs=2, progress=False)
    assert (tmp_path / "wheel.h5").read_bytes() == made.read_bytes()


def test_a_sample_depends_on_seed_and_index_alone(recipe, data, tmp_path):
    recipe.make(tmp_path / "few.h5", samples=4, size=24, seed=4, truth_test=0, progress=False)
    few = ram.open_dataset(tmp_path / "few.h5")
    np.testing.assert_array_equal(few.x(), data[:4].x())
    np.testing.assert_array_equal(few.target_array(), data[:4].target_array())
    assert list(few.ids) == list(data.ids[:4])


def test_head_says_what_a_reader_needs(data):
    assert data.targets == wheel.TARGETS
    assert data.channels == {"fill": "1", "thickness": "mm"}
    assert data.region_names == wheel.REGIONS
    assert data.symmetries == ("rotate90", "mirror")
    assert [axis.name for axis in data.axes] == ["y", "x"]
    assert data.axes[0].unit == "mm"
    np.testing.assert_allclose(data.axes[1].edges[[0, -1]], [-220, 220])
    assert data.truth_kinds["umbrella", "sensitivity"] == "Hz/mm"
    assert data.truth_kinds["tilt_ratio", "sensitivity"] == "1/mm"
    assert data.truth_kinds["mass", "contribution"] == "kg"
    assert ("tilt_splitting", "contribution") not in data.truth_kinds


def test_parts_are_fixed_by_the_index(data):
    parts = {part: [int(name[-6:]) for name in data.subset(part).ids] for part in ("train", "validation", "test")}
    assert parts["test"] == [0, 20]
    assert parts["validation"] == [1, 21]
    assert parts["train"] == list(range(2, 20))


def test_truth_goes_to_the_first_samples_of_each_part(recipe):
    tasks = recipe._tasks(60, {"test": 60, "train": 2, "validation": 1})
    assert [task.index for task in tasks if task.truth] == [0, 1, 2, 3, 20, 40]


def test_blends_are_solved_designs_on_the_way_from_the_mean_design(recipe, data, tmp_path):
    recipe.make(tmp_path / "more.h5", **OPTIONS, truth_train=1, blends=3, progress=False)
    more = ram.open_dataset(tmp_path / "more.h5")
    assert len(more) == len(data) + 3
    np.testing.assert_array_equal(more[: len(data)].x(), data.x())
    mean = data.reference_design()
    for base, blend in zip(data.subset("train")[:3], more[len(data) :], strict=True):
        assert blend.id == f"{base.id}-blend"
        change, whole = blend.x - mean, base.x - mean
        share = float((change * whole).sum() / (whole * whole).sum())
        assert 0 < share < 1
        np.testing.assert_allclose(change, share * whole, atol=1e-5)
        low, high = sorted((base.targets["mass"], float(wheel.frequencies(mean, axes(data))["mass"])))
        assert low < blend.targets["mass"] < high
        again = wheel.frequencies(blend.x.astype(np.float64), axes(data))
        assert again["umbrella"] == pytest.approx(blend.targets["umbrella"], rel=1e-4)  # float32 in the file
    assert list(more.subset("validation").ids) == list(data.subset("validation").ids)
    with pytest.raises(ConfigError, match="blends must be 0 to 18, one for each training wheel"):
        recipe.make(tmp_path / "too.h5", **OPTIONS, blends=19, progress=False)


def test_inputs_are_the_images_of_the_designs(data):
    for index in (0, 7):
        image = wheel.rasterise(wheel.design(4, index), 24)
        np.testing.assert_array_equal(data[index].x, np.stack([image.fill, image.thickness]).astype(np.float32))
        np.testing.assert_array_equal(data[index].regions, image.regions)
        assert data[index].group == ""  # wheels are drawn one by one: no design belongs to another
        assert data[index].parameters["hub_radius"] == wheel.design(4, index).hub_radius_mm
        assert data[index].parameters["solver_status"] == 0


def test_targets_are_the_solvers(data):
    image = wheel.rasterise(wheel.design(4, 9), 24)
    found = wheel.solve(image.fill, image.thickness, pitch_mm=image.pitch_mm, sensitivities=False)
    assert data[9].targets == pytest.approx(found.targets, rel=1e-9)


def test_reference_is_the_mean_design_of_the_training_part(data):
    np.testing.assert_allclose(data.reference_design(), data.subset("train").x().astype(np.float64).mean(axis=0))


def test_truth_is_carried_where_it_was_asked_for(data):
    carried = np.isfinite(data.truth_array("tilt", "contribution")).all(axis=(1, 2))
    assert list(np.flatnonzero(carried)) == [0, 2, 20]
    assert list(np.flatnonzero(np.isfinite(data.parameter_array(["truth_points"])[:, 0]))) == [0, 2, 20]


def test_contributions_sum_to_the_change_against_the_reference(data):
    fill, thickness = data.reference_design()
    at_reference = wheel.solve(fill, thickness, pitch_mm=440 / 24, sensitivities=False).targets
    carried = data[[0, 2, 20]]
    for name in wheel.PATH_TARGETS:
        maps = carried.truth_array(name, "contribution").astype(np.float64)
        change = carried.target_array([name])[:, 0] - at_reference[name]
        assert np.all(np.abs(maps.sum((1, 2)) - change) <= 0.0101 * np.abs(maps).sum((1, 2))), name


def test_sensitivities_are_the_solvers(data):
    image = wheel.rasterise(wheel.design(4, 20), 24)
    found = wheel.solve(image.fill, image.thickness, pitch_mm=image.pitch_mm, sensitivities=True)
    for name in wheel.TARGETS:
        ours, theirs = data[20].truth[name, "sensitivity"], found.d_thickness[name]
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())


def test_a_wheel_that_cannot_be_solved_is_reported_and_kept(recipe, tmp_path, monkeypatch, capsys):
    honest = wheel.solve

    def failing(fill, thickness, **options):
        if np.array_equal(fill, wheel.rasterise(wheel.design(4, 3), 24).fill):
            raise SolverError("wheel: the rim must be closed. Got a gap of 40 degrees.")
        return honest(fill, thickness, **options)

    monkeypatch.setattr(wheel, "solve", failing)
    recipe.make(tmp_path / "wheel.h5", samples=5, size=24, seed=4, truth_test=0, progress=False)
    found = ram.open_dataset(tmp_path / "wheel.h5")
    assert len(found) == 5
    assert all(np.isnan(value) for value in found[3].targets.values())
    assert list(found.parameter_array(["solver_status"])[:, 0]) == [0, 0, 0, 2, 0]
    np.testing.assert_array_equal(found[3].x[0], wheel.rasterise(wheel.design(4, 3), 24).fill.astype(np.float32))
    assert capsys.readouterr().out == (
        "wheel 3 of seed 4: SolverError: wheel: the rim must be closed. Got a gap of 40 degrees.\n"
        "4 of 5 wheels solved, 1 failed (targets NaN)\n"
    )


def test_another_error_stops_and_leaves_no_file(recipe, tmp_path, monkeypatch):
    def broken(fill, thickness, **options):
        raise ZeroDivisionError("no wheel's fault")

    monkeypatch.setattr(wheel, "solve", broken)
    with pytest.raises(RuntimeError, match=r"^wheel 0 of seed 4: ZeroDivisionError: no wheel's fault$"):
        recipe.make(tmp_path / "wheel.h5", samples=4, size=24, seed=4, truth_test=0, progress=False)
    assert not (tmp_path / "wheel.h5").exists()


def test_odd_wheels_are_marked(recipe):
    assert recipe._status({}) == 2
    assert recipe._status({"dropped_pixels": 0.0}) == 0
    assert recipe._status({"dropped_pixels": 2.0}) == 1
    assert recipe._status({"dropped_pixels": 0.0, "truth_residual": 0.02}) == 1
    assert recipe._status({"dropped_pixels": 0.0, "truth_residual": 0.009}) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 2}, r"^datasets/wheel: samples must be at least 3\. Got 2\.$"),
        ({"size": 16}, r"^datasets/wheel: size must be at least 24\. Got 16\.$"),
    ],
)
def test_options_out_of_range_are_refused(recipe, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        recipe.make(tmp_path / "wheel.h5", **options)
    assert not partial_folder(tmp_path / "wheel.h5").exists()


def baselines() -> ModuleType:
    specification = importlib.util.spec_from_file_location("wheel_baselines", FOLDER / "baselines.py")
    module = importlib.util.module_from_spec(specification)
    __import__("sys").modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def test_mass_alone_knows_the_mass_and_little_else(data):
    scores = {(score.baseline, score.target): score.r2 for score in baselines().scores(data)}
    assert scores["mass alone", "mass"] > 0.999
    assert len(scores) == 4 * len(wheel.TARGETS)
    assert all(scores["mass alone", name] < 0.999 for name in ("umbrella", "tilt", "two_diameter"))


def test_rings_take_means_at_equal_radius(data):
    module = baselines()
    y, x = (axis.centres for axis in data.axes)
    radius = np.hypot(y[:, None], x)
    means = module.rings_of(data)(np.stack([radius, np.ones_like(radius)]))
    assert means.shape == (2, module.RINGS)
    held = means[1] > 0
    np.testing.assert_allclose(means[1][held], 1)
    middles = (np.arange(module.RINGS) + 0.5) * 220 / module.RINGS
    assert np.all(np.abs(means[0] - middles)[held][:-1] <= 220 / module.RINGS / 2 + 1e-9)


def test_the_command_prints_counts_quantiles_and_scores(made, capsys):
    baselines().main(made)
    printed = capsys.readouterr().out
    assert printed.startswith("22 wheels (18 train, 2 validation, 2 test); 22 solved, 0 odd, 0 failed.\n3 carry truth")
    assert f"Digest {ram.open_dataset(made).digest}." in printed
    assert printed.count("| rings + t^3 |") == 1
