"""``ram truth``: interventions of a run, and the benchmark that does nothing twice and writes its page from figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ram
from ram.benchmark import tasks
from ram.benchmark.page import page
from ram.evaluation.interventions import region_masks
from ram.runs.config import load_experiment

ROOT = Path(__file__).resolve().parents[1]
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe of planted tasks and a short experiment."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "datasets" / "planted", folder / "datasets" / "planted")
    (folder / "experiments").mkdir()
    text = (ROOT / "experiments" / "planted_1d.toml").read_text(encoding="utf-8")
    short = text.replace("epochs = 15", "epochs = 2\nlearning_rate = 1e-2")
    (folder / "experiments" / "planted_1d.toml").write_text(short, encoding="utf-8")
    return folder


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut of 120 signals, and no net of a few maps."""
    task = tasks.TASKS["shortcut-1d"]
    options = {**task.options, "samples": "120"}
    nets = {name: task.nets[name] for name in (tasks.PLAIN, tasks.EVERY)}
    monkeypatch.setitem(tasks.TASKS, task.name, replace(task, options=options, nets=nets))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_the_benchmark_writes_a_page_and_does_nothing_twice(
    shell: Shell, source: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["truth", "bench", "shortcut-1d", "--cache", cache, "--source", source, "--samples", "8"]
    words += ["--methods", "ram,gradient-x-input", "--output"]
    code, out, _ = shell(*words, tmp_path / "truth.md")
    assert code == 0
    assert f"page: {tmp_path / 'truth.md'}" in out
    text = (tmp_path / "truth.md").read_text(encoding="utf-8")
    assert "## The shortcut caught: Planted shortcut, 1D" in text
    assert "| Planted shortcut, 1D | all maps |" in text
    assert "](truth/shortcut-1d.png)" in text
    assert (tmp_path / "truth" / "shortcut-1d.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("ram.benchmark.running.measured", _refused)
    monkeypatch.setattr("ram.benchmark.running.make", _refused)
    code, out, err = shell(*words, tmp_path / "again.md", "--json")
    assert (code, "measuring" in err) == (0, False)
    assert (tmp_path / "again.md").read_text(encoding="utf-8") == text.replace("truth/shortcut", "again/shortcut")
    (plain, better) = json.loads(out)["tasks"]["shortcut-1d"]
    assert (plain["net"], better["net"]) == ("plain", "all maps")
    truth = plain["interventions"]["methods"]["truth"]
    assert truth["slope"] == pytest.approx(1, abs=0.1)  # a true map of a sum claims what happens
    assert truth["r2"] > 0.95
    assert set(plain["board"]["rows"]) >= {"ram", "gradient-x-input", "image", "edges"}


def _refused(*_: object, **__: object) -> None:
    raise AssertionError("this was done before")


def test_a_run_is_held_against_the_solver_asked_again(shell: Shell, source: Path, cache: Path, tmp_path: Path) -> None:
    data = _data(source, tmp_path)
    run = ram.train(
        source / "experiments" / "planted_1d.toml",
        output=tmp_path / "run",
        overrides=[f"data.file={data}", "training.epochs=1"],
        progress=False,
    )
    words = ["truth", "intervene", run.path, "--simulator", "ram.physics.planted:shortcut", "--samples", "6"]
    code, out, _ = shell(*words)
    assert code == 0
    assert "sticker" in out
    assert "patch 4" in out
    assert "x claimed, R2" in out
    found = json.loads(shell(*words, "--json")[1])
    test = run.part("test")
    rows = [list(test.ids).index(name) for name in found["ids"]]
    maps = run.explain(test[rows], target="wear", reference=test.reference_design())
    masks = region_masks(test[rows], reference=test.reference_design(), cells=maps.axes)
    claimed = [
        [one[mask].sum() for mask in of] for one, of in zip(maps.on_input_grid().contributions, masks, strict=True)
    ]
    np.testing.assert_allclose(found["claimed"], claimed, atol=1e-3)
    assert np.abs(np.array(found["true"])[:, 3]).max() < 1.5  # the sticker
    code, _, err = shell(*words, "--method", "grad-cam")
    assert code == 2
    assert "grad-cam: the method must be one whose maps add up in the unit. Got one of grade relative." in err
    code, _, err = shell(*words[:4], "ram.physics.planted:nothing")
    assert code == 2
    assert "nothing must be a function of ram.physics.planted" in err


def _data(source: Path, folder: Path) -> Path:
    from ram.data.making import make

    options = {"task": "shortcut", "dimensions": "1", "samples": "120"}
    return make(source / "datasets" / "planted", folder / "data.h5", options, progress=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["additiv-1d"], "benchmark: a task must be one of additive-1d, "),
        (["additive-1d", "--source", "."], "must be there. Got no file. Run it in the repository, or name its folder"),
        (["wheel", "--runs", "nowhere"], "--runs: it must be a folder of runs. Got nowhere."),
    ],
)
def test_wrong_requests_are_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = shell("truth", "bench", *words)
    assert code == 2
    assert message in err


