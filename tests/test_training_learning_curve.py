"""Error against training size: nested shares, ordinary runs, one table and one picture, gone on with after an end."""

import shutil

import numpy as np
import pytest

from ram.errors import ConfigError, DataError
from ram.runs.learning_curve import LearningCurve, falls_as
from ram.training.learning_curve import learning_curve

SHORT = ["training.epochs=1"]


@pytest.fixture(scope="module")
def curve(many_discs) -> LearningCurve:
    return learning_curve(
        many_discs / "discs.toml", shares=[1, 0.2, 0.5], overrides=SHORT, output=many_discs / "curve", progress=False
    )


def test_shares_are_nested_and_the_other_parts_are_whole(curve):
    trained = [set(run.predictions("train").ids.tolist()) for run in curve.runs]
    assert [len(ids) for ids in trained] == [36, 90, 180]
    assert trained[0] < trained[1] < trained[2]
    for part in ("validation", "test"):
        assert len({tuple(run.predictions(part).ids.tolist()) for run in curve.runs}) == 1
    assert curve.shares == (0.2, 0.5, 1.0)


def test_the_table_holds_the_runs_own_figures(curve):
    assert len(curve.table) == 6
    for row in curve.table:
        run = next(run for run in curve.runs if run.config.data.train_share == row["share"])
        figures = run.metrics["test"][row["target"]]
        assert row["mae"] == figures["mae"]
        assert row["mae_std"] is None
        assert row["samples"] == round(180 * row["share"])


def test_the_picture_and_the_manifest_are_there(curve):
    from ram.runs.manifest import read_manifest, verify_files

    assert (curve.path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert {"share-0.2/checkpoint.safetensors", "table.json", "learning_curve.png"} < set(read_manifest(curve.path))
    assert verify_files(curve.path) == []


def test_it_goes_on_where_it_was(curve, many_discs, tmp_path):
    folder = many_discs / f"curve-{tmp_path.name}"
    shutil.copytree(curve.path, folder)
    for name in ("manifest.json", "table.json", "learning_curve.png"):
        (folder / name).unlink()
    shutil.rmtree(folder / "share-1")
    with pytest.raises(DataError, match=r"a learning curve must be finished. Got no table. Go on with 'ram lear"):
        LearningCurve(folder).table  # noqa: B018
    with pytest.raises(ConfigError, match=r"curve must be as it was begun, \[0.2, 0.5, 1.0\]. Got \[0.1, 1.0\]"):
        learning_curve(many_discs / "discs.toml", shares=[0.1, 1], overrides=SHORT, output=folder, resume=True)
    again = learning_curve(folder, resume=True, progress=False)
    for name in ("table.json", "learning_curve.png", "share-1/checkpoint.safetensors"):
        assert (again.path / name).read_bytes() == (curve.path / name).read_bytes()


@pytest.mark.parametrize("shares", [[], [0.5], [0.5, 0.5], [0, 1], [0.5, 1.5]])
def test_shares_that_are_none(many_discs, tmp_path, shares):
    with pytest.raises(ConfigError, match=r"shares: the shares .* must be 2 or more, distinct, above 0 and at most 1."):
        learning_curve(many_discs / "discs.toml", shares=shares, output=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_the_slope_is_that_of_a_power_law():
    rows = [{"samples": n, "mae": 3.0 * n**-0.7} for n in (10, 40, 90)]
    assert falls_as(rows) == pytest.approx(0.7)
    assert falls_as(rows[:1]) is None


@pytest.mark.slow
def test_several_seeds_give_each_share_a_spread_and_small_shares_more_epochs(shell, many_discs, tmp_path):
    words = ["learning-curve", many_discs / "discs.toml", "--shares", "0.5,1", "--seeds", "2", "--same-steps"]
    code, out, _ = shell(*words, "--set", "training.epochs=1", "--output", tmp_path / "c")
    assert code == 0
    curve = LearningCurve(tmp_path / "c")
    assert [len(run.history) for run in curve.runs] == [2, 1]
    for row in curve.table:
        run = curve.runs[curve.shares.index(row["share"])]
        values = [one.metrics["test"][row["target"]]["mae"] for one in run.members]
        assert row["mae"] == pytest.approx(np.mean(values))
        assert row["mae_std"] == pytest.approx(np.std(values, ddof=1))
        assert f"{row['mae']:.4g} +- {row['mae_std']:.2g} {row['unit']}" in out
    assert f"picture: {tmp_path / 'c' / 'learning_curve.png'}" in out


def test_the_shell_refuses_what_is_no_share(shell, many_discs):
    code, _, err = shell("learning-curve", many_discs / "discs.toml", "--shares", "a,1")
    assert code == 2
    assert "--shares: the shares must be numbers with commas between, such as 0.1,0.25,0.5,1. Got 'a,1'." in err
