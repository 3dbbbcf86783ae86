"""The whole way in the shell: recipe -> data -> training -> maps -> report, as `make demo` goes it, on few wheels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.name for path in (ROOT / "experiments").glob("wheel*.toml"))  # those of this data
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty real wheels of 32 pixels, one of them with truth."""
    from ram.data import making

    path = tmp_path_factory.mktemp("wheels") / "wheels.h5"
    options = {"samples": "30", "size": "32", "seed": "5", "truth-test": "1"}
    making.make(ROOT / "datasets" / "wheel", path, options, progress=False)
    return path


def test_the_way_of_the_demo(shell: Shell, wheels: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "wheels.h5", tmp_path / "run"
    shutil.copy(wheels, data)
    config = ROOT / "experiments" / "wheel_demo.toml"
    changes = ["--set", "training.epochs=1", "--set", "model.widths=[8,8]", "--set", "model.symmetry_average=false"]
    assert shell("train", config, "--data", data, *changes, "--output", run)[0] == 0
    code, out, _ = shell("explain", run, "--target", "umbrella", "--samples", "2", "--json")
    assert code == 0
    for sample in json.loads(out)["targets"]["umbrella"]["samples"]:
        assert list(sample["carried"]) == ["void", "hub", "roots", "spokes", "rim"]
        assert sample["baseline"] + sum(sample["carried"].values()) == pytest.approx(sample["prediction"], rel=1e-5)
    assert shell("report", run)[0] == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "umbrella" in page
    assert "roots" in page
    assert "<script" not in page


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_on_wheels_trains_for_one_epoch(shell: Shell, wheels: Path, tmp_path: Path, name: str) -> None:
    words = ["--data", wheels, "--set", "training.epochs=1", "--output", tmp_path / "run", "--json"]
    code, out, err = shell("train", ROOT / "experiments" / name, *words)
    assert code == 0
    assert err.startswith("data check: ")
    assert set(json.loads(out)["metrics"]) == {"train", "validation", "test"}
