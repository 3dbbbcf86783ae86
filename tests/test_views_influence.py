"""A net that goes by what has no influence is named, with its remedy; honest nets and wheels pass without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ram
from ram.data.making import load_recipe
from ram.data.simulators import load_simulator
from ram.errors import DataError
from ram.evaluation.influence import region_shares, without_influence
from ram.views.influence import influences, warning
from ram.views.sections import page
from ram.views.story import tell

ROOT = Path(__file__).parents[1]
NAMES = ("spokes", "rim", "sticker")
BIG, SMALL = np.array([5.0, -5.0, 3.0, -3.0]), np.array([0.02, -0.02, 0.02, -0.02])


def sums(*columns: np.ndarray) -> np.ndarray:
    return np.stack(columns, axis=1)


def test_a_region_of_the_net_without_influence_is_found():
    found = without_influence(
        NAMES, carried=sums(BIG, SMALL, BIG), answered=sums(BIG, SMALL, BIG), true=sums(BIG, BIG, SMALL)
    )
    assert [one.region for one in found] == ["sticker"]
    assert found[0].carried == pytest.approx(4 / 8.02)
    assert found[0].influence == pytest.approx(0.02 / 8.02)


@pytest.mark.parametrize(
    "changed",
    [
        {"carried": sums(BIG, BIG, SMALL)},  # the map gives it nothing
        {"answered": sums(BIG, BIG, SMALL)},  # the map leaks there, the net does not look
        {"answered": sums(BIG, BIG, SMALL + 5)},  # the same for all samples: it tells none from another
        {"true": sums(BIG, BIG, BIG / 10)},  # a little influence is some
        {"true": np.full((4, 3), np.nan)},  # nothing is known
        {"true": np.zeros((4, 3))},  # physics that knows no region
    ],
)
def test_each_of_the_three_figures_can_clear_a_region(changed):
    given = {"carried": sums(BIG, SMALL, BIG), "answered": sums(BIG, SMALL, BIG), "true": sums(BIG, BIG, SMALL)}
    assert without_influence(NAMES, **(given | changed)) == ()


def test_shares_are_over_the_samples_that_are_known_and_have_the_region():
    true = np.array([[1.0, np.nan], [3.0, 2.0], [np.nan, np.nan]])
    carried = np.array([[1.0, 1.0], [1.0, 1.0], [90.0, 0.0]])
    shares = region_shares(carried=carried, answered=carried * [[1], [2], [3]], true=true)
    np.testing.assert_allclose(shares, [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])


def test_shapes_are_checked():
    with pytest.raises(DataError, match=r"^without_influence: true must be of shape \(4, 3\)\. Got \(4, 2\)\.$"):
        without_influence(NAMES, carried=sums(BIG, BIG, BIG), answered=sums(BIG, BIG, BIG), true=sums(BIG, BIG))


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory) -> Callable[..., ram.Run]:
    """Train on a planted task of 800 signals; each combination once."""
    folder, runs = tmp_path_factory.mktemp("planted"), {}
    recipe = load_recipe(ROOT / "datasets" / "planted")

    def run(task: str, **supervision: Any) -> ram.Run:
        key = f"{task}{len(supervision)}"
        if key not in runs:
            data = folder / f"{task}.h5"
            if not data.exists():
                recipe.make(data, task=task, dimensions=1, samples=800, progress=False)
            changes = [f"data.file={data}", "training.epochs=10", "training.learning_rate=1e-2"]
            changes += ["training.batch_size=16", "explain.samples=2"]
            changes += [f"training.map_supervision.{name}={value}" for name, value in supervision.items()]
            config = ROOT / "experiments" / "planted_1d.toml"
            runs[key] = ram.train(config, output=folder / key, overrides=changes, progress=False)
        return runs[key]

    return run


@pytest.mark.parametrize("entry", [None, "ram.physics.planted:shortcut"])
def test_the_planted_shortcut_is_caught(planted_run, entry):
    run = planted_run("shortcut")
    simulator = entry and load_simulator(entry)
    found = influences(run, run.data().subset("test"), simulator=simulator, progress=False)["wear"]
    (idle,) = found.idle
    assert idle.region == "sticker"
    assert idle.carried > 0.25
    assert idle.influence < 0.01
    (words,) = warning(found)
    assert words.startswith(
        f"{100 * idle.carried:.0f} % of the contribution to wear lies in region “sticker”, which has"
    )
    assert ("under intervention" in words) == bool(entry)
    assert "Remedy: train with [training.map_supervision]" in words


def test_map_supervision_removes_it(planted_run):
    plain, better = planted_run("shortcut"), planted_run("shortcut", weight=1.0)
    test = plain.data().subset("test")
    before, after = (influences(run, test, progress=False)["wear"] for run in (plain, better))
    assert after.idle == ()
    assert after.shares[0][3] < 0.3 * before.shares[0][3]
    assert better.metrics["test"]["wear"]["r2"] > plain.metrics["test"]["wear"]["r2"] + 0.2


def test_honest_nets_pass_without_a_word(planted_run):
    run = planted_run("additive")
    for simulator in (None, load_simulator("ram.physics.planted:additive")):
        found = influences(run, run.data().subset("test"), simulator=simulator, progress=False)
        assert warning(found["wear"]) == []


def test_an_honest_report_has_no_warning(planted_run):
    content = page(tell(planted_run("additive")))
    assert content["warnings"] == []
    assert [table["caption"] for table in content["physics"]["influences"]] == [
        "wear: shares of the regions, physics by the contributions known from physics (64 samples)"
    ]


def test_the_report_warns_and_says_what_regions_do(planted_run):
    text = ram.write_report(planted_run("shortcut"), simulator="ram.physics.planted:shortcut").read_text("utf-8")
    alert = text[text.index('role="alert"') :].partition("</p>")[0]
    assert "region “sticker”, which has no influence on it under intervention" in alert
    assert "wear: shares of the regions, physics under intervention" in text


def test_wheels_pass_without_a_word(tmp_path):
    recipe = load_recipe(ROOT / "datasets" / "wheel")
    recipe.make(tmp_path / "wheel.h5", samples=62, size=24, seed=4, progress=False)
    changes = [f"data.file={tmp_path / 'wheel.h5'}", "training.epochs=4", "training.threads=1", "model.widths=[8,8]"]
    run = ram.train(ROOT / "experiments" / "wheel_demo.toml", output=tmp_path / "run", overrides=changes)
    test = run.data().subset("test")
    found = influences(run, test, progress=False)
    assert set(found) == {"umbrella", "tilt", "two_diameter", "mass"}
    asked = influences(run, test, simulator=load_simulator("ram.physics.wheel:frequencies"), progress=False)
    for one in (*found.values(), *asked.values()):
        assert warning(one) == []
    # mass adds up over regions: what the solver says again is what the file says
    np.testing.assert_allclose(asked["mass"].true, found["mass"].true, atol=1e-4)


def test_nothing_is_said_where_physics_or_regions_are_not_known(disc_run, tmp_path):
    run = ram.open_run(disc_run)
    assert set(influences(run, run.data().subset("test"), progress=False)) == {"umbrella"}
    assert influences(run, run.data().subset("train"), progress=False) == {}
    assert influences(run, run.data()[:0], progress=False) == {}
