"""A run that was stopped or killed anywhere ends with the bytes of the run that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
STEPS = 16  # 18 samples in batches of 5, 4 epochs
WORDS = "epochs = 4\nbatch_size = 5\ncheckpoint_minutes = 1e-9"
Results = list[dict[str, Any]]


@pytest.fixture(scope="session")
def config(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of 16 steps that keeps its state at each, and reads its inputs from the file."""
    folder = tmp_path_factory.mktemp("sixteen")
    text = (disc_folder / "discs.toml").read_text(encoding="utf-8")
    text = text.replace('file = "discs.h5"', f"file = '{disc_folder / 'discs.h5'}'\nloading = 'mapped'")
    text = text.replace("epochs = 2\nbatch_size = 8", WORDS)
    (folder / "sixteen.toml").write_text(text, encoding="utf-8")
    return folder / "sixteen.toml"


def run_plans(config: Path, plans: Results, *, timeout: int = 600) -> Results:
    """What `stopped_runs.py` makes of some plans."""
    path = config.parent / f"plans-{os.getpid()}.json"
    path.write_text(json.dumps(plans), encoding="utf-8")
    command = [sys.executable, str(HERE / "stopped_runs.py"), str(config), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    results: Results = json.loads(done.stdout)
    return [{**one, "stderr": done.stderr} for one in results]


@pytest.fixture(scope="session")
def whole(config: Path) -> dict[str, str]:
    """Digests of the run that was never stopped."""
    (one,) = run_plans(config, [{"folder": str(config.parent / "whole"), "attempts": [{}]}])
    assert one["statuses"] == [0], one["stderr"]
    digests: dict[str, str] = one["digests"]
    assert {"checkpoint.safetensors", "training.safetensors", "history.jsonl", "predictions.h5", "maps.h5"} <= set(
        digests
    )
    return digests


def stopped(folder: Path, *attempts: dict[str, Any]) -> dict[str, Any]:
    return {"folder": str(folder), "attempts": [*attempts, {}]}


def test_a_signal_at_a_step_keeps_the_state_and_leaves_with_75(config, whole, tmp_path):
    plans = [
        stopped(tmp_path / name, {"event": "step", "number": 7, "signal": name})
        for name in ("SIGINT", "SIGTERM", "SIGUSR1")
    ]
    for one in run_plans(config, plans):
        assert one["statuses"] == [75, 0], one["stderr"]
        assert one["digests"] == whole


def test_a_kill_at_a_step_loses_nothing(config, whole, tmp_path):
    plans = [stopped(tmp_path / str(step), {"event": "step", "number": step}) for step in (1, 6, 12, STEPS)]
    for one in run_plans(config, plans):
        assert one["statuses"] == [-9, 0], one["stderr"]
        assert one["digests"] == whole
