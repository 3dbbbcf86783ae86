"""A run that was stopped or killed anywhere ends with the bytes of the run that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ram.errors import DataError
from ram.randomness import generator
from ram.storage.tensors import read_tensors

HERE = Path(__file__).parent
STEPS = 16  # 18 samples in batches of 5, 4 epochs
Results = list[dict[str, Any]]


@pytest.fixture(scope="session")
def config(disc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of 16 steps that keeps its state at each, and reads its inputs from the file."""
    folder = tmp_path_factory.mktemp("sixteen")
    text = (disc_folder / "discs.toml").read_text(encoding="utf-8")
    text = text.replace('file = "discs.h5"', f"file = '{disc_folder / 'discs.h5'}'\nloading = 'mapped'")
    text = text.replace("epochs = 2\nbatch_size = 8", "epochs = 4\nbatch_size = 5\ncheckpoint_minutes = 1e-9")
    (folder / "sixteen.toml").write_text(text.replace("samples = 3", "samples = 1"), encoding="utf-8")
    return folder / "sixteen.toml"


def run_plans(config: Path, plans: Results, *, timeout: int = 3000) -> Results:
    """What `stopped_runs.py` makes of some plans."""
    path = config.parent / f"plans-{os.getpid()}.json"
    path.write_text(json.dumps(plans), encoding="utf-8")
    command = [sys.executable, str(HERE / "stopped_runs.py"), str(config), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    results: Results = json.loads(done.stdout)
    return [{**one, "stderr": done.stderr} for one in results]


def whole_plan(folder: Path) -> dict[str, Any]:
    """A run that nothing stops, which notes what it calls of the system and every version of its files."""
    noted = {"calls": str(folder / "calls.json"), "versions": str(folder / "versions.txt")}
    return {"folder": str(folder / "whole"), "attempts": [noted]}


def quick_plans(folder: Path) -> Results:
    """The sample of each proof that the quick suite has, in one process."""
    return [
        whole_plan(folder),
        stopped(folder / "kill-first", {"event": "step", "number": 1}),
        stopped(folder / "kill-middle", {"event": "step", "number": 6}, last=workers(2)),
        stopped(folder / "kill-validation", {"event": "validation", "number": 2}),
        stopped(folder / "kill-twice", {"event": "replace", "number": 14}, {"event": "fsync", "number": 19}),
        stopped(folder / "signal-int", {"event": "step", "number": STEPS, "signal": "SIGINT"}),
        stopped(folder / "signal-term", {"event": "validation", "number": 3, "signal": "SIGTERM"}),
        stopped(folder / "signal-usr1", {"event": "results", "number": 1, "signal": "SIGUSR1"}),
        stopped(folder / "fault-open", {"fail": "open", "number": 1, "error": "EACCES"}),
        stopped(folder / "fault-write", {"fail": "write", "number": 9, "error": "ENOSPC", "for_good": True}),
        stopped(folder / "fault-short", {"fail": "write", "number": 9, "error": "short"}),
        stopped(folder / "fault-fsync", {"fail": "fsync", "number": 30, "error": "EIO"}),
        stopped(folder / "fault-replace", {"fail": "replace", "number": 40, "error": "EIO"}),
    ]


@pytest.fixture(scope="session")
def outcomes(config: Path) -> dict[str, dict[str, Any]]:
    return {Path(one["folder"]).name: one for one in run_plans(config, quick_plans(config.parent))}


@pytest.fixture(scope="session")
def whole_run(config: Path, outcomes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The run that was never stopped: its digests, the calls of the system that it makes, versions of its files."""
    one = outcomes["whole"]
    assert one["statuses"] == [0], one["stderr"]
    lines = (config.parent / "versions.txt").read_text(encoding="utf-8").splitlines()
    calls = json.loads((config.parent / "calls.json").read_text(encoding="utf-8"))
    return {**one, "calls": calls, "versions": {tuple(line.split()) for line in lines}, "folder": Path(one["folder"])}


@pytest.fixture(scope="session")
def whole(whole_run: dict[str, Any]) -> dict[str, str]:
    digests: dict[str, str] = whole_run["digests"]
    wanted = {"checkpoint.safetensors", "training.safetensors", "history.jsonl", "predictions.h5", "maps.h5"}
    assert wanted <= set(digests)
    return digests


def stopped(folder: Path, *attempts: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"folder": str(folder), "attempts": [*attempts, last or {}], "remove": True}


def assert_equal(results: Results, whole: dict[str, str], *, statuses: set[int]) -> None:
    for one in results:
        assert set(one["statuses"][:-1]) <= statuses, (one["folder"], one["statuses"], one["stderr"])
        assert one["statuses"][-1] == 0, one["stderr"]
        assert one["digests"] == whole, one["folder"]


def workers(number: int, *, start: str = "fork") -> dict[str, Any]:
    return {"training": {"workers": number, "worker_start": start}}


# Stopped by signals and kills


def begun_with(outcomes: dict[str, dict[str, Any]], beginning: str) -> Results:
    return [one for name, one in outcomes.items() if name.startswith(beginning)]


def test_killed_runs_go_on_to_the_same_bytes(outcomes, whole):
    assert_equal(begun_with(outcomes, "kill"), whole, statuses={-9})


def test_a_signal_keeps_the_state_and_leaves_with_75(outcomes, whole):
    results = begun_with(outcomes, "signal")
    assert_equal(results, whole, statuses={75})
    for one in results:
        assert "training.safetensors" in one["left"][0]
        assert not any(name.startswith(".") for name in one["left"][0])  # neither lock nor half a file


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_kill_at_every_step(config, whole, tmp_path, number):
    plans = [
        stopped(tmp_path / str(step), {"event": "step", "number": step} | workers(number), last=workers(number))
        for step in range(1, STEPS + 1)
    ]
    assert_equal(run_plans(config, plans), whole, statuses={-9})


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_kills_at_random_times(config, whole, tmp_path, number):
    timed = run_plans(config, [stopped(tmp_path / "timed", last=workers(number))])
    assert_equal(timed, whole, statuses=set())
    times_s = generator(7, "kills", number).uniform(0.0, timed[0]["took_s"], size=50)
    signals = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGUSR1")
    plans = [
        stopped(
            tmp_path / str(place),
            {"after_s": float(seconds), "signal": signals[place % 5]} | workers(number),
            last=workers((number + place) % 3),
        )
        for place, seconds in enumerate(times_s)
    ]
    results = run_plans(config, plans)
    # A signal before its handler is there, or after it was put back, does what it does to any process.
    assert_equal(results, whole, statuses={-9, 0, 75, -2, -10, -15, 70})
    killed = [one["statuses"][0] for one in results]
    assert sum(status in (-9, 75) for status in killed) >= 25, killed


@pytest.mark.slow
def test_a_hundred_kills_during_checkpoints_lose_none(config, whole, tmp_path):
    draw = generator(3, "checkpoints")
    begins = {"open": (16, 64), "write": (5, 16), "fsync": (9, 32), "replace": (4, 16)}  # calls that write checkpoints

    def kill(*, again: bool) -> dict[str, Any]:
        event = str(draw.choice(list(begins)))
        low, high = (2, 5) if again else begins[event]
        return {"event": event, "number": int(draw.integers(low, high))}

    plans = [stopped(tmp_path / str(place), kill(again=False), kill(again=True)) for place in range(50)]
    # The state on disk was whole each time: one that is damaged is refused, with exit code 1.
    assert_equal(run_plans(config, plans), whole, statuses={-9})


@pytest.mark.slow
def test_twenty_repeats_over_workers_and_ways_to_start_them(config, whole, tmp_path):
    ways = [(number, start) for number in (0, 1, 2) for start in ("fork", "spawn")]
    plans = [
        stopped(tmp_path / str(place), last=workers(ways[place % 6][0], start=ways[place % 6][1]))
        for place in range(20)
    ]
    assert_equal(run_plans(config, plans), whole, statuses=set())


# Disks that fail


def faults(whole_run: dict[str, Any], errors: list[str], *, every: int, first: int = 1) -> list[dict[str, Any]]:
    return [
        {"fail": call, "number": number, "error": error}
        for call, count in whole_run["calls"].items()
        for number in range(first, count + 1, every)
        for error in (errors if call == "write" else [name for name in errors if name != "short"])
    ]


def assert_old_or_new(results: Results, whole_run: dict[str, Any]) -> None:
    """After a fault every file is one that some run has written whole, and going on gives the bytes of a whole run."""
    for one in results:
        fault = one["attempts"][0]
        assert one["statuses"][0] == (0 if fault["error"] == "short" else 1), (fault, one["statuses"], one["stderr"])
        for name, digest in one["left"][0].items():
            assert (name, digest) in whole_run["versions"], (fault, name)  # no lock, no half of a file
        assert one["statuses"][-1] == 0, one["stderr"]
        assert one["digests"] == whole_run["digests"], fault


def test_a_disk_that_fails_leaves_old_or_new_files(outcomes, whole_run):
    results = begun_with(outcomes, "fault")
    assert_old_or_new(results, whole_run)
    said = results[0]["stderr"]
    assert "No space left on device' with" in said
    assert "bytes free. Make room or choose another folder; nothing half-written is left behind." in said


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EACCES", "short"])
def test_every_call_fails_once(config, whole_run, tmp_path, error):
    plans = [
        stopped(tmp_path / str(place), fault)
        for place, fault in enumerate(faults(whole_run, [error], every=1))
        if error != "short" or fault["fail"] == "write"
    ]
    assert_old_or_new(run_plans(config, plans), whole_run)


# Damaged checkpoints


def assert_flips_are_found(folder: Path, tmp_path: Path, *, count: int) -> None:
    draw = generator(2, "flips")
    schemas = {"training.safetensors": "ram-training/1", "checkpoint.safetensors": "ram-checkpoint/1"}
    for number in range(count):
        name = list(schemas)[number % 2]
        content = bytearray((folder / name).read_bytes())
        place = int(draw.integers(8 * (len(content) if number % 4 < 2 else 4096)))  # every other one in the header
        content[place // 8] ^= 1 << (place % 8)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_tensors(tmp_path / name, schema=schemas[name])


def test_flipped_bits_in_checkpoints_are_found(whole_run, tmp_path):
    assert_flips_are_found(whole_run["folder"], tmp_path, count=50)


@pytest.mark.slow
def test_a_thousand_flipped_bits_in_checkpoints_are_found(whole_run, tmp_path):
    assert_flips_are_found(whole_run["folder"], tmp_path, count=1000)
