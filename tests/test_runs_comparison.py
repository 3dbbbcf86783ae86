"""Runs side by side: errors in one unit, keys that differ, agreement of maps known by construction."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ram.axes import Axis
from ram.errors import ConfigError
from ram.maps.regression_map import RegressionMap, save_maps
from ram.runs import comparison
from ram.runs.comparison import common_grid, compare, on_axes
from ram.runs.run import open_run
from ram.training.train import train
from ram.views.comparison import write_comparison

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def other(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with another seed, in kHz, on coarser cells, and of a target less."""
    changes = ["seed=9", "data.units.umbrella='kHz'", "data.targets=['umbrella']", "model.widths=[4, 6, 6]"]
    folder = tmp_path_factory.mktemp("runs") / "other"
    return train(disc_folder / "discs.toml", output=folder, overrides=changes, progress=False).path


@pytest.fixture
def twin(disc_run: Path, tmp_path: Path) -> Path:
    """A copy of the run whose maps may be changed."""
    shutil.copytree(disc_run, tmp_path / "twin")
    return tmp_path / "twin"


def test_a_run_agrees_with_itself(disc_run: Path, twin: Path) -> None:
    found = compare([open_run(disc_run), open_run(twin)])
    assert found.names == ("run", "twin")
    assert (found.config, found.environment) == ({}, {})
    for one in found.maps:
        assert one.grid == "cells"
        np.testing.assert_allclose(one.correlation, 1.0, rtol=1e-12)
        np.testing.assert_array_equal(one.signs, 1.0)
        np.testing.assert_array_equal(one.difference, 0.0)
        maps = open_run(disc_run).maps()[one.target]
        np.testing.assert_allclose(one.size, np.abs(maps.contributions).sum(axis=(1, 2)))
    assert all(one.difference == 0 and one.correlation == pytest.approx(1) for one in found.predictions)
    assert {target: of["twin"]["difference"] for target, of in found.metrics["test"].items()} == {
        "umbrella": 0,
        "mass": 0,
    }


def test_errors_are_in_one_unit_with_their_difference(disc_run: Path, other: Path) -> None:
    found = compare([open_run(disc_run), open_run(other)])
    own = open_run(other).metrics["test"]["umbrella"]
    theirs = found.metrics["test"]["umbrella"]["other"]
    assert own["unit"] == "kHz"
    assert theirs["unit"] == "Hz"
    for key in ("mae", "rmse", "bias"):
        assert theirs[key] == pytest.approx(1000 * own[key])
    assert (theirs["mape"], theirs["r2"]) == (own["mape"], own["r2"])
    assert theirs["difference"] == pytest.approx(
        1000 * own["mae"] - open_run(disc_run).metrics["test"]["umbrella"]["mae"]
    )
    assert list(found.metrics["test"]["mass"]) == ["run"]
    backwards = compare([open_run(other), open_run(disc_run)])
    assert backwards.metrics["test"]["umbrella"]["run"]["unit"] == "kHz"
    assert list(backwards.metrics["test"]) == ["umbrella", "mass"]


def test_predictions_of_the_same_samples_are_compared_in_units(disc_run: Path, other: Path) -> None:
    (one,) = compare([open_run(disc_run), open_run(other)]).predictions
    a, b = (open_run(path).predictions("test").column("umbrella")[0] for path in (disc_run, other))
    assert (one.unit, one.samples) == ("Hz", 6)
    assert one.difference == pytest.approx(np.abs(a - 1000 * b).mean())
    assert one.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_keys_that_differ_are_said_for_every_run(disc_run: Path, twin: Path, other: Path) -> None:
    found = compare([open_run(disc_run), open_run(twin), open_run(other)])
    assert found.config["seed"] == (3, 3, 9)
    assert found.config["data.units.umbrella"] == ("not given", "not given", "kHz")
    assert set(found.config) == {"seed", "data.units.umbrella", "data.targets", "model.widths"}


