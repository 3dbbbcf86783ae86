"""Several seeds as one: the mean adds up, disagreement is shown, members are ordinary runs, a kill is no loss."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ram.axes import Axis
from ram.errors import ConfigError, DataError, Stopped
from ram.maps.ensemble_map import EnsembleMap
from ram.maps.regression_map import RegressionMap, load_maps
from ram.runs.ensemble import Ensemble
from ram.runs.run import Run, open_run
from ram.training.train import train

SHORT = ["training.epochs=1"]


@pytest.fixture
def ensemble(many_ensemble) -> Ensemble:
    opened = open_run(many_ensemble)
    assert isinstance(opened, Ensemble)
    return opened


@pytest.fixture
def held_out(ensemble):
    return ensemble.data().subset("test")


def a_map(contributions, *, log=False, **changes) -> RegressionMap:
    values = np.asarray(contributions, dtype=np.float64)
    axes = (Axis.uniform("x", "mm", size=values.shape[1], step=2.0, start=0.5),)
    total = values.sum(axis=1)
    base = np.full(len(values), 10.0)
    content = {
        "contributions": values,
        "baseline": base,
        "prediction": base * np.exp(total) if log else base + total,
        "target": "f",
        "unit": "Hz",
        "axes": axes,
        "input_axes": (Axis.uniform("x", "mm", size=2 * values.shape[1], step=1.0),),
        "log": log,
    }
    return RegressionMap(**(content | changes))


@pytest.mark.parametrize("log", [False, True])
def test_the_mean_of_exact_maps_is_exact(log):
    draw = np.random.default_rng(1)
    members = [
        replace(a_map(draw.normal(size=(4, 6)), log=log), parameter_contributions=np.empty((4, 0))) for _ in range(3)
    ]
    mean = EnsembleMap.of(members)
    np.testing.assert_allclose(mean.residual, 0.0, atol=1e-12)
    predictions = np.stack([one.prediction for one in members])
    expected = np.exp(np.log(predictions).mean(axis=0)) if log else predictions.mean(axis=0)
    np.testing.assert_allclose(mean.prediction, expected, rtol=1e-12)
    assert mean.grade == "exact"


def test_disagreement_is_counted_by_hand():
    members = [a_map([[1.0, 2.0, -1.0, 0.0]]), a_map([[3.0, -1.0, -2.0, 0.0]]), a_map([[2.0, 5.0, -3.0, 0.0]])]
    mean = EnsembleMap.of(members)
    np.testing.assert_allclose(mean.contributions, [[2.0, 2.0, -2.0, 0.0]])
    np.testing.assert_allclose(mean.deviation, [[1.0, 3.0, 1.0, 0.0]])
    assert mean.disputed.tolist() == [[False, True, False, False]]
    size = np.array([2.0, 8 / 3, 2.0, 0.0])
    assert mean.undisputed_share()[0] == pytest.approx((size[0] + size[2]) / size.sum())


def test_a_region_and_a_finer_grid_disagree_as_the_members_do_there():
    draw = np.random.default_rng(2)
    members = [a_map(draw.normal(size=(2, 5))) for _ in range(4)]
    mean = EnsembleMap.of(members)
    region = [one.within(x=(0.0, 4.0)) for one in members]
    np.testing.assert_allclose(mean.within(x=(0.0, 4.0)), np.mean(region, axis=0))
    np.testing.assert_allclose(mean.deviation_within(x=(0.0, 4.0)), np.std(region, axis=0, ddof=1))
    fine = mean.on_input_grid()
    np.testing.assert_allclose(fine.total, mean.total)
    np.testing.assert_allclose(
        fine.deviation, np.std([m.on_input_grid().contributions for m in members], axis=0, ddof=1)
    )
    second = mean[1]
    np.testing.assert_allclose(second.deviation, mean.deviation[1:])
    against = mean.difference(mean[0])
    np.testing.assert_allclose(against.total, mean.prediction - mean.prediction[0], atol=1e-12)
    np.testing.assert_allclose(mean.mean().contributions, mean.contributions.mean(axis=0, keepdims=True))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (a_map([[1.0, 2.0]], target="g"), r"EnsembleMap: the target of each member must be 'f'. Got 'g'."),
        (a_map([[1.0, 2.0, 3.0]]), r"EnsembleMap: the cells of each member must be .* 2 cells.* 3 cells"),
        (a_map([[1.0, 2.0]], ids=("b",)), r"the ids of each member"),
    ],
)
def test_maps_of_other_things_are_no_members(other, message):
    with pytest.raises(DataError, match=message):
        EnsembleMap.of([a_map([[1.0, 2.0]]), other])


def test_no_members_are_refused_and_so_is_another_number_of_them():
    with pytest.raises(DataError, match=r"EnsembleMap: the members must be at least 1. Got 0."):
        EnsembleMap.of([])
    one, two = (EnsembleMap.of([a_map([[1.0, 2.0]])] * count) for count in (2, 3))
    with pytest.raises(DataError, match=r"EnsembleMap.difference: the members must be 2, as here. Got 3."):
        one.difference(two)


def test_an_ensembles_map_is_read_as_it_was_written(tmp_path):
    members = [a_map([[1.0, -2.0]]), a_map([[3.0, 1.0]])]
    EnsembleMap.of(members).save(tmp_path / "m.h5")
    read = load_maps(tmp_path / "m.h5")["f"]
    assert isinstance(read, EnsembleMap)
    assert len(read.members) == 2
    np.testing.assert_array_equal(read.deviation, EnsembleMap.of(members).deviation)
    import h5py

    with h5py.File(tmp_path / "m.h5") as file:  # what another program finds there
        assert file["f/disputed"][()].tolist() == [[0, 1]]
        assert file["f/deviation"].attrs["units"] == b"Hz"
        np.testing.assert_array_equal(file["f/contributions"][()], [[2.0, -0.5]])


def test_members_are_ordinary_runs(ensemble, many_run):
    assert ensemble.seeds == (3, 4)
    for seed, run in zip(ensemble.seeds, ensemble.members, strict=True):
        assert run.config.seed == seed
        assert type(open_run(run.path)) is Run
    alone = {
        file.name: file.read_bytes() for file in many_run.iterdir() if file.name not in ("times.json", "manifest.json")
    }
    first = {name: (ensemble.path / "seed-3" / name).read_bytes() for name in alone}
    assert {name for name in alone if alone[name] != first[name]} <= {"config.toml"}  # the data's place from there


def test_the_ensemble_predicts_the_mean(ensemble, held_out):
    values = np.stack([run.predict(held_out).values for run in ensemble.members])
    predicted = ensemble.predict(held_out)
    np.testing.assert_allclose(predicted.values, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(predicted.spread, values.std(axis=0, ddof=1), rtol=1e-9)
    stored = ensemble.predictions("test")
    for name in ("values", "spread", "lower", "upper", "outside"):
        np.testing.assert_allclose(getattr(stored, name), getattr(predicted, name), rtol=1e-6)
    assert {"umbrella_Hz_spread", "umbrella_Hz_lower"} < set(predicted.rows()[0])


def test_its_intervals_are_calibrated_on_its_own_errors(ensemble):
    held_out = ensemble.part("calibration")
    errors = np.sort(np.abs(ensemble.predict(held_out).values - held_out.target_array(list(ensemble.units))), axis=0)
    test = ensemble.predictions("test")
    np.testing.assert_allclose((test.upper - test.lower)[0] / 2, errors[27], rtol=1e-9)
    assert ensemble.metrics["test"]["umbrella"]["coverage"] == pytest.approx(test.covered("umbrella").mean())


@pytest.mark.parametrize("words", [{}, {"reference": "baseline"}, {"method": "integrated-gradients"}])
def test_maps_add_up_to_the_mean_prediction(ensemble, held_out, words):
    maps = ensemble.explain(held_out[:3], target="umbrella", **words)
    assert isinstance(maps, EnsembleMap)
    np.testing.assert_allclose(maps.prediction, ensemble.predict(held_out[:3]).values[:, 0], rtol=1e-6)
    size = np.abs(maps.contributions).sum(axis=(1, 2))
    limit = 1e-5 * np.maximum(size, ensemble.spec.targets[0].scale)
    if not words.get("method"):
        assert (np.abs(maps.residual) < limit).all()
    np.testing.assert_allclose(maps.residual, np.mean([one.residual for one in maps.members], axis=0), atol=1e-9)


def test_stored_maps_are_those_of_explain(ensemble, held_out):
    stored = ensemble.maps()["umbrella"]
    again = ensemble.explain(held_out[np.isin(held_out.ids, stored.ids)], target="umbrella")
    np.testing.assert_allclose(stored.contributions, again.contributions, atol=1e-5)
    np.testing.assert_allclose(stored.deviation, again.deviation, atol=1e-5)


def test_mean_and_spread_of_every_figure(ensemble):
    values = [run.metrics["test"]["umbrella"]["mae"] for run in ensemble.members]
    figures = ensemble.spread["test"]["umbrella"]["mae"]
    assert figures["members"] == values
    assert figures["mean"] == pytest.approx(np.mean(values))
    assert figures["std"] == pytest.approx(np.std(values, ddof=1))
    assert ensemble.spread["test"]["umbrella"]["unit"] == "Hz"


def test_the_manifest_holds_the_members_too(ensemble):
    from ram.runs.manifest import read_manifest, verify_files

    assert {"seed-3/checkpoint.safetensors", "seed-4/manifest.json", "members.json"} < set(read_manifest(ensemble.path))
    assert verify_files(ensemble.path) == []


def test_an_ensemble_is_not_one_net(ensemble):
    with pytest.raises(ConfigError, match=r"done with one net must be asked of one run. Got an ensemble. Take one"):
        ensemble.regressor  # noqa: B018


def digests(folder: Path) -> dict[str, bytes]:
    timed = {"times.json", "manifest.json"}
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in timed
    }


def test_it_goes_on_with_the_member_it_was_in(many_discs, many_ensemble, tmp_path):
    """Killed after the first member: its bytes are kept, and the end is the same as without a kill."""
    folder = many_discs / f"stopped-{tmp_path.name}"
    shutil.copytree(many_ensemble, folder)
    for path in folder.iterdir():
        if path.name not in ("seed-3", "ensemble.json", "config.toml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept = (folder / "seed-3/times.json").stat().st_mtime_ns
    with pytest.raises(DataError, match=r"seed-4: a member must be a finished run. Got no such folder. Go on with"):
        open_run(folder).units  # noqa: B018
    with pytest.raises(ConfigError, match=r"the folder for several runs must be new. Got a folder .* add --resume"):
        train(many_discs / "discs.toml", seeds=2, output=folder)
    with pytest.raises(ConfigError, match=r"the ensemble must be as it was begun, \[3, 4\], .* Got \[3, 9\], .*"):
        train(many_discs / "discs.toml", seeds=[3, 9], output=folder, resume=True)
    train(folder, resume=True, progress=False)
    assert (folder / "seed-3/times.json").stat().st_mtime_ns == kept
    assert digests(folder) == digests(many_ensemble)


def test_a_signal_says_how_the_whole_goes_on(many_discs, tmp_path, monkeypatch):
    def stopped(*_, output, **__):
        raise Stopped(f"Stopped by SIGTERM: go on with 'ram train --resume {output}'.")

    monkeypatch.setattr("ram.training.ensemble.train", stopped)
    with pytest.raises(Stopped, match=rf"go on with 'ram train --resume {tmp_path}/e'"):
        train(many_discs / "discs.toml", seeds=2, output=tmp_path / "e")


@pytest.mark.parametrize("seeds", [1, 0, [4], [2, 2], [-1, 2]])
def test_seeds_that_are_none(many_discs, tmp_path, seeds):
    with pytest.raises(ConfigError, match=r"seeds: the seeds of an ensemble must be 2 or more, distinct and not"):
        train(many_discs / "discs.toml", seeds=seeds, output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_the_shell_trains_predicts_and_explains(shell, many_discs, many_ensemble, tmp_path):
    words = ["train", many_discs / "discs.toml", "--seeds", "3,8", "--set", "training.epochs=1"]
    code, out, _ = shell(*words, "--output", tmp_path / "e")
    assert code == 0
    figures = json.loads((tmp_path / "e/members.json").read_text(encoding="utf-8"))["test"]["umbrella"]["mae"]
    assert f"{figures['mean']:.4g} +- {figures['std']:.2g} Hz" in out
    assert "2 members, seeds 3, 8" in out
    again = ["train", "--resume", tmp_path / "e", "--json"]
    answer = json.loads(shell(*again)[1])
    assert answer["seeds"] == [3, 8]
    assert answer["spread"]["test"]["umbrella"]["mae"] == figures
    assert answer["members"] == [str(tmp_path / "e" / name) for name in ("seed-3", "seed-8")]
    code, out, _ = shell("explain", many_ensemble, "--samples", "2", "--target", "umbrella", "--json")
    assert code == 0
    sample = json.loads(out)["targets"]["umbrella"]["samples"][0]
    assert 0 <= sample["undisputed"] <= 1
    code, out, _ = shell("predict", many_ensemble, many_discs / "discs.h5", "--json")
    assert code == 0
    assert json.loads(out)[0]["mass_kg_spread"] > 0
    code, _, err = shell("train", many_discs / "discs.toml", "--seeds", "a")
    assert code == 2
    assert "--seeds: the seeds must be a number or numbers with commas between" in err
