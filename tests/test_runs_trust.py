"""What a run says of its own numbers: who calibrates, what is stored, what is outside, what the shell prints."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ram.data.dataset import open_dataset
from ram.errors import ConfigError, DataError
from ram.runs.calibration import Calibration
from ram.runs.conformal import Scores
from ram.runs.predictions import Predictions
from ram.runs.run import Run, open_run
from ram.runs.surroundings import Surroundings
from ram.training.train import train


@pytest.fixture
def run(many_run):
    return open_run(many_run)


def test_the_parts_are_apart_and_whole(run):
    names = ("train", "choosing", "calibration", "test")
    rows = [set(run.part(name).indices.tolist()) for name in names]
    assert sum(map(len, rows)) == len(set().union(*rows)) == len(run.data())
    assert set(run.part("validation").indices.tolist()) == rows[1] | rows[2]
    assert len(rows[2]) == 30


def test_the_same_samples_calibrate_whatever_the_seed(many_discs, run):
    config = run.config.model_copy(update={"seed": 99})
    from ram.runs.parts import part_of

    assert list(part_of(run.data(), config, "calibration").ids) == list(run.part("calibration").ids)


def test_groups_are_not_divided(disc_run):
    run = open_run(disc_run)
    sides = [set(run.part(name).groups.tolist()) for name in ("choosing", "calibration")]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]


def test_intervals_follow_from_the_errors_of_the_calibrating_samples(run):
    held_out = run.part("calibration")
    for number, name in enumerate(run.units):
        errors = np.sort(np.abs(run.predict(held_out).values - held_out.target_array(list(run.units)))[:, number])
        test = run.predictions("test")
        predicted, (low, high) = test.column(name)[0], test.interval(name)
        np.testing.assert_allclose(high - predicted, errors[27], rtol=1e-9)  # ceil(31 * 0.9) = 28th of 30
        np.testing.assert_allclose(predicted - low, errors[27], rtol=1e-9)


def test_measured_coverage_stands_in_the_metrics_of_the_test_part_alone(run):
    test = run.predictions("test")
    for name in run.units:
        figures = run.metrics["test"][name]
        inside = test.covered(name)
        assert figures["coverage"] == pytest.approx(inside.mean())
        assert figures["width"] == pytest.approx(np.mean(np.subtract(*test.interval(name)[::-1])))
        assert figures["level"] == 0.9
        assert "coverage" not in run.metrics["validation"][name]
    assert run.trust["intervals"]["umbrella"]["samples"] == 30
    assert run.trust["intervals"]["umbrella"]["half_width"] == pytest.approx(
        run.metrics["test"]["umbrella"]["width"] / 2
    )


def test_predictions_of_a_run_are_covered_as_promised(run):
    """Random re-splits of the run's own held-out predictions, 200 of them: 90 +- 0.5 %."""
    held_out = Predictions.joined([run.predictions(part) for part in ("validation", "test")])
    shares = []
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(len(held_out))
        for name in run.units:
            predicted, measured = held_out.column(name)
            errors = np.abs(predicted - measured)[order]
            ids = held_out.ids[order]
            shares.append((errors[59:] <= Scores.of(errors[:59], ids[:59]).radius(0.9)).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=0.005)


def test_a_level_of_ones_own(run):
    part = run.data().subset("test")
    widths = [np.subtract(*run.predict(part, level=level).interval("mass")[::-1])[0] for level in (0.5, 0.8, 0.95)]
    assert widths == sorted(widths)
    assert widths[0] < widths[2]
    with pytest.raises(ConfigError, match=r"level: the level of intervals must be above 0 and below 1. Got 90."):
        run.predict(part, level=90)


def test_stored_predictions_are_those_of_predict(run):
    stored, again = run.predictions("test"), run.predict(run.data().subset("test"))
    for name in ("values", "lower", "upper", "outside"):
        np.testing.assert_allclose(getattr(stored, name), getattr(again, name), rtol=1e-6)
    assert (stored.level, stored.alarm) == (again.level, again.alarm)