def test_environments_that_differ_are_said(disc_run: Path, twin: Path) -> None:
    said = json.loads((twin / "provenance.json").read_text(encoding="utf-8"))
    said["versions"]["torch"], said["code"]["sources"], said["code"]["commit"] = "1.0", "0", "abc"
    (twin / "provenance.json").write_text(json.dumps(said), encoding="utf-8")
    found = compare([open_run(disc_run), open_run(twin)]).environment
    assert found["versions.torch"][1] == "1.0"
    assert found["code.sources"][1] == "0"
    assert found["code.commit"][1] == "abc"
    assert not any(key.startswith("platform") for key in found)


def test_maps_on_other_cells_are_compared_on_the_input_grid(disc_run: Path, other: Path) -> None:
    (one,) = compare([open_run(disc_run), open_run(other)]).maps
    fine, coarse = (open_run(path).maps()["umbrella"].on_input_grid().contributions for path in (disc_run, other))
    assert (one.grid, one.unit) == ("input", "Hz")
    for row in range(3):
        a, b = fine[row].ravel(), 1000 * coarse[row].ravel()
        assert one.correlation[row] == pytest.approx(np.corrcoef(a, b)[0, 1])
        assert one.difference[row] == pytest.approx(np.abs(a - b).sum())
        assert one.signs[row] == pytest.approx((np.sign(a) == np.sign(b)).mean())


@pytest.mark.parametrize(
    ("times", "expected"),
    [(-1.0, (-1.0, 0.0, 2.0)), (3.0, (1.0, 1.0, 2.0)), (0.0, (np.nan, np.nan, 1.0))],
)
def test_agreement_is_what_it_must_be(disc_run: Path, twin: Path, *, times: float, expected: tuple[float, ...]) -> None:
    correlation, signs, difference = expected
    maps = open_run(twin).maps()
    changed = {name: replace(one, contributions=times * one.contributions) for name, one in maps.items()}
    save_maps(twin / "maps.h5", changed)
    for one in compare([open_run(disc_run), open_run(twin)]).maps:
        size = np.abs(maps[one.target].contributions).sum(axis=(1, 2))
        np.testing.assert_allclose(one.correlation, correlation, rtol=1e-9)
        np.testing.assert_allclose(one.signs, signs)
        np.testing.assert_allclose(one.difference, difference * size)


@pytest.mark.parametrize(
    ("change", "why_not"),
    [
        ({"ids": ("x", "y", "z")}, "no sample has maps in both runs"),
        ({"unit": "kg"}, "one is in Hz, the other in kg"),
        (
            {"log": True, "prediction": np.ones(3), "baseline": np.ones(3)},
            "one is in Hz, the other in Hz in the logarithm",
        ),
        ({"reference": "baseline"}, "one is against train-mean, the other against baseline"),
        ({"input_axes": tuple(Axis.uniform(n, "m", size=16, step=1.0) for n in "yx")}, "their inputs have other axes"),
    ],
)
def test_maps_that_cannot_be_compared_say_why(disc_run: Path, change: dict[str, object], why_not: str) -> None:
    one = open_run(disc_run).maps()["umbrella"]
    found = comparison._agreement("a", "b", one, replace(one, **change))  # type: ignore[arg-type]
    assert (found.why_not, found.as_dict()["why_not"]) == (why_not, why_not)
    assert found.ids == ()


def test_only_shared_samples_count_in_whatever_order(disc_run: Path, twin: Path) -> None:
    maps = open_run(twin).maps()
    save_maps(twin / "maps.h5", {name: one[[2, 0]] for name, one in maps.items()})
    for one in compare([open_run(disc_run), open_run(twin)]).maps:
        assert one.ids == (maps["mass"].ids[0], maps["mass"].ids[2])
        np.testing.assert_allclose(one.correlation, 1.0)


