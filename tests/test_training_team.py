"""Processes that train together: the curve of one process, every sample once, one writer, stops that all agree on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ram.errors import ConfigError
from ram.runs.config import load_experiment
from ram.training import team
from ram.training.train import train

CONFIG = load_experiment({"name": "a", "data": {"file": "x", "targets": ["y"]}}).training


def started(count: int, *words: object, **kept: Any) -> subprocess.Popen[str]:
    """Start ``ram train`` in so many processes that train together."""
    command = [sys.executable, "-m", "ram", "train", *map(str, words), "--processes", str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kept)


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def forgetful(record: Any) -> Any:
    """One target of some samples was not measured: the shares of a batch have different numbers of targets."""
    missing = int(record.id[1:]) % 7 in (0, 1, 2)
    return replace(record, targets={**record.targets, "mass": float("nan")}) if missing else record


def test_two_processes_have_the_curve_of_one(changed_discs: Callable[..., Path], tmp_path: Path) -> None:
    # 18 samples in batches of 17: the last batch has one sample, and one process none; shares are 9 and 8.
    config = changed_discs(forgetful)
    one = train(config, output=tmp_path / "one", overrides=["training.batch_size=17"], progress=False)
    process = started(2, config, "--output", tmp_path / "two", "--set", "training.batch_size=17")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("run: ") == 1  # one process speaks
    assert (tmp_path / "two" / "manifest.json").is_file()
    for alone, together in zip(one.history, history(tmp_path / "two"), strict=True):
        # Sums of another order: float32 rounding (6e-8), grown over two epochs of steps.
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        assert together["criterion"] == pytest.approx(alone["criterion"], rel=1e-5)
        assert together["validation"] == pytest.approx(alone["validation"], rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("samples", [1, 8, 13, 16])
def test_every_sample_is_seen_once_an_epoch(count: int, samples: int) -> None:
    order, seen = np.random.default_rng(0).permutation(samples), []
    for rank in range(count):
        member = team.Team(None, team.Places(count, rank, count))  # type: ignore[arg-type]
        mine, batches = team.shares(order, batch_size=5, team=member)
        assert [batch.tolist() for batch in batches] == [order[i : i + 5].tolist() for i in range(0, samples, 5)]
        step = max(1, len(member.share(order[:5])))
        parts = [mine[begin : begin + step] for begin in range(0, len(mine), step)]
        for part, batch in zip(parts, batches, strict=True):  # as many steps in each process
            share = member.share(batch)
            np.testing.assert_array_equal(part, share if share.size else batch[:1])
            seen.extend(share.tolist())
    assert sorted(seen) == list(range(samples))


@pytest.mark.slow
def test_a_stop_of_one_is_a_stop_of_all_and_any_number_goes_on(disc_folder: Path, tmp_path: Path) -> None:
    words = ["--set", "training.epochs=200", "--set", "training.batch_size=6"]
    process = started(2, disc_folder / "discs.toml", "--output", tmp_path / "cut", *words, start_new_session=True)
    limit = time.monotonic() + 200
    while not (tmp_path / "cut" / "history.jsonl").exists() and time.monotonic() < limit:
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[1]), signal.SIGUSR1)  # one of the two alone
    _, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert err.count("go on with 'ram train --resume") == 2, err
    done = len(history(tmp_path / "cut"))
    assert 1 <= done < 200
    shorter = ["training.epochs=200", "training.batch_size=6"]
    again = train(disc_folder / "discs.toml", output=tmp_path / "cut", overrides=shorter, resume=True, progress=False)
    whole = train(disc_folder / "discs.toml", output=tmp_path / "whole", overrides=shorter, progress=False)
    assert len(again.history) == 200
    first = [row["loss"] for row in again.history[:10]]
    assert first == pytest.approx([row["loss"] for row in whole.history[:10]], rel=1e-3)


# Where this process stands


def test_who_has_started_the_processes() -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2"}
    assert team.places(torchrun) == team.Places(4, 3, 2, "torchrun")
    assert team.places(torchrun | {"WORLD_SIZE": "1"}) == team.Places()
    srun = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_JOB_NAME": "bash"}
    assert team.places(srun) == team.Places()  # an interactive shell
    with pytest.raises(ConfigError, match=r"tasks must be given by --nodes and --ntasks-per-node\. Got --ntasks=2"):
        team.places(srun | {"SLURM_JOB_NAME": "train"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 3}, r"4 processes started by SLURM: training\.batch_size must be at least 4.*Got batches of 3"),
        ({"device": "mps"}, r"training\.device must be cpu or cuda\. Got mps"),
        ({"device": "cuda"}, r"GPUs must be one a process\. Got 0 for 4 processes"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match=message):
        team._check_fits(CONFIG.model_copy(update=changes), team.Places(4, 0, 4, "SLURM"))


def test_another_number_of_processes_and_work_for_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "places", lambda: team.Places(2, 0, 2, "torchrun"))
    assert team.launched(2)
    with pytest.raises(ConfigError, match=r"processes must be 4\. Got 2, started by torchrun\. Leave --processes out"):
        team.launched(4)
    with pytest.raises(ConfigError, match=r"a sweep: processes must be one\. Got 2, started by torchrun\. Start one"):
        team.alone("a sweep")