def measured(net: str, seed: int, **changes: Any) -> dict[str, Any]:
    """What the benchmark keeps of a run on wheels."""
    figures = {"spearman": [0.5 + seed / 100, 0.4, 0.6], "pearson": [0.7, 0.6, 0.8], "top": [0.3, 0.2, 0.4]}
    figures |= {"auc": [0.9, 0.8, 1.0], "regions_share": [12.0, 10.0, 14.0], "kept": [0.3, 0.2, 0.4]}
    image = {
        "kind": "trivial",
        "grade": "",
        "samples": 200,
        "figures": {"spearman": [0.3, 0.2, 0.4], "pearson": [0.2, 0.1, 0.3]},
    }
    ram_row = {"kind": "method", "grade": "exact", "samples": 200, "figures": figures}
    columns = {name: {"title": name.title(), "unit": "1", "how": f"as {name} is"} for name in figures}
    return {
        "net": net,
        "seed": seed,
        "target": "umbrella",
        "unit": "Hz",
        "value": {"umbrella": {"r2": 0.99, "mape": 0.9, "mae": 5.0}},
        "cells": [32, 32],
        "chosen": "ram",
        "board": {"samples": 200, "deciding": "spearman", "columns": columns, "rows": {"ram": ram_row, "image": image}},
        "interventions": {
            "regions": ["hub", "rim", "patch 1"],
            "methods": {"truth": {"slope": 1.05, "r2": 0.97}, "ram": {"slope": 0.8, "r2": 0.6}},
            "filled": {"truth": {"slope": 1.45, "r2": 0.86}, "ram": {"slope": 1.5, "r2": 0.8}},
        },
        **changes,
    }


def test_the_page_is_written_from_figures() -> None:
    runs = [measured("5 % of the maps", 1), measured("plain", 1), measured("all maps", 1), measured("all maps", 3)]
    text = page({"wheel": runs}, pictures={}, command="ram truth bench wheel --runs RUNS")
    table = [line for line in text.splitlines() if line.startswith(("| plain |", "| all maps |", "| 5 %"))]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| plain", "1"],
        ["| all maps", "2"],
        ["| 5 % of the maps", "1"],
    ]
    assert "| 0.520 ± 0.014 |" in table[1]
    assert "Without any map the exact RAM has 0.51" in text
    assert "the best map without a net, image, 0.30." in text
    assert (
        "Under intervention (hub, rim and random patches, of whole cells) the solver's own contributions have slope"
        in text
    )
    assert (
        "the solver's own contributions then have slope 1.45 and R2 0.86, exact RAM of the nets (plain: slope" in text
    )
    assert "whole cascade: `ram` 0.30." in text
    assert "| `ram` | 200 | 0.51 | 0.70 | 0.30 | 12.00 | **0.30** |" in text
    assert "- Kept: as kept is" in text
    assert "Above 0.2 are `ram`" in text
    assert "ram truth bench wheel --runs RUNS" in text
    assert "nan " not in text
    assert "| nan" not in text


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (None, "plain"),
        ({"weight": 1.0, "share": 0.05}, "5 % of the maps"),
        ({"weight": 1.0}, "all maps"),
        ({"outside": 1.0, "regions": ["hub"]}, "regions"),
        ({"weight": 0.0, "smooth": 0.1}, "plain"),
    ],
)
def test_runs_are_named_by_their_supervision(section: dict[str, Any] | None, name: str) -> None:
    content: dict[str, Any] = {"name": "a", "data": {"file": "a.h5", "targets": ["b"]}, "training": {}}
    if section:
        content["training"]["map_supervision"] = section
    run = SimpleNamespace(config=load_experiment(content))
    assert tasks.net_of(run) == name  # type: ignore[arg-type]