def on_grid(cells: int, pixels: int) -> RegressionMap:
    """A map of 0 to 16 mm that adds x^2 per mm, each cell its integral."""
    axes = [Axis.uniform("x", "mm", size=n, step=16 / n, start=8 / n) for n in (cells, pixels)]
    edges = axes[0].edges
    values = np.diff(edges**3 / 3)[None]
    return RegressionMap(values, np.zeros(1), values.sum(axis=1), "u", "Hz", (axes[0],), (axes[1],))


def test_other_inputs_are_compared_on_the_coarser_one() -> None:
    """Spread onto the coarser grid a finer map gives what the coarser one holds: its integral over each cell."""
    fine, coarse = on_grid(16, 16), on_grid(4, 4)
    name, axes = common_grid(fine, coarse)
    assert (name, axes[0].size) == ("coarser input", 4)
    np.testing.assert_allclose(on_axes(fine, axes), coarse.contributions)
    assert common_grid(on_grid(4, 16), fine)[0] == "input"
    assert common_grid(on_grid(4, 16), on_grid(4, 16))[0] == "cells"


def test_names_tell_runs_apart(disc_run: Path, tmp_path: Path) -> None:
    places = [tmp_path / "a/run", tmp_path / "b/run"]
    for place in places:
        shutil.copytree(disc_run, place)
    assert compare([open_run(place) for place in places]).names == ("a/run", "b/run")
    assert compare([open_run(disc_run), open_run(disc_run)]).names == ("run (1)", "run (2)")


def test_one_run_is_nothing_to_compare(shell: Shell, disc_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"compare: the runs must be two or more. Got 1."):
        compare([open_run(disc_run)])
    assert shell("compare", disc_run)[0] == 2
    code, _, err = shell("compare", disc_run, disc_run.with_name("rum"))
    assert code == 2
    assert "Did you mean 'run'?" in err


def test_compare_prints_tables(shell: Shell, disc_run: Path, other: Path) -> None:
    code, out, err = shell("compare", disc_run, other)
    assert (code, err) == (0, "")
    mae = open_run(other).metrics["test"]["umbrella"]["mae"]
    assert re.search(rf"umbrella +other +6 +{1000 * mae:.4g} Hz", out)
    assert re.search(r"model.widths +\[4, 6\] +\[4, 6, 6\]", out)
    assert re.search(r"umbrella +run, other +3 +input +-?0\.\d+", out)


def test_compare_as_json_and_as_a_folder_says_the_same(
    shell: Shell, disc_run: Path, other: Path, tmp_path: Path
) -> None:
    code, out, _ = shell("compare", disc_run, other, "--json", "--output", tmp_path / "side")
    assert code == 0
    said = json.loads(out)
    names = ["comparison.html", "comparison.json", "errors.png", "predictions.png", "maps.png"]
    assert said.pop("written") == [str(tmp_path / "side" / name) for name in names]
    assert json.loads((tmp_path / "side/comparison.json").read_text(encoding="utf-8")) == said
    assert said["config"]["seed"] == {"run": 3, "other": 9}
    for name in names[2:]:
        assert (tmp_path / "side" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "side/comparison.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "<script" not in page


def test_names_of_runs_are_no_html(disc_run: Path, twin: Path) -> None:
    hostile = twin.rename(twin.with_name("<img src=x onerror=alert(1)>"))
    page = twin.with_name("page.html")
    assert write_comparison(compare([open_run(disc_run), open_run(hostile)]), page) == [page]
    assert "<img src=x" not in page.read_text(encoding="utf-8")


def test_without_common_maps_there_is_no_picture_of_them(disc_run: Path, twin: Path, tmp_path: Path) -> None:
    maps = open_run(twin).maps()
    save_maps(twin / "maps.h5", {name: replace(one, ids=("x", "y", "z")) for name, one in maps.items()})
    written = write_comparison(compare([open_run(disc_run), open_run(twin)]), tmp_path / "side")
    assert [path.name for path in written] == ["comparison.html", "comparison.json", "errors.png", "predictions.png"]
    assert "no sample has maps in both runs" in written[0].read_text(encoding="utf-8")
