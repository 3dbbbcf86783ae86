"""The whole way in the shell: recipe -> data -> training -> maps -> report, as `make demo` goes it, on few wheels."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.name for path in (ROOT / "experiments").glob("*.toml"))
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


FEW = {"samples": "40", "jobs": "1", "truth-test": "1", "truth-train": "1", "truth-validation": "1"}
SHARED = Path(os.environ.get("RAM_SHARED", ROOT.parent / "shared")) / "data"
SOURCES = {"impact_echo": SHARED / "impact_echo" / "raw.tar.xz", "mechanical_mnist": SHARED / "mechanical_mnist"}


def made_for(config: Path, folder: Path) -> Path:
    """Make the data as the header of an experiment says, but few of them."""
    from ram.data import making

    header = config.read_text(encoding="utf-8").replace("\\\n#", "")
    (command,) = re.findall(r"#\s+ram data make datasets/(.*) --output", header)
    recipe, *words = command.split()
    options = {words[i][2:]: words[i + 1] for i in range(0, len(words), 2)}
    if recipe in SOURCES:
        if not SOURCES[recipe].exists():
            pytest.skip("the shared folder with measured data is not here")
        options["source"] = str(SOURCES[recipe])
    else:
        options |= {key: FEW[key] for key in options if key in FEW}
    path = folder / "data.h5"
    making.make(ROOT / "datasets" / recipe, path, options, progress=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_experiment_trains_for_one_epoch(shell: Shell, tmp_path: Path, name: str) -> None:
    config = ROOT / "experiments" / name
    words = ["--data", made_for(config, tmp_path), "--set", "training.epochs=1", "--output", tmp_path / "run", "--json"]
    code, out, err = shell("train", config, *words)
    assert code == 0, err
    assert err.startswith("data check: ")
    assert set(json.loads(out)["metrics"]) == {"train", "validation", "test"}