def test_a_calibration_is_read_as_it_was_written(run, tmp_path):
    run.calibration.save(tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_bytes() == (run.path / "calibration.h5").read_bytes()
    run.predictions("test").save(tmp_path / "p.h5")
    with pytest.raises(DataError, match=r"p.h5: the schema must be ram-calibration/1. Got ram-predictions/1."):
        Calibration.load(tmp_path / "p.h5")


def test_a_run_without_calibration_predicts_without_intervals(run, tmp_path):
    import shutil

    shutil.copytree(run.path, tmp_path / "old", ignore=shutil.ignore_patterns("calibration.h5", "trust.json"))
    shutil.copy(run.path.parent / "discs.h5", tmp_path / "discs.h5")
    old = Run(tmp_path / "old")
    predicted = old.predict(old.data().subset("test"))
    assert not predicted.has_intervals
    assert not predicted.is_outside.any()
    assert list(predicted.rows()[0]) == ["id", "umbrella_Hz", "mass_kg"]
    assert old.trust == {}


def test_distances_are_mahalanobis():
    draw = np.random.default_rng(1)
    mix = draw.normal(size=(4, 4))
    features = draw.normal(size=(20_000, 4)) @ mix + 7.0
    around = Surroundings.of(features)
    new = draw.normal(size=(50, 4)) @ mix * 2 + 7.0
    away = new - features.mean(axis=0)
    exact = np.sqrt(np.einsum("ij,jk,ik->i", away, np.linalg.inv(np.cov(features.T)), away) / 4)
    np.testing.assert_allclose(around.distances(new), exact, rtol=0.02)
    assert around.distances(features).mean() == pytest.approx(1.0, abs=0.1)


def test_features_that_never_change_do_not_break_the_distance():
    features = np.hstack([np.random.default_rng(0).normal(size=(30, 3)), np.full((30, 2), 5.0)])
    distances = Surroundings.of(features).distances(features)
    assert np.isfinite(distances).all()


def test_discs_of_another_family_are_outside(many_discs, run, changed_discs):
    """Twice the thickness is told by 30 calibrating discs; of the run's own test part no more than chance allows."""
    config = changed_discs(lambda record: replace(record, x=record.x * np.array([1, 2]).reshape(2, 1, 1).astype("f4")))
    other = run.predict(open_dataset(config.parent / "discs.h5"))
    assert other.is_outside.mean() > 0.8
    own = run.predictions("test")
    assert own.is_outside.sum() <= 8  # of 60, at 1 in 31
    assert run.trust["outside"]["test_outside"] == own.is_outside.sum()
    assert run.trust["outside"]["test_ids"] == own.ids[own.is_outside].tolist()


def test_difficulty_by_distance_and_a_share_of_the_training_part(many_discs, tmp_path):
    overrides = ["trust.difficulty=distance", "data.train_share=0.5", "training.epochs=1"]
    run = train(many_discs / "discs.toml", output=tmp_path / "run", overrides=overrides, progress=False)
    assert len(run.part("train")) == 90 == len(run.predictions("train"))
    test = run.predictions("test")
    assert np.ptp(test.upper - test.lower, axis=0).min() > 0
    small = run.config.model_copy(update={"data": run.config.data.model_copy(update={"train_share": 0.2})})
    from ram.runs.parts import part_of

    assert set(part_of(run.data(), small, "train").ids) < set(run.part("train").ids)
    with pytest.raises(ConfigError, match=r"train_share: the share .* must be enough for one group .* Got 0.001 of"):
        train(many_discs / "discs.toml", output=tmp_path / "none", overrides=["data.train_share=0.001"])


def test_the_shell_gives_intervals_and_says_who_is_outside(shell, many_run, many_discs, tmp_path):
    words = ["predict", many_run, many_discs / "discs.h5", "--output", tmp_path / "t.csv", "--level", "0.8"]
    code, out, _ = shell(*words)
    assert code == 0
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = open_run(many_run).predict(open_dataset(many_discs / "discs.h5"), level=0.8)
    np.testing.assert_array_equal([float(row["umbrella_Hz_lower"]) for row in rows], expected.lower[:, 0])
    assert [int(row["outside"]) for row in rows] == expected.is_outside.astype(int).tolist()
    many = int(expected.is_outside.sum())
    assert f"{many} of 300 samples " in out
    assert "unlike what the net was trained on" in out
    assert "intervals hold 80 % of new samples" in out


def test_the_shell_says_when_too_few_samples_calibrated(shell, disc_run, disc_folder, tmp_path):
    code, out, _ = shell("predict", disc_run, disc_folder / "discs.h5", "--output", tmp_path / "t.csv")
    assert code == 0
    assert "intervals of umbrella, mass are infinite: 1 group calibrated, 90 % needs 9" in out


def test_train_prints_intervals_with_what_they_cover(shell, many_discs, tmp_path):
    code, out, _ = shell("train", many_discs / "discs.toml", "--set", "training.epochs=1", "--output", tmp_path / "run")
    assert code == 0
    figures = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))["test"]["umbrella"]
    assert f"{figures['width'] / 2:.4g} Hz" in out
    assert f"{100 * figures['coverage']:.3g} %" in out
