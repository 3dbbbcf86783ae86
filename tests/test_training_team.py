"""Processes that train together: the curve of one process, every sample once, one writer, stops that all agree on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from ram.cli.output import explain_failure
from ram.errors import ConfigError, RelayedError, StorageError, TrainingError
from ram.runs.config import load_experiment
from ram.runs.run import Run, open_run
from ram.training import launching, loop, team
from ram.training.prepare import prepare
from ram.training.train import train

CONFIG = load_experiment({"name": "a", "data": {"file": "x", "targets": ["y"]}}).training


def started(count: int, *words: object, **kept: Any) -> subprocess.Popen[str]:
    """Start ``ram train`` in so many processes that train together."""
    command = [sys.executable, "-m", "ram", "train", *map(str, words), "--processes", str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kept)


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def uneven(record: Any) -> Any:
    """Weights, and targets that were not measured: the shares of a batch differ in both."""
    number = int(record.id[1:])
    missing = number % 7 in (0, 1, 2)
    targets = {**record.targets, "mass": float("nan")} if missing else record.targets
    return replace(record, targets=targets, weight=1.0 + number % 4)


# 18 samples in batches of 17: the last batch has one sample, and one process none; shares are 9 and 8.
# Some gradients are clipped and some are not, without which their scale would not be seen.
UNEVEN = ["training.batch_size=17", "training.epochs=3", "training.gradient_clip=0.3"]
NORMS = ["training.batch_size=7", "training.epochs=3", 'model.norm="batch"', "training.learning_rate=0.03"]
PLANS: dict[str, tuple[int, list[str], dict[str, Any]]] = {
    "muon": (2, UNEVEN, {}),
    "adamw": (2, [*UNEVEN, 'training.optimizer="adamw"'], {}),
    "norms": (2, [*NORMS, "training.frozen_norms=0"], {}),
    "frozen": (2, [*NORMS, "training.frozen_norms=1"], {}),
    "not finite": (2, ["training.learning_rate=1e30", 'training.optimizer="adamw"'], {}),
    "one is killed": (2, UNEVEN, {"killed": 1}),
}


@dataclass(frozen=True)
class Outcome:
    """What the processes of one plan left."""

    folder: Path
    codes: list[int]

    def said(self, rank: int, kind: str) -> str:
        return Path(f"{self.folder}.{rank}.{kind}").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def uneven_discs(discs_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return discs_in(tmp_path_factory.mktemp("team"), uneven, weighted=True)


@pytest.fixture(scope="module")
def outcomes(uneven_discs: Path) -> dict[str, Outcome]:
    return outcomes_of(uneven_discs, "muon", "norms", "not finite")


@pytest.fixture(scope="module")
def more_outcomes(uneven_discs: Path) -> dict[str, Outcome]:
    return outcomes_of(uneven_discs, "adamw", "frozen", "one is killed")


def outcomes_of(uneven_discs: Path, *names: str) -> dict[str, Outcome]:
    """Plans in real processes; see `team_runs.py`."""
    plans = []
    for name in names:
        count, changes, more = PLANS[name]
        folder = str(uneven_discs.parent / name)
        words = ["train", str(uneven_discs), "--output", folder, *(word for one in changes for word in ("--set", one))]
        plans.append({"folder": folder, "count": count, "words": words, **more})
    path = uneven_discs.parent / f"{names[0]}.json"
    path.write_text(json.dumps(plans), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("team_runs.py")), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    found = zip(plans, json.loads(done.stdout), strict=True)
    return {Path(plan["folder"]).name: Outcome(Path(plan["folder"]), codes) for plan, codes in found}


def alone(config: Path, name: str, folder: Path) -> Run:
    """The training of a plan, in this process."""
    return train(config, output=folder / name, overrides=PLANS[name][1], progress=False)


def distance(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """How far two curves are from one another, as a share of their values."""
    pairs = [(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in ("loss", "criterion")]
    return max(abs(float(a) - float(b)) / abs(float(b)) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "made"), [("muon", "outcomes"), pytest.param("adamw", "more_outcomes", marks=pytest.mark.slow)]
)
def test_two_processes_have_the_curve_of_one_and_end_with_the_same_bits(
    uneven_discs: Path, tmp_path: Path, request: pytest.FixtureRequest, name: str, made: str
) -> None:
    found: Outcome = request.getfixturevalue(made)[name]
    assert found.codes == [0, 0], found.said(0, "err")
    # Sums of another order: float32 rounding (6e-8), grown over three epochs of steps.
    assert distance(history(found.folder), alone(uneven_discs, name, tmp_path).history) < 1e-5
    assert found.said(0, "weights") == found.said(1, "weights")
    assert found.said(0, "out").count("run: ") == 1
    assert found.said(1, "out") == ""  # the first process speaks
    assert (found.folder / "manifest.json").is_file()


def test_batch_norms_follow_each_process_s_share_and_the_first_one_s_statistics_are_kept(
    outcomes: dict[str, Outcome], uneven_discs: Path, tmp_path: Path
) -> None:
    found = outcomes["norms"]
    assert found.codes == [0, 0], found.said(0, "err")
    rows = history(found.folder)
    assert distance(rows, alone(uneven_discs, "norms", tmp_path).history) > 1e-3  # depends on the share
    assert found.said(0, "weights") == found.said(1, "weights")  # buffers too
    run = open_run(found.folder)
    validation = prepare(run.config, data=uneven_discs.with_name("discs.h5")).validation
    best = min(rows, key=lambda row: float(row["criterion"]))
    _, criterion = loop._validate(run.regressor, validation, None, team.Team(None))  # type: ignore[arg-type]
    assert criterion == pytest.approx(best["criterion"], rel=1e-6)  # what was measured is the net that is kept


@pytest.mark.slow
def test_batch_norms_that_are_frozen_do_not_depend_on_the_share(
    more_outcomes: dict[str, Outcome], uneven_discs: Path, tmp_path: Path
) -> None:
    found = more_outcomes["frozen"]
    assert found.codes == [0, 0], found.said(0, "err")
    assert distance(history(found.folder), alone(uneven_discs, "frozen", tmp_path).history) < 1e-5


def test_a_loss_that_is_not_finite_ends_all_and_is_said_once(outcomes: dict[str, Outcome]) -> None:
    found = outcomes["not finite"]
    assert found.codes == [1, 1]
    assert re.search(
        r"Error: training, epoch \d, batch \d, samples d0.* must be finite\. Got loss", found.said(0, "err")
    )
    assert found.said(1, "err") == ""
    assert not (found.folder / "manifest.json").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_does_not_leave_the_other_waiting(more_outcomes: dict[str, Outcome]) -> None:
    found = more_outcomes["one is killed"]
    assert found.codes == [1, -signal.SIGKILL]
    assert "Error: training: processes must be all 2 there to the end. Got the link to" in found.said(0, "err")
    assert not (found.folder / "manifest.json").exists()


def test_what_is_said_to_the_others_keeps_its_exit_code() -> None:
    for kind, code in ((ConfigError, 2), (TrainingError, 1), (FileNotFoundError, 2), (StorageError, 1), (Exception, 1)):
        assert explain_failure(RelayedError("said elsewhere", of=kind)) == code


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
    assert process.returncode == 75, err
    assert err.count("go on with 'ram train --resume") == 1, err
    assert "Traceback" not in err
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


@pytest.mark.parametrize(
    ("codes", "wanted"), [([75, -signal.SIGTERM], 75), ([-signal.SIGTERM, 75], 75), ([2, -signal.SIGTERM], 2), ([1], 1)]
)
def test_the_processes_exit_code_is_that_of_the_first_to_leave(codes: list[int], wanted: int) -> None:
    assert launching._exit_code(failed(codes)) == wanted


def test_a_process_that_was_killed_is_named() -> None:
    message = r"process 0 must be alive to the end\. Got killed by SIGKILL\. Memory may be short; go on with --resume"
    with pytest.raises(TrainingError, match=message):
        launching._exit_code(failed([-signal.SIGKILL, -signal.SIGTERM]))


def failed(codes: list[int]) -> ChildFailedError:
    failures = {rank: ProcessFailure(rank, 2**22 + rank, code, "") for rank, code in enumerate(codes)}
    for rank, failure in failures.items():
        failure.timestamp = rank
    return ChildFailedError("ram", failures)
